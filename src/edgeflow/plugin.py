"""The public plugin API: what a runtime, a format, a converter, a framework, a task or a dataset loader must provide.

A plugin is a module with one frozen dataclass of plain functions in it, named `plugin`. It is found through the
entry-point group `edgeflow.plugins` or a `plugins:` path in the config; built-ins go through the same door. A plugin
module imports only the standard library and `edgeflow.{types,errors,units,stats,files,plugin,registry}` at the top:
planning loads it in an environment that has none of the heavy libraries, so those are imported inside the functions.

Arrays cross this API in the data layout: x is float32[N, C, H, W] (or [N, C, L], or [N, F]), y is int64[N]. Answers
are bound by name: output → [N, …]. Where a file has its axes in another order, its binding says so.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from edgeflow.types.figures import DROP, Direction, Evidence, Interval, Measurement
from edgeflow.types.programs import Operators, Program
from edgeflow.types.signatures import Binding, Signature
from edgeflow.types.variants import Scheme, Step, Target
from edgeflow.written import shown, yaml_hint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeflow.preprocessing import Preprocessing

    Float32: TypeAlias = NDArray[np.float32]
    Int64: TypeAlias = NDArray[np.int64]
    Feed: TypeAlias = Mapping[str, NDArray[Any]]  # one sample as a file takes it: name in the file → array
    Answers: TypeAlias = Mapping[str, NDArray[Any]]  # output → [N, …]

API_VERSION = 1
# What a library does to itself. What others do to it, as the kernel when memory runs out (SIGKILL), proves nothing.
CRASHES = frozenset(
    (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS)
)


@dataclass(frozen=True)
class Unsupported:
    """Why a variant cannot exist: a sentence for the table, e.g. "TFLite Micro has no float16 kernels"."""

    reason: str


@dataclass(frozen=True)
class Option:
    """One key that a plugin accepts in the config, so that what cannot be used is refused before anything runs."""

    help: str
    required: bool = False
    choices: tuple[str, ...] = ()  # of a text
    # Or int, float (takes whole numbers too), bool, list: of names, which are text or whole numbers; or a function that
    # reads what a person wrote and raises ValueError for what it cannot, as units.fraction does.
    type: Callable[[Any], Any] = str
    least: float = -math.inf  # of a number
    above: float = -math.inf  # it is more than this
    greatest: float = math.inf

    def problem(self, value: object) -> str:
        """Why the key cannot have a value, as messages about the configuration say it; "" when it can."""
        if self.type not in _EXPECTED:
            try:
                self.type(value)
            except ValueError as error:
                return str(error)
            return ""
        if not _is_a(self.type, value):
            return f"expected {_EXPECTED[self.type]}, found {shown(value)}{yaml_hint(self.type, value)}"
        if self.choices and value not in self.choices:
            return f"{shown(value)} is not one of {', '.join(self.choices)}"
        if isinstance(value, str | bool | list | tuple):
            return "is empty; give it a value or remove the key" if value in ("", [], ()) else ""
        number = cast(float, value)
        if number < self.least:
            return f"{number} must be at least {self.least:g}"
        if number <= self.above:
            return f"{number} must be more than {self.above:g}"
        return f"{number} must be at most {self.greatest:g}" if number > self.greatest else ""

    def read(self, value: Any) -> Any:
        """What a value that has no `problem` means to the plugin."""
        return value if self.type in _EXPECTED else self.type(value)


_EXPECTED: Mapping[Callable[[Any], Any], str] = {
    str: "text",
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    list: "a list of names",
}


def _is_a(wanted: object, value: object) -> bool:
    if wanted is list:
        return isinstance(value, list | tuple) and all(type(item) in (str, int) for item in value)
    if wanted is float:
        return type(value) is int or (type(value) is float and math.isfinite(value))
    return type(value) is wanted


@dataclass(frozen=True)
class Tolerance:
    """How far a step that should change nothing may move the golden outputs."""

    relative: float  # greatest absolute difference / range of the golden outputs of the step before
    reason: str  # one line: where that number comes from
    # Asked where they moved further: model, a few samples as it takes them → the operator that answers otherwise than
    # the one of the step before to the same numbers, and by how much; "": all only round apart, which the budgets judge
    rounding: Callable[[Path, Iterable[Feed]], str] | None = None


# --- formats and converters ----------------------------------------------------------------------------------------


class Executor(Protocol):
    """What can run a file and say of which operator it dies: a runtime, or a format."""

    @property
    def id(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def backend(self) -> Path | None: ...

    @property
    def beginnings(self) -> Callable[[Path], Sequence[tuple[str, Callable[[], bytes]]]] | None: ...


@dataclass(frozen=True)
class Format:
    """A kind of file that a model can be in.

    `recognizes` is asked while the matrix is planned: standard library only, and it reads little. Everything else runs
    in `toolchain`. Nothing of a file is ever executed to learn what it is.
    """

    id: str  # "onnx", "tflite"
    description: str  # "ONNX"
    suffixes: tuple[str, ...]  # ".onnx"; of a folder a file that is in it: "saved_model.pb"
    toolchain: str  # that reads and runs it
    recognizes: Callable[[Path], bool]  # by what is in it, whatever its name
    # DataError for a file that is damaged, or that would read or run what it should not; at most 512 MiB of memory
    check: Callable[[Path], None]
    signature: Callable[[Path], Signature]  # raises as `check`, which it calls
    quantized: Callable[[Path], str]  # what it is already: "int8 weights and activations", "float16"; "": float32
    backend: Path | None  # runner backend that answers as the file does; None: nothing here can run it
    # All files that a model is in, itself first, so that an edit of one is seen; of one that `check` refuses, it alone
    # Asked while the matrix is planned, as `recognizes`. None: the file alone, or all that its folder holds.
    files: Callable[[Path], tuple[Path, ...]] | None = None
    # model → for each operator, its name and the model that ends with it: finds the operator that a library dies of
    beginnings: Callable[[Path], Sequence[tuple[str, Callable[[], bytes]]]] | None = None
    preload: tuple[str, ...] = ()  # modules that the functions above and the backend import
    api_version: int = API_VERSION


@dataclass(frozen=True)
class ConvertJob:
    """Turn a model into another format, with nothing lost."""

    model: Any  # native model of a framework, as `Framework.load` returns it (torch: an nn.Module in eval mode)
    source: Path | None  # file or folder of a format, or None
    signature: Signature  # of the source, by whose names `Converted.binding` speaks
    example: Mapping[str, NDArray[Any]]  # name of an input → [1, …], one golden sample as the source takes it
    output: Path
    work: Path  # an empty folder for intermediate files


@dataclass(frozen=True)
class Converted:
    """A model in another format."""

    binding: Binding  # from the source's inputs and outputs to those of the file
    tolerance: Tolerance | None = None  # what this file deserves in place of the edge's; quantized kernels round apart


@dataclass(frozen=True)
class Converter:
    """How models of a framework, or files of a format, become files of another format: an edge of the routes.

    With `source` equal to `target` it makes a file that somebody brings as the tools want it (opset, batch axis, no
    notes), for runtimes that take this format. What it cannot convert is Unsupported, with the operator's name.
    """

    id: str
    description: str  # what is used, for tables: "torch.onnx.export"
    source: str  # id of a framework or of a format
    target: str  # id of a format whose files are single files
    toolchain: str  # has the library, and what runs the target format
    convert: Callable[[ConvertJob], Converted | Unsupported]
    tolerance: Tolerance
    cost: int = 1  # routes with the least sum win, then those with the fewest edges, then by id
    preload: tuple[str, ...] = ()  # modules of third parties that `convert` imports: warm workers have them ready
    api_version: int = API_VERSION


# --- runtime -------------------------------------------------------------------------------------------------------


class Calibration(Protocol):
    """The calibration samples as a model's file takes them, read a few at a time, and again each time they are asked
    for: name in the file → [1, …] of the file's dtype and order of axes.
    """

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Feed]: ...


@dataclass(frozen=True)
class OptimizeJob:
    """Apply a scheme to a converted model."""

    source: Path
    output: Path
    scheme: Scheme
    profile: str
    calibration: Calibration | None  # None unless scheme.calibration_samples > 0
    work: Path  # an empty folder for intermediate files
    keep: tuple[str, ...] = ()  # layers, as `Runtime.layers` names them, that stay in float32


@dataclass(frozen=True)
class Layer:
    """One operator of a converted model that a quantizer may leave in float32, with the activation that it feeds."""

    name: str  # after the module that it comes from, where the converter says so: "blocks.0.conv1"
    operator: str  # as the format calls it: "Conv", "CONV_2D"


@dataclass(frozen=True)
class Activations:
    """What one layer answers to one sample in two models, float32[…, C]: of any rank, channels on the last axis."""

    layer: Layer
    reads: tuple[str, ...]  # names of the layers whose answers it reads; () for the model's input
    before: Float32
    after: Float32


@dataclass(frozen=True)
class CompileJob:
    """Turn an optimized model into the program that ships."""

    source: Path  # the optimized model, or the program of `Runtime.compiles_from`
    output: Path
    scheme: Scheme
    target: Target  # what `Runtime.compiles_for` leaves of it
    work: Path


@dataclass(frozen=True)
class Estimate:
    """A figure that a compiler gives: nothing ran."""

    metric: str
    value: float
    unit: str
    method: str  # one line: which tool, under which assumptions


@dataclass(frozen=True)
class Compiled:
    """What the compiler says about its output."""

    operators: tuple[Operators, ...] | None = None  # None: ask the runner
    estimates: tuple[Estimate, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    # Among the weights of the program's convolutions and fully connected layers; None: unknown, or it has none.
    zero_weights_ratio: float | None = None


@dataclass(frozen=True)
class GoldenSamples:
    """A few samples that a package ships with what the program answered, N of each."""

    # By the names of tensors in the program: a sample has the axes of its tensor, but for the batch.
    scaled: Mapping[str, Float32]  # float32[N, …] before mean and std, of inputs that are normalised
    inputs: Mapping[str, NDArray[Any]]  # [N, …] as the program takes it
    outputs: Mapping[str, NDArray[Any]]  # [N, …] as the program gives it, of the model's outputs
    tolerance: Mapping[str, float]  # of an output: greatest difference of real values that another machine may show
    answered_by: str  # what ran: "tflite-micro 0.dev20261023182759"


@dataclass(frozen=True)
class PackageJob:
    """What a runtime may turn into further files of a package.

    A file named `example` with any suffix is the package's example: it asks the program, and proves on the golden
    samples that an app prepares and answers as it should. It finds the manifest beside it.
    """

    program: Path
    info: Program
    target: Target
    measurements: tuple[Measurement, ...]
    preprocessing: Mapping[str, Preprocessing]  # by what the model calls its inputs
    labels: tuple[str, ...]  # of class i; () where the task has none
    golden: GoldenSamples
    binding: Binding  # where the model's inputs and outputs are in the program


@dataclass(frozen=True)
class Runtime:
    """The software that executes on the device.

    `models_from` names the runtime whose optimizer makes this one's models (TFLite Micro runs what LiteRT's tools
    make), so that both share the files; empty when it has its own.

    `compiles_for` says what of a target the compiler reads: a Target in which everything else is erased, and whose id
    names what is left (letters, digits and "_.-", e.g. "x86"). Targets with the same id share their programs. None: the
    compiler may read the whole target, and nothing is shared.

    `compiles_from` names the runtime whose programs this one's compiler takes in place of optimized models, with what
    they answered and why there are none.
    """

    id: str
    description: str
    format: str  # id of the format of converted and optimized models
    program_suffix: str  # suffix of compiled programs, without the dot
    toolchain: str  # that optimize, compile and measure run in
    backend: Path  # runner backend: a self-contained Python file with a class `Session` (see runners/harness.py)
    evidence: Evidence  # what running here proves when this machine is not a device of the target
    times: bool  # whether latency and process memory taken here mean anything for the target
    supports: Callable[[Scheme, Target], Unsupported | None]
    compile: Callable[[CompileJob], Compiled | Unsupported]
    compile_tolerance: Callable[[Scheme], Tolerance]
    models_from: str = ""
    profile: Callable[[Scheme, Target], str] | None = None  # targets with the same profile share an optimized model
    optimize: Callable[[OptimizeJob], Unsupported | None] | None = None  # why it cannot be done; None: it was
    optimize_tolerance: Tolerance | None = None  # for schemes that quantize nothing
    layers: Callable[[Path], tuple[Layer, ...]] | None = None  # of a converted model, in order of execution
    # converted model, optimized model, samples as the first takes them → for each sample each layer of both, in order
    # of execution; nobody keeps them, so that many samples take no more memory than one
    activations: Callable[[Path, Path, Iterable[Feed]], Iterator[Activations]] | None = None
    # model → for each operator, its name and the model that ends with it: finds the operator that a library dies of
    beginnings: Callable[[Path], Sequence[tuple[str, Callable[[], bytes]]]] | None = None
    compiles_for: Callable[[Scheme, Target], Target] | None = None
    compiles_from: str = ""
    runs: str = "program"  # "model": programs cannot be run here, only the model that they were compiled from
    package_files: Callable[[PackageJob], Mapping[str, bytes]] | None = None  # name → content
    estimates: tuple[str, ...] = ()  # metrics that `compile` estimates: what a search can minimise is known before
    target_options: Mapping[str, Option] = field(default_factory=dict)
    preload: tuple[str, ...] = ()  # modules that optimize and compile import: warm workers have them ready
    api_version: int = API_VERSION


# --- framework -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelSpec:
    """What a framework needs to know to build and train a model."""

    id: str
    builder: (
        str  # "package.module:function" or "file.py:function", called as function(input_shape, classes, **arguments)
    )
    arguments: Mapping[str, Any]
    input_shape: tuple[int, ...]  # without the batch axis
    classes: int
    training: Mapping[str, Any]  # validated against `Framework.training_options`
    weights: str = ""  # file with trained weights that are taken as they are; "": the model is trained


class Rows(Protocol):
    """Prepared samples that are read when they are asked for: as an array float32[N, …], by slices and row numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | Int64, /) -> Float32: ...


