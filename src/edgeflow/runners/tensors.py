"""Samples and answers as files: named tensors that are read and written a few rows at a time. Standard library, numpy.

The files are safetensors (https://github.com/huggingface/safetensors, "Format"): nothing in them is executed, and any
reader of that format reads them. Rows are read and not mapped: pages of a mapped file count as this process's memory.

A *split* holds "inputs/<name>" [N, …] as compact as the samples are, "labels" int64[N] where there are any, and in its
header how values become what the model takes: (x − low) / (high − low), then (x − mean) / std, in float32. A file of
*answers* holds "<split>/<output>" [N, …].
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

DTYPES = {
    **{"BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "F16": "float16", "U32": "uint32"},
    **{"I32": "int32", "F32": "float32", "U64": "uint64", "I64": "int64", "F64": "float64"},
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
MOST_HEADER_BYTES = 100 * 2**20  # as the format has it: a longer one is an attack
ALIGNMENT_BYTES = 64
INPUTS, LABELS, HOW, DECLARED = "inputs/", "labels", "edgeflow.inputs", "edgeflow.declared"


@dataclass(frozen=True)
class Entry:
    """Where a tensor is in its file."""

    dtype: str  # numpy name
    shape: tuple[int, ...]
    start: int  # byte


class Reader:
    """The tensors of a file by name.

    Raises ValueError for what is no whole safetensors file.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self.entries, self.metadata = _header(self.path)

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Array:
        """Rows [start, stop) of a tensor as they are stored; KeyError for a name that is not there."""
        entry = self.entries[name]
        count = entry.shape[0]
        start, stop, _ = slice(start, stop).indices(count)
        row = math.prod(entry.shape[1:])
        dtype = np.dtype(entry.dtype).newbyteorder("<")
        offset = entry.start + start * row * dtype.itemsize
        wanted = max(stop - start, 0) * row
        values = np.fromfile(self.path, dtype, wanted, offset=offset)
        if len(values) != wanted:
            raise ValueError(f"{self.path}: ends inside of {name}")
        return values.reshape(-1, *entry.shape[1:]) if row else values.reshape(max(stop - start, 0), *entry.shape[1:])


