"""TFLite files: FlatBuffers with the graph and its weights. Numbers of fields are those of TFLite's schema.fbs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeflow.errors import DataError
from edgeflow.formats.contained import contained
from edgeflow.formats.flatbuffer import Buffer, Table
from edgeflow.formats.signatures import UNKNOWN, checked
from edgeflow.plugin import Format
from edgeflow.types.signatures import Signature, Tensor

MAGIC = b"TFL3"
TYPES = {  # TensorType → name, and bits of one number (0: of any length)
    **{0: ("float32", 32), 1: ("float16", 16), 2: ("int32", 32), 3: ("uint8", 8), 4: ("int64", 64), 5: ("text", 0)},
    **{6: ("bool", 8), 7: ("int16", 16), 8: ("complex64", 64), 9: ("int8", 8), 10: ("float64", 64)},
    **{11: ("complex128", 128), 12: ("uint64", 64), 13: ("a resource", 0), 14: ("a variant", 0), 15: ("uint32", 32)},
    **{16: ("uint16", 16), 17: ("int4", 4), 18: ("bfloat16", 16), 19: ("int2", 2), 20: ("uint4", 4)},
    **{21: ("float8", 8), 22: ("float8", 8)},
}
INTEGERS = ("int8", "uint8", "int16", "int4", "uint4", "int2", "int32", "int64")
WEIGHTS = ("int2", "int4", "int8", "uint8")  # that quantizers make
CUSTOM, NEWEST = 32, 209  # BuiltinOperator
BROUGHT = ("TFLite_Detection_PostProcess", "Mfcc", "AudioSpectrogram", "NumericVerify")  # by every LiteRT
FLEX = "Flex"  # what TensorFlow's own operators begin with
ACCELERATORS = {"ethos-u": "Arm's vela", "edgetpu-custom-op": "Google's Edge TPU compiler"}


def recognizes(path: Path) -> bool:
    """Whether a file has the mark of TFLite models, whatever it is called."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(8)[4:] == MAGIC


def check(path: Path) -> None:
    """Refuse a file that is damaged, keeps weights elsewhere, or needs operators that are not in LiteRT."""
    contained(str, lambda file: _Model(file).path.name, path)


def signature(path: Path) -> Signature:
    """Inputs and outputs of the first graph: by the names of its signature where it has one, else of its tensors."""
    return contained(Signature, lambda file: _Model(file).signature(), path)


def quantized(path: Path) -> str:
    """What its numbers are, where they are not float32: "int8 weights and activations", "float16 weights"; else ""."""
    return contained(str, lambda file: _Model(file).quantized(), path)


@dataclass(frozen=True)
class _Tensor:
    name: str
    kind: str
    shape: tuple[int, ...]  # −1: of any length
    constant: bool
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]

    def described(self, name: str) -> Tensor:
        """As the signature has it; only integers with one scale for all have one there."""
        axes = tuple(UNKNOWN if axis < 0 else axis for axis in self.shape)
        if self.kind not in INTEGERS or len(self.scales) != 1 or self.scales[0] <= 0:
            return Tensor(name, self.kind, axes)
        return Tensor(name, self.kind, axes, self.scales[0], self.zero_points[0] if self.zero_points else 0)