@dataclass(frozen=True)
class TrainJob:
    """Train one model: from scratch, or on from a checkpoint in the steps of a recipe."""

    model: ModelSpec
    x: Rows  # not all of them need fit into memory
    y: Int64
    seed: int
    checkpoint: Path  # safetensors to write
    steps: tuple[Step, ...] = ()  # of `Framework.steps`, in order; () trains from scratch
    start: Path | None = None  # checkpoint that the steps start from
    # Model → how to load its checkpoint: every teacher that steps name, and the model itself as it is at the start.
    teachers: Mapping[str, tuple[ModelSpec, Path]] = field(default_factory=dict)
    kept: Path | None = None  # file for what a training needs to go on where it was killed; None: it starts again


@dataclass(frozen=True)
class WeightsJob:
    """Take the trained weights that someone brings, as they are."""

    model: ModelSpec
    weights: Path  # in whatever format the framework reads; nothing of it may be executed
    x: Float32  # a few prepared samples, that the network must be able to take
    checkpoint: Path  # safetensors to write, as `TrainJob.checkpoint`


@dataclass(frozen=True)
class Trained:
    """What a training says about itself."""

    figures: Mapping[str, float]  # final loss, number of parameters, …
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # metric → value after each epoch
    without_gradient: tuple[str, ...] = ()  # parameters that were to be trained, and that no loss ever depended on
    loss_takes_logits: bool = False  # as cross-entropy does: outputs that are probabilities already learn badly


