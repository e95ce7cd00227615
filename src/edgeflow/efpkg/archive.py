"""Write and verify the archive. Memory stays bounded whatever a file claims; nothing is extracted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from edgeflow import files
from edgeflow.efpkg import claims, manifest, ustar
from edgeflow.efpkg.manifest import File, Manifest, ManifestV1
from edgeflow.errors import PackageError

Content = bytes | Path
_CHUNK_BYTES = 2**20
_MAX_MESSAGE = 1000  # characters; an untrusted file decides what some messages repeat


def describe(contents: Mapping[str, Content]) -> tuple[File, ...]:
    """The file list of a manifest for these contents, name → bytes or file."""
    return tuple(File(name, _size(content), _sha256(content)) for name, content in sorted(contents.items()))


def _size(content: Content) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _sha256(content: Content) -> str:
    return files.sha256_file(content) if isinstance(content, Path) else files.sha256_bytes(content)


def pack(path: Path, described: Manifest, contents: Mapping[str, Content]) -> None:
    """Write a package, whole or not at all; equal arguments give equal bytes.

    Raises PackageError when the manifest contradicts itself or the contents, or cannot be encoded.
    """
    try:
        encoded = manifest.encode(described)
    except ValueError as error:
        raise PackageError(f"{path.name}: {manifest.NAME}: {error}") from None
    if [file.path for file in described.files] != sorted(contents):
        raise PackageError(f"{path.name}: the manifest's files are not those to be packed")
    if problem := claims.problem(described):
        raise PackageError(f"{path.name}: {manifest.NAME}: {problem}")
    with files.atomic(path) as temporary:
        with temporary.open("wb") as stream:
            _write_member(stream, manifest.NAME, encoded)
            for file in described.files:
                _write_member(stream, file.path, contents[file.path])
            stream.write(ustar.END)
        verify(temporary)  # also finds a source file that changed since it was described


def _write_member(stream: BinaryIO, name: str, content: Content) -> None:
    size = _size(content)
    stream.write(ustar.header(name, size))
    for chunk in _chunks(content):
        stream.write(chunk)
    stream.write(bytes(ustar.padding(size)))


def _chunks(content: Content) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            yield chunk


def verify(path: Path) -> Manifest | ManifestV1:
    """The manifest of a package that is whole and consistent. Whole is not trusted: there is no signature yet.

    Raises PackageError that says what is wrong and at which byte.
    """
    try:
        if path.exists() and not path.is_file():
            raise PackageError(f"{path}: not a file")
        with path.open("rb") as stream:
            return verify_stream(stream, os.fstat(stream.fileno()).st_size, str(path))
    except OSError as error:
        raise PackageError(f"{path}: cannot be read: {error.strerror}") from None


def verify_stream(stream: BinaryIO, size_bytes: int, where: str) -> Manifest | ManifestV1:
    """`verify` for an open stream of known size; `where` names it in messages."""
    reader = _Reader(stream, size_bytes, where)
    described = _read_manifest(reader)
    names = [manifest.NAME, *(file.path for file in described.files)]
    for i, file in enumerate(described.files, start=1):
        reader.expect(reader.header(), (file.path, file.size_bytes), names, i)
        _check_content(reader, file)
    _check_end(reader, names)
    return described


def _read_manifest(reader: _Reader) -> Manifest | ManifestV1:
    block = reader.header()
    size = ustar.declared_size(block) or 0
    reader.expect(block, (manifest.NAME, size), [manifest.NAME], 0)
    if size > manifest.MAX_BYTES:
        raise reader.error(f"{manifest.NAME} has {size} bytes; at most {manifest.MAX_BYTES} are allowed")
    start = reader.position
    content = b"".join(reader.content(manifest.NAME, size))
    try:
        described = manifest.decode(content)
        problem = claims.problem(described)
    except ValueError as error:
        raise reader.error(f"{manifest.NAME}: {error}", at=start) from None
    if problem:
        raise reader.error(f"{manifest.NAME}: {problem}", at=start)
    return described


def _check_content(reader: _Reader, file: File) -> None:
    start = reader.position
    digest = hashlib.sha256()
    for chunk in reader.content(file.path, file.size_bytes):
        digest.update(chunk)
    if digest.hexdigest() != file.sha256:
        raise reader.error(
            f"{file.path!r} is damaged: its SHA-256 is {digest.hexdigest()}, the manifest says {file.sha256}", at=start
        )


def _check_end(reader: _Reader, names: list[str]) -> None:
    block = reader.header()
    if block != bytes(ustar.BLOCK):
        reader.expect(block, None, names, len(names))
    if any(reader.take(len(ustar.END) - ustar.BLOCK, "the end of the archive")):
        raise reader.error("the end of the archive is not zero", at=reader.position - ustar.BLOCK)
    if reader.left:
        raise reader.error(f"{reader.left} bytes after the end of the archive")


class _Reader:
    """Reads forward and remembers where; what a file claims decides nothing about memory."""

    def __init__(self, stream: BinaryIO, size_bytes: int, where: str) -> None:
        self._stream = stream
        self._size = size_bytes
        self._where = where
        self.position = 0

    @property
    def left(self) -> int:
        """Bytes from here to the end of the file."""
        return self._size - self.position

    def error(self, message: str, at: int | None = None) -> PackageError:
        """A PackageError for the place `at`, by default where the reader stands."""
        place = self.position if at is None else at
        return PackageError(f"{self._where}: byte {place}: {manifest.printable(message)[:_MAX_MESSAGE]}")

    def take(self, size_bytes: int, what: str) -> bytes:
        """Exactly this many bytes, at most a chunk; PackageError when the file ends before."""
        content = self._stream.read(size_bytes)
        if len(content) != size_bytes:
            raise self.error(f"truncated: {what} needs {size_bytes} bytes, {len(content)} are left")
        self.position += size_bytes
        return content

    def header(self) -> bytes:
        """The next header block, unread."""
        return self.take(ustar.BLOCK, "a header")

    def expect(self, block: bytes, expected: tuple[str, int] | None, names: Sequence[str], index: int) -> None:
        """Compare the header just taken, of member `index`, with the only encoding of its name and size."""
        if expected is None or block != ustar.header(*expected):
            raise self.error(ustar.explain(block, expected, names, index), at=self.position - ustar.BLOCK)

    def content(self, name: str, size_bytes: int) -> Iterator[bytes]:
        """The content of a member in chunks; what pads it to a whole block must be zero."""
        if size_bytes > self.left:
            raise self.error(f"truncated: {name!r} needs {size_bytes} bytes, {self.left} are left")
        for start in range(0, size_bytes, _CHUNK_BYTES):
            yield self.take(min(_CHUNK_BYTES, size_bytes - start), repr(name))
        at = self.position
        if any(self.take(ustar.padding(size_bytes), f"the padding of {name!r}")):
            raise self.error(f"the padding after {name!r} is not zero", at)
