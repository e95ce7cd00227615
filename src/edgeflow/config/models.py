"""What each configuration file may hold: one pydantic model a kind of file.

Unknown keys are refused, values are never converted from one type to another, and quantities are canonical once read
(second, byte, hertz, ratio). Descriptions end up in messages, in the JSON schemas and in the reference page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from edgeflow.config import fields as f
from edgeflow.config.budgets import Budgets, Metric, TaskLimit
from edgeflow.config.problem import Findings
from edgeflow.config.search import Search
from edgeflow.config.section import Section, hold
from edgeflow.plugin import Input
from edgeflow.types.variants import Step
from edgeflow.written import shown

ModelIds = Annotated[tuple[f.ModelId, ...], f.listed(f.Id), f.unique, f.not_empty]
TargetIds = Annotated[tuple[f.TargetId, ...], f.listed(f.Id), f.unique, f.not_empty]
SchemeIds = Annotated[tuple[f.SchemeId, ...], f.listed(f.Id), f.unique, f.not_empty]


# --- config/config.yaml --------------------------------------------------------------------------------------------


class Exclusion(Section):
    """Cells that are not planned: those that match every key given."""

    model: ModelIds | None = Field(None, description="ids of models")
    target: TargetIds | None = Field(None, description="ids of targets")
    scheme: SchemeIds | None = Field(None, description="ids of schemes")

    @model_validator(mode="after")
    def _says_something(self) -> Exclusion:
        if self.model is None and self.target is None and self.scheme is None:
            raise Findings([("", "would exclude everything; give at least one of model, target, scheme")])
        return self

    def matches(self, model: str, target: str, scheme: str) -> bool:
        """True when this excludes the cell."""
        given = ((self.model, model), (self.target, target), (self.scheme, scheme))
        return all(names is None or name in names for names, name in given)


class Inclusion(Section):
    """One more cell."""

    model: f.ModelId = Field(description="id of a model")
    target: f.TargetId = Field(description="id of a target")
    scheme: f.SchemeId = Field(description="id of a scheme")


class Matrix(Section):
    """What to build: models × targets × schemes."""

    title: f.Text = Field("edgeflow", description="heading of the report")
    models: ModelIds = Field(description="ids of models in config/models")
    targets: TargetIds = Field(description="ids of targets in config/targets")
    schemes: SchemeIds = Field(description="ids of schemes in config/schemes")
    exclude: Annotated[tuple[Exclusion, ...], f.listed(Exclusion)] = Field((), description="cells that are not planned")
    include: Annotated[tuple[Inclusion, ...], f.listed(Inclusion)] = Field((), description="cells that are added")
    baseline: f.SchemeId = Field(description="id of the float32 scheme that the others are compared with")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="seed of every training")
    plugins: Annotated[tuple[f.Text, ...], f.listed(str), f.unique] = Field(
        (), description="Python files with plugins, relative to the project"
    )
    scheme_folders: Annotated[tuple[f.Text, ...], f.listed(str), f.unique] = Field(
        (), description="further folders with schemes beside config/schemes, relative to the project"
    )
    search: Search | None = Field(None, description="what edgeflow search explores, and for how long")


# --- config/datasets -----------------------------------------------------------------------------------------------

PerChannel: TypeAlias = Annotated[tuple[float, ...], f.listed(float), f.not_empty]


class Normalize(Section):
    """x → (x − mean) / std, after values were scaled as `range` says; None: what the training split has."""

    mean: PerChannel | None = Field((0.0,), description="one number, or one per channel or feature")
    std: PerChannel | None = Field((1.0,), description="one number more than zero, or one per channel or feature")


def _measured(value: Any) -> Any:
    if value == MEASURED:
        return Normalize(mean=None, std=None)
    if isinstance(value, str):
        raise ValueError(f"{value!r} is neither {MEASURED!r} nor keys and values: {{mean: …, std: …}}")
    return value


def _range(value: Any) -> Any:
    if value == ANY:
        return ()
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"{shown(value)} is neither [low, high] nor {ANY!r}")
    return tuple(value)


def _ascending(value: tuple[float, ...]) -> tuple[float, ...]:
    if value and value[0] >= value[1]:
        raise ValueError(f"{value[0]:g} must be less than {value[1]:g}")
    return value


MEASURED, ANY = "measured", "any"
INPUT = "input"  # the name of a model's only input, unless the dataset gives another
OF_ONE_INPUT = ("name", "shape", "dtype", "range", "normalize")
Normalization = Annotated[Normalize, BeforeValidator(_measured, json_schema_input_type=Literal["measured"] | Normalize)]
Range = Annotated[
    tuple[float, ...],
    BeforeValidator(_range, json_schema_input_type=Literal["any"] | tuple[float, float]),
    AfterValidator(_ascending),
]


class Splits(Section):
    """How many samples go where, drawn with a fixed seed; train gets the rest."""

    seed: Annotated[int, Field(ge=0)] = Field(0, description="seed of the draw")
    calibration: f.Count = Field(description="samples for quantization ranges, drawn from train")
    evaluation: f.Count = Field(description="samples that accuracy is measured on")
    golden: f.Count = Field(description="frozen inputs that each stage is compared on")
    duplicates: Literal["copies", "alike", "keep"] = Field(
        "copies",
        description="samples left out of train as evaluation or golden has them too: copies, images that look alike as "
        "well (encoded again), or none",
    )


Shape = Annotated[tuple[f.Count, ...], f.listed(int)]
SHAPE = "of a prepared sample: [channels, height, width], [channels, length], [features], or any other"
DTYPE = "what the model takes; other than float32: values are of this type, and stay as they are"
RANGE = (
    "values that become 0 and 1; others are refused. 'any': values stay as they are. If not given: all that uint8 and "
    "uint16 can be, and floats in [0, 1]. With another dtype than float32: least and greatest value"
)
NORMALIZE = (
    "mean and standard deviation to normalise with; 'measured': those of the training split, per channel or feature"
)
# Types of whole numbers → the least and the greatest.
WHOLE: Mapping[str, tuple[int, int]] = {
    **{f"uint{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    **{f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
}
PLAIN = Normalize(mean=(0.0,), std=(1.0,))


class InputConfig(Section):
    """One input of a model, where it has several."""

    shape: Shape = Field(description=SHAPE)
    dtype: f.DType = Field("float32", description=DTYPE)
    range: Range | None = Field(None, description=RANGE)
    normalize: Normalization = Field(PLAIN, description=NORMALIZE)

    @model_validator(mode="after")
    def _fits(self) -> InputConfig:
        return hold(self, _misfits(self.shape, self.dtype, self.range, self.normalize))

    @property
    def declared(self) -> Input:
        """As loaders and prepare take it."""
        return Input(self.shape, self.dtype, self.range, self.normalize.mean, self.normalize.std)


def _misfits(
    shape: tuple[int, ...], dtype: str, limits: tuple[float, ...] | None, normalize: Normalize
) -> list[tuple[str, str]]:
    faults = [("range", problem)] if limits and (problem := _not_of(dtype, limits)) else []
    if dtype != "float32" and normalize != PLAIN:
        return [*faults, ("normalize", f"{dtype} values stay as they are, without normalisation; remove the key")]
    channels = shape[0] if shape else 1
    each = "channel" if len(shape) > 1 else "feature"
    for name, values in (("mean", normalize.mean), ("std", normalize.std)):
        if values is not None and len(values) not in (1, channels):
            message = f"expected one number, or one per {each}: {channels}; found {len(values)}"
            faults.append((f"normalize.{name}", message))
    if normalize.std is not None and min(normalize.std) <= 0:
        faults.append(("normalize.std", f"{min(normalize.std)} must be more than zero"))
    return faults


def _not_of(dtype: str, limits: tuple[float, ...]) -> str:
    """Why values between limits are none of a type; "" where they are."""
    if dtype not in WHOLE:
        return ""
    least, most = WHOLE[dtype]
    if wrong := [each for each in limits if not each.is_integer()]:
        return f"{wrong[0]:g} is no {dtype}, which has whole numbers"
    if wrong := [each for each in limits if not least <= each <= most]:
        return f"{wrong[0]:.0f} is no {dtype}, which has {least} to {most}"
    return ""


class DatasetConfig(Section):
    """Where samples come from and how they are prepared."""

    description: str = Field("", description="one line for tables")
    loader: f.LoaderId = Field(description="id of a loader plugin")
    options: Mapping[str, Any] = Field({}, description="keys of the loader")
    classes: Annotated[int, Field(ge=2)] | None = Field(
        None, description="number of classes; prepare checks it against the data. Models that are trained need it"
    )
    labels: Annotated[tuple[f.Text, ...], f.listed(str), f.unique, Field(min_length=2)] | None = Field(
        None, description="names of classes 0, 1, …, in the order of the model's answers; the data name theirs alike"
    )
    name: f.Text = Field(INPUT, description="name of the model's only input")
    shape: Shape | None = Field(None, description=SHAPE)
    dtype: f.DType = Field("float32", description=DTYPE)
    range: Range | None = Field(None, description=RANGE)
    normalize: Normalization = Field(PLAIN, description=NORMALIZE)
    inputs: Mapping[str, InputConfig] = Field(
        {}, description="of a model with several: name → shape, dtype, range and normalize of each"
    )
    splits: Splits = Field(description="how many samples go where")
    source: f.Text = Field(description="where the data come from")
    license: f.Text = Field(description="terms of the data, e.g. CC-BY-4.0")

    @model_validator(mode="after")
    def _fits(self) -> DatasetConfig:
        faults = []
        if self.labels and self.classes not in (None, len(self.labels)):
            faults.append(("classes", f"{self.classes}, and 'labels' has {len(self.labels)}; remove one of them"))
        if self.inputs:
            own = [key for key in OF_ONE_INPUT if key in self.model_fields_set]
            faults += [(key, "belongs to one input: put it below its name in 'inputs'") for key in own]
        elif self.shape is None:
            faults.append(("shape", f"missing ({SHAPE})"))
        else:
            faults += _misfits(self.shape, self.dtype, self.range, self.normalize)
        return hold(self, faults)

    @property
    def declared(self) -> Mapping[str, Input]:
        """Every input by name."""
        if self.inputs:
            return {name: each.declared for name, each in self.inputs.items()}
        return {self.name: Input(self.shape or (), self.dtype, self.range, self.normalize.mean, self.normalize.std)}

    @property
    def class_count(self) -> int:
        """Classes that the samples are of; 0 where the configuration does not say."""
        return self.classes or len(self.labels or ())


# --- config/models -------------------------------------------------------------------------------------------------


class ModelInput(Section):
    """How an imported model takes one of its inputs."""

    layout: Literal["NCHW", "NHWC", "NCL", "NLC"] = Field(
        description="order of its axes; samples of datasets have their channels first"
    )


IMPORTED = "is for models that are built here, and 'source' is the file of one that is imported; remove one of them"


class ModelConfig(Section):
    """A model: a network that is trained here, or a file that is imported, and the data that go with it."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["framework", "builder"]}, {"required": ["source"]}]}
    )

    description: str = Field("", description="one line for tables")
    source: f.Text | None = Field(
        None, description="in place of framework and builder: file or folder of a model, relative to the project"
    )
    framework: f.FrameworkId = Field("", description="id of a framework plugin")
    builder: f.Builder = Field("", description="function that builds the network: 'package.module:function'")
    arguments: Mapping[str, Any] = Field({}, description="keyword arguments of the builder")
    dataset: f.DatasetId = Field(description="id of a dataset in config/datasets")
    task: f.TaskId = Field(description="id of a task plugin")
    training: Mapping[str, Any] = Field({}, description="training settings of the framework")
    weights: f.Weights | None = Field(
        None, description="in place of training: file with trained weights, .safetensors, .pt or .pth"
    )
    inputs: Mapping[str, ModelInput] = Field(
        {}, description="of an imported model, by name: what its file does not say of its inputs"
    )
    output: f.Text | None = Field(
        None, description="of an imported model: name of the one output that the task looks at, where there are several"
    )
    budgets: Mapping[str, TaskLimit] = Field(
        {}, description="limits by metric of the task; where there is none, those that the task itself has"
    )
    accept_chance_level: bool = Field(
        False, description="release its schemes although it is not shown to beat always the same answer"
    )
    accept_random_inputs: bool = Field(
        False, description="release its schemes although only random inputs were asked, and no real sample"
    )

    @property
    def imported(self) -> bool:
        """True for a file that somebody brings: it is converted and quantized, and never trained."""
        return self.source is not None

    @model_validator(mode="after")
    def _comes_from_one_place(self) -> ModelConfig:
        given = self.model_fields_set
        if self.imported:
            of_built = ("framework", "builder", "arguments", "training", "weights")
            return hold(self, [(name, IMPORTED) for name in of_built if name in given])
        of_imported = "is for models that are imported, with 'source'; remove it"
        faults: list[tuple[str, str]] = [(name, of_imported) for name in ("inputs", "output") if name in given]
        if self.weights is not None and "training" in given:
            faults.append(("weights", "is taken as it is, and 'training' says how to train; remove one of them"))
        return hold(self, faults)