@dataclass(frozen=True)
class Framework:
    """Builds and trains a model, and gives it to converters."""

    id: str
    description: str
    toolchain: str
    train: Callable[[TrainJob], Trained]
    load: Callable[[ModelSpec, Path], Any]  # checkpoint → native model in inference mode
    predict: Callable[[Any, Rows], Float32]  # native model, samples → float32[N, K]; a few samples at a time
    versions: Callable[[], Mapping[str, str]]
    training_options: Mapping[str, Option] = field(default_factory=dict)
    take_weights: Callable[[WeightsJob], Trained] | None = None  # None: models are trained here, and only here
    steps: tuple[str, ...] = ()  # kinds of training-time steps that `train` can take
    preload: tuple[str, ...] = ()  # modules that train and load import: warm workers have them ready
    api_version: int = API_VERSION


# --- task ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """What two models answer to the same N samples, and what is right where anybody knows."""

    reference: Answers  # output → [N, …]: of the trained model or the imported file
    answers: Answers  # of what is held against it; the same where the reference itself is scored
    targets: Int64 | None = None  # the class of each sample, int64[N]; None: nobody says
    output: str = ""  # the output that the model's configuration names; "": it names none

    @property
    def swapped(self) -> Comparison:
        """The reference as what answers: its own score beside that of the answers."""
        return replace(self, answers=self.reference)


