"""Budgets held against measurements: what each check says, and what follows for the release. Pure; reads nothing.

A figure decides a budget only when its evidence is strong enough, and, where it has an interval, only by the end of
the interval on the bad side. Whatever is missing, too weak or from too few samples holds a release, never passes it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from edgeflow import intervals
from edgeflow.figures import ALIKE, ALIKE_IN_PART, ELSEWHERE, bad_end, strongest, task_metrics
from edgeflow.types.figures import DROP, Budget, Direction, Measurement, Reference
from edgeflow.types.ladder import Network
from edgeflow.types.variants import Cell
from edgeflow.types.verdicts import Check, Release, Status, Verdict
from edgeflow.units import is_fraction, percent, show, unit_of

_ON_THE_LIMIT = 1e-6  # share of the interval; a figure this close to its limit needs 10¹² times the samples
_RELEASES = {  # worst first
    Status.FAIL: Release.REJECTED,
    Status.INSUFFICIENT_EVIDENCE: Release.HELD,
    Status.UNMEASURED: Release.HELD,
    Status.PASS: Release.RELEASED,
}
# How an interval of no change was made → in what way two models answer alike.
_SAME_ANSWERS = {intervals.IDENTICAL: ", bit for bit", intervals.ROUNDING: " but for rounding"}
_NEARLY_ALIKE = "the source answers all samples nearly alike"
_NAMED = 3  # parameters in a sentence


@dataclass(frozen=True)
class Circumstances:
    """What decides whether good figures mean anything."""

    reference: Reference | None = None  # the trained model that drops are counted from
    network: Network = field(default_factory=Network)
    accept_chance_level: bool = False  # the user's word that the model may be no better than chance
    task: tuple[str, ...] = ()  # metrics that say whether the model does its task; (): accuracy, and what has a drop
    missing: Mapping[str, str] = field(default_factory=dict)  # metric of the task → why its outputs have none
    declared: str = ""  # what was asked in place of real samples: "random"
    accept_random_inputs: bool = False  # the user's word that nothing else need be asked


NOTHING_KNOWN = Circumstances()


def judge(
    cell: Cell,
    budgets: Sequence[Budget],
    measurements: Sequence[Measurement],
    infeasible: str,
    release_without: Collection[str],
    not_applicable: Mapping[str, str],
    circumstances: Circumstances = NOTHING_KNOWN,
) -> Verdict:
    """The verdict on one variant.

    `infeasible` says why there is no program ("" when there is one), `release_without` names metrics that may be
    unmeasured in a release, `not_applicable` says by metric why a budget has nothing to be held against here.

    Whether the model still does its task is never excused: without a decided budget on the task metric or its drop
    the variant is held. So it is where the trained model is not shown to beat chance, where the source of a distance
    answers all samples nearly alike, and where no real sample was asked, unless the user accepts that.
    """
    names = (cell.model, cell.target, cell.scheme)
    if infeasible:
        return Verdict(*names, Status.INFEASIBLE, Release.INFEASIBLE, (infeasible,), shipped_without=(), checks=())
    figures = strongest(measurements)
    checks = tuple(_check(b, figures.get(b.metric), not_applicable, circumstances.missing) for b in budgets)
    task = {*circumstances.task} or task_metrics([*figures, *(b.metric for b in budgets)])
    decided = any(c.metric in task and c.status not in (Status.UNMEASURED, Status.NOT_APPLICABLE) for c in checks)
    excused = [
        c
        for c in checks
        if c.status == Status.UNMEASURED and c.metric in release_without and (decided or c.metric not in task)
    ]
    blocking = sorted(
        (c for c in checks if c.status not in (Status.PASS, Status.NOT_APPLICABLE) and c not in excused),
        key=lambda check: list(_RELEASES).index(check.status),
    )
    reasons = tuple(c.reason for c in blocking)
    if not decided and not any(c.metric in task for c in blocking):
        reasons += (f"no budget on {' or '.join(sorted(task))} was decided, and nothing is released without one",)
    statuses = [*(c.status for c in blocking), *([Status.UNMEASURED] if reasons and not blocking else [])]
    alike, in_part = (_said_of(figures, task, condition) for condition in (ALIKE, ALIKE_IN_PART))
    doubts = tuple(_doubts(cell.model, circumstances, alike))
    reasons += doubts
    statuses += [Status.INSUFFICIENT_EVIDENCE] * len(doubts)
    status = min(statuses, key=list(_RELEASES).index, default=Status.PASS)
    release = _RELEASES[status]
    shipped_without = tuple(c.metric for c in excused) if release == Release.RELEASED else ()
    said = warnings(budgets, circumstances)
    if alike and circumstances.accept_chance_level:
        said += (f"{_NEARLY_ALIKE}: {alike}, as its model accepts",)
    if in_part:
        said += (f"{_NEARLY_ALIKE} in some outputs: {in_part}",)
    return Verdict(*names, status, release, reasons, shipped_without, checks, circumstances.task, said)


def _doubts(model: str, circumstances: Circumstances, alike: str) -> Iterator[str]:
    """Why figures say little of how the model does its task, whatever they are."""
    config = f"config/models/{model}.yaml"
    if not circumstances.accept_chance_level:
        if guesses := _guesses(circumstances.reference):
            yield f"{guesses}; train it better, or set accept_chance_level: true in {config}"
        if alike:
            yield (
                f"{_NEARLY_ALIKE}: {alike}, so that no distance to it shows whether samples are still told apart; give "
                f"samples that it answers differently, or set accept_chance_level: true in {config}"
            )
    if circumstances.declared and not circumstances.accept_random_inputs:
        yield (
            f"only {circumstances.declared} inputs were asked, which says nothing sure of its answers to real ones; "
            f"give samples, or set accept_random_inputs: true in {config}"
        )


def _said_of(figures: Mapping[str, Measurement], task: Collection[str], condition: str) -> str:
    """What a condition of the task's figures says, empty where none has it."""
    said = (figures[metric].conditions.get(condition) for metric in sorted(task) if metric in figures)
    return str(next(filter(None, said), ""))


