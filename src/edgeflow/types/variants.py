"""What is built: training-time steps, schemes, targets, cells of the matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SOURCE = "source"  # type of the weights and activations of a model to which nothing is done: whatever it has


@dataclass(frozen=True)
class Step:
    """One training-time step of a scheme."""

    kind: str  # a key of config/models.py's StepConfig: "fine_tune", "prune", …
    epochs: int
    learning_rate: float  # the highest of the step's one-cycle schedule
    # The other keys of that kind that are given.
    options: Mapping[str, float | str | Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Scheme:
    """What is done to a model on its way to the device."""

    id: str
    weights: str  # "float32", "float16", "int8", "int4"; "source" exactly where nothing is done to the model
    activations: str  # "float32", "float16", "int8", "int16"; "source" as above
    # "float": no integers; "weight_only": weights are stored as integers; "dynamic": activations quantized at run time;
    # "static": ranges from calibration; "as_is": nothing is done to the model
    mode: str
    per_channel: bool = True
    calibration_samples: int = 0  # > 0 exactly when the scheme is static or corrects biases
    recipe: str = "base"  # names the training-time steps; schemes with the same steps share a checkpoint
    mixed_precision: float | None = None  # greatest drop: as many layers stay in float32 as that takes; None: no layer
    description: str = ""
    calibration_method: str = "minmax"  # "minmax", "percentile", "mse": how a static scheme's ranges are found
    percentile: float | None = None  # ratio of the values inside a range, exactly for "percentile"
    bias_correction: bool = False  # move biases so that layers answer on average as the float model's do

    @property
    def quantized(self) -> bool:
        """True when it makes anything narrower than float32."""
        return not self.as_is and (self.weights != "float32" or self.activations != "float32")

    @property
    def as_is(self) -> bool:
        """True when nothing is done to the model, whatever types it has."""
        return self.mode == "as_is"


@dataclass(frozen=True)
class Target:
    """A kind of device, as a runtime plugin sees it: no budgets, so that a changed budget rebuilds nothing."""

    id: str
    runtime: str
    arch: str  # "x86_64", "aarch64", "armv7e-m"
    accelerator: str  # "cpu", "ethos-u55-128"
    clock_hz: float | None = None
    ram_bytes: int | None = None
    flash_bytes: int | None = None
    threads: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)  # declared by the runtime: `Runtime.target_options`


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix: a variant, or the reason why there is none."""

    model: str
    target: str
    scheme: str
    reason: str = ""  # why it is infeasible; empty when it will be built
    runtime: str = ""  # with `platform`: which program it ships, shared with every cell that says the same; empty when
    platform: str = ""  # infeasible

    @property
    def id(self) -> str:
        """`model/target/scheme`, as messages name a variant."""
        return f"{self.model}/{self.target}/{self.scheme}"

    @property
    def program(self) -> str:
        """`model/runtime/platform/scheme`, as messages name a program."""
        return f"{self.model}/{self.runtime}/{self.platform}/{self.scheme}"
