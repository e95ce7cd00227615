"""ONNX files, sound and hostile, with the onnx package: onnx_models.py FOLDER."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 21
RANDOM = np.random.default_rng(5)
WEIGHTS = numpy_helper.from_array(RANDOM.standard_normal((50, 8), dtype=np.float32), "table")


def several(declared: bool = True) -> onnx.ModelProto:
    """uint8 [batch, 4, 8] and int64 [batch, length] → three outputs; names sort against their order."""
    shapes = (["batch", "length", 8], ["batch", 8], ["batch", 4, 8]) if declared else (None, None, None)
    nodes = [
        helper.make_node("Gather", ["table", "words"], ["zeta"]),
        helper.make_node("ReduceSum", ["zeta", "axes"], ["mid"], keepdims=0),
        helper.make_node("Cast", ["image"], ["alpha"], to=TensorProto.FLOAT),
    ]
    return _model(
        nodes,
        [("words", TensorProto.INT64, ["batch", "length"]), ("image", TensorProto.UINT8, ["batch", 4, 8])],
        [(name, TensorProto.FLOAT, shape) for name, shape in zip(("zeta", "mid", "alpha"), shapes, strict=True)],
        [WEIGHTS, numpy_helper.from_array(np.array([1], np.int64), "axes")],
    )


def integer() -> onnx.ModelProto:
    """int8 in and out, with a scale each, as converters from TFLite write it."""
    constants = {
        "in_scale": np.array(0.5, np.float32),
        "in_zero": np.array(-3, np.int8),
        "out_scale": np.array([0.25], np.float32),
        "out_zero": np.array([7], np.int8),
        "weights": RANDOM.integers(-100, 100, (8, 8), dtype=np.int8),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "in_scale", "in_zero"], ["real"]),
        helper.make_node("DequantizeLinear", ["weights", "in_scale"], ["real_weights"]),
        helper.make_node("MatMul", ["real", "real_weights"], ["product"]),
        helper.make_node("QuantizeLinear", ["product", "out_scale", "out_zero"], ["y"]),
    ]
    sides = [("x", TensorProto.INT8, [1, 8])], [("y", TensorProto.INT8, [1, 8])]
    return _model(nodes, *sides, [numpy_helper.from_array(value, name) for name, value in constants.items()])


def half() -> onnx.ModelProto:
    """float16 throughout."""
    weights = numpy_helper.from_array(RANDOM.standard_normal((8, 3)).astype(np.float16), "weights")
    sides = [("x", TensorProto.FLOAT16, [None, 8])], [("y", TensorProto.FLOAT16, [None, 3])]
    return _model([helper.make_node("MatMul", ["x", "weights"], ["y"])], *sides, [weights])


def branching() -> onnx.ModelProto:
    """A subgraph in each branch, one of which has a constant of its own."""
    then = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.ones(4, np.float32)))],
        "then",
        [],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [4])],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["d"])],
        "else",
        [],
        [helper.make_tensor_value_info("d", TensorProto.FLOAT, [4])],
    )
    node = helper.make_node("If", ["flag"], ["y"], then_branch=then, else_branch=other)
    inputs = [("flag", TensorProto.BOOL, []), ("x", TensorProto.FLOAT, [4])]
    return _model([node], inputs, [("y", TensorProto.FLOAT, [4])], [])


def plain(weights: onnx.TensorProto = WEIGHTS, nodes: list[onnx.NodeProto] | None = None) -> onnx.ModelProto:
    """One product."""
    nodes = nodes or [helper.make_node("MatMul", ["x", weights.name], ["y"])]
    return _model(nodes, [("x", TensorProto.FLOAT, ["n", 50])], [("y", TensorProto.FLOAT, ["n", 8])], [weights])


def with_own_functions(domain: str) -> onnx.ModelProto:
    """An operator of another domain, that the file defines."""
    model = plain(nodes=[helper.make_node("Product", ["x", "table"], ["y"], domain="acme")])
    body = [helper.make_node("MatMul", ["a", "b"], ["c"])]
    function = helper.make_function(
        domain, "Product", ["a", "b"], ["c"], body, [helper.make_opsetid("", OPSET)], attributes=[]
    )
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("acme", 1))
    return model


def _model(
    nodes: list[onnx.NodeProto], inputs: list[Any], outputs: list[Any], constants: list[onnx.TensorProto]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def external(folder: Path, name: str, **said: str) -> None:
    """A model whose weights are said to be elsewhere."""
    tensor = onnx.TensorProto(name="table", data_type=TensorProto.FLOAT, dims=[50, 8], data_location=1)
    for key, value in said.items():
        tensor.external_data.add(key=key, value=value)
    onnx.save(plain(tensor), folder / name)


def sound(folder: Path) -> None:
    """Files that can be read."""
    onnx.save(several(), folder / "several.onnx")
    onnx.save(several(declared=False), folder / "undeclared.onnx")
    onnx.save(integer(), folder / "int8.onnx")
    onnx.save(half(), folder / "half.onnx")
    onnx.save(branching(), folder / "branching.onnx")
    onnx.save(with_own_functions("acme"), folder / "functions.onnx")
    old = plain()
    old.ir_version = 3
    old.graph.input.append(helper.make_tensor_value_info("table", TensorProto.FLOAT, [50, 8]))
    del old.opset_import[:]
    old.opset_import.append(helper.make_opsetid("", 9))
    onnx.save(old, folder / "old.onnx")
    (folder / "weights").mkdir()
    (folder / "weights" / "w.bin").write_bytes(bytes(64) + WEIGHTS.raw_data)
    external(folder, "external.onnx", location="weights/w.bin", offset="64", length="1600")


def hostile(folder: Path) -> None:
    """Files that must be refused."""
    (folder.parent / "secret.bin").write_bytes(WEIGHTS.raw_data)
    (folder / "link.bin").symlink_to(folder.parent / "secret.bin")
    (folder / "short.bin").write_bytes(WEIGHTS.raw_data[:-1])
    external(folder, "above.onnx", location="../secret.bin")
    external(folder, "absolute.onnx", location=str(folder.parent / "secret.bin"))
    external(folder, "link.onnx", location="link.bin")
    external(folder, "no_location.onnx")
    external(folder, "missing.onnx", location="gone.bin")
    external(folder, "short.onnx", location="short.bin")
    external(folder, "negative.onnx", location="short.bin", offset="-8", length="1600")
    external(folder, "huge_length.onnx", location="short.bin", offset="0", length=str(2**62))
    external(folder, "no_number.onnx", location="short.bin", offset="0x10")
    inside = branching()
    branch = next(a.g for a in inside.graph.node[0].attribute if a.name == "then_branch")
    constant = branch.node[0].attribute[0].t
    constant.ClearField("raw_data")
    constant.data_location = 1
    constant.external_data.add(key="location", value="/etc/passwd")
    onnx.save(inside, folder / "inside_a_branch.onnx")

    onnx.save(plain(nodes=[helper.make_node("Spy", ["x"], ["y"], domain="acme")]), folder / "custom.onnx")
    onnx.save(with_own_functions("other"), folder / "not_its_function.onnx")
    onnx.save(plain(nodes=[helper.make_node("Exfiltrate", ["x"], ["y"])]), folder / "unknown.onnx")
    for name, change in {"new_ir": {"ir_version": 99}, "old_ir": {"ir_version": 1}}.items():
        model = plain()
        model.ir_version = change["ir_version"]
        onnx.save(model, folder / f"{name}.onnx")
    new = plain()
    new.opset_import[0].version = 99
    onnx.save(new, folder / "new_opset.onnx")
    huge = onnx.TensorProto(name="table", data_type=TensorProto.FLOAT, dims=[2**31, 2**31])
    onnx.save(plain(huge), folder / "huge.onnx")
    wrapped = onnx.TensorProto(name="table", data_type=TensorProto.FLOAT, dims=[2**32, 2**32], raw_data=b"")
    onnx.save(plain(wrapped), folder / "wraps_to_nothing.onnx")
    below = onnx.TensorProto(name="table", data_type=TensorProto.FLOAT, dims=[-1, -8], raw_data=bytes(32))
    onnx.save(plain(below), folder / "below.onnx")
    feeds = plain()
    feeds.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, [2**31, 2**31]))
    onnx.save(feeds, folder / "huge_input.onnx")
    sequence = plain()
    sequence.graph.input[0].CopyFrom(
        helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, ["n", 50]),
    )
    onnx.save(sequence, folder / "sequence.onnx")
    unnamed = plain()
    unnamed.graph.output.append(unnamed.graph.output[0])
    onnx.save(unnamed, folder / "twice.onnx")
    (folder / "empty.onnx").write_bytes(b"")
    (folder / "text.onnx").write_bytes(b"\x08\x0aversion https://git-lfs.github.com/spec/v1\n")
    (folder / "deep.onnx").write_bytes(_deep(3000))
    (folder / "many.onnx").write_bytes(_field(7, b"\x0a\x00" * 20_000_000))
    (folder / "graph_twice.onnx").write_bytes(several().SerializeToString() + _field(7, b""))
    (folder / "unending.onnx").write_bytes(b"\x08" + b"\xff" * 1000)


def _deep(levels: int) -> bytes:
    """Graphs in attributes of nodes of graphs, and so on."""
    graph = b""
    for _ in range(levels):
        graph = _field(1, _field(5, _field(6, graph)))
    return b"\x08\x0a" + _field(8, b"\x10\x15") + _field(7, graph)


def _field(number: int, content: bytes) -> bytes:
    size, digits = len(content), b""
    while size > 127:
        digits, size = digits + struct.pack("B", size & 127 | 128), size >> 7
    return struct.pack("B", number << 3 | 2) + digits + struct.pack("B", size) + content


if __name__ == "__main__":
    root = Path(sys.argv[1])
    for make in (sound, hostile):
        (root / make.__name__).mkdir()
        make(root / make.__name__)