# --- config/targets ------------------------------------------------------------------------------------------------


class TargetConfig(Section):
    """A kind of device: what runs there, its memories, and what a model must keep to."""

    description: str = Field("", description="one line for tables")
    runtime: f.RuntimeId = Field(description="id of a runtime plugin")
    arch: f.Architecture = Field(description="instruction set of the CPU")
    accelerator: f.Text = Field("cpu", description="what executes the model: cpu, or the name of an accelerator")
    clock_hz: f.Hertz | None = Field(None, description="clock of the core or the accelerator, e.g. 64 MHz")
    ram_bytes: f.Bytes | None = Field(
        None, description="working memory, e.g. 256 KiB; a program that needs more is infeasible"
    )
    flash_bytes: f.Bytes | None = Field(None, description="program memory, e.g. 1 MiB; a larger program is infeasible")
    threads: f.Count = Field(1, description="threads of one inference")
    options: Mapping[str, Any] = Field({}, description="keys of the runtime")
    budgets: Budgets = Field(description="limits by metric")
    release_without: Annotated[tuple[Metric, ...], f.listed(Metric), f.unique] = Field(
        (), description="metrics with a budget that may be unmeasured in a release"
    )
    prefer: Metric = Field("latency_p50_s", description="metric that decides among released schemes")

    @model_validator(mode="after")
    def _waives_budgets(self) -> TargetConfig:
        limited = self.budgets.model_fields_set
        message = "has no budget here, so nothing can be released without it; remove it or give it one"
        missing = [(i, name) for i, name in enumerate(self.release_without) if name not in limited]
        return hold(self, [(f"release_without[{i}]", f"{name!r} {message}") for i, name in missing])


