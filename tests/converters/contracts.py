"""The contracts on what is built in, in the torch toolchain: `contracts.py` prints what does not hold, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgeflow.plugin import Converted, ConvertJob
from edgeflow.registry import load_reference
from edgeflow.testing import ConverterContract, FormatContract, failures
from edgeflow.types.signatures import Signature, Tensor

SIGNATURE = Signature(
    (Tensor("zebra", "float32", ("batch", 3, 8, 8)), Tensor("apple", "float32", ("batch", 4))),
    (Tensor("scores", "float32", ("batch", 5)), Tensor("image", "float32", ("batch", 2, 8, 8))),
)


class Net(nn.Module):
    """Two inputs and two outputs, whose names sort against their order."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 2, 3, padding=1)
        self.linear = nn.Linear(2 + 4, 5)

    def forward(self, zebra: torch.Tensor, apple: torch.Tensor) -> dict[str, torch.Tensor]:
        image = torch.relu(self.convolution(zebra))
        return {"scores": self.linear(torch.cat([image.mean((2, 3)), apple], 1)), "image": image}


class OfNet(ConverterContract):
    """On the network above."""

    def job(self, output: Path, work: Path) -> ConvertJob:
        rng = np.random.default_rng(0)
        shapes = {"apple": (1, 4), "zebra": (1, 3, 8, 8)}  # as splits have them: sorted
        example = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        return ConvertJob(Net().eval(), None, SIGNATURE, example, output, work)

    def answers(self, job: ConvertJob) -> Mapping[str, NDArray[Any]]:
        with torch.no_grad():
            told = Net().eval()(**{name: torch.from_numpy(sample) for name, sample in job.example.items()})
        return {name: answer.numpy() for name, answer in told.items()}


class TorchToOnnx(OfNet):
    """torch.onnx.export."""

    reference, target = "edgeflow.converters.torch_to_onnx:plugin", "edgeflow.formats.onnx:plugin"


class TorchToTflite(OfNet):
    """litert_torch."""

    reference, target = "edgeflow.converters.torch_to_tflite:plugin", "edgeflow.formats.tflite:plugin"


class Written(FormatContract):
    """A file that a converter wrote."""

    converter: type[OfNet]

    def file(self, folder: Path) -> Path:
        file = folder / "sound.bin"
        made = load_reference(self.converter.reference).convert(self.converter().job(file, folder))
        assert isinstance(made, Converted)
        return file


class Onnx(Written):
    """ONNX."""

    reference, converter = TorchToOnnx.target, TorchToOnnx


class Tflite(Written):
    """TensorFlow Lite."""

    reference, converter = TorchToTflite.target, TorchToTflite


if __name__ == "__main__":
    print(json.dumps({each.__name__: failures(each) for each in (TorchToOnnx, TorchToTflite, Onnx, Tflite)}))
