"""One tracking command at a time works with DVC in a checkout, one flushes, and no build while results are replaced."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeflow import layout
from edgeflow.errors import TrackingError


@contextmanager
def exclusive(name: str = "lock") -> Iterator[None]:
    """Wait for the others, then hold them off; the kernel lets go however this process ends."""
    path = Path(layout.tracking()[name])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def no_build(command: str) -> Iterator[None]:
    """Hold off builds in this checkout, which wait; TrackingError when one is running."""
    path = Path(layout.running())
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrackingError(
                f"a build is running here, and '{command}' would change its files: wait until it has ended, or end it"
            ) from None
        yield
