"""ONNX files: one graph with weights inside, or in other files of the same folder.

The file is walked field by field (formats/protobuf.py); the `onnx` library sees no weights, and only where shapes of
outputs must be inferred. Numbers of fields are those of onnx.proto.
"""

from __future__ import annotations

import math
import os
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.errors import DataError
from edgeflow.formats.contained import contained
from edgeflow.formats.protobuf import BYTES, FIXED64, VARINT, Message
from edgeflow.formats.signatures import UNKNOWN, checked
from edgeflow.plugin import Format
from edgeflow.types.signatures import Signature, Tensor

if TYPE_CHECKING:
    import onnx

# ModelProto: field → wire type
MODEL = {1: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, 7: BYTES, 8: BYTES, 14: BYTES, 20: BYTES}
MODEL |= {25: BYTES, 26: BYTES}
TYPES = {  # TensorProto.DataType → name, and bits of one number (0: of any length)
    **{1: ("float32", 32), 2: ("uint8", 8), 3: ("int8", 8), 4: ("uint16", 16), 5: ("int16", 16), 6: ("int32", 32)},
    **{7: ("int64", 64), 8: ("text", 0), 9: ("bool", 8), 10: ("float16", 16), 11: ("float64", 64), 12: ("uint32", 32)},
    **{13: ("uint64", 64), 14: ("complex64", 64), 15: ("complex128", 128), 16: ("bfloat16", 16)},
    **dict.fromkeys((17, 18, 19, 20, 24), ("float8", 8)),
    **{21: ("uint4", 4), 22: ("int4", 4), 23: ("float4", 4), 25: ("uint2", 2), 26: ("int2", 2)},
    **dict.fromkeys((27, 28), ("float6", 6)),
}
STANDARD = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")  # domains whose operators ONNX Runtime brings
EXTERNAL = 1  # TensorProto.DataLocation
MOST_DEPTH = 16  # graphs inside graphs
SMALL_BYTES = 4096  # constants that shapes may depend on
MOST_GRAPH_BYTES = 16 * 2**20  # of a graph without its weights, that the library is given
QUANTIZING = ("QuantizeLinear", "DynamicQuantizeLinear")
INTEGER = ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "QLinearAdd", "QGemm", "QLinearMul")
WEIGHTS_ONLY = {"MatMulNBits": "int4 weights", "MatMulBnb4": "int4 weights", "GatherBlockQuantized": "int4 weights"}


