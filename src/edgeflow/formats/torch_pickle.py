"""Files that `torch.save` and `torch.jit.save` write (.pt, .pth): known, so that the refusal says the way out."""

from __future__ import annotations

from pathlib import Path

from edgeflow.errors import DataError
from edgeflow.plugin import Format
from edgeflow.runners import archive
from edgeflow.types.signatures import Signature

PICKLE = b"\x80"  # with a protocol of 2 to 5: how pickles begin, also those of PyTorch before 1.6
EXPORT = "torch.export.save(torch.export.export(model.eval(), (example,)), 'model.pt2')"


def recognizes(path: Path) -> bool:
    """Whether a file is a pickle, or a zip with one."""
    if archive.is_zip(path):
        return any(name.endswith("/data.pkl") for name in archive.names(path))
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        head = stream.read(2)
    return head[:1] == PICKLE and head[1:] in (b"\x02", b"\x03", b"\x04", b"\x05")


def check(path: Path) -> None:
    """Refuse it: DataError."""
    raise _refusal(path)


def signature(path: Path) -> Signature:
    """Refuse it: DataError."""
    raise _refusal(path)


def quantized(path: Path) -> str:
    """Refuse it: DataError."""
    raise _refusal(path)


def _refusal(path: Path) -> DataError:
    if any("/code/" in name for name in archive.names(path)):
        return DataError(f"{path}: it is TorchScript, whose code is not run, and which says no shapes; write {EXPORT}")
    return DataError(
        f"{path}: it is a pickle, and unpickling executes code; a whole model: {EXPORT}; weights alone: name the "
        "network under `builder` and this file under `weights`, where only tensors are read of it"
    )


plugin = Format(
    id="torch_pickle",
    description="PyTorch pickle",
    suffixes=(".pt", ".pth"),
    toolchain="core",
    recognizes=recognizes,
    check=check,
    signature=signature,
    quantized=quantized,
    backend=None,
)
