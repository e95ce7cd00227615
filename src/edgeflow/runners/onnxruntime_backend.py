"""Runner backend for ONNX Runtime: standard library, numpy and onnxruntime only (see harness.py)."""

from __future__ import annotations

import json
import mmap
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as errors

if TYPE_CHECKING:
    from edgeflow.runners.harness import Answers, Array, RefusedError, decode, encode
else:
    try:
        from harness import RefusedError, decode, encode  # beside this file on a device
    except ImportError:
        from edgeflow.runners.harness import RefusedError, decode, encode

PROVIDERS = ["CPUExecutionProvider"]
BATCH = 16  # measured on the default models: more is not faster, and takes more memory
# Of larger samples what is between layers fills the caches: MobileNetV2 takes a third longer for 16 of 3×224×224
# together than one by one.
BATCH_BYTES = 512 * 2**10
# Part of the name of every operator that takes one range for the whole batch. Names stand in a file as they are.
AT_RUN_TIME = b"DynamicQuantize"
DTYPES = {  # as ONNX Runtime calls them → as numpy does
    **{"float": "float32", "double": "float64", "float16": "float16", "bool": "bool"},
    **{name: name for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")},
}
REFUSALS = (errors.Fail, errors.InvalidArgument, errors.InvalidGraph, errors.NotImplemented, errors.RuntimeException)


class Session:
    """One program, ready to run on the CPU."""

    def __init__(self, program: str, threads: int) -> None:
        self._program = program
        self._session = _load(program, _options(program, threads))
        sides = self._session.get_inputs(), self._session.get_outputs()
        self._inputs, self._outputs = ([_tensor(program, tensor) for tensor in side] for side in sides)
        _set_scales(program, self._inputs, self._outputs)
        self._answered = [tensor["name"] for tensor in self._outputs]

    @property
    def batch(self) -> int:
        """Samples at once, where the batch is free: models before they are compiled; programs are asked one by one.

        A model that quantizes at run time takes one range for the whole batch, so in a batch a sample's answer would
        depend on the others (measured: by 3 to 5 % of the range). Other answers are the same bit by bit but for
        16-bit activations, where kernels may round a tie apart (2e-5 of the range).
        """
        if AT_RUN_TIME in Path(self._program).read_bytes():
            return 1
        return min(max(BATCH_BYTES // max(sum(map(_sample_bytes, self._inputs)), 1), 1), BATCH)

    def signature(self) -> dict[str, Any]:
        """Names, types and shapes; quantized programs take and give floats too, unless they were quantized elsewhere.

        Integers of 8 and 16 bits that are dequantized first, or were quantized last, have that scale; others are what
        they say.
        """
        return {"inputs": self._inputs, "outputs": self._outputs}

    def encode(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """Real values in the types of the inputs."""
        return encode(feed, self._inputs)

    def invoke(self, native: dict[str, Array]) -> list[Array]:
        """All outputs, in the order of the signature."""
        try:
            raw: list[Array] = self._session.run(self._answered, native)
        except REFUSALS as error:
            name = f"ONNX Runtime {onnxruntime.__version__}"
            raise RefusedError(f"{self._program}: {name} cannot run it: {error}") from error
        return raw

    def decode(self, raw: list[Array]) -> Answers:
        """Real values by the names of the outputs."""
        return decode(dict(zip(self._answered, raw, strict=True)), self._outputs)

    def arena_bytes(self) -> None:
        """Unknown to the runtime."""
        return

    def operators(self) -> list[dict[str, Any]]:
        """What ran in one profiled inference: the graph as it is after the optimisations at start-up."""
        with tempfile.TemporaryDirectory() as folder:
            options = _options(self._program, threads=1)
            options.enable_profiling = True
            options.profile_file_prefix = os.path.join(folder, "profile")
            session = _load(self._program, options)
            session.run(self._answered, {tensor["name"]: _zeros(tensor) for tensor in self._inputs})
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        ran = Counter(
            (event["args"]["op_name"], event["args"]["provider"])
            for event in events
            if event["cat"] == "Node" and event["name"].endswith("_kernel_time")
        )
        return [
            {"operator": operator, "count": count, "placement": provider}
            for (operator, provider), count in sorted(ran.items())
        ]

    @staticmethod
    def versions() -> dict[str, str]:
        """The runtime's version."""
        return {"onnxruntime": onnxruntime.__version__}


def operators_in(program: str) -> dict[str, int]:
    """Operator name → how many nodes the file's graph has.

    ONNX Runtime tells what it runs, not what it read, and the onnx package may be absent from a device: so this walks
    the file, whose format is protocol buffers. Numbers of fields are those of onnx.proto.
    """
    with open(program, "rb") as stream:  # mapped: of weights nothing is read
        content = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    graphs, nodes, kind = 7, 1, 4  # ModelProto.graph, GraphProto.node, NodeProto.op_type
    every_node = (node for graph in _fields(content, graphs) for node in _fields(graph, nodes))
    return Counter(bytes(next(_fields(node, kind))).decode() for node in every_node)


def _fields(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """The contents of a message's field of that number: strings and messages."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        size = {1: 8, 5: 4}.get(key & 7, 0)
        if key & 7 in (0, 2):  # a number stands here itself, of other contents their size
            value, at = _varint(message, at)
            size = value if key & 7 == 2 else 0
        if key & 7 == 2 and key >> 3 == wanted:
            yield message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at


def _set_scales(program: str, *sides: list[dict[str, Any]]) -> None:
    """Say the scales of inputs that nothing but a DequantizeLinear reads, and of outputs that a QuantizeLinear gives.

    Numbers of fields are those of onnx.proto, as in `operators_in`.
    """
    inputs, outputs = (
        {t["name"]: t for t in side if t["dtype"] in ("int8", "uint8", "int16", "uint16")} for side in sides
    )
    if not inputs and not outputs:
        return
    with open(program, "rb") as stream:
        content = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    *_, graph = _fields(content, 7)
    constants = {_text(tensor, 8): tensor for tensor in _fields(graph, 5)}
    nodes = [(_text(node, 4), _texts(node, 1), _texts(node, 2)) for node in _fields(graph, 1)]
    readers = Counter(name for _, takes, _ in nodes for name in takes)
    for kind, takes, gives in nodes:
        tensor = None
        if kind == "DequantizeLinear" and readers[takes[0]] == 1:
            tensor = inputs.get(takes[0])
        elif kind == "QuantizeLinear":
            tensor = outputs.get(gives[0])
        numbers = [_number(constants.get(name)) for name in takes[1:3]]
        if tensor is not None and numbers and None not in numbers:
            scale, zero_point = (*numbers, 0)[:2]
            tensor["scale"], tensor["zero_point"] = float(scale or 0), int(zero_point or 0)


def _texts(message: memoryview, wanted: int) -> list[str]:
    return [bytes(field).decode() for field in _fields(message, wanted)]


def _text(message: memoryview, wanted: int) -> str:
    return "".join(_texts(message, wanted)[-1:])


def _number(tensor: memoryview | None) -> float | int | None:
    """The number of a tensor that has one; None for any other."""
    if tensor is None:
        return None
    types = {1: "<f4", 2: "u1", 3: "i1", 4: "<u2", 5: "<i2"}  # TensorProto.DataType
    dtype = types.get(next(_numbers(tensor, 2), 0))
    stored = [bytes(field) for number in (9, 4) for field in _fields(tensor, number)]  # raw_data, float_data
    if dtype is None:
        return None
    if stored:
        values = np.frombuffer(stored[0], dtype) if len(stored[0]) % np.dtype(dtype).itemsize == 0 else np.empty(0)
    else:
        values = np.array([*_numbers(tensor, 5)], np.uint64).astype(np.int64)  # int32_data
    return values[0].item() if len(values) == 1 else None


def _numbers(message: memoryview, wanted: int) -> Iterator[int]:
    """The numbers of a message's field of that number, packed or not."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        size = {1: 8, 5: 4}.get(key & 7, 0)
        if key & 7 in (0, 2):
            value, at = _varint(message, at)
            size = value if key & 7 == 2 else 0
            if key == wanted << 3:
                yield value
        if key == wanted << 3 | 2:
            end = at + size
            while at < end:
                value, at = _varint(message, at)
                yield value
        else:
            at += size


def _weights_alone_are_quantized(program: str) -> bool:
    try:
        counts = operators_in(program)
    except (IndexError, ValueError):  # no ONNX file: ONNX Runtime says so
        return False
    return counts.get("DequantizeLinear", 0) > 0 and counts.get("QuantizeLinear", 0) == 0


def _options(program: str, threads: int) -> onnxruntime.SessionOptions:
    """Operators one after the other, each on up to `threads` threads."""
    options = onnxruntime.SessionOptions()
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    if _weights_alone_are_quantized(program):
        # By default weights are dequantized at each inference, in case an integer kernel wants them: here none does.
        # With this they are when the program is loaded (measured: half to a fourth of the time, the same answers).
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    return options


def _sample_bytes(tensor: Mapping[str, Any]) -> int:
    """Of one sample, axes of any length counted as 1."""
    known = [size for size in tensor["shape"] if not isinstance(size, str)]
    return int(np.dtype(tensor["dtype"]).itemsize * np.prod(known, dtype=np.int64))


def _load(program: str, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(program, options, providers=PROVIDERS)
    except errors.InvalidProtobuf as error:
        raise ValueError(f"{program}: ONNX Runtime {onnxruntime.__version__} cannot load it: {error}") from error
    except REFUSALS as error:
        raise RefusedError(f"{program}: ONNX Runtime {onnxruntime.__version__} cannot load it: {error}") from error


def _tensor(program: str, tensor: Any) -> dict[str, Any]:
    """An input or output; ValueError where it is no array of numbers."""
    kind = re.fullmatch(r"tensor\((\w+)\)", tensor.type)
    dtype = DTYPES.get(kind[1]) if kind else None
    if dtype is None:
        raise ValueError(f"{program}: {tensor.name} is a {tensor.type}; expected a tensor of {', '.join(DTYPES)}")
    shape = [axis if axis is not None else "?" for axis in tensor.shape]
    return {"name": tensor.name, "dtype": dtype, "shape": shape, "scale": None, "zero_point": None}


def _zeros(tensor: Mapping[str, Any]) -> Array:
    return np.zeros([1 if isinstance(axis, str) else axis for axis in tensor["shape"]], tensor["dtype"])