def recognizes(path: Path) -> bool:
    """Whether a file begins as ONNX models do: with the fields of one, whatever it is called."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        head = stream.read(2)
    known = {number << 3 | kind for number, kind in MODEL.items() if number < 16}
    if path.suffix == ".onnx":
        return bool(head) and head[0] in known
    return len(head) == 2 and head[0] == 1 << 3 | VARINT and 3 <= head[1] < 32  # ir_version first, as all writers do


def files(path: Path) -> tuple[Path, ...]:
    """The file and those that its weights are in."""
    try:
        model = _Model.of(path)
    except DataError:  # which `check` says
        return (path,)
    return (path, *(path.parent / location for location in sorted(model.external)))


def check(path: Path) -> None:
    """Refuse a file that is damaged, reaches out of its folder, or needs code that is not in it."""
    contained(str, lambda file: _check(file).path.name, path)


def signature(path: Path) -> Signature:
    """Inputs and outputs; where an axis of an output is not written down it is inferred."""
    return contained(Signature, _signature, path)


def quantized(path: Path) -> str:
    """What its numbers are, where they are not float32: "int8 weights and activations", "float16"; else ""."""
    return contained(str, lambda file: _quantized(_Model.of(file)), path)


# --- the file as it is -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Constant:
    """A tensor of the file."""

    kind: int
    dims: tuple[int, ...]
    message: Message

    @property
    def count(self) -> int:
        return math.prod(self.dims)


@dataclass
class _Model:
    """What a walk over the whole file finds; what cannot be is refused on the way."""

    path: Path
    message: Message
    graph: Message
    ir_version: int
    opsets: Mapping[str, int]
    external: set[str] = field(default_factory=set)  # files beside it
    constants: dict[str, _Constant] = field(default_factory=dict)  # initializers of the main graph
    operators: Counter[tuple[str, str]] = field(default_factory=Counter)  # (domain, name)
    own: set[tuple[str, str]] = field(default_factory=set)  # operators that the file defines itself

    @classmethod
    def of(cls, path: Path) -> _Model:
        """Walk a file."""
        message = Message.of(path)
        for number, kind, _ in message.fields():
            if MODEL.get(number) != kind:
                raise message.damaged(f"a field {number} of wire type {kind}, which no ONNX model has")
        graph = message.only(7)
        if graph is None:
            raise message.damaged("no graph")
        opsets = {opset.text(1): opset.number(2) for opset in message.all(8)}
        model = cls(path, message, graph, message.number(1), opsets)
        functions = list(message.all(25))
        model.own = {(function.text(10), function.text(1)) for function in functions}
        model._walk(graph, 0)
        for function in functions:
            model._walk_nodes(function.all(7), 0)
        return model

    def _walk(self, graph: Message, depth: int) -> None:
        if depth > MOST_DEPTH:
            raise self.message.damaged(f"graphs inside graphs, more than {MOST_DEPTH} deep")
        for tensor in graph.all(5):
            constant = self._constant(tensor)
            if depth == 0:
                self.constants[tensor.text(8)] = constant
        for sparse in graph.all(15):
            for part in (*sparse.all(1), *sparse.all(2)):
                self._constant(part)
        self._walk_nodes(graph.all(1), depth)

    def _walk_nodes(self, nodes: Iterator[Message], depth: int) -> None:
        for node in nodes:
            self.operators[_domain(node), node.text(4)] += 1
            for attribute in node.all(5):
                for number, _, value in attribute.fields():
                    if not isinstance(value, Message):
                        continue
                    if number in (5, 10):
                        self._constant(value)
                    elif number in (6, 11):
                        self._walk(value, depth + 1)
                    elif number in (22, 23):
                        for part in (*value.all(1), *value.all(2)):
                            self._constant(part)

    def _constant(self, tensor: Message) -> _Constant:
        """A tensor whose bytes are there: in the file, or in one beside it."""
        dims, kind, name = tuple(tensor.numbers(1)), tensor.number(2), tensor.text(8)
        where = f"{self.path}: tensor {name!r}"
        if kind not in TYPES or any(dim < 0 for dim in dims):
            raise DataError(f"{where} has the type {kind} and the shape {list(dims)}: it is damaged")
        constant = _Constant(kind, dims, tensor)
        bits = TYPES[kind][1]
        needed = (constant.count * bits + 7) // 8
        where_kept = tensor.number(14)
        if where_kept not in (0, EXTERNAL):
            raise DataError(f"{where} is kept in a way {where_kept} that is not known: it is damaged")
        if where_kept == EXTERNAL:
            self.external.add(_location(where, self.path, tensor, needed))
            return constant
        raw = tensor.only(9)
        if raw is not None and bits and len(raw.content) != needed:
            raise DataError(
                f"{where} has {len(raw.content):,} bytes where its shape asks for {needed:,}: it is damaged"
            )
        if raw is None and bits and _at_most(tensor) < constant.count * (2 if 14 <= kind <= 15 else 1):
            raise DataError(f"{where} has fewer numbers than its shape {list(dims)} asks for: it is damaged")
        return constant


def _at_most(tensor: Message) -> int:
    """How many numbers the typed fields of a tensor can hold; packed numbers of any length take a byte or more each.

    Four-bit numbers are two in each.
    """
    found = 0
    for number, _, value in tensor.fields():
        if number not in (4, 5, 7, 10, 11):
            continue
        width = {4: 4, 10: 8}.get(number, 1)
        found += len(value.content) // width if isinstance(value, Message) else 1
    return found * (4 if tensor.number(2) in (21, 22, 23, 25, 26, 27, 28) else 1)


def _location(where: str, path: Path, tensor: Message, needed: int) -> str:
    """The file beside the model that a tensor is in; DataError where it is elsewhere, or too short."""
    said = {entry.text(1): entry.text(2) for entry in tensor.all(13)}
    location = said.get("location", "")
    inside = os.path.realpath(path.parent)
    real = os.path.realpath(os.path.join(inside, location))
    if not location or os.path.isabs(location) or os.path.commonpath((inside, real)) != inside or "\0" in location:
        raise DataError(
            f"{where} is kept in {location!r}, outside of the folder of the model: nothing there is read; save the "
            "model again with its weights beside it"
        )
    if not os.path.isfile(real):
        raise DataError(f"{where} is kept in {location!r}, and there is no such file beside it; copy it there")
    try:
        offset, length = int(said.get("offset", "0")), int(said.get("length", str(needed)))
    except ValueError:
        raise DataError(f"{where} says no numbers for where it is in {location!r}: it is damaged") from None
    size = os.path.getsize(real)
    if offset < 0 or length != needed or offset + length > size:
        raise DataError(
            f"{where} needs {needed:,} bytes, and is said to be {length:,} bytes from byte {offset:,} on in "
            f"{location!r}, which has {size:,}: one of the two files is damaged or not whole"
        )
    return os.path.normpath(location)


def _domain(node: Message) -> str:
    domain = node.text(7)
    return "" if domain == "ai.onnx" else domain


# --- what is refused -------------------------------------------------------------------------------------------------


def _check(path: Path) -> _Model:
    import onnx

    model = _Model.of(path)
    newest = onnx.defs.onnx_opset_version()
    if model.ir_version > onnx.IR_VERSION:
        raise _too_new(path, f"IR version {model.ir_version}", str(onnx.IR_VERSION))
    if model.ir_version < 3:
        raise DataError(f"{path}: IR version {model.ir_version} is from before ONNX 1.0; export the model again")
    opset = model.opsets.get("", model.opsets.get("ai.onnx", 1))
    if opset > newest:
        raise _too_new(path, f"opset {opset}", str(newest))
    _check_operators(model, opset)
    return model


def _too_new(path: Path, what: str, known: str) -> DataError:
    return DataError(
        f"{path}: it has {what}, and what is installed here reads up to {known}; export it with a lower one"
    )


def _check_operators(model: _Model, opset: int) -> None:
    """Refuse operators that nothing here brings: of other domains, or of a name that the opset does not have."""
    import onnx

    foreign = sorted(f"{domain}.{name}" for domain, name in model.operators if domain not in STANDARD)
    foreign = [name for name in foreign if tuple(name.rsplit(".", 1)) not in model.own]
    if foreign:
        raise DataError(
            f"{model.path}: its operators {', '.join(foreign)} come from a library of their own, which is not loaded; "
            "export the model with standard operators"
        )
    for domain, name in sorted(model.operators):
        known = domain != "" or ("", name) in model.own or onnx.defs.has(name, opset, "")
        if not known:
            raise DataError(f"{model.path}: ONNX has no operator {name!r} in opset {opset}; export the model again")


# --- signature -------------------------------------------------------------------------------------------------------


def _signature(path: Path) -> Signature:
    model = _check(path)
    # until IR version 4 weights had to be among the inputs, too
    inputs = [value for value in model.graph.all(11) if value.text(1) not in model.constants]
    outputs = list(model.graph.all(12))
    declared = {value.text(1): _declared(path, value) for value in (*inputs, *outputs)}
    if any(tensor is None for tensor in declared.values()):
        declared |= _inferred(model)
    for name, tensor in declared.items():
        if tensor is None:
            raise DataError(
                f"{path}: how many axes {name!r} has is not in the file, and does not follow from it; write its shape "
                "down when you export it"
            )
    scales = _scales(model)
    given = {name: _with_scale(tensor, scales.get(name)) for name, tensor in declared.items() if tensor is not None}
    named = [[given[value.text(1)] for value in values] for values in (inputs, outputs)]
    return checked(path, *named)


def _declared(path: Path, value: Message) -> Tensor | None:
    """An input or output as it is written down; None where its type or its number of axes is not."""
    name, kind = value.text(1), value.only(2)
    tensor = kind.only(1) if kind is not None else None
    if kind is not None and tensor is None and any(number != 6 for number, _, _ in kind.fields()):
        raise DataError(f"{path}: {name!r} is a sequence, a map or an optional; models here take and give tensors")
    shape = tensor.only(2) if tensor is not None else None
    if tensor is None or shape is None or tensor.number(1) == 0:
        return None
    return Tensor(name, _dtype(tensor.number(1)), tuple(_axis(axis) for axis in shape.all(1)))


def _axis(axis: Message) -> int | str:
    """A length, or the name of an axis of any length; exporters write 0 and −1 for that, too."""
    return length if (length := axis.number(1)) > 0 else axis.text(2) or UNKNOWN


def _dtype(kind: int) -> str:
    return TYPES.get(kind, (f"type {kind}", 0))[0]


def _inferred(model: _Model) -> dict[str, Tensor | None]:
    """Outputs as ONNX's shape inference sees them, in a copy of the model without weights."""
    import onnx

    skeleton = _skeleton(model)
    graph = onnx.shape_inference.infer_shapes(skeleton, data_prop=True).graph
    initializers = {tensor.name for tensor in graph.initializer}
    found = {}
    for value in (*graph.input, *graph.output):
        kind = value.type.tensor_type
        if value.name not in initializers and kind.elem_type and kind.HasField("shape"):
            axes = [axis.dim_value if axis.dim_value > 0 else axis.dim_param or UNKNOWN for axis in kind.shape.dim]
            found[value.name] = Tensor(value.name, _dtype(kind.elem_type), tuple(_told(axis) for axis in axes))
    return dict(found)


