"""The files of the prepared splits as they are written: a sample at a time, and as compact as the samples are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow import preprocessing
from edgeflow.preprocessing import FLOAT32, Preprocessing
from edgeflow.runners import tensors
from edgeflow.runners.tensors import INPUTS, LABELS, How

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeflow.plugin import Int64

CHUNK = 256  # samples at a time, fewer where they would take more than
CHUNK_BYTES = 32 * 2**20
NORMALIZATION_BYTES = 64  # that the mean and the standard deviation of a channel take in the header of a split


@dataclass
class _Column:
    """One input in all splits."""

    how: Preprocessing  # but for the normalisation
    types: tuple[str, str] = ("", "")  # of raw samples and of stored ones, while they are all alike
    mixed: bool = False  # they are not: what is stored is scaled
    raw_types: set[str] = field(default_factory=set)
    stored: How = field(default_factory=How)

    @property
    def dtype(self) -> str:
        return FLOAT32 if self.mixed else self.types[1]


class Store:
    """Splits by name; samples go where they belong, in any order.

    Integers are stored as they are while all samples of an input are of one type; float32 otherwise.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],
        splits: Mapping[str, NDArray[np.int64]],  # that have no sample in common
        labels: Int64 | None,
        how: Mapping[str, Preprocessing],
        declared: str = "",  # what the values are where nobody recorded them
    ) -> None:
        self._paths, self._splits, self._labels, self._declared = paths, dict(splits), labels, declared
        self._columns = {name: _Column(each) for name, each in how.items()}
        self._writers: dict[str, tensors.Writer] = {}
        self._places = {
            index: (split, row) for split, chosen in splits.items() for row, index in enumerate(chosen.tolist())
        }

    def row(self, index: int, split: str) -> int | None:
        """Where a sample is in a split; None where it is in another."""
        name, row = self._places[index]
        return row if name == split else None

    def write(self, index: int, shaped: Mapping[str, NDArray[Any]], kinds: Mapping[str, str]) -> None:
        """Put what `preprocessing.shaped` made of a sample into its split; `kinds`: its types before."""
        types = {name: (kinds[name], str(sample.dtype)) for name, sample in shaped.items()}
        if not self._writers:
            for name, column in self._columns.items():
                column.types = types[name]
                column.stored = preprocessing.stored_how(column.how, *types[name])
            self._writers = {split: self._writer(split) for split in self._splits}
        for name, column in self._columns.items():
            column.raw_types.add(types[name][0])
            if types[name] != column.types and not column.mixed:
                self._scale(name)
            row = shaped[name][None]
            if column.mixed:
                row = preprocessing.stored_how(column.how, *types[name]).applied(row)
            split, at = self._places[index]
            self._writers[split].write(INPUTS + name, at, row)

    def select(self, source: str, target: str, chosen: NDArray[np.int64]) -> None:
        """Make a split of some samples of another, or leave the others out of it, in their order there."""
        rows = [self._places[index][1] for index in chosen.tolist()]
        path = self._paths[source]
        if source == target:
            path = path.rename(path.with_suffix(f".all{path.suffix}"))
            self._places |= {index: (target, row) for row, index in enumerate(chosen.tolist())}
        self._splits[target] = chosen
        self._writers[target] = self._writer(target)
        reader = tensors.Reader(path)
        for name in self._columns:
            for at, row in enumerate(rows):
                self._writers[target].write(INPUTS + name, at, reader.rows(INPUTS + name, row, row + 1))
        if source == target:
            path.unlink()

    def raw_types(self, name: str) -> set[str]:
        """Of the values of an input before anything was done to them."""
        return self._columns[name].raw_types

    def scaled(self, split: str, name: str) -> Iterator[NDArray[np.float32]]:
        """Samples of one input before they are normalised, some at a time: float32[n, C, …]."""
        import numpy as np

        column, reader = self._columns[name], tensors.Reader(self._paths[split])
        for start, stop in self._chunks(split, name):
            rows = reader.rows(INPUTS + name, start, stop)
            x = np.asarray(replace(column.stored, mean=None, std=None).applied(rows), np.float32)
            yield x.reshape(len(x), _channels(column.how), *x.shape[2:])

    def moments(
        self, split: str, name: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]] | None:
        """Mean and standard deviation of scaled uint8 per channel, and which never change: exact, as integers add up.

        None for other types.
        """
        import numpy as np

        column, reader = self._columns[name], tensors.Reader(self._paths[split])
        if column.dtype != "uint8" or column.stored.low is None or column.stored.high is None:
            return None
        sums, squares, count = np.zeros(_channels(column.how), np.int64), np.zeros(_channels(column.how), np.int64), 0
        for start, stop in self._chunks(split, name):
            x = reader.rows(INPUTS + name, start, stop).reshape(stop - start, _channels(column.how), -1)
            sums += x.sum(axis=(0, 2), dtype=np.int64)
            wide = x.astype(np.uint16)
            squares += (wide * wide).sum(axis=(0, 2), dtype=np.int64)
            count += x.shape[0] * x.shape[2]
        low, span = column.stored.low, column.stored.high - column.stored.low
        spread = [count * int(b) - int(a) ** 2 for a, b in zip(sums, squares, strict=True)]  # exact: variance · count²
        std = np.sqrt([each / count**2 for each in spread])
        return (sums / count - low) / span, std / span, np.array([each == 0 for each in spread])

    def normalize(self, name: str, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """Say in every split how the values of an input are normalised."""
        column = self._columns[name]
        if set(mean) != {0.0} or set(std) != {1.0}:
            column.stored = replace(column.stored, mean=mean, std=std)
        said = tensors.described({name: each.stored for name, each in self._columns.items()}, self._declared)
        for writer in self._writers.values():
            writer.describe(said)

    def _chunks(self, split: str, name: str) -> Iterator[tuple[int, int]]:
        """Where samples begin and end that are few enough to be in memory as float32."""
        count = len(self._splits[split])
        size = max(1, min(CHUNK, CHUNK_BYTES // (4 * math.prod(self._columns[name].how.shape))))
        return ((start, min(start + size, count)) for start in range(0, count, size))

    def _writer(self, split: str) -> tensors.Writer:
        count = len(self._splits[split])
        inputs = {name: (column.dtype, (count, *column.how.shape)) for name, column in self._columns.items()}
        stored = {name: column.stored for name, column in self._columns.items()}
        room = NORMALIZATION_BYTES * sum(1 + _channels(column.how) for column in self._columns.values())
        labelled = self._labels is not None
        writer = tensors.split_writer(
            self._paths[split], inputs, stored, labelled=labelled, room_bytes=room, declared=self._declared
        )
        if self._labels is not None:
            writer.write(LABELS, 0, self._labels[self._splits[split]])
        return writer

    def _scale(self, name: str) -> None:
        """Samples of several types have in common only what they are scaled to: so is what was written already."""
        column = self._columns[name]
        how, column.stored, column.mixed = column.stored, How(), True
        for split in self._splits:
            path = self._paths[split]
            as_they_were = path.rename(path.with_suffix(f".mixed{path.suffix}"))
            reader = tensors.Reader(as_they_were)
            self._writers[split] = self._writer(split)
            for other in self._columns:
                for start, stop in self._chunks(split, other):
                    rows = reader.rows(INPUTS + other, start, stop)
                    rows = how.applied(rows) if other == name else rows
                    self._writers[split].write(INPUTS + other, start, rows)
            as_they_were.unlink()


def _channels(how: Preprocessing) -> int:
    return how.shape[0] if how.shape else 1