def _guesses(reference: Reference | None) -> str:
    """That the trained model may be guessing; empty when it does not, or nobody knows."""
    if reference is None or reference.chance is None or reference.beats_chance:
        return ""
    more = reference.direction == Direction.MAX
    end, beyond = ("lower bound", "above") if more else ("upper bound", "below")
    bound = reference.interval.low if more else reference.interval.high
    three = (reference.value, bound, reference.chance)
    figures = [shown(reference.metric, figure, reference.unit) for figure in three]
    return (
        f"the trained model is not shown to beat chance: its {reference.metric} {figures[0]} ({end} {figures[1]}, "
        f"n = {reference.n}) is not {beyond} the {figures[2]} of always the same answer"
    )


def warnings(budgets: Sequence[Budget], circumstances: Circumstances) -> tuple[str, ...]:
    """What makes good figures mean little, a sentence each."""
    reference, network = circumstances.reference, circumstances.network
    sentences = []
    if circumstances.declared and circumstances.accept_random_inputs:
        sentences.append(f"only {circumstances.declared} inputs were asked, as its model accepts")
    if guesses := _guesses(reference):
        sentences.append(guesses + (", as its model accepts" if circumstances.accept_chance_level else ""))
    elif reference is not None:
        sentences += [sentence for budget in budgets if (sentence := _kept_by_chance(budget, reference))]
    if network.softmax_twice:
        sentences.append(
            "the network answers with probabilities, and its loss takes a softmax of them once more, which learns "
            "badly; return what goes into the softmax"
        )
    if names := network.without_gradient:
        named = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        sentences.append(f"no loss ever depended on {named}: untrained parameters; use them or remove them")
    return tuple(sentences)


def _kept_by_chance(budget: Budget, reference: Reference) -> str:
    """That a budget refuses nothing, since always the same answer is within it; empty when it is not."""
    if reference.chance is None:
        return ""
    lost = reference.value - reference.chance
    drop = lost if reference.direction == Direction.MAX else -lost
    kept = {reference.metric: reference.chance, f"{reference.metric}{DROP}": drop}.get(budget.metric)
    if kept is None or not _inside(kept, budget):
        return ""
    sign = "≤" if budget.direction == Direction.MAX else "≥"
    trained, chance = (shown(reference.metric, each, reference.unit) for each in (reference.value, reference.chance))
    return (
        f"always the same answer keeps {budget.metric} {sign} {_show(budget.limit, budget)}: it has {reference.metric} "
        f"{chance}, and the trained model {trained}"
    )


def shown(metric: str, figure: float, unit: str = "") -> str:
    """A figure as people read it; in the unit of its name if not given."""
    return percent(figure) if is_fraction(metric, unit) else show(figure, unit or unit_of(metric))


def _check(
    budget: Budget, measurement: Measurement | None, not_applicable: Mapping[str, str], missing: Mapping[str, str]
) -> Check:
    """One budget held against the figure for its metric; where nobody wrote it, it says who did."""
    check = _held(budget, measurement, not_applicable, missing)
    if budget.default and check.status != Status.NOT_APPLICABLE:
        return replace(check, reason=f"{check.reason}; the limit is the {budget.default}")
    return check