# --- config/schemes ------------------------------------------------------------------------------------------------


class Calibration(Section):
    """How the ranges of a static scheme are found."""

    samples: f.Count = Field(description="samples from the dataset's calibration split")
    method: Literal["minmax", "percentile", "mse"] = Field(
        "minmax", description="range of an activation: all values, all but a few, or with the least squared error"
    )
    percentile: Annotated[f.Fraction, Field(ge=0.5, lt=1)] | None = Field(
        None, description="ratio of the values inside the range, e.g. 99.99 %; required exactly for method percentile"
    )

    @model_validator(mode="after")
    def _has_its_percentile(self) -> Calibration:
        faults = []
        if self.method == "percentile" and self.percentile is None:
            faults.append(("percentile", "missing; method 'percentile' needs it, e.g. 'percentile: 99.99 %'"))
        if self.method != "percentile" and self.percentile is not None:
            faults.append(("percentile", f"method {self.method!r} takes none; remove the key or change the method"))
        return hold(self, faults)


class MixedPrecision(Section):
    """Which layers stay in float32."""

    drop: f.Share = Field(
        description="greatest drop of the task metric: the fewest layers stay in float32 that keep it, found by "
        "quantizing one at a time"
    )


# What each mode may hold: weights, activations.
_FLOATS = ("float32", "float16")
MODES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "float": (_FLOATS, _FLOATS),
    "weight_only": (("int8", "int4"), ("float32",)),
    "dynamic": (("int8",), ("int8",)),
    "static": (("int8", "int4"), ("int8", "int16")),
}


