"""Arrays in .npy files, and in members of .npz archives, that are read a sample at a time."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from edgeflow.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# What numpy and zipfile raise for files that are truncated, encrypted, altered, or hold pickled objects.
UNREADABLE = (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


class Rows:
    """The samples of an array, read in order: nothing but the one that is asked for is in memory.

    Going back reads again from the first. Nothing is unpickled. `where` names the array in messages.
    """

    def __init__(self, opens: Callable[[], IO[bytes]], where: str) -> None:
        self._opens, self._where = opens, where
        self._stream: IO[bytes] | None = None
        self._next = 0
        self._broken: DataError | None = None
        self._whole: NDArray[Any] | None = None
        self.axes: tuple[int, ...] | None = None  # order that those of a sample are given in; None: as they are
        self.cast: str | None = None  # type that samples are given in; None: their own
        self.shape, self._dtype, by_column = self._header()
        if by_column or not self.shape:  # its samples lie nowhere together
            self._whole = self.all()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the samples that are given."""
        import numpy as np

        return np.dtype(self.cast) if self.cast else self._dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> NDArray[Any]:
        """One sample; DataError when it cannot be read."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        row = self._read(index) if self._whole is None else self._whole[index]
        row = row if self.axes is None else row.transpose(self.axes)
        return row.astype(self.cast, copy=False) if self.cast else row

    def all(self) -> NDArray[Any]:
        """The whole array, as it is."""
        import numpy as np

        try:
            with self._opens() as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)
        except UNREADABLE as error:
            raise DataError(f"{self._where} cannot be read: {error}") from None

    def _header(self) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
        try:
            with self._opens() as stream:
                shape, by_column, dtype = _read_header(stream)
        except UNREADABLE as error:
            raise DataError(f"{self._where} cannot be read: {error}") from None
        if dtype.hasobject:
            raise DataError(f"{self._where} cannot be read: Object arrays cannot be loaded: they may hold code")
        return shape, dtype, by_column

    def _read(self, index: int) -> NDArray[Any]:
        import numpy as np

        if self._broken:  # what comes after a fault is not read again for each sample
            raise self._broken
        row = self.shape[1:]
        size = math.prod(row) * self._dtype.itemsize
        try:
            stream = self._stream if self._stream and index >= self._next else self._begun()
            while self._next < index:
                _exactly(stream, size)
                self._next += 1
            content = _exactly(stream, size)
            self._next += 1
            if self._next == len(self):
                stream.read(1)  # an archive holds its members against their checksums at their ends
                self._close()
        except UNREADABLE as error:
            self._broken = DataError(f"{self._where} cannot be read: {error}")
            raise self._broken from None
        return np.frombuffer(content, self._dtype).reshape(row)

    def _begun(self) -> IO[bytes]:
        self._close()
        self._stream, self._next = self._opens(), 0
        _read_header(self._stream)
        return self._stream

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __del__(self) -> None:
        if hasattr(self, "_stream"):
            self._close()


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    from numpy.lib import format as npy

    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version[0]} of the .npy format has named columns; write plain numbers")
    return npy.read_array_header_1_0(stream) if version == (1, 0) else npy.read_array_header_2_0(stream)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = stream.read(size)
        if not part:
            raise EOFError("it ends inside of a sample")
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
