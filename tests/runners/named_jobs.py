"""`named_jobs.py WHAT FOLDER`: make files of a network of two inputs and three outputs, or ask them, in a toolchain.

make_onnx and ask run in the edge toolchain, make_tflite in the torch toolchain. weights.npz is there before.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

SHAPES = ((4, 4, 3), (5,))
BACKENDS = {"onnx": "onnxruntime", "tflite": "litert", "micro.tflite": "tflite_micro"}
# The model's own names; in the files the inputs' names sort against their order.
BINDINGS = {
    "onnx": {
        "inputs": {"image": ("pixels", (1, 2, 0)), "ids": ("ids", ())},
        "outputs": {"logits": ("scores", ()), "boxes": ("found", (1, 0)), "top": ("best", ())},
    },
    "tflite": {
        "inputs": {"image": ("args_0", (1, 2, 0)), "ids": ("args_1", ())},
        "outputs": {"logits": ("output_0", ()), "boxes": ("output_1", (1, 0)), "top": ("output_2", ())},
    },
}


def make_onnx(folder: Path) -> None:
    """net.onnx: pixels uint8[batch, 4, 4, 3] and ids int64[batch, length]."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = {name: numpy_helper.from_array(value, name) for name, value in np.load(folder / "weights.npz").items()}
    axes = {name: numpy_helper.from_array(np.array(v), name) for name, v in {"hw": [1, 2], "l": [1]}.items()}
    shape = numpy_helper.from_array(np.array([-1, 3, 2]), "shape")
    nodes = [
        helper.make_node("Cast", ["pixels"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["real", "most"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled", "hw"], ["seen"], keepdims=0),
        helper.make_node("Gather", ["table", "ids"], ["vectors"]),
        helper.make_node("ReduceMean", ["vectors", "l"], ["read"], keepdims=0),
        helper.make_node("Add", ["seen", "read"], ["both"]),
        helper.make_node("MatMul", ["both", "head"], ["scores"]),
        helper.make_node("MatMul", ["both", "boxes"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["found"]),
        helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "net",
        [value("pixels", TensorProto.UINT8, ["n", 4, 4, 3]), value("ids", TensorProto.INT64, ["n", "length"])],
        [
            value("found", TensorProto.FLOAT, ["n", 3, 2]),
            value("scores", TensorProto.FLOAT, ["n", 4]),
            value("best", TensorProto.INT64, ["n"]),
        ],
        [*weights.values(), *axes.values(), shape],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "net.onnx")


def make_tflite(folder: Path) -> None:
    """net.tflite of the same with five ids; net.micro.tflite weighs them, as TFLite Micro cannot look them up."""
    import litert_torch
    import torch

    weights = {name: torch.from_numpy(value) for name, value in np.load(folder / "weights.npz").items()}

    class Net(torch.nn.Module):
        def forward(self, pixels: Any, ids: Any) -> Any:
            both = (pixels.float() / 255).mean(dim=(1, 2)) + self.read(ids)
            logits = both @ weights["head"]
            return logits, (both @ weights["boxes"]).reshape(-1, 3, 2), logits.argmax(dim=1)

        def read(self, ids: Any) -> Any:
            return weights["table"][ids].mean(dim=1)

    class Micro(Net):
        def read(self, ids: Any) -> Any:
            return ids.float() @ weights["table"][:5]

    for name, net, kinds in (("net", Net(), ("uint8", "int64")), ("net.micro", Micro(), ("int8", "int32"))):
        pixels, ids = (
            torch.zeros(1, *shape, dtype=getattr(torch, kind)) for shape, kind in zip(SHAPES, kinds, strict=True)
        )
        litert_torch.convert(net.eval(), (pixels, ids)).export(str(folder / f"{name}.tflite"))


def ask(folder: Path) -> None:
    """answers.<suffix>.npz of what each file answers to samples.safetensors, and signatures.json."""
    from edgeflow.runners import harness, tensors

    split = tensors.Split(folder / "samples.safetensors")
    signatures = {}
    for suffix, runtime in BACKENDS.items():
        backend, program = str(Path(harness.__file__).with_name(f"{runtime}_backend.py")), str(folder / f"net.{suffix}")
        signatures[suffix] = harness.inspect(backend, program)["signature"]
        answers = harness.ask(backend, program, split.batches(harness.READ), binding(suffix))
        np.savez(folder / f"answers.{suffix}.npz", **answers)
    (folder / "signatures.json").write_text(json.dumps(signatures))


def binding(suffix: str) -> dict[str, Any]:
    """As harness.py has it."""
    places = BINDINGS["onnx" if suffix == "onnx" else "tflite"]
    return {
        side: {name: {"tensor": tensor, "axes": [*axes]} for name, (tensor, axes) in named.items()}
        for side, named in places.items()
    }


if __name__ == "__main__":
    {"make_onnx": make_onnx, "make_tflite": make_tflite, "ask": ask}[sys.argv[1]](Path(sys.argv[2]))