class Epochs(Section):
    """What every training-time step has."""

    epochs: f.Count = Field(description="passes over the training split")
    learning_rate: f.Positive = Field(0.001, description="highest learning rate of the one-cycle schedule")


class FineTune(Epochs):
    """Train on, with nothing else changed: the control of every other step."""


class Prune(Epochs):
    """Unstructured magnitude pruning: the smallest weights become zero, more of them epoch by epoch, and stay zero."""

    sparsity: f.Share = Field(description="ratio of zeros among the weights of convolutions and linear layers")


class PruneChannels(Epochs):
    """Structured pruning: the least important channels go, and the network gets smaller and faster."""

    channels: f.Share | None = Field(None, description="ratio of the channels that goes")
    macs: f.Share | None = Field(None, description="in place of channels: ratio of multiply-accumulates that stays")
    parameters: f.Share | None = Field(None, description="in place of channels: ratio of parameters that stays")
    round_to: f.Count = Field(8, description="numbers of channels are multiples of this, as kernels like them")
    iterations: f.Count = Field(1, description="parts in which channels go; half of the epochs are for the last")

    @model_validator(mode="after")
    def _has_a_goal(self) -> PruneChannels:
        if [self.channels, self.macs, self.parameters].count(None) != 2:
            raise Findings([("", "give exactly one of channels, macs, parameters")])
        if self.iterations > self.epochs:
            message = f"{self.iterations} is more than the {self.epochs} epochs; each part needs one to learn in"
            raise Findings([("iterations", message)])
        return self


