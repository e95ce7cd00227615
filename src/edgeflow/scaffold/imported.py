"""The configuration of a model that is a file, as text: what the file says, and where only its owner can know."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgeflow.errors import UsageError
from edgeflow.types.signatures import Signature, Tensor

CHANNELS = (1, 3, 4)  # of images
OF_IMAGES_LAST = ("keras", "saved_model", "tflite")  # formats whose images have channels last where shapes do not say
UNKNOWN_RANGE = (0, 1)  # integers that every table of embeddings has
BYTES = (0, 255)
AS_BYTES = "The model is given bytes as they are, 0 to 255; without 'range: any' they become 0 to 1."
SIGNAL_TO_NOISE, EXACT = "signal_to_noise_db", "exact_match"  # of tasks/fidelity.py
MODELS = "models"  # folder of the project
MOST_BYTES = 256 * 2**20  # of answers, and of samples that are made up: pictures for pictures take some MiB each
LARGE_BYTES = 4 * 2**20  # a model of which an inference takes milliseconds: fewer random samples


@dataclass(frozen=True)
class File:
    """A model's file, and what it says of itself."""

    path: Path
    format: str
    quantized: str  # what it is already: "int8 weights and activations"; "": float32
    signature: Signature
    files: tuple[Path, ...]  # that it is in

    @property
    def weights_beside(self) -> bool:
        """Whether it names other files, which have to lie beside it."""
        return not self.path.is_dir() and len(self.files) > 1

    @property
    def size_bytes(self) -> int:
        """Of all of them."""
        return sum(file.stat().st_size for file in self.files)


@dataclass(frozen=True)
class Data:
    """Samples that somebody brings."""

    loader: str
    options: Mapping[str, object]
    count: int
    classes: tuple[str, ...] = ()  # names in the order of the model's answers; () without labels
    named: bool = False  # the configuration has to say them
    notes: tuple[str, ...] = ()  # what the owner has to look at
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # of a sample in the arrays, by input
    dtypes: Mapping[str, str] = field(default_factory=dict)  # of the arrays, by input


@dataclass(frozen=True)
class Input:
    """One input of a model as a dataset has it."""

    name: str
    shape: tuple[int, ...]  # of a sample, channels first where it is an image
    dtype: str
    layout: str = ""  # of the file, where it is not the dataset's: "NHWC"
    range: tuple[float, float] | None = None  # of random values; None: those of a normal distribution


