"""The prepared splits, as stages read them: what is wrong with a file is a DataError that names it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgeflow.errors import DataError
from edgeflow.runners import tensors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeflow.plugin import Float32, Int64, Task

T = TypeVar("T")


def opened(path: Path) -> tensors.Split:
    """A split whose samples are read when they are asked for; DataError when it is missing or damaged."""
    return _read(tensors.Split, path)


def _read(kind: Callable[[Path], T], path: Path) -> T:
    try:
        return kind(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: cannot be read: {error}; delete it, and it is made again") from None


def labels(path: Path) -> Int64:
    """int64[N], the class of each sample; DataError where nobody says."""
    found = opened(path).labels()
    if found is None:
        raise DataError(f"{path}: has no labels, which this task needs")
    return found


def targets(path: Path, task: Task) -> Int64 | None:
    """int64[N], the class of each sample where somebody says; DataError where nobody does and the task needs them."""
    return labels(path) if task.needs_targets else opened(path).labels()


def raw(path: Path, rows: Sequence[int]) -> dict[int, dict[str, NDArray[Any]]]:
    """Golden samples as they were before preprocessing, by row in golden: input name → array."""
    reader = _read(tensors.Reader, path)
    samples: dict[int, dict[str, NDArray[Any]]] = {row: {} for row in rows}
    for key in reader.entries:
        row, _, name = key.partition("/")
        if int(row) in samples:
            samples[int(row)][name] = reader.rows(key)[0]
    if missing := [row for row, inputs in samples.items() if not inputs]:
        raise DataError(f"{path}: has no sample {missing[0]}; delete it, and it is made again")
    return samples


IN_MEMORY_BYTES = 256 * 2**20  # as float32: what is less is read once


class Rows:
    """The samples of a split with one input, as the model takes them: float32[n, …] of the rows that are asked for.

    Small ones are all in memory, others are read each time.
    """

    def __init__(self, path: Path) -> None:
        split = opened(path)
        if len(split.names) != 1:
            raise DataError(f"{path}: has {len(split.names)} inputs ({', '.join(split.names)}); expected one")
        (self._name,) = split.names
        self._split = split
        one = split.batch(0, 1)[self._name]
        self.shape = (len(split), *one.shape[1:])
        self._x = split.batch()[self._name] if one.nbytes * len(split) <= IN_MEMORY_BYTES else None

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> Float32:
        """float32[n, …]."""
        import numpy as np

        if self._x is not None:
            return self._x[rows]
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                return self._split.batch(start, stop)[self._name]
            rows = np.arange(start, stop, step)
        stored = [self._split.stored(self._name, row, row + 1) for row in rows.tolist()]
        x: Float32 = self._split.how[self._name].applied(np.concatenate(stored))
        return x