class Distill(Epochs):
    """Learn from a teacher's answers as well as from the labels: Hinton et al., arXiv:1503.02531."""

    teacher: f.ModelId | None = Field(
        None,
        description="id of a model on the same dataset, whose base checkpoint teaches; without, the model's own does",
    )
    temperature: f.Positive = Field(4.0, description="softens the answers of both")
    soft_weight: f.Share = Field(0.7, description="ratio of the loss that is the distance to the teacher")
    features: Mapping[str, str] | None = Field(
        None, description="modules whose outputs are matched too: student's name → teacher's name"
    )
    feature_weight: f.Positive | None = Field(
        None, description="what their distance, from 0 to 4 a pair, counts in the loss; required with features"
    )

    @model_validator(mode="after")
    def _weighs_features(self) -> Distill:
        if self.features is not None and not self.features:
            raise Findings([("features", "is empty; name a student's module and the teacher's that it learns from")])
        if self.features is not None and self.feature_weight is None:
            raise Findings([("feature_weight", "missing; features need it, e.g. 'feature_weight: 1'")])
        if self.features is None and self.feature_weight is not None:
            raise Findings([("feature_weight", "weighs features, and there are none; add features or remove it")])
        return self


class QuantizeAware(Epochs):
    """Train with 8-bit weights and activations simulated, so that quantization loses less."""


class StepConfig(Section):
    """One training-time step: exactly one of the keys."""

    fine_tune: FineTune | None = Field(None, description="train on, with nothing else changed")
    prune: Prune | None = Field(None, description="set the smallest weights to zero, and keep them there")
    prune_channels: PruneChannels | None = Field(None, description="remove the least important channels")
    distill: Distill | None = Field(None, description="learn from a teacher's answers")
    quantize_aware: QuantizeAware | None = Field(None, description="learn to live with 8-bit weights and activations")

    @model_validator(mode="after")
    def _is_one(self) -> StepConfig:
        given = [name for name in StepConfig.model_fields if getattr(self, name) is not None]
        if len(given) == 1:
            return self
        raise Findings([("", f"is {len(given)} steps; give exactly one of {', '.join(StepConfig.model_fields)}")])

    def step(self) -> Step:
        """The step as stages and plugins see it."""
        kind, settings = next((k, v) for k in StepConfig.model_fields if (v := getattr(self, k)) is not None)
        options = settings.model_dump(exclude_none=True)
        return Step(kind, options.pop("epochs"), options.pop("learning_rate"), options)


Steps = Annotated[tuple[StepConfig, ...], f.listed(StepConfig)]