@dataclass(frozen=True)
class Score:
    """A task metric with its interval."""

    value: float
    n: int
    interval: Interval
    metric: str = ""  # where the outputs have another primary metric than `Task.metric`: one of `further_metrics`
    conditions: Mapping[str, float | int | str] = field(default_factory=dict)  # counts behind it, what else it says


@dataclass(frozen=True)
class Drop:
    """How much worse one model is than another on the same samples; > 0 is worse."""

    value: float
    n: int
    interval: Interval
    conditions: Mapping[str, float | int | str] = field(default_factory=dict)  # counts behind it


@dataclass(frozen=True)
class Metric:
    """What a figure of a task is."""

    unit: str  # canonical, a key of `units.UNITS`
    direction: Direction  # MAX: more is better
    description: str  # one line
    default_limit: float | None = None  # budget of a model that has none on its task; None: it has none then
    default_reason: str = ""  # where that number comes from, in a line


@dataclass(frozen=True)
class Task:
    """What a kind of model is for, and by which figures one can tell whether it still does that.

    Answers are bound by name. A task that reads one output takes `Comparison.output`, or the only one.
    """

    id: str
    description: str
    metric: str  # the primary one: "accuracy"
    direction: Direction  # MAX: more is better
    score: Callable[[Comparison], Score]
    # Ratio of samples on which reference and answers decide alike; None where they decide nothing.
    agreement: Callable[[Comparison], float | None]
    unit: str = "ratio"
    about: str = ""  # the primary metric in a line, for tables
    # How much worse the answers are than the reference, paired on the same samples; `stats.no_difference` where they
    # are equal bit for bit. None: the metric is a distance to the reference already.
    drop: Callable[[Comparison], Drop] | None = None
    chance: Callable[[Int64], float] | None = None  # targets → metric of who looks at no input; None: nothing says so
    # More figures by metric; a text in place of one says why these outputs have none. One of a single output has the
    # output's name behind a slash: "signal_to_noise_db/boxes".
    further: Callable[[Comparison], Mapping[str, Score | str]] | None = None
    further_metrics: Mapping[str, Metric] = field(default_factory=dict)  # those that a budget may be on
    default_limit: float | None = None  # of the primary metric: see `Metric`
    default_reason: str = ""
    needs_targets: bool = True  # False: works without labels
    # metric or its drop, limit → evaluation samples below which not even a flawless result is within it; None: no
    # number is enough
    least_samples: Callable[[str, float], int | None] | None = None
    api_version: int = API_VERSION

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Every metric of the task that a budget may be on, the primary one first."""
        about = self.about or self.description
        known = {self.metric: Metric(self.unit, self.direction, about, self.default_limit, self.default_reason)}
        if self.drop is not None:
            worse = f"{self.metric} lost against the model that it is made from, paired on the same samples"
            known[f"{self.metric}{DROP}"] = Metric(self.unit, Direction.MIN, worse)
        return {**known, **self.further_metrics}


# --- dataset loader ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Input:
    """One input of a dataset's samples, as the configuration declares it."""

    shape: tuple[int, ...]  # of a prepared sample: channels, height, width; channels, length; features; or any other
    # numpy name of what the model takes. float32: values are scaled and normalised; any other: they stay as they are
    dtype: str = "float32"
    # float32: values that become 0 and 1; (): they stay as they are; None: see stages.prepare.RANGES. Else: the least
    # and the greatest value that there may be; () or None: all of the dtype.
    range: tuple[float, ...] | None = None
    mean: tuple[float, ...] | None = (0.0,)  # one, or one per channel; subtracted after scaling. None: that of train
    std: tuple[float, ...] | None = (1.0,)


