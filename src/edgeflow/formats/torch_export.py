"""What `torch.export.save` writes (.pt2): read as a zip file, and loaded from a copy that can execute nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from edgeflow.errors import DataError
from edgeflow.formats.contained import contained
from edgeflow.formats.signatures import checked
from edgeflow.plugin import Format
from edgeflow.runners import archive, pt2
from edgeflow.types.signatures import Signature, Tensor


def recognizes(path: Path) -> bool:
    """Whether a file is a zip with the graph of an exported program; a damaged one goes by its name."""
    if not archive.is_zip(path):
        return False
    members = archive.names(path)
    return pt2.is_pt2(members) if members else path.suffix == ".pt2"


def check(path: Path) -> None:
    """Refuse a file that is damaged, needs pickles or code of its own, or was exported in training mode."""
    contained(str, lambda file: str(len(_program(file).targets)), path)


def signature(path: Path) -> Signature:
    """Inputs by the names of the forward's arguments; outputs by the keys of what it returns, else by their place."""
    return contained(Signature, _signature, path)


def quantized(path: Path) -> str:
    """What its numbers are, where they are not float32: "int8 weights and activations", "float16"; else ""."""
    return contained(str, lambda file: _quantized(_program(file)), path)


def load(path: Path) -> Any:
    """The ExportedProgram, of which nothing is executed; it has no example inputs. DataError where it is refused."""
    try:
        return pt2.load(path)
    except pt2.Pt2Error as refusal:
        raise DataError(str(refusal)) from refusal


def _program(path: Path) -> pt2.Program:
    try:
        return pt2.Program(path)
    except pt2.Pt2Error as refusal:
        raise DataError(str(refusal)) from None


def _signature(path: Path) -> Signature:
    program = _program(path)
    sides = ([Tensor(one.name, one.dtype, one.shape) for one in side] for side in (program.inputs, program.outputs))
    return checked(path, *sides)


def _quantized(program: pt2.Program) -> str:
    if any(target.startswith("torch.ops.quantized_decomposed.quantize") for target in program.targets):
        return "int8 weights and activations"
    if any(target.startswith("torch.ops.quantized_decomposed.") for target in program.targets):
        return "int8 weights"
    numbers: Counter[str] = Counter()
    for kind, count in program.stored():
        numbers[kind] += count
    halves = max(("float16", "bfloat16"), key=lambda kind: numbers[kind])
    return halves if numbers[halves] > numbers["float32"] else ""


plugin = Format(
    id="torch_export",
    description="PyTorch export",
    suffixes=(".pt2",),
    toolchain="torch",
    recognizes=recognizes,
    check=check,
    signature=signature,
    quantized=quantized,
    backend=Path(__file__).parent.parent / "runners" / "torch_export_backend.py",
    preload=("torch",),
)
