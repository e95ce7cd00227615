"""What to ship: per target and model, the released scheme that its target prefers, or why there is none. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeflow.figures import RATIO
from edgeflow.report import show
from edgeflow.report.variants import Variant, machines
from edgeflow.types.figures import Evidence
from edgeflow.types.verdicts import Release

_SUPERLATIVES = {
    "latency": "fastest",
    "size": "smallest",
    "memory": "least memory-hungry",
    "accuracy": "most accurate",
}
_HIGHER_IS_BETTER = {"accuracy"}
_SIZE = "size_bytes"  # ranks where the preferred metric cannot
_MEDIAN = "latency_p50_s"
TIE = 1.05  # latencies of separate measurements on a shared machine are not told apart below this ratio


@dataclass(frozen=True)
class TargetInfo:
    """What the report says about a target, and by which metric it ranks what is released there."""

    id: str
    description: str
    runtime: str
    prefer: str = "latency_p50_s"


@dataclass(frozen=True)
class TaskFigure:
    """Whether the model does its task, in the task's own words."""

    metric: str
    unit: str
    value: float
    low: float | None  # ends of the interval, where there is one
    high: float | None
    evidence: Evidence
    drop: float | None = None  # what was lost of it, where the task has that
    drop_upper: float | None = None
    answers: str = ""  # in what way they are those of the model that it is made from: "equal bit for bit"
    declared: str = ""  # what was asked where nobody recorded samples: "random"


@dataclass(frozen=True)
class Decision:
    """One entry of decision.json. The figures are those of `scheme`; null is not measured."""

    target: str
    model: str
    ship: str | None  # id of the scheme to ship; None: nothing ships
    release: Release  # of `scheme`
    scheme: str | None  # what ships, or what comes closest to it; None when everything is infeasible
    why: str
    shipped_without: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  # what makes the figures mean little, however good they are
    task: TaskFigure | None = None  # None where nothing was measured
    latency_p50_s: float | None = None
    latency_ratio_fp32: float | None = None
    size_bytes: float | None = None
    size_ratio_fp32: float | None = None
    memory_peak_bytes: float | None = None
    evidence: Evidence | None = None  # the weakest that was judged
    evidence_latency: Evidence | None = None
    evidence_latency_ratio: Evidence | None = None
    evidence_size: Evidence | None = None
    evidence_memory: Evidence | None = None
    device: str = ""  # that the latency is of, with the machine that it was: "this_host@3f2a91c0"


def decide(variants: Sequence[Variant], targets: Sequence[TargetInfo], baseline: str) -> tuple[Decision, ...]:
    """One decision per target (in the given order) and model (in the plan's order)."""
    models = list(dict.fromkeys(variant.cell.model for variant in variants))
    return tuple(
        _decide(group, target, baseline)
        for target in targets
        for model in models
        if (group := [v for v in variants if (v.cell.target, v.cell.model) == (target.id, model)])
    )


def _decide(group: Sequence[Variant], target: TargetInfo, baseline: str) -> Decision:
    """The decision between the schemes of one model on one target."""
    fp32 = next((v for v in group if v.cell.scheme == baseline), None)
    for release in (Release.RELEASED, Release.HELD, Release.REJECTED):
        candidates = [v for v in group if v.release is release]
        if not candidates:
            continue
        ranking = _ranking(candidates, target.prefer, fp32)
        best = ranking.best
        if release is Release.RELEASED:
            why = _why_it_ships(ranking, fp32, target.prefer)
            return _decision(best, fp32, best.cell.scheme, f"{why}{_failed_beside(group)}")
        return _decision(best, fp32, None, _why_nothing_ships(best, group))
    return _nothing(group)


def _nothing(group: Sequence[Variant]) -> Decision:
    """The decision where no scheme has a program."""
    reasons = "; ".join(dict.fromkeys(reason.rstrip(".") for v in group for reason in v.reasons))
    first = group[0].cell
    failed = any(v.failure for v in group)
    release = Release.FAILED if failed else Release.INFEASIBLE
    tally = _tally(group) if len({v.release for v in group}) > 1 else f"every scheme {_IS[release]}"
    return Decision(first.target, first.model, None, release, None, f"Nothing ships: {tally}: {reasons}.")


_IS = {Release.FAILED: "failed", Release.INFEASIBLE: "is infeasible"}


def _failed_beside(group: Sequence[Variant]) -> str:
    """What the reader must know of a choice between fewer schemes than were planned."""
    failed = [v.cell.scheme for v in group if v.failure]
    return f" Not compared, since they failed: {', '.join(failed)}." if failed else ""


