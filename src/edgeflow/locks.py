"""Snakemake's folder lock: removed when the run that took it is certainly dead, and otherwise explained in one line.

Snakemake's lock files do not say whose they are. Each run keeps a record of its own beside them, `OWNER.json`, from
when it holds them until it ends. A lock that was made by a run that ended on this host, in this boot and namespace, is
stale. Of others nobody here can tell: of runs on other hosts, and of what was there before a power cut.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import pwd
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from edgeflow import files, host, layout
from edgeflow.errors import DataError

Stamp = list[int]  # inode, and when content and inode were last changed, in ns: of two files never the same


def present() -> IO[str] | None:
    """Have this process count as a run until it ends, however it ends: what replaces results is refused meanwhile.

    It waits where results are being replaced. None where that cannot be, as in a checkout that this user may only read.
    """
    path = Path(layout.running())
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
    for mode in ("a", "r"):  # another user's file can be read
        try:
            stream = path.open(mode)
            _share(stream)
        except OSError:
            continue
        return stream
    return None


def _share(stream: IO[str]) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waiting: 'edgeflow pull' replaces results in this folder", file=sys.stderr, flush=True)
        fcntl.flock(stream, fcntl.LOCK_SH)


def claim(persistence: Any) -> None:
    """Record which lock files this run has just made; it has none where it was told to take none."""
    made = getattr(persistence, "_lockfile", {})
    stamps = {Path(path).name: stamp for path in made.values() if (stamp := _stamp(Path(path)))}
    if not stamps:
        return
    record = Path(layout.locks()["runs"]) / f"{host.owner()}.json"
    files.write_json(record, {"host": os.uname().nodename, "pid": os.getpid(), "locks": stamps})
    atexit.register(_forget, record, os.getpid())


def _forget(record: Path, process: int) -> None:
    if os.getpid() == process:  # not in a child that it has forked
        record.unlink(missing_ok=True)


def clear_stale() -> None:
    """Remove the locks of runs that ended here without removing them: after kill -9, say. Where that is not allowed,
    they stay.
    """
    for record in Path(layout.locks()["runs"]).glob("*.json"):
        if host.ended(record.stem):
            with suppress(OSError):
                for name, stamp in _locks(record).items():
                    lock = Path(layout.locks()["folder"], Path(name).name)
                    if _stamp(lock) == stamp:
                        lock.unlink(missing_ok=True)
                record.unlink(missing_ok=True)


def _locks(record: Path) -> Mapping[str, Stamp]:
    try:
        stamps = files.read_json(record)["locks"]
    except (DataError, KeyError, TypeError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


def _stamp(path: Path) -> Stamp | None:
    try:
        stat = path.lstat()
    except OSError:
        return None
    return [stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]


def explain() -> None:
    """Have Snakemake say who holds the lock, when that ends this run: its own words fill four lines and do not."""
    import snakemake.exceptions

    class LockException(snakemake.exceptions.WorkflowError):  # type: ignore[misc]
        """This folder is locked. Who reads Snakemake's events knows it by this name."""

        def __init__(self) -> None:
            super().__init__(_holder())

    snakemake.exceptions.LockException = LockException


def spare_others() -> None:
    """Have a run that ends remove its own lock files alone: Snakemake removes the whole folder, also where other runs
    that share no output with it still hold theirs. `--unlock` removes all, as it is asked to.
    """
    from snakemake.persistence.file import FilePersistence

    def unlock(persistence: Any) -> None:
        for lock in persistence._lockfile.values():
            Path(lock).unlink(missing_ok=True)
        persistence._lockfile.clear()

    FilePersistence.unlock = unlock
    FilePersistence.cleanup_locks = lambda persistence: persistence._delete_locks()


def _holder() -> str:
    """Who holds the lock of this folder, and what to do."""
    here = [record for record in Path(layout.locks()["runs"]).glob("*.json") if not host.ended(record.stem)]
    for record in here:
        with suppress(DataError, OSError, KeyError, TypeError):  # damaged, or closed to this user
            run = files.read_json(record)
            whose = f"process {run['pid']} on {run['host']}{_of_whom(record)}"
            return (
                f"this folder is locked: another run is building here, {whose}. Wait until it has ended, or end it; if "
                "it is gone already, 'snakemake --unlock' removes its lock"
            )
    lock = next(iter(sorted(Path(layout.locks()["folder"]).glob("*.lock"))), None)
    made = f"{lock}{_of_whom(lock)}" if lock else "a run"
    return (
        f"this folder is locked by {made}, and nothing is known here of who made that: if no run is left, on this or "
        "another machine, 'snakemake --unlock' removes it"
    )


def _of_whom(path: Path) -> str:
    """The user who made a file, if that is somebody else."""
    try:
        user = path.stat().st_uid
        return "" if user == os.geteuid() else f" of user {pwd.getpwuid(user).pw_name}"
    except (OSError, KeyError):
        return ""
