"""A zip file that nobody vouches for: what it says of itself is checked before any of it is unpacked.

Standard library only: a backend needs it where a model must be unpacked to be run.
"""

from __future__ import annotations

import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

T = TypeVar("T")

MAGIC = b"PK\x03\x04"
MOST_MEMBERS = 20_000
DIRECTORY_BYTES = 4 * 2**20  # of the list of members
MOST_RATIO = 200  # unpacked to packed: weights that are all zero have up to 1,000, in files of a few MB at most
FREE_BYTES = 64 * 2**20  # below this the ratio does not matter
CHUNK = 2**20
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    struct.error,
    ValueError,
    OverflowError,
    KeyError,
    RuntimeError,  # a password is asked for
)


class ArchiveError(ValueError):
    """A zip file is damaged, or made to do harm; the message names the file."""


def is_zip(path: Path) -> bool:
    """Whether a file begins as zip files do."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(4) == MAGIC


def names(path: Path) -> tuple[str, ...]:
    """The names of a zip file's members, for who asks what it is; () where it is none that can be read."""
    try:
        with Archive(path) as archive:
            return archive.names
    except ArchiveError:
        return ()


class Archive:
    """The members of a zip file, each within what the file says, and all of them together within reason."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream = path.open("rb")
        try:
            self._check_directory()
            self._zip = self._guarded(lambda: zipfile.ZipFile(self._stream))
            self._members = {info.filename: info for info in self._zip.infolist()}
            self._check_members()
        except BaseException:
            self._stream.close()
            raise
        self.names = tuple(self._members)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()

    def size(self, name: str) -> int:
        """How many bytes a member has; ArchiveError where there is none of that name."""
        if name not in self._members:
            raise self._error(f"it has no {name!r}")
        return self._members[name].file_size

    def read(self, name: str, most: int) -> bytes:
        """A member of at most so many bytes."""
        if self.size(name) > most:
            raise self._error(f"{name!r} has {self.size(name):,} bytes, more than {most:,}")
        with self.open(name) as stream:
            return self._guarded(lambda: stream.read(most + 1))

    def copy(self, name: str, output: BinaryIO) -> None:
        """Write a member to a file."""
        with self.open(name) as stream:
            while chunk := self._guarded(lambda: stream.read(CHUNK)):
                output.write(chunk)

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A member as a file."""
        self.size(name)
        stream = self._guarded(lambda: self._zip.open(self._members[name]))
        try:
            yield stream  # type: ignore[misc] # IO[bytes]
        finally:
            stream.close()

    def _guarded(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except DAMAGE as error:
            raise self._error(f"it is no whole zip file: {error}") from error

    def _check_directory(self) -> None:
        """The list of members is read at once: it must not be long."""
        size = os.fstat(self._stream.fileno()).st_size
        self._stream.seek(max(0, size - 2**16 - 22))
        end = self._stream.read()
        at = end.rfind(b"PK\x05\x06")
        # A zip file inside of this one ends as this one should have.
        if at < 0 or at + 22 > len(end) or at + 22 + struct.unpack("<H", end[at + 20 : at + 22])[0] != len(end):
            raise self._error("it is no whole zip file: it has no list of its members")
        entries, length = struct.unpack("<10xHI6x", end[at : at + 22])
        if entries == 0xFFFF or length == 0xFFFFFFFF:  # the longer form is before it
            larger = end.rfind(b"PK\x06\x06")
            if larger < 0 or larger + 56 > len(end):
                raise self._error("it is no whole zip file: it has no list of its members")
            entries, length = struct.unpack("<32xQQ8x", end[larger : larger + 56])
        if entries > MOST_MEMBERS or length > DIRECTORY_BYTES:
            raise self._error(f"it says that it has {entries:,} members: no model has so many")
        self._stream.seek(0)

    def _check_members(self) -> None:
        if len(self._members) != len(self._zip.infolist()):
            raise self._error("two of its members have one name")
        packed = sum(info.compress_size for info in self._members.values())
        size = os.fstat(self._stream.fileno()).st_size
        if packed > size:
            raise self._error(f"its members say {packed:,} bytes, and it has {size:,}")
        unpacked = sum(info.file_size for info in self._members.values())
        if unpacked > max(FREE_BYTES, MOST_RATIO * size):
            raise self._error(f"its {size:,} bytes unpack to {unpacked:,}: it is made to fill memory")
        for name in self._members:
            parts = name.split("/")
            if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
                raise self._error(f"its member {name!r} would be written outside of its folder")

    def _error(self, what: str) -> ArchiveError:
        return ArchiveError(f"{self._path}: {what}")
