"""A figure and how it is known; a limit on one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

DROP = "_drop"  # "accuracy_drop" is how much of "accuracy" was lost


class Evidence(StrEnum):
    """How a figure was obtained, strongest first."""

    DEVICE = "device"  # the program ran on a physical device of its target
    SIMULATOR = "simulator"  # the target's real interpreter or an instruction-level model ran it
    HOST = "host"  # the same program or its equivalent ran on a machine that is not the target
    ESTIMATE = "estimate"  # nothing ran: a compiler or a formula says so

    @property
    def strength(self) -> int:
        """4 for device down to 1 for estimate."""
        return 4 - list(Evidence).index(self)

    def satisfies(self, weakest_accepted: Evidence) -> bool:
        """True when a figure of this class may decide a budget that accepts `weakest_accepted` or better."""
        return self.strength >= weakest_accepted.strength


class Direction(StrEnum):
    """Which side of a budget's limit is good."""

    MAX = "max"  # the figure must be at most the limit
    MIN = "min"  # the figure must be at least the limit


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval; a one-sided bound at (1 + confidence) / 2 is either end of it."""

    low: float
    high: float
    confidence: float  # ratio, e.g. .95
    method: str  # "wilson", "tango", "order statistics", …


@dataclass(frozen=True)
class Measurement:
    """One figure and how it was obtained."""

    metric: str  # with its unit: "latency_p90_s", "memory_peak_bytes", "accuracy"
    value: float
    unit: str  # "second", "byte", "ratio", "hertz", "count"
    evidence: Evidence
    device: str  # id of the device, or of the host or tool that stood in for it
    artifact_sha256: str  # of the program that was measured
    method: str  # one line: what ran, how often
    n: int | None = None  # samples or runs behind the value
    interval: Interval | None = None
    time: str | None = None  # ISO 8601, UTC, when it was measured
    tools: Mapping[str, str] = field(default_factory=dict)  # name → version
    conditions: Mapping[str, float | int | str] = field(default_factory=dict)  # threads, load average, counts, …


@dataclass(frozen=True)
class Budget:
    """A limit on one metric, with the weakest evidence that may decide it."""

    metric: str
    limit: float  # in the metric's canonical unit
    unit: str
    direction: Direction
    evidence: Evidence  # weakest accepted
    default: str = ""  # who set the limit and why, where no person did


@dataclass(frozen=True)
class Reference:
    """The trained model or the imported file on the evaluation samples: what drops are counted from."""

    metric: str  # "accuracy"
    value: float
    n: int
    interval: Interval
    direction: Direction  # MAX: more is better
    chance: float | None  # the metric of who looks at no input, on the same samples; None: the task does not say
    unit: str = "ratio"

    @property
    def beats_chance(self) -> bool:
        """Whether its interval is on the good side of chance, or nobody says where that is."""
        if self.chance is None:
            return True
        if self.direction == Direction.MAX:
            return self.interval.low > self.chance
        return self.interval.high < self.chance
