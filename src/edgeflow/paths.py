"""Every path that comes from somewhere else: tracked data, an archive, a server. Nothing may lead out of its folder.

Such a name is only ever joined to a folder by `inside`. `portable_problem` and `clash` are for what others unpack, on
whatever file system they have.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from edgeflow.errors import DataError

MAX_PART_BYTES = 255  # NAME_MAX of the usual file systems
MAX_BYTES = 2048  # of a whole name: half of Linux's PATH_MAX, so that the folder's own path has room
MAX_PORTABLE_BYTES = 100  # the name field of a ustar header

# A segment starts with a letter, a digit or _, so no name is absolute, hidden, ".", ".." or an option of a command.
_PORTABLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*(/[A-Za-z0-9_][A-Za-z0-9._+-]*)*")
_DRIVE = re.compile(r"[A-Za-z]:")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # on Windows, whatever the suffix
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}  # control characters, half characters, separators of lines
_BIDIRECTIONAL = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # show another order


def problem(name: str) -> str:
    """Why a name, parts joined by "/", may not be used below a folder; "" when it may.

    What the letters are called elsewhere must not matter: the rules hold for the name as it is and for its Unicode
    normal forms, with and without characters that are not seen.
    """
    if leads := _leads(name):
        return leads
    forms = {unicodedata.normalize(form, name) for form in ("NFC", "NFD")}
    forms |= {"".join(c for c in form if unicodedata.category(c) != "Cf") for form in forms}
    return next(filter(None, map(_leads, sorted(forms))), "") or _spelling(name)


def _leads(name: str) -> str:
    if name.startswith("/"):
        return "has an absolute path"
    if _DRIVE.match(name):
        return "begins with the letter of a drive"
    if "\\" in name:
        return "has a backslash"
    parts = name.split("/")
    if ".." in parts:
        return "leads out of its folder"
    return "has an empty part, or one that is a dot" if {"", "."} & {*parts} else ""


def _spelling(name: str) -> str:
    if any(unicodedata.category(c) in _UNPRINTABLE or c in _BIDIRECTIONAL for c in name):
        return "has characters that cannot be shown"
    parts = [len(part.encode()) for part in name.split("/")]
    if max(parts) > MAX_PART_BYTES or sum(parts) + len(parts) - 1 > MAX_BYTES:
        return f"is longer than {MAX_BYTES} bytes, or a part of it than {MAX_PART_BYTES}"
    return ""


def inside(folder: Path, name: str) -> Path:
    """The path of a name below a folder.

    Raises DataError for a name that has a problem, and where a symbolic link on the way leads out of the folder.
    """
    if why := problem(name):
        raise DataError(f"{name!a} {why}; nothing is read or written there. Where it comes from is damaged or "
                        "hostile")  # fmt: skip
    path = folder / name
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{name!a} is behind a symbolic link that leads out of {folder}; remove the link")
    return path


def portable_problem(name: str) -> str:
    """Why a name cannot be unpacked on every file system; "" when it can. What this allows has no `problem`."""
    if name.startswith("/") or ".." in name.split("/"):
        return _leads(name)
    if not _PORTABLE.fullmatch(name):
        return "has a name with other characters than A-Z a-z 0-9 . _ + - / or with a part that starts with . + -"
    if len(name) > MAX_PORTABLE_BYTES:
        return f"has a name of more than {MAX_PORTABLE_BYTES} bytes"
    if any(_RESERVED.fullmatch(part) for part in name.split("/")):
        return "has a name that Windows keeps for a device"
    return "has a part that ends with a dot" if any(part.endswith(".") for part in name.split("/")) else ""


def clash(names: Iterable[str]) -> str:
    """Why these names cannot be unpacked side by side on every file system; "" when they can."""
    taken: dict[str, str] = {}
    folders: dict[str, str] = {}
    for name in names:
        if why := portable_problem(name):
            return f"{name!r} {why}"
        key = name.lower()
        if key in taken:
            return f"{name!r} and {taken[key]!r} are the same file where case does not count"
        taken[key] = name
        parts = key.split("/")
        folders.update(("/".join(parts[:i]), name) for i in range(1, len(parts)))
    both = next((key for key in folders if key in taken), None)
    return f"{taken[both]!r} is a file and a folder of {folders[both]!r}" if both else ""
