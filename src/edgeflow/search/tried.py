"""What came of one scheme: figures and a release, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from edgeflow.figures import ELSEWHERE, RATIO, may_choose, strongest
from edgeflow.judge import Circumstances, judge
from edgeflow.plugin import Drop, Score
from edgeflow.report import show
from edgeflow.types.figures import Budget, Direction, Evidence, Measurement
from edgeflow.types.programs import Measured
from edgeflow.types.variants import Cell
from edgeflow.types.verdicts import Release

BESIDE = ("latency_p50_s", RATIO, "memory_peak_bytes", "size_bytes")  # figures that are kept as well


class Ending(StrEnum):
    """How a trial of a scheme ended."""

    MEASURED = "measured"
    PRUNED = "pruned"  # beyond the budget of the task before anything was compiled
    INFEASIBLE = "infeasible"
    FAILED = "failed"  # a job of its build failed


@dataclass(frozen=True)
class Figure:
    """One figure in its canonical unit, with its interval where there is one."""

    value: float
    low: float | None
    high: float | None
    evidence: Evidence

    @classmethod
    def of(cls, measured: Measurement) -> Figure:
        """The part of a measurement that a search looks at."""
        interval = measured.interval
        low, high = (interval.low, interval.high) if interval else (None, None)
        return cls(measured.value, low, high, measured.evidence)


@dataclass(frozen=True)
class Tried:
    """One scheme and what came of it."""

    scheme: str
    words: str  # what it does to the model
    hand_written: bool
    ending: Ending
    reason: str = ""  # why it was not measured, or is not released; empty when it is released
    release: Release | None = None  # of what was measured, under the budgets of the search
    figures: Mapping[str, Figure] = field(default_factory=dict)  # by metric


@dataclass(frozen=True)
class Rules:
    """What a search minimises, and within which budgets."""

    model: str
    target: str
    baseline: str
    # "accuracy_drop": how much of its task metric a scheme loses; of a task that has no drop its metric, which is a
    # distance to the model's own answers already
    drop: str
    objective: str  # metric to minimise beside the drop
    budgets: tuple[Budget, ...]  # those of the target, with the limits of the search in place of theirs
    release_without: Collection[str]
    accept_chance_level: bool = False  # of the model
    task: tuple[str, ...] = ()  # metrics of its task
    not_applicable: Mapping[str, str] = field(default_factory=dict)  # metric of a budget → why the model has none
    accept_random_inputs: bool = False  # of the model
    gains: bool = False  # of `drop` more is better

    @property
    def limit(self) -> float | None:
        """Of the drop; None where there is none."""
        side = Direction.MIN if self.gains else Direction.MAX
        return next((b.limit for b in self.budgets if b.metric == self.drop and b.direction == side), None)

    def lost(self, value: float) -> float:
        """A value of the drop as what a search minimises."""
        return -value if self.gains else value

    def overshoot(self, drop: Figure) -> float | None:
        """How far beyond its limit the end of a drop is that decides; ≤ 0 is inside, None: there is no limit."""
        if self.limit is None:
            return None
        end = drop.low if self.gains else drop.high
        return self.lost(drop.value if end is None else end) - self.lost(self.limit)

    def excess(self, drop: Drop | Score) -> str:
        """Why a drop that was measured before compilation leaves no doubt; empty when the rest must decide."""
        limit, best = self.limit, drop.interval.high if self.gains else drop.interval.low
        if limit is None or self.lost(best) <= self.lost(limit):
            return ""
        value, end, most = (show.value(self.drop, each) for each in (drop.value, best, limit))
        reach, beyond = ("at most", "under") if self.gains else ("at least", "over")
        return f"{show.name(self.drop)} {value}, {reach} {end}, is {beyond} {most} before anything is compiled"

    def tried(self, scheme: str, words: str, hand_written: bool, measured: Measured) -> Tried:
        """What measurements say about a scheme."""
        cell = Cell(self.model, self.target, scheme)
        verdict = judge(
            cell,
            self.budgets,
            measured.measurements,
            measured.infeasible,
            self.release_without,
            {**self.not_applicable, **measured.not_applicable},
            Circumstances(
                measured.reference,
                accept_chance_level=self.accept_chance_level,
                task=self.task,
                missing=measured.missing,
                declared=measured.declared,
                accept_random_inputs=self.accept_random_inputs,
            ),
        )
        if measured.infeasible:
            return Tried(scheme, words, hand_written, Ending.INFEASIBLE, measured.infeasible)
        figures = self._figures(measured.measurements)
        if scheme == self.baseline:
            figures[RATIO] = Figure(1.0, None, None, Evidence.DEVICE)  # by definition
        reason = "; ".join(verdict.reasons)
        for metric in (self.drop, self.objective):
            if metric not in figures:
                why = measured.missing.get(metric)
                advice = f": {why}" if why else "; choose another --objective"
                reason = f"has no {metric}, which is searched for{advice}"
                return Tried(scheme, words, hand_written, Ending.FAILED, reason)
        evidence = figures[self.objective].evidence
        demanded = next((b.evidence for b in self.budgets if b.metric == self.objective), None)
        if not may_choose(self.objective, evidence, demanded):
            elsewhere = strongest(measured.measurements)[self.objective].conditions.get(ELSEWHERE)
            said = f"{evidence} evidence ({elsewhere})" if elsewhere else f"{evidence} evidence"
            reason = f"its {self.objective} is {said}, which chooses nothing; choose another --objective"
            return Tried(scheme, words, hand_written, Ending.FAILED, reason)
        return Tried(scheme, words, hand_written, Ending.MEASURED, reason, verdict.release, figures)

    def _figures(self, measurements: Sequence[Measurement]) -> dict[str, Figure]:
        """The best proven figure of each metric that is looked at."""
        best = strongest(measurements)
        wanted = dict.fromkeys((self.drop, self.objective, *BESIDE))
        return {metric: Figure.of(best[metric]) for metric in wanted if metric in best}