@dataclass(frozen=True)
class _Ranking:
    """The schemes of one model on one target that may ship, and the figures that rank them."""

    candidates: Sequence[Variant]
    metric: str
    figures: Mapping[str, float]  # scheme → what it is ranked by, less is better; of those that have such a figure
    first: Variant  # by these figures alone
    tied: Sequence[Variant]  # those that cannot be told apart from it, with it
    best: Variant  # the smallest of these


def _ranking(candidates: Sequence[Variant], prefer: str, fp32: Variant | None) -> _Ranking:
    """Rank by the preferred metric, or by size where no candidate has a figure for it that may choose.

    Of latencies that cannot be told apart, the smallest file is the best.
    """
    metric = prefer
    figures = _ranked(candidates, prefer, fp32)
    if not figures:
        metric = _SIZE
        figures = _ranked(candidates, _SIZE, fp32)

    def rank(variant: Variant) -> tuple[float, float]:
        """What has no figure comes last, and the smaller file wins a tie."""
        size = variant.value(_SIZE)
        return figures.get(variant.cell.scheme, math.inf), math.inf if size is None else size

    first = min(candidates, key=rank)
    tied = [first]
    if metric.startswith("latency") and first.cell.scheme in figures:
        most = TIE * figures[first.cell.scheme]
        tied = [v for v in candidates if figures.get(v.cell.scheme, math.inf) <= most]
    best = min(tied, key=lambda v: (rank(v)[1], rank(v)[0]))
    return _Ranking(candidates, metric, figures, first, tied, best)


def _ranked(candidates: Sequence[Variant], metric: str, fp32: Variant | None) -> dict[str, float]:
    """The figures that may choose between the candidates, by scheme; less is better.

    Times are those that were taken in turn with fp32, where each candidate has such a ratio: of separate runs on a
    shared machine, drift decides. The ratio of fp32 itself is 1.
    """
    if len(machines(candidates, metric)) > 1:
        return {}
    own = _figures(candidates, metric)
    if metric not in (_MEDIAN, RATIO):
        return own
    beside = _figures(candidates, RATIO)
    if beside and fp32 is not None and any(v is fp32 for v in candidates):
        beside[fp32.cell.scheme] = 1.0
    if metric == RATIO:
        return beside
    return {scheme: beside[scheme] for scheme in own} if own.keys() <= beside.keys() else own


def _figures(candidates: Sequence[Variant], metric: str) -> dict[str, float]:
    sign = -1 if metric in _HIGHER_IS_BETTER else 1
    values = ((v.cell.scheme, v.value(metric)) for v in candidates if v.chooses(metric))
    return {scheme: sign * value for scheme, value in values if value is not None}


def _why_it_ships(ranking: _Ranking, fp32: Variant | None, prefer: str) -> str:
    best, metric = ranking.best, ranking.metric
    one = len(ranking.candidates) == 1
    parts = [f"The only released scheme: {_figure(best, metric, fp32)}" if one else _won(ranking, fp32)]
    if metric != prefer and not one:
        parts.append(f"{_why_not(ranking.candidates, prefer)}, so the size decides")
    parts.extend(compared(best, fp32))
    if best.shipped_without:
        parts.append(f"ships without {_listed(best.shipped_without)}, which this target accepts")
    return "; ".join(parts) + "."


def _why_not(candidates: Sequence[Variant], prefer: str) -> str:
    """Why the preferred metric ranks nothing."""
    if len(named := machines(candidates, prefer)) > 1:
        where = f"{len(named)} machines ({', '.join(named)})"
        return f"{show.name(prefer)} was taken on {where}, which cannot be compared"
    weak = dict.fromkeys(evidence.value for v in candidates if (evidence := v.evidence(prefer)))
    if not weak:
        return f"none has {show.name(prefer)}"
    return f"{show.name(prefer)} is {' or '.join(weak)} evidence only, which chooses nothing on this target"


def _won(ranking: _Ranking, fp32: Variant | None) -> str:
    best, metric, released = ranking.best, ranking.metric, ranking.candidates
    word = next((w for prefix, w in _SUPERLATIVES.items() if metric.startswith(prefix)), f"lowest {show.name(metric)}")
    aside = _without(ranking)
    figure = _figure(best, metric, fp32)
    if len(ranking.tied) > 1:
        fastest = "" if ranking.first is best else f" ({ranking.first.cell.scheme})"
        tied = f"within {100 * (TIE - 1):.0f} % of the {word}{fastest}"
        return f"The smallest of those {tied} of {len(released)} released schemes{aside}: {figure}"
    return f"The {word} of {len(released)} released schemes{aside}: {figure}"


