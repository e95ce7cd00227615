"""FlatBuffers without a library: tables, vectors and texts by their offsets, every one checked before it is followed.

Generated readers trust offsets: a hostile one sends them anywhere. Source: https://flatbuffers.dev/internals/.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from edgeflow.errors import DataError

MOST_READS = 2_000_000  # tables and elements that are looked at in one file
NAME_BYTES = 4096  # longest text that is read


class Buffer:
    """A file, mapped: of weights nothing is read."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as stream:
            self.size = os.fstat(stream.fileno()).st_size
            if self.size < 8:
                raise DataError(f"{path}: it has {self.size} bytes: it is damaged")
            self.content = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        self.path = path
        self._left = MOST_READS

    def root(self) -> Table:
        """The table that the file begins with."""
        return Table(self, self.offset(0))

    def read(self, kind: str, at: int) -> int | float:
        """One number of struct's `kind`."""
        self.spend(1)
        if at < 0 or at + struct.calcsize("<" + kind) > self.size:
            raise self.damaged(f"it points to byte {at:,} of {self.size:,}")
        number: int | float = struct.unpack_from("<" + kind, self.content, at)[0]
        return number

    def offset(self, at: int) -> int:
        """Where the offset at `at` points: always forward."""
        distance = int(self.read("I", at))
        if distance == 0 or at + distance >= self.size:
            raise self.damaged(f"it points to byte {at + distance:,} of {self.size:,}")
        return at + distance

    def spend(self, reads: int) -> None:
        """Count what is looked at: a few bytes may say that there are billions of parts."""
        self._left -= reads
        if self._left < 0:
            raise DataError(f"{self.path}: its graph has more than {MOST_READS:,} parts: no model is that large")

    def damaged(self, what: str) -> DataError:
        """The error for bytes that the format cannot have."""
        return DataError(f"{self.path}: it is damaged: {what}")


class Table:
    """Fields by number."""

    def __init__(self, buffer: Buffer, at: int) -> None:
        self.buffer = buffer
        self._at = at
        self._fields = at - int(buffer.read("i", at))
        self._size = int(buffer.read("H", self._fields))
        width = int(buffer.read("H", self._fields + 2))
        if self._size < 4 or self._fields + self._size > buffer.size or at + width > buffer.size:
            raise buffer.damaged(f"a table at byte {at:,} is not whole")

    def _place(self, field: int) -> int:
        """Where a field is; 0 where the table does not have it."""
        slot = 4 + 2 * field
        if slot + 2 > self._size:
            return 0
        distance = int(self.buffer.read("H", self._fields + slot))
        return self._at + distance if distance else 0

    def has(self, field: int) -> bool:
        """Whether the table has a field."""
        return self._place(field) != 0

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """A whole number."""
        place = self._place(field)
        return int(self.buffer.read(kind, place)) if place else default

    def table(self, field: int) -> Table | None:
        """Another table."""
        place = self._place(field)
        return Table(self.buffer, self.buffer.offset(place)) if place else None

    def tables(self, field: int) -> Iterator[Table]:
        """A vector of tables."""
        start, length = self._vector(field, 4)
        self.buffer.spend(length)
        for at in range(start, start + 4 * length, 4):
            yield Table(self.buffer, self.buffer.offset(at))

    def numbers(self, field: int, kind: str) -> list[int]:
        """A vector of whole numbers."""
        start, length = self._vector(field, struct.calcsize("<" + kind))
        self.buffer.spend(length)
        return list(struct.unpack_from(f"<{length}{kind}", self.buffer.content, start))

    def reals(self, field: int) -> list[float]:
        """A vector of float32."""
        start, length = self._vector(field, 4)
        self.buffer.spend(length)
        return list(struct.unpack_from(f"<{length}f", self.buffer.content, start))

    def length(self, field: int, width: int) -> int:
        """How many elements of `width` bytes a vector has; 0 where there is none."""
        return self._vector(field, width)[1]

    def text(self, field: int) -> str:
        """A text; "" where there is none."""
        start, length = self._vector(field, 1)
        if length > NAME_BYTES:
            raise self.buffer.damaged(f"a name has {length:,} bytes")
        try:
            return bytes(self.buffer.content[start : start + length]).decode()
        except UnicodeDecodeError:
            raise self.buffer.damaged("a name is not UTF-8") from None

    def _vector(self, field: int, width: int) -> tuple[int, int]:
        """Where a vector's first element is, and how many it has; all of them are in the file."""
        place = self._place(field)
        if not place:
            return 0, 0
        at = self.buffer.offset(place)
        length = int(self.buffer.read("I", at))
        if length > (self.buffer.size - at - 4) // width:
            raise self.buffer.damaged(f"a list says {length:,} elements, more than the file has bytes for")
        return at + 4, length
