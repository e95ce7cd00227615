"""What a search found: the Pareto front, and whether anything beats the best scheme that people wrote. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgeflow.report import pareto, show
from edgeflow.search.tried import RATIO, Ending, Figure, Rules, Tried
from edgeflow.types import Release

Compare = Callable[[str, str], Figure | None]  # median time of one scheme as a multiple of another's, side by side


RESOLVED = 0.05  # of a time: differences below this are not told apart on a shared host, see docs/adr/0003


@dataclass(frozen=True)
class Conclusion:
    """The end of a search."""

    front: tuple[str, ...]  # ids of the schemes that nobody beats in drop and objective, the cheapest first
    hand_written: str | None  # the best of the project's own schemes under the budgets
    found: str | None  # the best of the others
    side_by_side: Figure | None  # time of `found` as a multiple of `hand_written`'s, where times were compared
    better: bool  # `found` beats `hand_written`
    sentence: str


def conclude(tried: Sequence[Tried], rules: Rules, compare: Compare | None) -> Conclusion:
    """Hold what was found against the best hand-written scheme, at the same budgets.

    `compare` is None where the objective is no time that is taken here; such figures are compared as they are. Times of
    separate runs are not: `compare` takes them in turn.
    """
    measured = [t for t in tried if t.ending == Ending.MEASURED]
    points = [(t.figures[rules.objective].value, -t.figures[rules.drop].value) for t in measured]
    front = tuple(measured[i].scheme for i in pareto.front(points))
    releases = {t.release for t in measured}
    release = Release.RELEASED if Release.RELEASED in releases else Release.HELD
    within = sorted(
        (t for t in measured if t.release == release and _keeps_drop(t, rules)), key=lambda t: _cost(t, rules)
    )
    own = next((t for t in within if t.hand_written), None)
    found = next((t for t in within if not t.hand_written), None)
    names = (own.scheme if own else None, found.scheme if found else None)
    budget = _budget(rules, release)
    if found is None:
        count = sum(not t.hand_written for t in tried)
        best = f"than {own.scheme}, {_figure(own, rules)}" if own else "that keeps the budgets"
        return Conclusion(
            front, *names, None, False, f"Found nothing better {best}: none of {count} other schemes is {budget}."
        )
    if own is None:
        sentence = f"No hand-written scheme is {budget}; {_named(found)} is, {_figure(found, rules)}."
        return Conclusion(front, *names, None, True, sentence)
    side_by_side, better, reason = _compared(found, own, rules, compare)
    if better:
        sentence = f"{_named(found)} beats {own.scheme}, the best hand-written scheme, {reason}. Both are {budget}."
    else:
        sentence = f"Found nothing better than {own.scheme}, {_figure(own, rules)}, among schemes that are {budget}: "
        sentence += f"the best other one, {_named(found)}, {reason}."
    return Conclusion(front, *names, side_by_side, better, sentence)


def _compared(found: Tried, own: Tried, rules: Rules, compare: Compare | None) -> tuple[Figure | None, bool, str]:
    """The figure that decides where there is one, whether `found` is better, and in words by how much."""
    ours, theirs = found.figures[rules.objective].value, own.figures[rules.objective].value
    values = f"{show.value(rules.objective, ours)} against {show.value(rules.objective, theirs)}"
    if ours >= theirs:
        return None, False, f"has {show.name(rules.objective)} {values}"
    if compare is None:
        return None, True, f"by {100 * (1 - ours / theirs):.1f} % in {show.name(rules.objective)}: {values}"
    ratio = compare(found.scheme, own.scheme)
    if ratio is None or ratio.low is None or ratio.high is None:
        return None, False, f"has {values}, and took too few runs beside it to tell"
    interval = show.between(RATIO, ratio.low, ratio.high)
    took = f"{show.times(ratio.value)} its time side by side (90 % interval {interval})"
    if ratio.high > 1 - RESOLVED:
        return ratio, False, f"takes {took}, and {100 * RESOLVED:.0f} % is what such timing resolves"
    return ratio, True, f"by {100 * (1 - ratio.value):.1f} % in time: it takes {took}"


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
    limit = rules.greatest_drop
    at = f" at {show.name(rules.drop)} ≤ {show.value(rules.drop, limit)}" if limit is not None else ""
    return f"{release.value}{at}"