@dataclass(frozen=True)
class LoadJob:
    """Read a dataset as it was recorded; splitting, resizing, scaling and normalising are the prepare stage's work."""

    dataset: str  # id, for messages
    options: Mapping[str, Any]
    root: Path  # folder that relative paths in `options` start from
    inputs: Mapping[str, Input] = field(default_factory=dict)  # by name; one alone need not be called that in the data
    labels: tuple[str, ...] = ()  # names of classes 0, 1, … where the configuration says them


class Readable(Protocol):
    """A number of arrays: an array, a list, or an object that reads each when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True)
class Samples:
    """A dataset of N samples.

    Sample i is asked for once, from the first to the last, so that samples that are many and large need not all be in
    memory. That may raise DataError: prepare reads the others too, and reports all at once.
    """

    # Input name → samples, or the samples of the only input, whatever its name. A sample has integers or floats: an
    # image [C, H, W] of any size, a sequence [C, L], features [F] (no C is one channel), or what `Input.shape` says.
    inputs: Mapping[str, Readable] | Readable
    y: Int64 | None = None  # class of sample i; None: nobody says
    labels: tuple[str, ...] = ()  # name of class i
    names: Sequence[str] = ()  # of sample i, for people: its file; () where the index is all there is
    skipped: tuple[str, ...] = ()  # files that are nobody's samples, such as the thumbnails of file managers
    decode: tuple[str, ...] = ()  # how a file became an image, step by step, for who must do the same; () for arrays
    parallel: bool = False  # several threads may ask at once, in any order
    declared: str = ""  # what the values are where nobody recorded them: "random"; figures say so


@dataclass(frozen=True)
class DatasetLoader:
    """Reads a dataset."""

    id: str
    description: str
    toolchain: str  # "core" is the environment that edgeflow is installed in
    load: Callable[[LoadJob], Samples]
    # The files that `load` reads, so that an edit of one prepares again; DataError says early what `load` would say.
    files: Callable[[LoadJob], tuple[Path, ...]]
    options: Mapping[str, Option] = field(default_factory=dict)
    api_version: int = API_VERSION


Plugin: TypeAlias = Runtime | Format | Converter | Framework | Task | DatasetLoader
