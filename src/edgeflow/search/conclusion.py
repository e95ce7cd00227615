"""What a search found: the Pareto front, and whether anything beats the best scheme that people wrote. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgeflow.figures import RATIO
from edgeflow.report import pareto, show
from edgeflow.search.tried import Ending, Figure, Rules, Tried
from edgeflow.types.verdicts import Release

Compare = Callable[[str, str], Figure | None]  # median time of one scheme as a multiple of another's, side by side


RESOLVED = 0.05  # of a time: differences below this are not told apart on a shared host, see docs/adr/0003
NEAR = 0.10  # of a time: figures of separate runs that are closer than this say nothing about which is less


@dataclass(frozen=True)
class Conclusion:
    """The end of a search."""

    front: tuple[str, ...]  # ids of the schemes that nobody beats in drop and objective, the cheapest first
    hand_written: str | None  # the best of the project's own schemes under the budgets, the hardest to beat
    found: str | None  # the best of the others
    side_by_side: Figure | None  # time of `found` as a multiple of `hand_written`'s, where times were compared
    better: bool  # `found` beats `hand_written`, and so all that people wrote
    sentence: str


def conclude(tried: Sequence[Tried], rules: Rules, compare: Compare | None) -> Conclusion:
    """Hold what was found against the best hand-written schemes, at the same budgets.

    `compare` is None where the objective is no time that is taken here; such figures are compared as they are. Times of
    separate runs are not: `compare` takes them in turn.
    """
    measured = [t for t in tried if t.ending == Ending.MEASURED]
    points = [(t.figures[rules.objective].value, -rules.lost(t.figures[rules.drop].value)) for t in measured]
    front = tuple(measured[i].scheme for i in pareto.front(points))
    releases = {t.release for t in measured}
    release = Release.RELEASED if Release.RELEASED in releases else Release.HELD
    within = sorted(
        (t for t in measured if t.release == release and _keeps_drop(t, rules)), key=lambda t: _cost(t, rules)
    )
    own = [t for t in within if t.hand_written]
    challenger = next((t for t in within if not t.hand_written), None)
    names = (own[0].scheme if own else None, challenger.scheme if challenger else None)
    budget = _budget(rules, release)
    if challenger is None:
        count = sum(not t.hand_written for t in tried)
        best = f"than {own[0].scheme}, {_figure(own[0], rules)}" if own else "that keeps the budgets"
        return Conclusion(
            front, *names, None, False, f"Found nothing better {best}: none of {count} other schemes is {budget}."
        )
    if not own:
        sentence = f"No hand-written scheme is {budget}; {_named(challenger)} is, {_figure(challenger, rules)}."
        sentence += _chosen(challenger, tried, rules)
        return Conclusion(front, *names, None, True, sentence)
    rival, side_by_side, better, reason = _compared(challenger, own, rules, compare)
    if better:
        sentence = (
            f"{_named(challenger)} beats {rival.scheme}, the best hand-written scheme, {reason}. Both are {budget}."
        )
        sentence += _chosen(challenger, tried, rules)
    else:
        sentence = (
            f"Found nothing better than {rival.scheme}, {_figure(rival, rules)}, among schemes that are {budget}: "
        )
        sentence += f"the best other one, {_named(challenger)}, {reason}."
    return Conclusion(front, rival.scheme, challenger.scheme, side_by_side, better, sentence)


def _compared(
    challenger: Tried, own: Sequence[Tried], rules: Rules, compare: Compare | None
) -> tuple[Tried, Figure | None, bool, str]:
    """Of the project's schemes (sorted) the hardest to beat, and how it took its turns; whether, and why, it is beaten.

    Of times that are close to the least one any may be the least: all of those schemes are timed beside what was found.
    """
    ours, *theirs = (t.figures[rules.objective].value for t in (challenger, *own))
    values = f"{show.value(rules.objective, ours)} against {show.value(rules.objective, theirs[0])}"
    if compare is None and ours < theirs[0]:
        gain = 100 * (1 - ours / theirs[0])
        return own[0], None, True, f"by {gain:.1f} % in {show.name(rules.objective)}: {values}"
    near = theirs[0] * (1 + NEAR)
    if compare is None or ours >= near:
        return own[0], None, False, f"has {show.name(rules.objective)} {values}"
    rivals = [t for t, time in zip(own, theirs, strict=True) if time < near]
    timed = [(rival, compare(challenger.scheme, rival.scheme)) for rival in rivals]
    rival, ratio = max(timed, key=lambda pair: math.inf if pair[1] is None or pair[1].high is None else pair[1].high)
    return rival, ratio, *_side_by_side(ratio)


def _side_by_side(ratio: Figure | None) -> tuple[bool, str]:
    """Whether times that were taken in turn make a scheme better, and in words by how much."""
    if ratio is None or ratio.low is None or ratio.high is None:
        return False, "took too few runs beside it to tell"
    interval = show.between(RATIO, ratio.low, ratio.high)
    took = f"{show.times(ratio.value)} its time side by side (90 % interval {interval})"
    if ratio.high > 1 - RESOLVED:
        return False, f"takes {took}, and {100 * RESOLVED:.0f} % is what such timing resolves"
    return True, f"by {100 * (1 - ratio.value):.1f} % in time: it takes {took}"


def _chosen(challenger: Tried, tried: Sequence[Tried], rules: Rules) -> str:
    """What is to be said of the drop of a challenger: nothing corrects for taking the best of many."""
    count = sum(not t.hand_written and rules.drop in t.figures for t in tried)
    if count < 2:
        return ""
    return (
        f" The {show.name(rules.drop)} of {challenger.scheme} may look better than it is: the evaluation samples that "
        f"judge it also chose it among {count} schemes."
    )


def _keeps_drop(tried: Tried, rules: Rules) -> bool:
    """What is held may be so since too few samples tell its drop from the limit, or since another figure is missing."""
    overshoot = rules.overshoot(tried.figures[rules.drop])
    return overshoot is None or overshoot <= 0


def _cost(tried: Tried, rules: Rules) -> tuple[float, float]:
    size = tried.figures.get("size_bytes")
    return tried.figures[rules.objective].value, size.value if size else 0.0


def _named(tried: Tried) -> str:
    return f"{tried.scheme} ({tried.words})"


def _figure(tried: Tried, rules: Rules) -> str:
    return f"{show.name(rules.objective)} {show.value(rules.objective, tried.figures[rules.objective].value)}"


def _budget(rules: Rules, release: Release) -> str:
    """What the compared schemes have in common, in words."""
    limit, sign = rules.limit, "≥" if rules.gains else "≤"
    at = f" at {show.name(rules.drop)} {sign} {show.value(rules.drop, limit)}" if limit is not None else ""
    return f"{release.value}{at}"
