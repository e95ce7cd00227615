"""What compile made and what measuring it gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeflow.types.figures import Measurement, Reference
from edgeflow.types.ladder import Ladder
from edgeflow.types.signatures import Signature


@dataclass(frozen=True)
class Operators:
    """How many operators of one kind run where."""

    operator: str  # the runtime's own name: "QLinearConv", "CONV_2D"
    count: int
    placement: str  # execution provider, delegate or accelerator: "CPUExecutionProvider", "XNNPACK", "Ethos-U55", "CPU"


@dataclass(frozen=True)
class Program:
    """What compile made for all variants that get the same bytes (`program.json`)."""

    model: str
    runtime: str
    platform: str  # id of what the compiler saw of the target: `Runtime.compiles_for`
    scheme: str
    infeasible: str  # why there is no usable program; empty when there is one
    sha256: str
    size_bytes: int
    signature: Signature | None
    operators: tuple[Operators, ...]
    runs: str  # "program": the runner executes the program itself; "model": only what it was compiled from can run here
    estimates: tuple[Measurement, ...] = ()  # figures that the compiler gives
    tools: Mapping[str, str] = field(default_factory=dict)
    # From train to compile; to the last stage whose output was executed where there is no program, or nothing here can
    # execute it.
    ladder: Ladder = field(default_factory=lambda: Ladder(()))
    zero_weights_ratio: float | None = None  # of convolutions and fully connected layers; None: unknown, or it has none
    compressed_bytes: int | None = None  # by zlib at its highest level, as a download would be; None: no program

    @property
    def id(self) -> str:
        """`model/runtime/platform/scheme`, as messages name a program."""
        return f"{self.model}/{self.runtime}/{self.platform}/{self.scheme}"


@dataclass(frozen=True)
class Measured:
    """Every figure of one variant, or why there are none (`measurement.json`)."""

    model: str
    target: str
    scheme: str
    infeasible: str  # why there is no usable program; empty when there is one
    measurements: tuple[Measurement, ...]
    operators: tuple[Operators, ...]
    signature: Signature | None
    not_applicable: Mapping[str, str] = field(default_factory=dict)  # metric → why there is nothing to compare with
    reference: Reference | None = None  # None where nothing was measured
    missing: Mapping[str, str] = field(default_factory=dict)  # metric of the task → why these outputs have none
    declared: str = ""  # what the samples are where nobody recorded them: "random"
