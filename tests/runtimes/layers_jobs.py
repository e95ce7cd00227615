"""What the tests of layers do in a toolchain: `PYTHON layers_jobs.py FOLDER JOB`; edge.json gets what was found."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import asking
import numpy as np

from edgeflow.plugin import Activations, OptimizeJob, Runtime
from edgeflow.runtimes import litert, onnxruntime
from edgeflow.types.variants import Scheme

RUNTIMES = (onnxruntime.plugin, litert.plugin)
PROFILES = {"onnxruntime": "onnxruntime-x86", "litert": "tflite"}
INT8 = Scheme("int8_static", "int8", "int8", "static", calibration_samples=16)
INPUTS = {"onnxruntime": "input", "litert": "args_0"}
KEPT = ("second.conv", "second.add")


def convert(folder: Path) -> None:
    """net.onnx and net.tflite: convolutions, residual sums, a linear layer; the first one's channels are uneven."""
    import converting
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.norm(self.conv(x)) + x)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(2, 8, 3, padding=1)
            self.second, self.third = Block(), Block()
            self.classifier = nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.third(self.second(torch.relu(self.stem(x))))
            return self.classifier(x.mean((2, 3)))

    torch.manual_seed(0)
    net = Net().eval()
    with torch.no_grad():
        net.stem.weight[::2] *= 300
    x = np.load(folder / "x.npy")
    for runtime in RUNTIMES:
        converting.convert(f"torch_to_{runtime.format}", net, x, folder / f"net.{runtime.format}")


def inspect(folder: Path) -> None:
    """Layers, types of weights, and activations of both runtimes, with all layers quantized and with some kept."""
    by_runtime = {runtime.id: _inspect(folder, runtime) for runtime in RUNTIMES}
    (folder / "edge.json").write_text(json.dumps(by_runtime))


def _inspect(folder: Path, runtime: Runtime) -> dict[str, Any]:
    samples = np.load(folder / "x.npy")
    x = asking.to_layout(samples, asking.LAYOUTS[runtime.format])
    feeds = [{INPUTS[runtime.id]: each[None]} for each in x]
    source = folder / f"net.{runtime.format}"
    assert runtime.layers
    assert runtime.activations
    assert runtime.optimize
    inspected: dict[str, Any] = {"layers": [asdict(layer) for layer in runtime.layers(source)]}
    for name, keep in (("all", ()), ("mixed", KEPT)):
        output, work = folder / f"{name}.{runtime.format}", folder / f"{name}.{runtime.id}"
        work.mkdir()
        runtime.optimize(OptimizeJob(source, output, INT8, PROFILES[runtime.id], feeds, work, keep))
        each = _together(runtime.activations(source, output, feeds))
        inspected[name] = {
            "float": sorted(_float_weights(output)),
            "reads": {one.layer.name: list(one.reads) for one in each},
            "shapes": {one.layer.name: [list(one.before.shape), list(one.after.shape)] for one in each},
            "error": {one.layer.name: _worst(one.before, one.after) for one in each},
            "outputs": asking.predict(
                str(runtime.backend), str(output), np.load(folder / "x.npy"), asking.LAYOUTS[runtime.format]
            ).tolist(),
        }
    answers = [one.before for one in _together(runtime.activations(source, folder / f"all.{runtime.format}", feeds))]
    inspected["last"] = answers[-1].tolist()
    return inspected


def _together(activations: Iterable[Activations]) -> list[Activations]:
    """Each layer once, with what it answers to all samples."""
    layers: dict[str, list[Activations]] = {}
    for each in activations:
        layers.setdefault(each.layer.name, []).append(each)
    return [
        replace(one[0], before=np.concatenate([o.before for o in one]), after=np.concatenate([o.after for o in one]))
        for one in layers.values()
    ]


def _worst(before: Any, after: Any) -> float:
    """Greatest relative error of a channel."""
    axes = tuple(range(before.ndim - 1))
    return float((abs(before - after).max(axis=axes) / abs(before).max(axis=axes)).max())


def _float_weights(path: Path) -> list[list[int]]:
    """Shapes of the float32 weights that are left: of matrices and kernels."""
    if path.suffix == ".onnx":
        import onnx

        tensors = onnx.load(path).graph.initializer
        return [list(t.dims) for t in tensors if t.data_type == onnx.TensorProto.FLOAT and len(t.dims) > 1]
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    constant = (t for t in model.subgraphs[0].tensors if model.buffers[t.buffer].data is not None)
    return [list(t.shape) for t in constant if t.type == schema.TensorType.FLOAT32 and len(t.shape) > 1]


if __name__ == "__main__":
    globals()[sys.argv[2]](Path(sys.argv[1]))