def _held(
    budget: Budget, measurement: Measurement | None, not_applicable: Mapping[str, str], missing: Mapping[str, str]
) -> Check:
    absent = missing.get(budget.metric) if measurement is None else None
    why_not = not_applicable.get(budget.metric) or (absent if budget.default else None)
    blank = Check(
        metric=budget.metric,
        status=Status.UNMEASURED,
        limit=budget.limit,
        unit=budget.unit,
        direction=budget.direction,
        evidence_required=budget.evidence,
        value=measurement.value if measurement else None,
        bound=None,
        margin=None,
        evidence=measurement.evidence if measurement else None,
        reason="",
    )
    if why_not is not None:
        return replace(blank, status=Status.NOT_APPLICABLE, reason=f"{budget.metric} does not apply: {why_not}")
    if absent is not None:
        return replace(blank, reason=f"{budget.metric} cannot be measured: {absent}")
    if measurement is None:
        limit = _show(budget.limit, budget)
        return replace(blank, reason=f"{budget.metric} was not measured; its limit {limit} demands {budget.evidence}")
    if measurement.unit != budget.unit:
        figure = f"{budget.metric} {measurement.value:g} {measurement.unit}"
        return replace(blank, reason=f"{figure} cannot be held against a limit in {budget.unit}")
    if not measurement.evidence.satisfies(budget.evidence):
        figure = f"{budget.metric} {_show(measurement.value, budget)}"
        reason = f"{figure} is {measurement.evidence} evidence; its budget demands {budget.evidence}"
        elsewhere = measurement.conditions.get(ELSEWHERE)
        return replace(blank, reason=f"{reason}; {elsewhere}" if elsewhere else reason)
    return _decide(blank, budget, measurement)


def _decide(check: Check, budget: Budget, measurement: Measurement) -> Check:
    """A figure that may decide, held against its limit: by its bad end where it has an interval."""
    bound = bad_end(measurement.interval, budget.direction)
    judged = measurement.value if bound is None else bound
    check = replace(check, bound=bound, margin=_margin(judged, budget))
    beyond, end = ("over", "upper bound") if budget.direction == Direction.MAX else ("under", "lower bound")
    figure, limit = f"{budget.metric} {_show(measurement.value, budget)}", _show(budget.limit, budget)
    source = f"n = {measurement.n}, {measurement.evidence}" if measurement.n else str(measurement.evidence)
    if _inside(measurement.value, budget) and not _inside(judged, budget):
        samples = _samples_to_decide(budget, measurement)
        advice = f"n = {samples} at the same figures would decide" if samples else "no n decides a figure on its limit"
        reason = f"{figure} is within {limit}, but its {end} {_show(judged, budget)} is not, {source}; {advice}"
        return replace(check, status=Status.INSUFFICIENT_EVIDENCE, samples_to_decide=samples, reason=reason)
    if measurement.interval and measurement.interval.method in _SAME_ANSWERS:
        figure += f" (the same answers{_SAME_ANSWERS[measurement.interval.method]})"
    elif bound is not None:
        figure += f" ({end} {_show(bound, budget)})"
    if _inside(measurement.value, budget):
        return replace(check, status=Status.PASS, reason=f"{figure} is within {limit}, {source}")
    return replace(check, status=Status.FAIL, reason=f"{figure} is {beyond} {limit}, {source}")


def _inside(figure: float, budget: Budget) -> bool:
    """True within the limit or on it; False for NaN."""
    return figure <= budget.limit if budget.direction == Direction.MAX else figure >= budget.limit


def _margin(figure: float, budget: Budget) -> float:
    """How far inside the limit a figure is; below 0 it is outside."""
    return budget.limit - figure if budget.direction == Direction.MAX else figure - budget.limit


def _samples_to_decide(budget: Budget, measurement: Measurement) -> int | None:
    """The n at which the same figures would bring the bound to the limit; None when nobody could take so many.

    A score interval ends where |value − end| · √n = z · √variance(end), and the variance depends on the proportions
    only, so that its n follows exactly. Other intervals are taken to shrink with 1 / √n.
    """
    bound, gap = bad_end(measurement.interval, budget.direction), budget.limit - measurement.value
    if measurement.n is None or measurement.interval is None or bound is None:
        return None
    if abs(gap) <= _ON_THE_LIMIT * abs(bound - measurement.value):
        return None
    variance = _variance_at(budget.limit, measurement, measurement.interval.method)
    if variance is None:
        n = measurement.n * ((bound - measurement.value) / gap) ** 2
    else:
        n = variance * (intervals.normal_quantile(measurement.interval.confidence) / gap) ** 2
    return max(measurement.n + 1, math.ceil(n))


def _variance_at(limit: float, measurement: Measurement, method: str) -> float | None:
    """Variance of one sample if the true value were the limit; None when the interval is not a score interval."""
    if method == intervals.WILSON:
        return limit * (1 - limit)
    lost, gained = (measurement.conditions.get(name) for name in ("lost", "gained"))
    if method != intervals.TANGO or not measurement.n or not isinstance(lost, int) or not isinstance(gained, int):
        return None
    return intervals.paired_variance(lost / measurement.n, gained / measurement.n, limit)


def _show(value: float, budget: Budget) -> str:
    """A figure as people read it; exactly, where rounding would make it look like the limit."""
    as_percent = is_fraction(budget.metric, budget.unit)
    short, limit = (percent(v) if as_percent else show(v, budget.unit) for v in (value, budget.limit))
    if value == budget.limit or short != limit:
        return short
    return percent(value, 6) if as_percent else f"{value:.9g} {budget.unit}"