def _told(axis: int | str) -> int | str:
    """Names that the library itself made up, "unk__0", say nothing."""
    return UNKNOWN if isinstance(axis, str) and axis.startswith("unk__") else axis


def _skeleton(model: _Model) -> onnx.ModelProto:
    """The model with the shapes of its weights, and the numbers of small ones."""
    import onnx

    parts = [(number, value) for number, _, value in model.graph.fields() if number in (1, 11, 12, 13)]
    contents = [(number, value.content) for number, value in parts if isinstance(value, Message)]
    if sum(len(content) for _, content in contents) > MOST_GRAPH_BYTES:
        raise DataError(
            f"{model.path}: outputs have no shapes, and its graph is too large to infer them; write them down"
        )
    graph = onnx.GraphProto(name="graph")
    for number, kind in ((1, graph.node), (11, graph.input), (12, graph.output), (13, graph.value_info)):
        for found, content in contents:
            if found == number:
                kind.add().ParseFromString(bytes(content))
    for name, constant in model.constants.items():
        tensor = graph.initializer.add()
        if len(constant.message.content) <= SMALL_BYTES and constant.message.number(14) != EXTERNAL:
            tensor.ParseFromString(bytes(constant.message.content))
        tensor.name, tensor.data_type = name, constant.kind
        if not tensor.dims:
            tensor.dims.extend(constant.dims)
    skeleton = onnx.ModelProto(graph=graph, ir_version=max(model.ir_version, 4))
    for domain, version in model.opsets.items():
        skeleton.opset_import.add(domain=domain, version=version)
    for function in model.message.all(25):
        skeleton.functions.add().ParseFromString(bytes(function.content))
    return skeleton


