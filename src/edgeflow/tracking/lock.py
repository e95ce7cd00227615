"""One tracking command at a time in a checkout."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeflow import layout


@contextmanager
def exclusive(name: str = "lock") -> Iterator[None]:
    """Wait for the others, then hold them off; the kernel lets go however this process ends."""
    path = Path(layout.tracking()[name])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
