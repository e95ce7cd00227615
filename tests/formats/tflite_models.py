"""TFLite files, sound and hostile, with the schema that LiteRT brings: tflite_models.py FOLDER."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

RANDOM = np.random.default_rng(5)
FLOAT, INT8, INT64, UINT8 = (getattr(schema.TensorType, name) for name in ("FLOAT32", "INT8", "INT64", "UINT8"))


def tensor(name: str, kind: int, shape: list[int], buffer: int = 0, scale: float | None = None, zero: int = 0) -> Any:
    """An activation, or a constant where it has a buffer; −1 is an axis of any length."""
    made = schema.TensorT()
    made.name, made.type, made.buffer = name.encode(), kind, buffer
    made.shape = np.array([max(axis, 1) for axis in shape], np.int32)
    if -1 in shape:
        made.shapeSignature = np.array(shape, np.int32)
    if scale is not None:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = np.array([scale], np.float32)
        made.quantization.zeroPoint = np.array([zero], np.int64)
    return made


def model(tensors: list[Any], nodes: list[tuple[int, list[int], list[int]]], sides: list[list[int]], *data: Any) -> Any:
    """One graph; `data` are the buffers from 1 on, nodes (operator, inputs, outputs)."""
    made = schema.ModelT()
    made.version = 3
    made.buffers = [schema.BufferT() for _ in range(len(data) + 1)]
    for buffer, values in zip(made.buffers[1:], data, strict=True):
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    made.operatorCodes = [_code(kind) for kind, _, _ in nodes]
    graph = schema.SubGraphT()
    graph.tensors = tensors
    graph.inputs, graph.outputs = (np.array(side, np.int32) for side in sides)
    graph.operators = [_operator(i, *node[1:]) for i, node in enumerate(nodes)]
    made.subgraphs = [graph]
    return made


def _code(kind: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = kind, min(kind, 127), 1
    return code


def _operator(code: int, inputs: list[int], outputs: list[int]) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = code
    operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    return operator


def signature(made: Any, inputs: dict[str, int], outputs: dict[str, int], key: str = "serving_default") -> Any:
    """Give a model names for its inputs and outputs."""
    named = schema.SignatureDefT()
    named.signatureKey, named.subgraphIndex = key.encode(), 0
    named.inputs, named.outputs = ([_map(*entry) for entry in side.items()] for side in (inputs, outputs))
    made.signatureDefs = [*(made.signatureDefs or []), named]
    return made


def _map(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), index
    return entry


def write(path: Path, made: Any) -> None:
    """Write a model."""
    path.write_bytes(flatbuffer_utils.convert_object_to_bytearray(made))


WEIGHTS = RANDOM.standard_normal((4, 8), dtype=np.float32)
FULLY_CONNECTED = schema.BuiltinOperator.FULLY_CONNECTED


def dense(shape: tuple[int, int] = (1, 8)) -> Any:
    """float32 [1, 8] → [1, 4]."""
    tensors = [tensor("x", FLOAT, [*shape]), tensor("w", FLOAT, [4, 8], 1), tensor("y", FLOAT, [shape[0], 4])]
    return model(tensors, [(FULLY_CONNECTED, [0, 1, -1], [2])], [[0], [2]], WEIGHTS)


def two() -> Any:
    """uint8 and int64 in, two out, with signature names that sort against the order."""
    cast, dequantize = schema.BuiltinOperator.CAST, schema.BuiltinOperator.DEQUANTIZE
    tensors = [
        tensor("serving_default_words:0", INT64, [1, 6]),
        tensor("serving_default_image:0", UINT8, [1, 4, 4, 3], scale=1 / 255),
        tensor("StatefulPartitionedCall:1", FLOAT, [1, 6]),
        tensor("StatefulPartitionedCall:0", FLOAT, [1, 4, 4, 3]),
    ]
    made = model(tensors, [(cast, [0], [2]), (dequantize, [1], [3])], [[0, 1], [2, 3]])
    return signature(made, {"image": 1, "words": 0}, {"alpha": 3, "zeta": 2})


def integer() -> Any:
    """int8 [1, 8] → [1, 4]."""
    tensors = [
        tensor("x", INT8, [1, 8], scale=0.5, zero=-3),
        tensor("w", INT8, [4, 8], 1, scale=0.01),
        tensor("y", INT8, [1, 4], scale=0.25, zero=7),
    ]
    weights = RANDOM.integers(-100, 100, (4, 8), dtype=np.int8)
    return model(tensors, [(FULLY_CONNECTED, [0, 1, -1], [2])], [[0], [2]], weights)


def sound(folder: Path) -> None:
    """Files that can be read."""
    write(folder / "dense.tflite", dense())
    write(folder / "dynamic.tflite", dense((-1, 8)))
    write(folder / "two.tflite", two())
    write(folder / "int8.tflite", integer())


def hostile(folder: Path) -> None:
    """Files that must be refused."""

    def changed(name: str, change: Callable[[Any], Any]) -> None:
        made = two() if name.startswith("signature") else dense()
        change(made)
        write(folder / f"{name}.tflite", made)

    def custom(name: str) -> Callable[[Any], None]:
        def change(made: Any) -> None:
            made.operatorCodes[0].builtinCode = made.operatorCodes[0].deprecatedBuiltinCode = 32
            made.operatorCodes[0].customCode = name.encode()

        return change

    def elsewhere(made: Any) -> None:
        group = schema.ExternalBufferGroupT()
        group.name = b"../secret.bin"
        made.externalBufferGroups = [group]

    def behind(made: Any) -> None:
        made.buffers[1].data = None
        made.buffers[1].offset, made.buffers[1].size = 2**40, 128

    changed("flex", custom("FlexReadFile"))
    changed("custom", custom("Spy"))
    changed("accelerator", custom("ethos-u"))
    changed("new_operator", lambda made: setattr(made.operatorCodes[0], "builtinCode", 4000))
    changed("elsewhere", elsewhere)
    changed("behind", behind)
    changed("no_graph", lambda made: setattr(made, "subgraphs", []))
    changed("huge", lambda made: setattr(made.subgraphs[0].tensors[1], "shape", np.array([2**30, 2**30], np.int32)))
    changed("huge_input", lambda made: setattr(made.subgraphs[0].tensors[0], "shape", np.full(4, 2**30, np.int32)))
    changed("below", lambda made: setattr(made.subgraphs[0].tensors[0], "shape", np.array([-7, 8], np.int32)))
    changed("buffer", lambda made: setattr(made.subgraphs[0].tensors[1], "buffer", 9))
    changed("tensor", lambda made: setattr(made.subgraphs[0].operators[0], "inputs", np.array([0, 77], np.int32)))
    changed("input", lambda made: setattr(made.subgraphs[0], "inputs", np.array([-5], np.int32)))
    changed("opcode", lambda made: setattr(made.subgraphs[0].operators[0], "opcodeIndex", 3))
    changed("signature_index", lambda made: setattr(made.signatureDefs[0].inputs[0], "tensorIndex", 50))
    changed("type", lambda made: setattr(made.subgraphs[0].tensors[0], "type", 99))

    content = (folder / "buffer.tflite").read_bytes()
    (folder / "tiny.tflite").write_bytes(content[:8])
    (folder / "root.tflite").write_bytes(struct.pack("<I", 2**31) + content[4:])
    (folder / "other.tflite").write_bytes(content[:4] + b"JUNK" + content[8:])
    (folder / "many.tflite").write_bytes(_many(40_000_000))


def _many(tensors: int) -> bytes:
    """A graph that says it has so many tensors, all of them the same bytes."""
    # root → Model with field 2 → vector of one SubGraph with field 0 → vector of offsets to one table
    model_vtable = struct.pack("<HHHHH", 10, 8, 0, 0, 4)
    head = struct.pack("<I4s", 20, b"TFL3") + model_vtable + bytes(2)
    root = struct.pack("<iI", 20 - 8, 4)  # the table, and where its list of graphs is
    graphs = struct.pack("<II", 1, 4 + 8)
    graph = struct.pack("<HHHH", 6, 8, 4, 0) + struct.pack("<iI", 8, 4)
    vector = struct.pack("<I", tensors)
    return head + root + graphs + graph + vector + struct.pack("<I", 4) * tensors


if __name__ == "__main__":
    root = Path(sys.argv[1])
    for make in (sound, hostile):
        (root / make.__name__).mkdir()
        make(root / make.__name__)
