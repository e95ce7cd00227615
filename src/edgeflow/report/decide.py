"""What to ship: per target and model, the released scheme that its target prefers, or why there is none. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from edgeflow.report import show
from edgeflow.report.variants import Variant
from edgeflow.types import Evidence, Release

_SUPERLATIVES = {
    "latency": "fastest",
    "size": "smallest",
    "memory": "least memory-hungry",
    "accuracy": "most accurate",
}
_HIGHER_IS_BETTER = {"accuracy"}
TIE = 1.05  # latencies of separate measurements on a shared machine are not told apart below this ratio


@dataclass(frozen=True)
class TargetInfo:
    """What the report says about a target, and by which metric it ranks what is released there."""

    id: str
    description: str
    runtime: str
    prefer: str = "latency_p50_s"


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
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    accuracy_drop: float | None = None
    accuracy_drop_upper: float | None = None
    latency_p50_s: float | None = None
    latency_ratio_fp32: float | None = None
    size_bytes: float | None = None
    size_ratio_fp32: float | None = None
    memory_peak_bytes: float | None = None
    evidence: Evidence | None = None  # the weakest that was judged
    evidence_accuracy: Evidence | None = None
    evidence_latency: Evidence | None = None
    evidence_size: Evidence | None = None
    evidence_memory: Evidence | None = None


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
        metric = _ranking_metric(candidates, target.prefer)
        best = _best(candidates, metric)
        if release is Release.RELEASED:
            why = _why_it_ships(best, candidates, fp32, metric, target.prefer)
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


def _best(candidates: Sequence[Variant], metric: str) -> Variant:
    """The best by `metric`; of latencies that cannot be told apart, the smallest file."""
    first = min(candidates, key=lambda v: _rank(v, metric))
    fastest = first.value(metric)
    if fastest is None or not metric.startswith("latency"):
        return first
    tied = [v for v in candidates if (value := v.value(metric)) is not None and value <= TIE * fastest]
    return min(tied, key=lambda v: _rank(v, "size_bytes"))


def _ranking_metric(candidates: Sequence[Variant], prefer: str) -> str:
    """The preferred metric, or the size where no candidate has a figure for it."""
    return prefer if any(v.value(prefer) is not None for v in candidates) else "size_bytes"


def _rank(variant: Variant, metric: str) -> tuple[float, float]:
    """Smaller is better; what has no figure comes last, and the smaller file wins a tie."""
    value = variant.value(metric)
    size = variant.value("size_bytes")
    signed = math.inf if value is None else -value if metric in _HIGHER_IS_BETTER else value
    return signed, math.inf if size is None else size


def _why_it_ships(best: Variant, released: Sequence[Variant], fp32: Variant | None, metric: str, prefer: str) -> str:
    one = len(released) == 1
    parts = [f"The only released scheme: {_figure(best, metric)}" if one else _won(best, released, metric)]
    if metric != prefer and not one:
        parts.append(f"none has {show.name(prefer)}, so the size decides")
    parts.extend(compared(best, fp32))
    if best.shipped_without:
        parts.append(f"ships without {_listed(best.shipped_without)}, which this target accepts")
    return "; ".join(parts) + "."


def _won(best: Variant, released: Sequence[Variant], metric: str) -> str:
    word = next((w for prefix, w in _SUPERLATIVES.items() if metric.startswith(prefix)), f"lowest {show.name(metric)}")
    absent = sum(v.value(metric) is None for v in released)
    aside = f" ({absent} without {show.name(metric)})" if absent else ""
    first = min(released, key=lambda v: _rank(v, metric))
    if first is not best:
        tied = f"within {100 * (TIE - 1):.0f} % of the {word} ({first.cell.scheme})"
        return f"The smallest of those {tied} of {len(released)} released schemes{aside}: {_figure(best, metric)}"
    return f"The {word} of {len(released)} released schemes{aside}: {_figure(best, metric)}"


def _figure(variant: Variant, metric: str) -> str:
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
    ratio = variant.value("latency_ratio_fp32")
    if ratio:
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
    accuracy = v.figures.get("accuracy")
    interval = accuracy.interval if accuracy else None
    return Decision(
        target=v.cell.target,
        model=v.cell.model,
        ship=ship,
        release=v.release,
        scheme=v.cell.scheme,
        why=why,
        shipped_without=v.shipped_without,
        accuracy=v.value("accuracy"),
        accuracy_low=interval.low if interval else None,
        accuracy_high=interval.high if interval else None,
        accuracy_drop=v.value("accuracy_drop"),
        accuracy_drop_upper=show.upper(v.figures.get("accuracy_drop")),
        latency_p50_s=v.value("latency_p50_s"),
        latency_ratio_fp32=v.value("latency_ratio_fp32"),
        size_bytes=v.value("size_bytes"),
        size_ratio_fp32=size_ratio(v, fp32) if v is not fp32 else None,
        memory_peak_bytes=v.value("memory_peak_bytes"),
        evidence=v.weakest_evidence,
        evidence_accuracy=v.evidence("accuracy"),
        evidence_latency=v.evidence("latency_p50_s"),
        evidence_size=v.evidence("size_bytes"),
        evidence_memory=v.evidence("memory_peak_bytes"),
    )
