"""The nouns as frozen dataclasses: what stages, plugins, judge and report pass to each other.

Standard library only. Units are canonical (second, byte, ratio, hertz) and stand in every numeric name.
`to_json` and `from_json` turn any of these into plain JSON values and back; unknown keys are an error.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar


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


class Status(StrEnum):
    """The verdict on one check or on one variant."""

    PASS = "pass"
    FAIL = "fail"
    UNMEASURED = "unmeasured"  # the figure is missing or its evidence too weak
    INSUFFICIENT_EVIDENCE = "insufficient_evidence"  # the interval straddles the limit
    INFEASIBLE = "infeasible"  # no program exists for this variant
    NOT_APPLICABLE = "not_applicable"  # a check only: there is nothing to compare with, e.g. the fp32 baseline itself


class Release(StrEnum):
    """What becomes of a variant."""

    RELEASED = "released"
    HELD = "held"  # nothing failed, but a figure is missing, too weak, or from too few samples
    REJECTED = "rejected"  # a budget failed
    INFEASIBLE = "infeasible"  # no program can exist
    FAILED = "failed"  # a job on the way to it broke: nothing is known of it


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


@dataclass(frozen=True)
class Check:
    """One budget held against one measurement."""

    metric: str
    status: Status
    limit: float
    unit: str
    direction: Direction
    evidence_required: Evidence
    value: float | None
    bound: float | None  # the end of the interval that was judged, where there is one
    margin: float | None  # limit − judged figure for max, judged figure − limit for min; ≥ 0 is inside
    evidence: Evidence | None
    reason: str  # one sentence with the figures in it
    samples_to_decide: int | None = None  # for insufficient_evidence: n at which the same figures would decide


@dataclass(frozen=True)
class Verdict:
    """Every check of a variant and what follows from them."""

    model: str
    target: str
    scheme: str
    status: Status
    release: Release
    reasons: tuple[str, ...]  # why it is not simply released; empty when it is
    shipped_without: tuple[str, ...]  # metrics that the target accepts to ship without and that are unmeasured
    checks: tuple[Check, ...]
    warnings: tuple[str, ...] = ()  # what makes good figures mean little, whatever becomes of the variant


@dataclass(frozen=True)
class Reference:
    """The trained model on the evaluation samples: what drops are counted from."""

    metric: str  # "accuracy"
    value: float
    n: int
    interval: Interval
    direction: Direction  # MAX: more is better
    chance: float | None  # the metric of who looks at no input, on the same samples; None: the task does not say

    @property
    def beats_chance(self) -> bool:
        """Whether its interval is on the good side of chance, or nobody says where that is."""
        if self.chance is None:
            return True
        if self.direction == Direction.MAX:
            return self.interval.low > self.chance
        return self.interval.high < self.chance


@dataclass(frozen=True)
class Network:
    """What a training showed of the network itself (in `train.json`)."""

    without_gradient: tuple[str, ...] = ()  # parameters that were to be trained, and that no loss ever depended on
    softmax_twice: bool = False  # it answers with probabilities, to a loss that takes logits


@dataclass(frozen=True)
class Operators:
    """How many operators of one kind run where."""

    operator: str  # the runtime's own name: "QLinearConv", "CONV_2D"
    count: int
    placement: str  # execution provider, delegate or accelerator: "CPUExecutionProvider", "XNNPACK", "Ethos-U55", "CPU"


@dataclass(frozen=True)
class Tensor:
    """One input or output of a program."""

    name: str
    dtype: str  # numpy name: "float32", "int8"
    shape: tuple[int, ...]  # -1 for a dynamic axis
    scale: float | None = None  # real = scale · (quantized − zero_point)
    zero_point: int | None = None


@dataclass(frozen=True)
class Signature:
    """What goes into a program and what comes out."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    layout: str  # "NCHW" or "NHWC", of four-dimensional inputs