def _header(path: str) -> tuple[dict[str, Entry], dict[str, str]]:
    size = os.path.getsize(path)
    with open(path, "rb") as stream:
        first = stream.read(8)
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
        if not 0 < length <= min(MOST_HEADER_BYTES, size - 8):
            raise ValueError(f"{path}: no safetensors file, or not a whole one")
        try:
            content = json.loads(stream.read(length))
            metadata = content.pop("__metadata__", {})
            entries = {name: _entry(said, 8 + length, size) for name, said in content.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: no safetensors file, or not a whole one: {error}") from None
    return entries, metadata


def _entry(said: Mapping[str, Any], base: int, size: int) -> Entry:
    dtype, shape = DTYPES[said["dtype"]], tuple(int(axis) for axis in said["shape"])
    start, stop = said["data_offsets"]
    if min(shape, default=0) < 0 or not 0 <= start <= stop <= size - base:
        raise ValueError("a tensor is outside of the file")
    if math.prod(shape) * np.dtype(dtype).itemsize != stop - start:
        raise ValueError("a tensor has another size than its shape says")
    return Entry(dtype, shape, base + start)


class Writer:
    """Writes tensors whose shapes are known before their rows are; the file is whole when every row was written.

    `room_bytes` are kept for what the header can say only when all rows were seen.
    """

    def __init__(
        self,
        path: Path,
        tensors: Mapping[str, tuple[str, tuple[int, ...]]],
        metadata: Mapping[str, str] | None = None,
        room_bytes: int = 0,
    ) -> None:
        header: dict[str, Any] = {}
        at = 0
        # the widest first, as the format's own writer does: each starts at a multiple of its width
        order = sorted(tensors, key=lambda name: -np.dtype(tensors[name][0]).itemsize)
        for name in order:
            dtype, shape = tensors[name]
            size = math.prod(shape) * np.dtype(dtype).itemsize
            header[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [at, at + size]}
            at += size
        self._path, self._header = path, header
        text = self._text(metadata or {})
        self._length = len(text) + room_bytes + -(8 + len(text) + room_bytes) % ALIGNMENT_BYTES
        with open(path, "wb") as stream:
            stream.write(struct.pack("<Q", self._length) + text.ljust(self._length))
            stream.truncate(8 + self._length + at)
        self._entries, _ = _header(str(path))

    def _text(self, metadata: Mapping[str, str]) -> bytes:
        said: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
        return json.dumps({**said, **self._header}, separators=(",", ":")).encode()

    def describe(self, metadata: Mapping[str, str]) -> None:
        """Say something else in the header; ValueError when there is no room for it."""
        text = self._text(metadata)
        if len(text) > self._length:
            raise ValueError(f"{self._path}: its header has room for {self._length} bytes, not for {len(text)}")
        with open(self._path, "r+b") as stream:
            stream.seek(8)
            stream.write(text.ljust(self._length))

    def write(self, name: str, start: int, rows: Array) -> None:
        """Put rows [start, start + len(rows)) into a tensor; ValueError when they are of another type or shape."""
        entry = self._entries[name]
        if rows.dtype != entry.dtype or rows.shape[1:] != entry.shape[1:] or start + len(rows) > entry.shape[0]:
            raise ValueError(
                f"{name}: {rows.dtype}{list(rows.shape)} at row {start} of {entry.dtype}{list(entry.shape)}"
            )
        row = math.prod(entry.shape[1:]) * np.dtype(entry.dtype).itemsize
        with open(self._path, "r+b") as stream:
            stream.seek(entry.start + start * row)
            stream.write(np.ascontiguousarray(rows, rows.dtype.newbyteorder("<")).data)


def write(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """Write whole tensors."""
    writer = Writer(path, {name: (array.dtype.name, array.shape) for name, array in tensors.items()}, metadata)
    for name, array in tensors.items():
        writer.write(name, 0, array)


# --- splits ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class How:
    """How stored values of one input become what the model takes; all None: they are it already."""

    low: float | None = None  # becomes 0
    high: float | None = None  # becomes 1
    mean: tuple[float, ...] | None = None  # one, or one per channel: the first axis of a sample
    std: tuple[float, ...] | None = None

    def applied(self, x: Array) -> Array:
        """What the model takes of x [N, …]: float32 where anything is done, else as it is."""
        if self.low is None and self.mean is None:
            return x
        prepared = np.asarray(x, np.float32)
        if self.low is not None and self.high is not None:
            low, high = np.float32(self.low), np.float32(self.high)
            prepared = (prepared - low) / (high - low)
        if self.mean is not None and self.std is not None:
            axes = (-1, *(1 for _ in x.shape[2:]))
            prepared = prepared - np.asarray(self.mean, np.float32).reshape(axes)
            prepared /= np.asarray(self.std, np.float32).reshape(axes)
        return prepared


class Split:
    """N samples by input name, and their labels where there are any."""

    def __init__(self, path: Path | str) -> None:
        self._reader = Reader(path)
        said = json.loads(self._reader.metadata.get(HOW, "{}"))
        self.how = {name: _how(said.get(name, {})) for name in self._names()}
        if not self.how:
            raise ValueError(f"{path}: holds no inputs")
        lengths = {self._reader.entries[INPUTS + name].shape[0] for name in self.how}
        if len(lengths) != 1:
            raise ValueError(f"{path}: its inputs have different numbers of samples")
        self._length = lengths.pop()

    def _names(self) -> Iterator[str]:
        return (name.removeprefix(INPUTS) for name in self._reader.entries if name.startswith(INPUTS))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the inputs, sorted."""
        return tuple(sorted(self.how))

    def __len__(self) -> int:
        return self._length

    @property
    def declared(self) -> str:
        """What the values are where nobody recorded them: "random"; "" for samples."""
        return self._reader.metadata.get(DECLARED, "")

    def stored(self, name: str, start: int = 0, stop: int | None = None) -> Array:
        """Samples of one input as they are stored."""
        return self._reader.rows(INPUTS + name, start, stop)

    def batch(self, start: int = 0, stop: int | None = None) -> dict[str, Array]:
        """Samples [start, stop) as the model takes them: name → [n, …]."""
        return {name: self.how[name].applied(self.stored(name, start, stop)) for name in self.names}

    def batches(self, size: int, most: int | None = None) -> Iterator[dict[str, Array]]:
        """The first `most` samples, `size` at a time."""
        end = len(self) if most is None else min(most, len(self))
        return (self.batch(start, min(start + size, end)) for start in range(0, end, size))

    def labels(self) -> NDArray[np.int64] | None:
        """The class of each sample, int64[N]; None where nobody says."""
        return self._reader.rows(LABELS) if LABELS in self._reader.entries else None


def _how(said: Mapping[str, Any]) -> How:
    known: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in said.items()}
    return How(**known)


def split_writer(
    path: Path,
    inputs: Mapping[str, tuple[str, tuple[int, ...]]],
    how: Mapping[str, How],
    *,
    labelled: bool,
    room_bytes: int = 0,
    declared: str = "",
) -> Writer:
    """A writer of a split: write "inputs/<name>" and "labels". `inputs`: stored dtype and [N, …] by name.

    `declared`: what the values are where nobody recorded them: "random".
    """
    tensors = {INPUTS + name: given for name, given in inputs.items()}
    count = next(iter(inputs.values()))[1][0]
    if labelled:
        tensors[LABELS] = ("int64", (count,))
    return Writer(path, tensors, described(how, declared), room_bytes)


def described(how: Mapping[str, How], declared: str = "") -> dict[str, str]:
    """What the header of a split says."""
    said = {name: {k: v for k, v in vars(each).items() if v is not None} for name, each in how.items()}
    return {HOW: json.dumps(said, sort_keys=True), **({DECLARED: declared} if declared else {})}


def first(names: Sequence[str]) -> str:
    """The only name; ValueError when there are more."""
    if len(names) != 1:
        raise ValueError(f"expected one tensor, found {len(names)}: {', '.join(names)}")
    return names[0]
