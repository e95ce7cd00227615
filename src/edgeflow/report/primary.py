"""The figure by which one can tell whether a model does its task: its words, and how it is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeflow.report import show
from edgeflow.types.figures import DROP, Direction, Reference
from edgeflow.types.ladder import Ladder
from edgeflow.units import is_fraction, unit_of


@dataclass(frozen=True)
class Primary:
    """The primary metric of a model's task."""

    metric: str
    unit: str
    direction: Direction  # MAX: more is better

    @property
    def name(self) -> str:
        """As a label."""
        return show.name(self.metric)

    @property
    def drop(self) -> str:
        """The metric that says how much of it was lost, where there is one."""
        return f"{self.metric}{DROP}"

    @property
    def scale(self) -> float:
        """What its values are multiplied by on an axis."""
        return 100.0 if is_fraction(self.metric, self.unit) else 1.0

    @property
    def suffix(self) -> str:
        """What stands behind a number on an axis."""
        return {100.0: " %"}.get(self.scale, " dB" if self.unit == "decibel" else "")

    @property
    def least_room(self) -> float:
        """The least height of an axis, in its own numbers: half a point; 1 dB; nothing where nobody knows the scale."""
        return {" %": 0.5, " dB": 1.0}.get(self.suffix, 0.0)

    def ceiling(self, top: float, room: float) -> float:
        """The upper end of an axis: no tick above 100 %."""
        return min(top, 100 + room) if self.scale == 100 else top

    def gain(self, value: float) -> float:
        """A value of which more is better."""
        return value if self.direction == Direction.MAX else -value

    def change(self, change: float) -> str:
        """A difference of two values, with its sign: "+0.12" points, "−3.4" dB."""
        if not change:
            return "±0"
        text = f"{self.scale * change:+.2f}" if self.scale == 100 else f"{change:+.3g}"
        return text.replace("-", "−")

    def worse(self, change: float) -> bool:
        """Whether a difference is to the bad side."""
        return self.gain(change) < 0


UNKNOWN = Primary("task_metric", "ratio", Direction.MAX)  # of a model of which nothing could be measured


def of_measured(reference: Reference | None, ladder: Ladder) -> Primary | None:
    """From what the model that a variant is made from has, or else from its ladder."""
    if reference is not None:
        return Primary(reference.metric, reference.unit, reference.direction)
    if ladder.rungs:
        metric = ladder.rungs[0].metric
        return Primary(metric, unit_of(metric), Direction.MAX)
    return None


def of(known: Iterable[Primary | None]) -> Primary:
    """Of the variants of one model, of which some may have been measured."""
    return next(filter(None, known), UNKNOWN)


def all_of(known: Iterable[Primary | None]) -> Sequence[Primary]:
    """Of the variants of any models, each once."""
    return list(dict.fromkeys(filter(None, known)))


def named(primaries: Sequence[Primary], several: str) -> str:
    """The one metric of all models, or a word for several."""
    return primaries[0].name if len(primaries) == 1 else several