class _Model:
    """A whole file, looked through; what cannot be is refused on the way."""

    def __init__(self, path: Path) -> None:
        buffer = Buffer(path)
        if bytes(buffer.content[4:8]) != MAGIC:
            raise buffer.damaged("it does not have the mark of a TFLite file")
        self.path = path
        self._damaged = buffer.damaged
        self._model = buffer.root()
        if self._model.length(8, 4) or self._model.length(9, 4):
            raise DataError(f"{path}: its weights are in other files; write it with its weights inside")
        self._operators = [self._operator(code) for code in self._model.tables(1)]
        self._buffers = [self._bytes_of(one, buffer.size) for one in self._model.tables(4)]
        graphs = list(self._model.tables(2))
        if not graphs:
            raise self._damaged("it has no graph")
        everything = [self._graph(graph) for graph in graphs]
        self._tensors, self._inputs, self._outputs = everything[0]

    def _operator(self, code: Table) -> str:
        """The custom name of an operator, "" of one that the format has; DataError for one that LiteRT has not."""
        number = max(code.number(0, "b"), code.number(3, "i"))  # old files have the first only
        name = code.text(1)
        if number != CUSTOM:
            if not 0 <= number <= NEWEST:
                raise DataError(f"{self.path}: operator number {number} is not known here: is the file newer?")
            return ""
        if name in BROUGHT:
            return name
        if tool := ACCELERATORS.get(name):
            raise DataError(
                f"{self.path}: it was compiled for an accelerator by {tool}; bring what it was compiled from"
            )
        if name.startswith(FLEX):
            raise DataError(
                f"{self.path}: operator {name.removeprefix(FLEX)!r} is TensorFlow's own, which LiteRT does not have; "
                "convert the model again with TFLITE_BUILTINS alone"
            )
        raise DataError(
            f"{self.path}: operator {name!r} comes from a library of its own, which is not loaded; convert the model "
            "again with the operators of LiteRT"
        )

    def _bytes_of(self, table: Table, size: int) -> int:
        """How many bytes a buffer has, which may lie behind the rest of the file."""
        offset, length = table.number(1, "Q"), table.number(2, "Q")
        if offset > 1:  # 0 and 1 mean that there is none
            if offset + length > size:
                raise self._damaged(f"weights from byte {offset:,} on, {length:,} bytes, in a file of {size:,}")
            return length
        return table.length(0, 1)

    def _graph(self, graph: Table) -> tuple[list[_Tensor], list[int], list[int]]:
        tensors = [self._tensor(one) for one in graph.tables(0)]
        inputs, outputs = ([self._index(i, tensors) for i in graph.numbers(field, "i")] for field in (1, 2))
        for operator in graph.tables(3):
            if operator.number(0, "I") >= len(self._operators):
                raise self._damaged("an operator of a kind that is not in its list")
            for i in (*operator.numbers(1, "i"), *operator.numbers(2, "i")):
                if i != -1:  # an input that is left out
                    self._index(i, tensors)
        return tensors, inputs, outputs

    def _index(self, i: int, tensors: Sequence[_Tensor]) -> int:
        if not 0 <= i < len(tensors):
            raise self._damaged(f"tensor {i} of {len(tensors)}")
        return i

    def _tensor(self, table: Table) -> _Tensor:
        number, name = table.number(1, "b"), table.text(3)
        if number not in TYPES:
            raise DataError(f"{self.path}: tensor {name!r} is of type {number}, which is not known here")
        kind, bits = TYPES[number]
        fixed, shape = table.numbers(0, "i"), table.numbers(7, "i")
        if any(axis < 0 for axis in fixed) or any(axis < -1 for axis in shape) or table.number(10, "I"):
            raise self._damaged(f"tensor {name!r} has the shape {fixed}")
        at = table.number(2, "I")
        if at >= len(self._buffers):
            raise self._damaged(f"tensor {name!r} is in buffer {at} of {len(self._buffers)}")
        held = self._buffers[at]
        if held and bits and not table.has(6) and held != (needed := (math.prod(fixed) * bits + 7) // 8):
            raise self._damaged(f"tensor {name!r} has {held:,} bytes where its shape asks for {needed:,}")
        scaling = table.table(4)
        scales, zeros = (scaling.reals(2), scaling.numbers(3, "q")) if scaling else ([], [])
        axes = tuple(shape if len(shape) == len(fixed) else fixed)
        return _Tensor(name, kind, axes, held > 0, tuple(scales), tuple(zeros))

    def signature(self) -> Signature:
        inputs, outputs = (
            [self._tensors[i].described(name) for i, name in zip(order, names, strict=True)]
            for order, names in zip((self._inputs, self._outputs), self._names(), strict=True)
        )
        return checked(self.path, inputs, outputs)

    def _names(self) -> tuple[list[str], list[str]]:
        """Of inputs and outputs: as the first signature has them that is of this graph, else as their tensors.

        Runners find them in the same way.
        """
        for one in self._model.tables(7):
            inputs, outputs = (dict(self._named(one.tables(field))) for field in (0, 1))
            if one.number(4, "I") == 0 and {*inputs} == {*self._inputs} and {*outputs} == {*self._outputs}:
                return [inputs[i] for i in self._inputs], [outputs[i] for i in self._outputs]
        return self._distinct(self._inputs), self._distinct(self._outputs)

    def _distinct(self, order: Sequence[int]) -> list[str]:
        """Where a name is there twice, or is none, the place follows it."""
        names = [self._tensors[i].name for i in order]
        return [name if name and names.count(name) == 1 else f"{name}:{i}" for i, name in enumerate(names)]

    def _named(self, entries: Iterator[Table]) -> Iterator[tuple[int, str]]:
        for entry in entries:
            yield self._index(entry.number(1, "I"), self._tensors), entry.text(0)

    def quantized(self) -> str:
        weights = {t.kind for t in self._tensors if t.constant and t.scales and math.prod(t.shape) > 1}
        if halves := self._numbers("float16"):
            return "float16 weights" if halves > self._numbers("float32") else ""
        integer = next((kind for kind in WEIGHTS if kind in weights), "")
        between = Counter(t.kind for t in self._tensors if not t.constant and (t.scales or t.kind == "float32"))
        kind = between.most_common(1)[0][0] if between else "float32"
        if not integer or kind == "float32":
            return f"{integer} weights" if integer else ""
        return f"{integer} weights and activations" if kind == integer else f"{integer} weights, {kind} activations"

    def _numbers(self, kind: str) -> int:
        return sum(math.prod(t.shape) for t in self._tensors if t.constant and t.kind == kind)


plugin = Format(
    id="tflite",
    description="TensorFlow Lite",
    suffixes=(".tflite",),
    toolchain="edge",
    recognizes=recognizes,
    check=check,
    signature=signature,
    quantized=quantized,
    backend=Path(__file__).parent.parent / "runners" / "litert_backend.py",
)
