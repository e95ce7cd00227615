"""Protocol buffers without a library: one field after the other, nothing copied, every length checked.

A parser of the format builds objects of a whole file, weights and all, many times the size of a hostile one. What a
signature needs is a small part. Source: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from edgeflow.errors import DataError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
MOST_FIELDS = 2_000_000  # that are looked at in one file: a graph of 50,000 operators has half of them
NAME_BYTES = 4096  # longest text that is read

Value: TypeAlias = "int | Message"


class Message:
    """Bytes that a message is in, and what is left of the number of fields that may be read in its file."""

    def __init__(self, content: memoryview, path: Path, left: list[int]) -> None:
        self.content = content
        self._path = path
        self._left = left

    @classmethod
    def of(cls, path: Path) -> Message:
        """The message that a file is: mapped, so that of weights nothing is read. DataError for an empty file."""
        with path.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size == 0:
                raise DataError(f"{path}: it is empty")
            content = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        return cls(content, path, [MOST_FIELDS])

    def fields(self) -> Iterator[tuple[int, int, Value]]:
        """Number, wire type and value of each field; DataError where the bytes are no message."""
        at, end = 0, len(self.content)
        while at < end:
            self._left[0] -= 1
            if self._left[0] < 0:
                raise DataError(f"{self._path}: its graph has more than {MOST_FIELDS:,} parts: no model is that large")
            key, at = self._varint(at)
            number, kind = key >> 3, key & 7
            if not 8 <= key < 2**32:  # beyond that parsers cut it off, and see another field
                raise self.damaged(f"a field of the number {number:,}")
            if kind == VARINT:
                value, at = self._varint(at)
                yield number, kind, value
                continue
            size = {FIXED64: 8, FIXED32: 4}.get(kind, 0)
            if kind == BYTES:
                size, at = self._varint(at)
            elif not size:
                raise self.damaged(f"a field of wire type {kind}")
            if size > end - at:
                raise self.damaged(f"a field that says {size:,} bytes where {end - at:,} are left")
            yield number, kind, Message(self.content[at : at + size], self._path, self._left)
            at += size

    def all(self, number: int) -> Iterator[Message]:
        """The messages, texts and bytes of one field."""
        for found, _, value in self.fields():
            if found == number and isinstance(value, Message):
                yield value

    def only(self, number: int) -> Message | None:
        """The message, text or bytes of a field that comes once; None where there is none.

        DataError where it comes twice: parsers join messages then, and who looks at one of them has not seen the other.
        """
        found = None
        for message in self.all(number):
            if found is not None:
                raise self.damaged(f"a field {number} twice where one is all that there can be")
            found = message
        return found

    def number(self, number: int, default: int = 0) -> int:
        """An integer field, signed as int64."""
        found = default
        for field, _, value in self.fields():
            if field == number and isinstance(value, int):
                found = value
        return found - 2**64 if found >= 2**63 else found

    def numbers(self, number: int) -> list[int]:
        """A repeated integer field, packed or not, signed as int64."""
        found: list[int] = []
        for field, _, value in self.fields():
            if field != number:
                continue
            if isinstance(value, int):
                found.append(value)
                continue
            at = 0
            while at < len(value.content):
                self._left[0] -= 1
                if self._left[0] < 0:
                    raise DataError(f"{self._path}: a list of more than {MOST_FIELDS:,} numbers in its graph")
                one, at = value._varint(at)
                found.append(one)
        return [one - 2**64 if one >= 2**63 else one for one in found]

    def text(self, number: int) -> str:
        """A text field; "" where there is none."""
        message = self.only(number)
        return message.as_text() if message else ""

    def texts(self, number: int) -> list[str]:
        """A repeated text field."""
        return [message.as_text() for message in self.all(number)]

    def as_text(self) -> str:
        """These bytes as a name; DataError where they are none."""
        if len(self.content) > NAME_BYTES:
            raise self.damaged(f"a name of {len(self.content):,} bytes")
        try:
            return bytes(self.content).decode()
        except UnicodeDecodeError:
            raise self.damaged("a name that is not UTF-8") from None

    def damaged(self, what: str) -> DataError:
        """The error for bytes that the format cannot have."""
        return DataError(f"{self._path}: it is damaged, or something else than its name says: it has {what}")

    def _varint(self, at: int) -> tuple[int, int]:
        """A number of seven bits a byte, lowest first, and where it ends."""
        value = shift = 0
        while True:
            if at >= len(self.content) or shift > 63:
                raise self.damaged("a number without an end")
            byte = self.content[at]
            value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
            if byte < 128:
                return value & (2**64 - 1), at
