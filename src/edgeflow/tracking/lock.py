"""One tracking command at a time works with DVC in a checkout, one flushes, and no build while results are replaced."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from edgeflow import layout
from edgeflow.errors import TrackingError


@contextmanager
def exclusive(name: str = "lock") -> Iterator[None]:
    """Wait for the others, then hold them off; the kernel lets go however this process ends.

    Raises TrackingError where this user may not write, or the file system has no locks.
    """
    with _opened(Path(layout.tracking()[name])) as stream:
        _lock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def no_build(command: str) -> Iterator[None]:
    """Hold off builds in this checkout, which wait; TrackingError when one is running."""
    with _opened(Path(layout.running())) as stream:
        try:
            _lock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrackingError(
                f"a build is running here, and '{command}' would change its files: wait until it has ended, or end it"
            ) from None
        yield


def _opened(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a")
    except OSError as error:
        raise TrackingError(f"{path}: {error.strerror}; whoever owns this folder can track, push and pull") from None


def _lock(stream: IO[str], how: int) -> None:
    try:
        fcntl.flock(stream, how)
    except BlockingIOError:
        raise
    except OSError as error:
        raise TrackingError(
            f"{stream.name} cannot be locked ({error.strerror}): work in a folder on another file system"
        ) from None