@dataclass(frozen=True)
class LayerNoise:
    """How much of a layer's signal is left after a lossy step, on the golden inputs."""

    name: str  # "blocks.0.conv1"
    operator: str  # "Conv", "CONV_2D"
    before_db: float | None  # least signal-to-noise ratio among the layers that it reads; None where it reads the input
    after_db: float  # of what it answers
    range_over_median: float  # greatest absolute value of the float activations / their median absolute value


@dataclass(frozen=True)
class Rung:
    """One step of the ladder: the task metric and the distance to the step before it."""

    stage: str  # "train", "convert", "optimize", "compile"
    metric: str  # "accuracy"
    value: float
    n: int  # evaluation samples
    golden_max_abs: (
        float | None
    )  # greatest absolute difference of the golden outputs to the rung before; None on the first
    golden_mean_abs: float | None
    golden_range: (
        float  # max − min of the golden outputs of the rung before (of this one on the first): the scale of the above
    )
    agreement: float | None  # ratio of evaluation samples with the same decision as the rung before
    tolerance: float | None  # greatest golden_max_abs / golden_range allowed; None where the step is lossy by design
    tolerance_reason: str
    artifact_sha256: str
    evaluated_on: str  # what ran it: "torch 2.13.0", "onnxruntime 1.32.0", "tflite-micro …"
    operators: Mapping[str, int] = field(default_factory=dict)  # in the file, by name; empty where nothing tells
    noisiest: tuple[LayerNoise, ...] = ()  # the layers that add most noise, most first; () where the step is not lossy
    kept: tuple[str, ...] = ()  # layers that stayed in float32


@dataclass(frozen=True)
class LayerSensitivity:
    """What quantizing one layer alone costs."""

    name: str
    operator: str
    drop: float  # of the task metric against the float model, on the same samples
    interval: Interval
    output_db: float  # signal-to-noise ratio of the model's outputs


@dataclass(frozen=True)
class Sensitivity:
    """Which layers lose most when they are quantized, and which ones a mixed-precision scheme keeps in float32."""

    model: str
    profile: str
    scheme: str
    metric: str  # "accuracy"
    limit: float  # greatest drop
    n: int  # training samples: what is evaluated later must not have chosen the layers
    blended: float  # ratio of another sample in each, so that they are as hard as the evaluation samples
    drop_quantized: float  # of the model with every layer quantized
    interval_quantized: Interval
    drop_mixed: float  # with the kept layers in float32
    interval_mixed: Interval
    kept: tuple[str, ...]
    layers: tuple[LayerSensitivity, ...]  # most sensitive first
    infeasible: str = ""  # why nothing could be tried; there are no layers then, and the figures mean nothing


@dataclass(frozen=True)
class Ladder:
    """Where accuracy was lost on the way to one artifact."""

    rungs: tuple[Rung, ...]
    infeasible: str = ""  # why no library could make or run what comes after the last rung: the artifact is empty

    def extended(self, step: Rung) -> Ladder:
        """This ladder with one more step."""
        return Ladder((*self.rungs, step))


@dataclass(frozen=True)
class Program:
    """What compile made for all variants that get the same bytes (`program.json`)."""

    model: str
    runtime: str
    build: str  # id of what the compiler saw of the target: `Runtime.compiles_for`
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
    ladder: Ladder = Ladder(())
    zero_weights_ratio: float | None = None  # of convolutions and fully connected layers; None: unknown, or it has none
    compressed_bytes: int | None = None  # by zlib at its highest level, as a download would be; None: no program

    @property
    def id(self) -> str:
        """`model/runtime/build/scheme`, as messages name a program."""
        return f"{self.model}/{self.runtime}/{self.build}/{self.scheme}"


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