class SchemeConfig(Section):
    """What is done to a model on its way to the device."""

    description: str = Field("", description="one line for tables")
    weights: Literal["float32", "float16", "int8", "int4"] | None = Field(
        None, description="type of the weights; required but for mode as_is"
    )
    activations: Literal["float32", "float16", "int8", "int16"] | None = Field(
        None, description="type of the activations; required but for mode as_is"
    )
    mode: Literal["float", "weight_only", "dynamic", "static", "as_is"] = Field(
        description="float: no integers; weight_only: integers in the file, floats in the kernels; "
        "dynamic: ranges at run time; static: ranges from calibration; as_is: nothing is done to the model"
    )
    per_channel: bool = Field(True, description="one range per output channel of the weights")
    calibration: Calibration | None = Field(
        None, description="how ranges are found; required exactly for static and for bias_correction"
    )
    bias_correction: bool = Field(
        False, description="correct biases so that layers answer on average as before; static and weight_only"
    )
    mixed_precision: MixedPrecision | None = Field(None, description="which layers stay in float32; for mode static")
    steps: Steps = Field((), description="training-time steps, in order; schemes with the same share a checkpoint")

    @model_validator(mode="after")
    def _consistent(self) -> SchemeConfig:
        faults = [*self._holds(), *self._calibrates()]
        if self.mode != "static" and self.mixed_precision is not None:
            message = f"mode {self.mode!r} quantizes no layer by itself; remove the key, or use mode 'static'"
            faults.append(("mixed_precision", message))
        for i, step in enumerate(self.steps):
            if step.quantize_aware and self.mode in ("float", "as_is"):
                message = f"prepares for int8, and mode {self.mode!r} quantizes nothing; remove it or change the mode"
                faults.append((f"steps[{i}].quantize_aware", message))
        return hold(self, faults)

    def _holds(self) -> Iterator[tuple[str, str]]:
        """What is wrong with the types."""
        if self.mode == "as_is":
            for name in ("weights", "activations", "per_channel"):
                if name in self.model_fields_set:
                    yield name, "mode 'as_is' leaves the model as it is; remove the key or change the mode"
            return
        for name, allowed in zip(("weights", "activations"), MODES[self.mode], strict=True):
            value = getattr(self, name)
            if value is None:
                yield name, f"missing; mode {self.mode!r} takes {_or(allowed)}"
            elif value not in allowed:
                yield name, f"{value!r} does not go with mode {self.mode!r}, which takes {_or(allowed)}"

    def _calibrates(self) -> Iterator[tuple[str, str]]:
        """What is wrong with the keys that calibration samples are for."""
        if self.bias_correction and self.mode not in ("static", "weight_only"):
            yield "bias_correction", f"mode {self.mode!r} leaves nothing to correct; remove the key or change the mode"
        needs = {"static": "mode 'static'", "weight_only": "bias_correction" if self.bias_correction else ""}
        why = needs.get(self.mode, "")
        if why and self.calibration is None:
            yield "calibration", f"missing; {why} needs it, e.g. 'calibration: {{samples: 128}}'"
        elif not why and self.calibration is not None:
            yield "calibration", f"mode {self.mode!r} does not calibrate; remove the key"
        elif self.mode != "static" and self.calibration and self.calibration.method != "minmax":
            yield "calibration.method", f"mode {self.mode!r} has no ranges of activations; remove the key"


# --- config/devices ------------------------------------------------------------------------------------------------


class Identity(Section):
    """What a machine says about itself where it is the device: `edgeflow device identity` prints it. See
    runners/identity.py.
    """

    machine_id: f.Text = Field(description="digest of the machine's id")
    cpu: str | None = Field(None, description="model of the processor")
    os: str | None = Field(None, description="name, release and build of the kernel")
    governor: str | None = Field(None, description="of the CPU's frequency; '' where the system does not tell")


class DeviceConfig(Section):
    """One physical unit."""

    description: str = Field("", description="one line for tables")
    targets: TargetIds = Field(description="ids of the targets that it is a unit of")
    reach: f.Reach = Field("local", description="how to get at it: local is the machine that edgeflow runs on")
    identity: Identity | None = Field(
        None, description="the one machine that it is; without, each machine that runs edgeflow is a device of its own"
    )


KINDS: Mapping[str, type[Section]] = {
    "dataset": DatasetConfig,
    "model": ModelConfig,
    "target": TargetConfig,
    "scheme": SchemeConfig,
    "device": DeviceConfig,
}
# Keys below which a value may be anything, also nothing: they are the user's own.
FREE = ("arguments",)


def _or(names: tuple[str, ...]) -> str:
    return " or ".join(names)
