"""Files that are whole or not there: atomic writes, digests, canonical JSON."""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from edgeflow import host
from edgeflow.errors import DataError
from edgeflow.types.plain import from_json, to_json

T = TypeVar("T")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` with the same suffix; it becomes `path` only when the block succeeds.

    The name says which process writes it, so that the next one removes what a killed process left, and nothing of a
    process of another host or container.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.stem)}.*{glob.escape(path.suffix)}"):
        if abandoned(left):
            with suppress(OSError):  # somebody else's, in a folder of many: it is theirs to remove
                left.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.stem}.{host.owner()}{path.suffix}")
    try:
        temporary.touch()
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # a failed write names no file, and the temporary says nothing
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # it could not be made either, or the next one removes it
            temporary.unlink(missing_ok=True)


def abandoned(path: Path) -> bool:
    """True for a file or folder that a process kept for a while, as `.name.OWNER.suffix`, and that it cannot need."""
    parts = path.name.split(".")
    return parts[0] == "" and any(host.ended(part) for part in parts[1:])


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, whole or not at all."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a dataclass or plain value as JSON with sorted keys, so that equal values give equal bytes."""
    write_text(path, json.dumps(to_json(value), indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises DataError that names the file when it is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not valid JSON: {error}") from None


def read_as(cls: type[T], path: Path) -> T:
    """Read a JSON file into dataclass `cls`; DataError names the file and the field when it does not fit."""
    try:
        return from_json(cls, read_json(path))
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None


def sha256_bytes(content: bytes) -> str:
    """Hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content; of a folder, over the names and digests of its files."""
    if path.is_dir():
        below = sorted(file for file in path.rglob("*") if file.is_file())
        lines = (f"{sha256_file(file)}  {file.relative_to(path).as_posix()}\n" for file in below)
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
