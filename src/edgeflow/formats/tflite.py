"""TFLite files."""

from __future__ import annotations

from pathlib import Path

from edgeflow.errors import StageError
from edgeflow.plugin import Format
from edgeflow.types.signatures import Signature


def recognizes(path: Path) -> bool:
    """A FlatBuffers file names its schema in the bytes from 4 to 8."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(8)[4:] == b"TFL3"


def check(path: Path) -> None:
    """Not written yet."""
    raise StageError(f"{path}: TFLite files cannot be imported yet")


def signature(path: Path) -> Signature:
    """Not written yet."""
    raise StageError(f"{path}: TFLite files cannot be imported yet")


def quantized(path: Path) -> str:
    """Not written yet."""
    raise StageError(f"{path}: TFLite files cannot be imported yet")


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
    layout="NHWC",
)