@dataclass(frozen=True)
class JobCost:
    """What one job took, by the operating system's own accounting (`job.json`)."""

    stage: str
    toolchain: str
    worker: str  # "warm": forked from a worker that had imported the libraries; "cold": a process of its own
    started_at: str  # ISO 8601, UTC
    wall_s: float
    cpu_s: float  # user and system, of the job and the processes that it waited for
    memory_peak_bytes: int  # resident; of the largest of these processes
    exit_code: int  # −n: ended by signal n


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
    weights: str  # "float32", "float16", "int8", "int4"
    activations: str  # "float32", "float16", "int8", "int16"
    # "float": no integers; "weight_only": weights are stored as integers; "dynamic": activations quantized at run time;
    # "static": ranges from calibration
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
        """True when anything is narrower than float32."""
        return self.weights != "float32" or self.activations != "float32"


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
    runtime: str = ""  # with `build`: which program it ships, shared with every cell that says the same; empty when
    build: str = ""  # infeasible

    @property
    def id(self) -> str:
        """`model/target/scheme`, as messages name a variant."""
        return f"{self.model}/{self.target}/{self.scheme}"

    @property
    def program(self) -> str:
        """`model/runtime/build/scheme`, as messages name a program."""
        return f"{self.model}/{self.runtime}/{self.build}/{self.scheme}"


@dataclass(frozen=True)
class Failure:
    """A job that broke in the last run, and what is lost by that (`failures.json`)."""

    stage: str  # the rule: "train", "toolchain"
    key: tuple[str, ...]  # of the job, as layout.py has it
    reason: str  # one line
    log: str  # path in the project; empty where the job has none
    cells: tuple[str, ...]  # `Cell.id` of every variant that needs what the job makes

    @property
    def sentence(self) -> str:
        """Stage, job and reason, as a table shows them."""
        return f"{self.stage} {'/'.join(self.key)} failed: {self.reason}"


T = TypeVar("T")


_PLAIN = frozenset((str, int, float, bool))  # what JSON has itself, and most values are


def to_json(value: Any) -> Any:
    """Dataclasses, enums, tuples and mappings as plain JSON values."""
    if value is None or type(value) in _PLAIN:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(v) for v in value]
    return value


def from_json(cls: type[T], data: Any) -> T:
    """Rebuild dataclass `cls` from what `to_json` made of it.

    Raises ValueError that names the field when a key is unknown or missing, or a value has the wrong type.
    """
    return typing.cast(T, _rebuild(cls, data, cls.__name__))


def _rebuild(kind: Any, data: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if kind is Any:
        return data
    if origin is typing.Union or origin is types.UnionType:
        return _rebuild_union(kind, data, where)
    if dataclasses.is_dataclass(kind):
        return _rebuild_dataclass(kind, data, where)
    if origin is tuple:
        if not isinstance(data, list | tuple):
            raise ValueError(f"{where}: expected a list, found {type(data).__name__}")
        return tuple(_rebuild(typing.get_args(kind)[0], v, f"{where}[{i}]") for i, v in enumerate(data))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(data, Mapping):
            raise ValueError(f"{where}: expected an object, found {type(data).__name__}")
        return {k: _rebuild(typing.get_args(kind)[1], v, f"{where}.{k}") for k, v in data.items()}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        try:
            return kind(data)
        except ValueError:
            raise ValueError(f"{where}: expected one of {', '.join(kind)}, found {data!r}") from None
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        raise ValueError(f"{where}: expected {kind.__name__}, found {data!r}")
    return data


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _rebuild_union(kind: Any, data: Any, where: str) -> Any:
    options = typing.get_args(kind)
    if data is None and type(None) in options:
        return None
    for option in options:
        if option is type(None):
            continue
        if isinstance(option, type) and not dataclasses.is_dataclass(option) and type(data) is option:
            return data
        if typing.get_origin(option) is Mapping and isinstance(data, Mapping):
            return _rebuild(option, data, where)
    return _rebuild(next(o for o in options if o is not type(None)), data, where)


def _rebuild_dataclass(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise ValueError(f"{where}: expected an object, found {type(data).__name__}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    if unknown := sorted(set(data) - set(fields)):
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(fields)}")
    required = (
        n for n, f in fields.items() if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    )
    if missing := [n for n in required if n not in data]:
        raise ValueError(f"{where}: missing key {missing[0]!r}")
    hints = _hints(kind)
    return kind(**{k: _rebuild(hints[k], v, f"{where}.{k}") for k, v in data.items()})
