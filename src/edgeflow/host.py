"""Which machine this is, which start of it, and whether a process of it still runs: the facts behind "whose is it?".

Several hosts and containers share project folders, and process ids mean something in one of them only. A file that a
process leaves for a while bears that process's owner, a text that no two processes have. What bears an owner that
ended here may be removed; of any other, nobody here can say that it is dead.

Standard library only, and little of it: every job starts with this.
"""

from __future__ import annotations

import os
import sys
from _blake2 import blake2b  # hashlib would load OpenSSL first, which takes longer than the rest of this file
from functools import cache


@cache
def machine_id() -> str:
    """What the operating system calls this installation (machine-id(5)), on macOS the hardware; "" where unknown.

    A secret of the machine: give on a digest of it. Copies of one image may share it.
    """
    if sys.platform == "darwin":
        return _darwin_uuid()
    return _first_line("/etc/machine-id") or _first_line("/var/lib/dbus/machine-id")


def _darwin_uuid() -> str:
    """gethostuuid(2) as 32 hexadecimal digits."""
    import ctypes

    ask = getattr(ctypes.CDLL(None), "gethostuuid", None)
    uuid = ctypes.create_string_buffer(16)
    forever = (ctypes.c_long * 2)(0, 0)  # timespec; zero waits as long as it takes
    return uuid.raw.hex() if ask is not None and ask(uuid, forever) == 0 else ""


@cache
def boot_id() -> str:
    """A random text of this start of the kernel; "" where there is none: only Linux has one."""
    return _first_line("/proc/sys/kernel/random/boot_id")


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.readline().strip()
    except OSError:
        return ""


@cache
def place() -> str:
    """Where and since when process ids mean the same, 16 hexadecimal digits: host, boot, and what a container sees.

    "" where that cannot be told from other places; then nothing is known of anybody else's processes.
    """
    known = machine_id() if sys.platform == "darwin" else boot_id()
    if not known:
        return ""
    facts = "\n".join((os.uname().nodename, machine_id(), boot_id(), _namespace("pid"), _namespace("time")))
    return blake2b(facts.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def _namespace(kind: str) -> str:
    """Number of this process's namespace, the same for all that see the same ids or clocks; "" where there are none."""
    try:
        return str(os.stat(f"/proc/self/ns/{kind}").st_ino)
    except OSError:
        return ""


def owner(process: int = 0) -> str:
    """A process of this place, by default this one, as `place-pid-start`, fit for a file name: no other has the same,
    of any host or time.
    """
    pid = process or os.getpid()
    return f"{place() or _unknown_place()}-{pid}-{started(pid)}"


@cache
def _unknown_place() -> str:
    return os.urandom(8).hex()


def ended(process: str) -> bool:
    """True when the process with this `owner` ran here and certainly runs no more; false when that cannot be known."""
    where, _, rest = process.partition("-")
    pid, _, start = rest.partition("-")
    if not where or where != place() or not (pid.isdecimal() and start.isdecimal()):
        return False
    now = started(int(pid))
    return not alive(int(pid)) or (0 not in (now, int(start)) and now != int(start))  # another process has its number


def alive(pid: int) -> bool:
    """True for a process that runs here, also somebody else's; false for one that has ended, reaped or not."""
    try:
        os.kill(pid, 0)
    except PermissionError:  # it is alive and somebody else's
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return _state(pid)[0] not in ("Z", "X")


def started(pid: int) -> int:
    """When a process began, in clock ticks since the kernel did; 0 where that is unknown: only Linux tells."""
    return int(_state(pid)[1])


def _state(pid: int) -> tuple[str, str]:
    """State and start time as proc(5) has them; ("", "0") where there is no such file, or /proc is of other processes,
    as in a container that was given its host's.
    """
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return "", "0"
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()  # after the name, which may hold anything
        return fields[0], fields[19]
    except (OSError, IndexError):
        return "", "0"
