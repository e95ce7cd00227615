"""ONNX files."""

from __future__ import annotations

from pathlib import Path

from edgeflow.errors import StageError
from edgeflow.plugin import Format
from edgeflow.types.signatures import Signature


def recognizes(path: Path) -> bool:
    """Protocol buffers have no magic number: the name says it."""
    return path.suffix == ".onnx"


def check(path: Path) -> None:
    """Not written yet."""
    raise StageError(f"{path}: ONNX files cannot be imported yet")


def signature(path: Path) -> Signature:
    """Not written yet."""
    raise StageError(f"{path}: ONNX files cannot be imported yet")


def quantized(path: Path) -> str:
    """Not written yet."""
    raise StageError(f"{path}: ONNX files cannot be imported yet")


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
)
