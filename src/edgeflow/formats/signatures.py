"""What every format's signature must be before anything is built from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from edgeflow.errors import DataError
from edgeflow.types.signatures import Signature, Tensor

BYTES = {  # of one number, by the numpy names of the types that models take and give here
    **{"bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2},
    **{"int32": 4, "uint32": 4, "float32": 4, "int64": 8, "uint64": 8, "float64": 8},
}
UNKNOWN = "?"  # an axis of any length, that the file has no name for
MOST_BYTES = 2**31  # of one sample


def checked(path: Path, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Signature:
    """The signature; DataError where a tensor cannot be bound by name, fed or kept in memory."""
    for kind, tensors in (("input", inputs), ("output", outputs)):
        if not tensors:
            raise DataError(f"{path}: it has no {kind}s: there is nothing to build")
        names = [tensor.name for tensor in tensors]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DataError(f"{path}: two {kind}s are called {twice[0]!r}; export it with a name for each")
        for tensor in tensors:
            _check(path, kind, tensor)
    return Signature(tuple(inputs), tuple(outputs))


def _check(path: Path, kind: str, tensor: Tensor) -> None:
    where = f"{path}: {kind} {tensor.name!r}"
    if not tensor.name or not tensor.name.isprintable():
        raise DataError(f"{where}: a name must be text that can be printed; export it with another one")
    if tensor.dtype not in BYTES:
        raise DataError(f"{where} holds {tensor.dtype}; models here take and give {', '.join(BYTES)}")
    size = math.prod(axis for axis in tensor.shape if isinstance(axis, int)) * BYTES[tensor.dtype]
    if size > MOST_BYTES:
        raise DataError(f"{where} has the shape {list(tensor.shape)}, {size:,} bytes a sample: more than memory holds")
