"""The container of a package: a strict subset of ustar (POSIX.1-2017, pax, "ustar Interchange Format").

Every field but name, size and checksum is fixed, so one list of names and sizes has exactly one encoding. Reading
compares with that encoding; the code that takes a header apart only explains to a person why the two differ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgeflow.paths import portable_problem

BLOCK = 512
END = bytes(2 * BLOCK)
MAX_SIZE_BYTES = 8**11 - 1  # eleven octal digits

_SIZE = re.compile(rb"[0-7]{11}\0")

# Field name → its place in the header, in order.
_FIELDS = {
    "name": slice(0, 100),
    "mode": slice(100, 108),
    "uid": slice(108, 116),
    "gid": slice(116, 124),
    "size": slice(124, 136),
    "mtime": slice(136, 148),
    "checksum": slice(148, 156),
    "type": slice(156, 157),
    "link name": slice(157, 257),
    "magic": slice(257, 263),
    "version": slice(263, 265),
    "uname": slice(265, 297),
    "gname": slice(297, 329),
    "devmajor": slice(329, 337),
    "devminor": slice(337, 345),
    "prefix": slice(345, 500),
    "padding": slice(500, 512),
}
_PLAIN_FILE = b"0"
_TYPES = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a folder",
    b"6": "a FIFO",
    b"x": "a pax header",
    b"g": "a global pax header",
    b"L": "a GNU long name",
    b"K": "a GNU long link name",
    b"S": "a GNU sparse file",
}


def header(name: str, size_bytes: int) -> bytes:
    """The one header block of a member, 512 bytes.

    Raises ValueError for a name or a size that the format cannot hold.
    """
    if problem := portable_problem(name):
        raise ValueError(f"{name!r} {problem}")
    if not 0 <= size_bytes <= MAX_SIZE_BYTES:
        raise ValueError(f"{name!r} has {size_bytes} bytes; a member has at most {MAX_SIZE_BYTES}")
    block = bytearray(BLOCK)
    for field, value in {
        "name": name.encode("ascii"),
        "mode": b"0000644",
        "uid": b"0000000",
        "gid": b"0000000",
        "size": b"%011o" % size_bytes,
        "mtime": b"%011o" % 0,
        "type": _PLAIN_FILE,
        "magic": b"ustar",
        "version": b"00",
    }.items():
        start = _FIELDS[field].start
        block[start : start + len(value)] = value
    block[_FIELDS["checksum"]] = _checksum(block)
    return bytes(block)


def _checksum(block: bytes | bytearray) -> bytes:
    """Sum of all bytes with the checksum field read as spaces, as six octal digits, NUL, space."""
    field = _FIELDS["checksum"]
    return b"%06o\0 " % (sum(block) - sum(block[field]) + 8 * ord(" "))


def padding(size_bytes: int) -> int:
    """Zero bytes after a content of this size, up to the next block."""
    return -size_bytes % BLOCK


def declared_size(block: bytes) -> int | None:
    """The size that a header declares, in bytes, not to be trusted; None when the field is not eleven octal digits."""
    field = block[_FIELDS["size"]]
    return int(field[:11], 8) if _SIZE.fullmatch(field) else None


def explain(block: bytes, expected: tuple[str, int] | None, names: Sequence[str], index: int) -> str:
    """Say why a block is not the header of member `index` of `names`: `expected` name and size, None for the end."""
    wanted = f"expected {expected[0]!r}" if expected else "expected the end of the archive"
    if problem := _damage(block):
        return f"{problem}; {wanted}"
    name = block[_FIELDS["name"]].rstrip(b"\0").decode("utf-8", "backslashreplace")
    if problem := _hostility(block):
        return f"member {name!r} {problem}"
    if expected is not None and name == expected[0]:
        return f"member {name!r}: {_field_problem(block, *expected)}"
    if name in names[:index]:
        return f"duplicate member {name!r}; {wanted}"
    return f"member {name!r} {'is out of order' if name in names[index:] else 'does not belong here'}; {wanted}"


def _damage(block: bytes) -> str:
    if block == bytes(BLOCK):
        return "the archive ends here"
    if block[_FIELDS["checksum"]] != _checksum(block):
        return "not a ustar header, or damaged: its checksum is wrong"
    return ""


def _hostility(block: bytes) -> str:
    kind = block[_FIELDS["type"]]
    if kind != _PLAIN_FILE:
        return f"is {_TYPES.get(kind, f'of unknown type {kind!r}')}; only plain files are allowed"
    try:
        return portable_problem(block[_FIELDS["name"]].rstrip(b"\0").decode("utf-8"))
    except UnicodeDecodeError:
        return "has a name that is not UTF-8"


def _field_problem(block: bytes, name: str, size_bytes: int) -> str:
    declared = declared_size(block)
    if declared is not None and declared != size_bytes:
        return f"the header says {declared} bytes, the manifest {size_bytes}"
    good = header(name, size_bytes)
    different = (field for field, place in _FIELDS.items() if block[place] != good[place])
    field = next(field for field in different if field != "checksum")  # it is right for what the header says
    return f"header field {field!r} is {block[_FIELDS[field]]!r}; in this format it is {good[_FIELDS[field]]!r}"
