"""MLflow fills while a build runs: what is finished is flushed, again and again, until the build is over."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edgeflow import layout
from edgeflow.errors import DataError
from edgeflow.tracking import provenance, runs, store
from edgeflow.tracking.lock import exclusive
from edgeflow.tracking.provenance import Jobs

POLL_S = 1.0


def follow(title: str, say: Callable[[str], None]) -> None:
    """Flush until a build that was seen to run has ended, or everything that is planned is there."""
    seen_running = complete = False
    shown: list[tuple[str, int]] = []  # the state that MLflow shows
    with store.opened() as opened:
        while True:
            running, state = _running(), _state()
            seen_running = seen_running or running
            if state != shown and Path(layout.plan()["plan"]).is_file():
                try:
                    document, flushed = _flush(opened, title)
                except DataError:
                    if not running:
                        raise
                    time.sleep(POLL_S)  # a job was about to write what was read
                    continue
                say(f"{document['build']['tags']['edgeflow.finished']} variants finished. {flushed}")
                complete = len(document["variants"]) == document["cells"]
                shown = [] if flushed.error else state
            # asked before the state was read, so nothing was written after it
            if not running and (seen_running or complete):
                return
            time.sleep(POLL_S)


def _flush(opened: store.Store, title: str) -> tuple[runs.Document, store.Flushed]:
    with exclusive():
        document = runs.collect(Jobs(provenance.collect()), title)
        store.put(document)
    return document, opened.flush()


def _running() -> bool:
    """True while a Snakemake runs on this project."""
    alive = Path(layout.running())
    if not alive.is_file():
        return False
    with alive.open() as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _state() -> list[tuple[str, int]]:
    """The last files of variants, and what broke, with the times at which they were written."""
    records = (layout.plan()["plan"], layout.failures())
    last_files = [*Path(layout.RESULTS).glob("package/*/*/*/package.json"), *map(Path, records)]
    times = []
    for path in last_files:
        with suppress(FileNotFoundError):  # a job that begins removes what it made before
            times.append((str(path), path.stat().st_mtime_ns))
    return sorted(times)