# --- quantization ----------------------------------------------------------------------------------------------------


def _scales(model: _Model) -> dict[str, tuple[float, int]]:
    """Scale and zero point of the inputs that are dequantized first, and of the outputs that are quantized last."""
    found: dict[str, tuple[float, int]] = {}
    readers: Counter[str] = Counter()
    for node in model.graph.all(1):
        takes, gives = node.texts(1), node.texts(2)
        readers.update(takes)
        if node.text(4) not in ("DequantizeLinear", "QuantizeLinear") or len(takes) < 2:
            continue
        scale = _scalar(model.constants.get(takes[1]))
        zero_point = _scalar(model.constants.get(takes[2])) if len(takes) > 2 else 0
        if scale and zero_point is not None:
            found[takes[0] if node.text(4) == "DequantizeLinear" else gives[0]] = (float(scale), int(zero_point))
    outputs = {value.text(1) for value in model.graph.all(12)}
    return {name: scale for name, scale in found.items() if name in outputs or readers[name] == 1}


def _with_scale(tensor: Tensor, scale: tuple[float, int] | None) -> Tensor:
    if scale is None or not tensor.dtype.removeprefix("u").startswith("int"):
        return tensor
    return Tensor(tensor.name, tensor.dtype, tensor.shape, *scale)


def _scalar(constant: _Constant | None) -> float | int | None:
    """The number of a constant that has one; None for others."""
    if constant is None or constant.count != 1 or constant.message.number(14) == EXTERNAL:
        return None
    letter = {1: "f", 2: "B", 3: "b", 4: "H", 5: "h", 6: "i", 10: "e", 11: "d"}.get(constant.kind)
    raw = constant.message.only(9)
    if letter is None:
        return None
    if raw is not None:
        number: float | int = struct.unpack("<" + letter, raw.content)[0]
        return number
    typed: dict[int, Any] = {}
    for field_number, kind, value in constant.message.fields():
        if field_number in (4, 10) and isinstance(value, Message):
            typed[0] = struct.unpack("<f" if field_number == 4 else "<d", value.content)[0]
        elif field_number == 5 and kind != FIXED64:
            typed[0] = constant.message.numbers(5)[0]
    return typed.get(0)


def _quantized(model: _Model) -> str:
    names = {name for _, name in model.operators}
    for name, words in WEIGHTS_ONLY.items():
        if name in names:
            return words
    stored = {TYPES[c.kind][0] for c in model.constants.values() if c.count > 1}
    weights = next((f"{kind} weights" for kind in ("int4", "uint4", "int8", "uint8") if kind in stored), "int8 weights")
    if names.intersection(INTEGER) or names.intersection(QUANTIZING):
        dynamic = "DynamicQuantizeLinear" in names
        return f"{weights.replace('uint', 'int')} and activations" + (", quantized at run time" if dynamic else "")
    if "DequantizeLinear" in names:
        return weights.replace("uint", "int")
    numbers: Counter[str] = Counter()
    for constant in model.constants.values():
        numbers[TYPES[constant.kind][0]] += constant.count
    return "float16" if numbers["float16"] > numbers["float32"] else ""


plugin = Format(
    id="onnx",
    description="ONNX",
    suffixes=(".onnx",),
    toolchain="edge",
    recognizes=recognizes,
    check=check,
    signature=signature,
    quantized=quantized,
    backend=Path(__file__).parent.parent / "runners" / "onnxruntime_backend.py",
    files=files,
)