@dataclass(frozen=True)
class Model:
    """What is written about a model: ids, and the inputs of its samples."""

    id: str
    dataset: str
    source: str  # path of its file below the project
    file: File
    inputs: tuple[Input, ...]
    data: Data | None  # None: random values
    output: str = ""  # the one that labels are of, where there are several
    calibrated: int = 0  # samples that schemes of the project take for ranges

    @property
    def place(self) -> str:
        """What in the project is the model's alone: the file, or the folder with all that it names."""
        return self.source.rpartition("/")[0] if self.file.weights_beside else self.source

    @property
    def labelled(self) -> bool:
        return self.data is not None and bool(self.data.classes)

    @property
    def real(self) -> bool:
        """Whether there are answers that can be close."""
        return any(_is_real(tensor) for tensor in self.file.signature.outputs)

    @property
    def counted(self) -> bool:
        """Whether there are answers that are the same or not: integers that stand for nothing else."""
        return not all(_is_real(tensor) for tensor in self.file.signature.outputs)

    @property
    def metric(self) -> str:
        """The primary one of its task."""
        return "accuracy" if self.labelled else SIGNAL_TO_NOISE if self.real else EXACT

    @property
    def samples(self) -> int:
        """How many there are."""
        if self.data is not None:
            return self.data.count
        bytes_of_one = self.answer_bytes + sum(_bytes(each.shape, each.dtype) for each in self.inputs)
        enough = min(200 if self.file.size_bytes > LARGE_BYTES else 1000, _affordable(bytes_of_one))
        return enough if self.calibrated <= enough // 4 else enough + self.calibrated

    @property
    def answer_bytes(self) -> int:
        """What the answers to one sample take; an axis of any length is taken to be as long as the longest given."""
        longest = max((axis for each in self.inputs for axis in each.shape), default=1)
        outputs = [tensor for tensor in self.file.signature.outputs if self.output in ("", tensor.name)]
        return sum(_bytes([a if isinstance(a, int) else longest for a in t.sample], t.dtype) for t in outputs)

    @property
    def evaluation(self) -> int:
        """How many of them are for every figure of the answers, all of which stages have in memory."""
        most = min(2000, _affordable(self.answer_bytes))
        return max(1, min(most, self.samples - self.golden - self.calibration))

    @property
    def golden(self) -> int:
        """How many of them each step is compared on."""
        return max(1, min(16, self.samples // 10, _affordable(self.answer_bytes) // 4))

    @property
    def calibration(self) -> int:
        """How many of them are for the ranges of int8."""
        return max(1, min(128, self.samples // 4), self.calibrated)


def _bytes(shape: Sequence[int], dtype: str) -> int:
    """Of a sample of a tensor; real numbers are float32 at least, whatever a file makes of them."""
    return math.prod(shape) * (8 if dtype.endswith("64") else 4)


def _affordable(bytes_of_one: int) -> int:
    """How many of such a size fit into memory, a few at least."""
    return max(8, MOST_BYTES // max(1, bytes_of_one))


def _is_real(tensor: Tensor) -> bool:
    return tensor.scale is not None or tensor.dtype.startswith("float")


def described(
    file: File, name: str, data: Data | None, shapes: Mapping[str, tuple[int, ...]], *, source: str = ""
) -> Model:
    """What is written about a model with an id; `shapes` as for `inputs`, `source`: where its file is in the project
    already.

    Raises UsageError for an axis that nobody gives a length, for arrays of samples that cannot become what the file
    takes, and for labels that no output can be held against.
    """
    several_arrays = data is not None and data.loader == "npz" and len(file.signature.inputs) > 1
    taken = inputs(file, {**_brought(file, data), **shapes}, images=not several_arrays)
    if data is not None:
        data = _fitted(data, taken)
    output = _scored(file, data.classes) if data is not None and data.classes else ""
    return Model(name, f"{name}_samples", source or _source(file, name), file, taken, data, output)


def _source(file: File, name: str) -> str:
    """Where the file of a model with an id is in the project, so that no other model's files are called alike."""
    if file.weights_beside:  # which it knows by their names
        return f"{MODELS}/{name}/{file.path.name}"
    named = file.path.name if name == identifier(file.path) else name + ("" if file.path.is_dir() else file.path.suffix)
    return f"{MODELS}/{named}"


def _brought(file: File, data: Data | None) -> dict[str, tuple[int, ...]]:
    """Shapes that samples in arrays give to the inputs whose axes the file leaves open."""
    shapes = data.shapes if data is not None else {}
    open_axes = {
        tensor.name: tensor.sample
        for tensor in file.signature.inputs
        if tensor.name in shapes and any(isinstance(axis, str) for axis in tensor.sample)
    }
    return {name: shapes[name] for name, declared in open_axes.items() if _fills(shapes[name], declared)}


def _fills(given: Sequence[int], declared: Sequence[int | str]) -> bool:
    """Whether a shape has the axes that are declared, with any length where that is open."""
    pairs = zip(given, declared, strict=False)
    return len(given) == len(declared) and all(axis == said for axis, said in pairs if isinstance(said, int))


def _fitted(data: Data, taken: Sequence[Input]) -> Data:
    """Samples in arrays, with the order of their images' axes, and a note where images are resized.

    Raises UsageError for arrays that cannot become what the inputs take.
    """
    for one in taken:
        given = data.shapes.get(one.name)
        if given is None:
            continue
        if one.dtype != "float32" and data.dtypes.get(one.name, one.dtype).startswith("float"):
            raise UsageError(
                f"--data {_file_of(data)}: input {one.name!r} takes {one.dtype}, and the array has "
                f"{data.dtypes[one.name]}: save it as {one.dtype}"
            )
        if one.dtype == "float32" and data.dtypes.get(one.name) == "uint8":
            data = replace(data, notes=(*data.notes, AS_BYTES))
        if len(one.shape) == 3 and one.dtype in ("float32", "uint8"):  # as stages/prepare.py takes for images
            data = _of_images(data, given, one) if len(taken) == 1 else data
        elif one.shape not in (given, (1, *given)):  # the axis of a single channel may be left away
            raise _no_fit(data, given, one)
    return data


def _of_images(data: Data, given: tuple[int, ...], one: Input) -> Data:
    """As `_fitted`, of images [H, W] or with their channels first or last."""
    channels, *size = one.shape
    taken = {1, channels, *((3,) if channels == 1 else ())}
    places = {"": given} if len(given) == 2 else {"NCHW": given[1:], "NHWC": given[:2]} if len(given) == 3 else {}
    count = {"NCHW": given[:1], "NHWC": given[-1:]}
    fitting = [layout for layout in places if not layout or taken.issuperset(count[layout])]
    if not fitting:
        raise _no_fit(data, given, one)
    own = one.layout or "NCHW"
    layout = own if own in fitting else fitting[0]
    if layout == "NHWC":
        data = replace(data, options={**data.options, "layout": layout})
    if [*places[layout]] == size:
        return data
    resized = f"Images of {_axes(places[layout])} pixels are resized to the {_axes(size)} that the model takes."
    return replace(data, notes=(*data.notes, resized))


def _no_fit(data: Data, given: Sequence[int], one: Input) -> UsageError:
    shape = [*one.shape[1:], one.shape[0]] if one.layout else [*one.shape]
    return UsageError(
        f"--data {_file_of(data)}: input {one.name!r} takes samples of shape {shape}, and those of the array have "
        f"{[*given]}: save the array as [samples, {', '.join(map(str, shape))}]"
    )


def _file_of(data: Data) -> str:
    return Path(str(data.options["file"])).name


def _axes(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _scored(file: File, classes: Sequence[str]) -> str:
    """The output that holds a score for each class; "" where there is only one output."""
    outputs = file.signature.outputs
    fitting = [tensor.name for tensor in outputs if tensor.sample == (len(classes),)]
    if not fitting:
        shown = ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in outputs)
        raise UsageError(
            f"the data have {len(classes)} classes, and {file.path.name} gives {shown}: none has a score for each; "
            "bring labels that are numbers of the model's classes, or samples without labels"
        )
    return fitting[0] if len(outputs) > 1 else ""


def content(model: Model) -> dict[str, str]:
    """The files of a model: path below the project → content."""
    return {
        f"config/models/{model.id}.yaml": model_file(model),
        f"config/datasets/{model.dataset}.yaml": dataset_file(model),
    }


def identifier(path: Path) -> str:
    """An id after a file's name: "My Detector-v2.onnx" is my_detector_v2."""
    plain = unicodedata.normalize("NFKD", path.name.split(".")[0]).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    return words if words[:1].isalpha() and words not in _WORDS else f"model_{words}".rstrip("_")


def inputs(file: File, shapes: Mapping[str, tuple[int, ...]], *, images: bool = True) -> tuple[Input, ...]:
    """The inputs as a dataset has them, images with their channels first. Where the file leaves axes open, `shapes`
    gives the shape of a sample, as the file takes it.

    Raises UsageError for an axis that nobody gives a length, and for a name that no input has.
    """
    names = [tensor.name for tensor in file.signature.inputs]
    if unknown := [name for name in shapes if name not in names]:
        raise UsageError(f"--shape {unknown[0]}=…: {file.path.name} has no such input; it has {', '.join(names)}")
    return tuple(_input(file, tensor, shapes.get(tensor.name), images) for tensor in file.signature.inputs)


def _input(file: File, tensor: Tensor, given: tuple[int, ...] | None, images: bool) -> Input:
    declared = tensor.sample
    shape = _filled(tensor.name, declared, given)
    layout = layout_of(file.format, shape) if images else ""
    if layout == "NHWC":
        shape = (shape[2], shape[0], shape[1])
    quantized = tensor.scale is not None and tensor.zero_point is not None
    dtype = "float32" if quantized or tensor.dtype in ("float16", "float64") else tensor.dtype
    return Input(tensor.name, shape, dtype, layout if layout == "NHWC" else "", _range(tensor, dtype, shape))


def _filled(name: str, declared: Sequence[int | str], given: tuple[int, ...] | None) -> tuple[int, ...]:
    free = [axis for axis in declared if isinstance(axis, str)]
    example = "x".join(str(axis) if isinstance(axis, int) else "64" for axis in declared)
    if given is None:
        if free:
            said = ", ".join(f"'{axis}'" if axis != "?" else "one without a name" for axis in free)
            raise UsageError(
                f"input {name!r} has axes of any length ({said}): say what a sample has, e.g. --shape {name}={example}"
            )
        return tuple(axis for axis in declared if isinstance(axis, int))
    if not _fills(given, declared):
        shown = "x".join(map(str, given))
        raise UsageError(f"--shape {name}={shown} does not fit: the file has {example} without the batch")
    return given


def layout_of(file_format: str, shape: Sequence[int | str]) -> str:
    """ "NCHW" or "NHWC" of what looks like an image, else ""."""
    if len(shape) != 3:
        return ""
    first, last = shape[0] in CHANNELS, shape[2] in CHANNELS
    if first == last:
        return "NHWC" if last and file_format in OF_IMAGES_LAST else "NCHW" if first else ""
    return "NHWC" if last else "NCHW"


def _range(tensor: Tensor, dtype: str, shape: Sequence[int]) -> tuple[float, float] | None:
    """The values that random samples have."""
    if tensor.scale is not None and tensor.zero_point is not None:
        low, high = (-128, 127) if tensor.dtype == "int8" else BYTES if tensor.dtype == "uint8" else (-32768, 32767)
        return tuple(float(f"{tensor.scale * (end - tensor.zero_point):.4g}") for end in (low, high))  # type: ignore[return-value]
    if dtype == "float32":
        return None
    if dtype == "bool":
        return None
    return BYTES if dtype == "uint8" and len(shape) == 3 else UNKNOWN_RANGE


# --- config/models ---------------------------------------------------------------------------------------------------


def model_file(model: Model) -> str:
    """config/models/<id>.yaml."""
    task = "classification" if model.labelled else "fidelity"
    why = "" if model.labelled else " # how far each variant's answers are from the file's own; it needs no labels"
    lines = [
        "# yaml-language-server: $schema=../schema/model.json",
        f"description: {_text(_description(model))}",
        f"source: {_text(model.source)} # {_signature(model.file.signature)}",
        f"dataset: {model.dataset}",
        f"task: {task}{why}",
    ]
    if model.output:
        lines.append(f"output: {_text(model.output)} # of several, the one that holds a score for each class")
    if layouts := {each.name: each.layout for each in model.inputs if each.layout}:
        lines.append("inputs: # samples of datasets have their channels first")
        lines += [f"  {_text(name)}: {{ layout: {layout} }}" for name, layout in layouts.items()]
    lines += ["budgets:", *_budgets(model)]
    if model.data is None:
        lines.append("# accept_random_inputs: true # release variants although only random inputs were asked")
    return "\n".join(lines) + "\n"


def _budgets(model: Model) -> list[str]:
    """A limit for every kind of answers: what has none is not judged."""
    if model.labelled:
        return [
            "  # at most one point below the file itself",
            "  accuracy_drop: { max: 1 %, evidence: host }",
        ]
    of_reals = [
        "  # 20 dB: the error is a tenth of what the answers vary by. See docs/guide/fidelity.md",
        f"  {SIGNAL_TO_NOISE}: {{ min: 20 dB, evidence: host }}",
    ]
    of_counted = [
        "  # answers that are integers: one sample of a hundred may be answered otherwise",
        f"  {EXACT}: {{ min: 99 %, evidence: host }}",
    ]
    return [*(of_reals if model.real else ()), *(of_counted if model.counted else ())]


def _description(model: Model) -> str:
    what = f", {model.file.quantized}" if model.file.quantized else ""
    return f"{model.file.path.name} as it was brought{what}"


def _signature(signature: Signature) -> str:
    """ "image float32[?, 3, 224, 224] → logits float32[?, 1000]"."""

    def told(tensors: Sequence[Tensor]) -> str:
        return ", ".join(f"{t.name} {t.dtype}[{', '.join(map(str, t.shape))}]" for t in tensors)

    return f"{told(signature.inputs)} → {told(signature.outputs)}"


# --- config/datasets -------------------------------------------------------------------------------------------------


def dataset_file(model: Model) -> str:
    """config/datasets/<id>.yaml."""
    data = model.data
    lines = ["# yaml-language-server: $schema=../schema/dataset.json"]
    if data is None:
        lines += [
            "# Nobody brought samples, so these are random numbers. Sizes, times and memory mean what they say; how",
            "# far answers are from the file's own is so for random inputs alone. With samples of the real world:",
            "# loader: npz, options: { file: samples.npz }, an array [samples, …] for each input (docs/guide/try.md).",
            "description: random values, in place of samples",
            "loader: random",
            f"options: {{ samples: {model.samples} }}",
        ]
    else:
        lines += [
            *(f"# {note}" for note in data.notes),
            f"description: {_text('samples for ' + model.file.path.name)}",
            f"loader: {data.loader}",
            f"options: {json.dumps(dict(data.options), ensure_ascii=False)}",
        ]
        if data.named:
            lines.append(f"labels: {json.dumps(data.classes, ensure_ascii=False)}")
        elif data.classes:
            lines.append(f"classes: {len(data.classes)}")
    lines += _declared(model)
    lines += _splits(model)
    lines += (
        ["source: made by edgeflow's loader 'random'", "license: CC0-1.0"]
        if data is None
        else ["source: given to edgeflow try # say where they come from", "license: unknown # say under which terms"]
    )
    return "\n".join(lines) + "\n"


def _declared(model: Model) -> list[str]:
    """What the model takes, by input."""
    if len(model.inputs) == 1:
        (one,) = model.inputs
        return [f"name: {_text(one.name)}", *_keys(one, model)]
    lines = ["inputs:"]
    for each in model.inputs:
        lines += [f"  {_text(each.name)}:", *(f"    {line}" for line in _keys(each, model))]
    return lines


def _keys(each: Input, model: Model) -> list[str]:
    about = " # channels, height, width" if each.layout or layout_of("", each.shape) else ""
    lines = [f"shape: [{', '.join(map(str, each.shape))}]{about}"]
    if each.dtype == "float32" and model.data is None and each.range is not None:
        low, high = each.range
        normalize = f"{{ mean: {-low / (high - low):.4g}, std: {1 / (high - low):.4g} }}"
        return [
            *lines,
            f"normalize: {normalize} # random values from {low:g} to {high:g}: all that its integers can say",
        ]
    if each.dtype != "float32":
        lines.append(f"dtype: {each.dtype}")
        if model.data is None and each.range is not None:
            guess = each.range == UNKNOWN_RANGE
            why = " # least and greatest value; the file does not say how many there are" if guess else ""
            lines.append(f"range: [{each.range[0]}, {each.range[1]}]{why}")
    elif model.data is not None and model.data.loader == "image_folder":
        lines += [
            "# Pixels from 0 to 255 become 0 to 1. What the model was trained on, its file does not say. ImageNet's is",
            "# normalize: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }, from -1 to 1 is",
            "# normalize: { mean: 0.5, std: 0.5 }",
        ]
    else:
        lines.append("range: any # values are taken as they are")
    return lines


def _splits(model: Model) -> list[str]:
    """Of what there is: a few to compare stages with, up to 128 for ranges, the rest for evaluation."""
    return [
        f"splits: # of {model.samples:,} samples",
        f"  calibration: {model.calibration} # for the ranges of int8",
        f"  evaluation: {model.evaluation} # for every figure of the answers",
        f"  golden: {model.golden} # that each step is compared on",
    ]


def _text(value: str) -> str:
    """YAML that is this text, without quotes where it needs none."""
    plain = re.fullmatch(r"[A-Za-z_][\w./()-]*(,? [\w./()-]+)*", value) is not None and value.lower() not in _WORDS
    return value if plain else json.dumps(value, ensure_ascii=False)


_WORDS = ("true", "false", "yes", "no", "on", "off", "null", "y", "n", "none")
