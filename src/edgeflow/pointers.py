"""DVC's pointer files, read without DVC: which file or folder they stand for, and its digest.

DVC 3 (https://dvc.org/doc/user-guide/project-structure/dvc-files): the digest of a file is the MD5 of its bytes; that
of a folder is the MD5 of a JSON list of its files with their digests, and ends with ".dir".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from edgeflow import files, layout
from edgeflow.errors import DataError
from edgeflow.paths import problem

DIRECTORY = ".dir"  # suffix of a folder's digest
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
# Keys with which DVC writes somewhere else than beside the pointer, or asks no list of a folder's files but this one.
_ELSEWHERE = ("wdir", "files", "cloud", "version_id")


@dataclass(frozen=True)
class Pointer:
    """What one pointer file says."""

    file: Path  # "package.dvc" in the results
    out: Path  # "package" beside it: what it stands for
    md5: str  # of `out`
    size_bytes: int
    remote: str = ""  # that keeps it; "" for the default one

    @property
    def folder(self) -> bool:
        """True when it stands for a folder."""
        return self.md5.endswith(DIRECTORY)


def read(file: Path) -> Pointer:
    """Parse a pointer file.

    Raises DataError that names the file when it is missing, or not what `dvc add` writes.
    """
    try:
        return parse(file, file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{file}: no such file") from None
    except UnicodeDecodeError:
        raise _not_a_pointer(file) from None


def parse(file: Path, text: str) -> Pointer:
    """A pointer's text as of some commit; DataError that names the file when it is not what `dvc add` writes."""
    try:
        content = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        (out,) = content["outs"]
        name, md5, size_bytes = str(out["path"]), str(out["md5"]), int(out.get("size", 0))
        remote = str(out.get("remote", ""))
        elsewhere = [key for key in _ELSEWHERE if key in content or key in out]
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError):
        raise _not_a_pointer(file) from None
    if "/" in name or problem(name) or not is_md5(md5) or elsewhere:
        raise _not_a_pointer(file)
    if md5.endswith(DIRECTORY) and out.get("hash") != "md5":
        raise DataError(f"{file}: written by DVC 2; 'dvc cache migrate --dvc-files' makes it one of DVC 3")
    return Pointer(file, file.parent / name, md5, size_bytes, remote)


def _not_a_pointer(file: Path) -> DataError:
    return DataError(f"{file}: not a pointer as 'dvc add' writes it; restore it with 'git checkout {file}'")


def is_md5(text: object) -> bool:
    """True for a digest as DVC writes it, of a file or a folder; it becomes part of paths."""
    return isinstance(text, str) and bool(_MD5.fullmatch(text))


def covering(path: Path) -> Path | None:
    """The pointer file that stands for a path of the project or for a folder above it; None when there is none."""
    if path.is_absolute() or ".." in path.parts:
        return None
    candidates = (Path(f"{part}{layout.POINTER}") for part in (path, *path.parents) if part.name)
    return next((pointer for pointer in candidates if os.path.isfile(pointer)), None)  # also of a name too long


def digest(path: Path, known: Mapping[str, str] | None = None) -> str:
    """What DVC would call a file or folder; `known` has digests of files that need not be read again, by path."""
    if path.is_dir():
        return hashlib.md5(listing(path, known).encode(), usedforsecurity=False).hexdigest() + DIRECTORY
    return _md5(path, known)


def listing(folder: Path, known: Mapping[str, str] | None = None) -> str:
    """DVC's object for a folder: a JSON list of its files with their digests, sorted by path."""
    md5s = {p.relative_to(folder).as_posix(): _md5(p, known) for p in folder.rglob("*") if p.is_file()}
    return json.dumps([{"md5": md5s[name], "relpath": name} for name in sorted(md5s)], sort_keys=True)


def _md5(path: Path, known: Mapping[str, str] | None) -> str:
    return (known or {}).get(str(path)) or md5(path)


def md5(path: Path) -> str:
    """Hexadecimal MD5 of a file's content: a name in DVC's cache, no protection against an attacker."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def check(pointer: Pointer) -> None:
    """Compare the data that are there with their pointer; files that did not change since the last time are not read.

    Raises DataError when they differ: which of the two is right is for a person to say.
    """
    data = [p for p in pointer.out.rglob("*") if p.is_file()] if pointer.out.is_dir() else [pointer.out]
    if digest(pointer.out, digests(data)) != pointer.md5:
        raise DataError(
            f"{pointer.out}: differs from {pointer.file}; 'dvc add {pointer.out}' takes the data as they are now, "
            f"'dvc checkout {pointer.file} --force' brings back the tracked ones"
        )


def digests(paths: Iterable[Path]) -> dict[str, str]:
    """Path → MD5 of each file that is there; what did not change since the last time is not read."""
    record = Path(layout.tracking()["hashes"])
    before = _recorded(record, tuple(stamp(record))) if record.is_file() else {}
    stamps = {str(path): stamp(path) for path in paths if path.is_file()}
    now = {
        name: before[name] if name in before and before[name]["stamp"] == stamp else _hashed(Path(name), stamp)
        for name, stamp in stamps.items()
    }
    if any(before.get(name) != entry for name, entry in now.items()):
        with contextlib.suppress(OSError):  # a project that cannot be written to
            files.write_json(record, {**before, **now})
    return {name: entry["md5"] for name, entry in now.items()}


@lru_cache(maxsize=1)  # thousands of jobs ask, and a record may have thousands of entries
def _recorded(record: Path, _stamp: tuple[int, ...]) -> Mapping[str, Any]:
    entries: Mapping[str, Any] = files.read_json(record)
    return entries


def stamp(path: Path) -> list[int]:
    """Changes whenever a file does."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]  # ctime: also after a faked mtime


def _hashed(path: Path, stamp: list[int]) -> dict[str, Any]:
    return {"stamp": stamp, "md5": md5(path)}