def _without(ranking: _Ranking) -> str:
    """How many candidates have no figure to be ranked by."""
    absent = [v for v in ranking.candidates if v.cell.scheme not in ranking.figures]
    if not absent:
        return ""
    weak = any(v.value(ranking.metric) is not None for v in absent)
    return f" ({len(absent)} without {show.name(ranking.metric)}{' that may choose' if weak else ''})"


def _figure(variant: Variant, metric: str, fp32: Variant | None) -> str:
    if metric == RATIO and variant is fp32:
        return f"{_figure(variant, _MEDIAN, fp32)}, which the others are held against"
    value, evidence = variant.value(metric), variant.evidence(metric)
    if value is None:
        return f"{show.name(metric)} {show.NOT_MEASURED}"
    return f"{show.name(metric)} {show.value(metric, value)} ({show.evidence(evidence)})"


def compared(variant: Variant, fp32: Variant | None) -> list[str]:
    """What the variant gains against fp32 on the same target: "1.92× as fast as fp32", "3.60× smaller than fp32"."""
    if fp32 is None or fp32.release in (Release.INFEASIBLE, Release.FAILED):
        return ["there is no fp32 here to compare with"]
    if variant is fp32:
        return []
    gains = []
    ratio = variant.value(RATIO)
    if ratio and variant.chooses(RATIO):
        gains.append(f"{show.times(1 / ratio)} as fast as {fp32.cell.scheme}")
    if (size := size_ratio(variant, fp32)) is not None:
        smaller = f"{show.times(1 / size)} smaller than {fp32.cell.scheme}"
        gains.append(smaller if size < 1 else f"{show.times(size)} its size")
    return gains


def size_ratio(variant: Variant, fp32: Variant | None) -> float | None:
    """Size of the variant's program over that of fp32 on the same target."""
    own, reference = variant.value("size_bytes"), fp32.value("size_bytes") if fp32 else None
    return own / reference if own and reference else None


def _why_nothing_ships(best: Variant, group: Sequence[Variant]) -> str:
    reasons = "; ".join(reason.rstrip(".") for reason in best.reasons)
    return f"Nothing ships: {_tally(group)}. {best.cell.scheme} comes closest and is {best.release.value}: {reasons}."


def _tally(group: Sequence[Variant]) -> str:
    counts = Counter(v.release for v in group)
    return ", ".join(f"{counts[release]} {release.value}" for release in Release if counts[release])


def _listed(metrics: Sequence[str]) -> str:
    return ", ".join(show.name(metric) for metric in metrics)


def _decision(v: Variant, fp32: Variant | None, ship: str | None, why: str) -> Decision:
    return Decision(
        target=v.cell.target,
        model=v.cell.model,
        ship=ship,
        release=v.release,
        scheme=v.cell.scheme,
        why=why,
        shipped_without=v.shipped_without,
        warnings=v.warnings,
        task=_task(v),
        latency_p50_s=v.value("latency_p50_s"),
        latency_ratio_fp32=v.value("latency_ratio_fp32"),
        size_bytes=v.value("size_bytes"),
        size_ratio_fp32=size_ratio(v, fp32) if v is not fp32 else None,
        memory_peak_bytes=v.value("memory_peak_bytes"),
        evidence=v.weakest_evidence,
        evidence_latency=v.evidence("latency_p50_s"),
        evidence_latency_ratio=v.evidence("latency_ratio_fp32"),
        evidence_size=v.evidence("size_bytes"),
        evidence_memory=v.evidence("memory_peak_bytes"),
        device=v.figures[_MEDIAN].device if v.evidence(_MEDIAN) is Evidence.DEVICE else "",
    )


def _task(v: Variant) -> TaskFigure | None:
    figure = v.figures.get(v.primary.metric) if v.primary else None
    if figure is None or v.primary is None:
        return None
    drop, interval = v.figures.get(v.primary.drop), figure.interval
    return TaskFigure(
        metric=figure.metric,
        unit=figure.unit,
        value=figure.value,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        evidence=figure.evidence,
        drop=drop.value if drop else None,
        drop_upper=show.upper(drop),
        answers=str(figure.conditions.get("answers", "")),
        declared=v.declared,
    )
