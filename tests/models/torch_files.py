"""What PyTorch users hand out of a model: an exported program and an ONNX file."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from numpy.typing import NDArray
from torch import nn


def write(model: nn.Module, two: Iterable[NDArray], inputs: Sequence[str], outputs: Sequence[str], stem: Path) -> None:
    """STEM.pt2 and STEM.onnx, both with a free batch; `two` are two samples, input by input."""
    example = tuple(map(torch.from_numpy, two))
    batch = torch.export.Dim("batch", min=1, max=1024)
    free = tuple({0: batch} for _ in example)
    exported = torch.export.export(model, example, dynamic_shapes=free, strict=False)
    torch.export.save(exported, f"{stem}.pt2")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    torch.onnx.export(
        exported,
        (),
        f"{stem}.onnx",
        dynamo=True,
        opset_version=21,
        input_names=list(inputs),
        output_names=list(outputs),
        external_data=False,
        verbose=False,
    )
