"""What has happened so far: which jobs run, failed and are done. No text, no terminal; every update is O(1)."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice


@dataclass(frozen=True)
class Job:
    """One job of the workflow, as Snakemake announced it."""

    number: int  # Snakemake's job id, the same on every attempt
    stage: str  # the name of its rule
    variant: str  # its wildcards, or the rule's message
    started_s: float  # seconds since the epoch
    command: str = ""  # of a shell rule
    logs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    wildcards: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Stage and variant, as in a sentence."""
        return f"{self.stage} {self.variant}".rstrip()


class Progress:
    """Counts and the jobs behind them; the bottom line of a terminal is drawn by another thread, hence the lock."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0
        self.counts: Mapping[str, int] = {}  # rule → jobs, in the order in which they can run
        self.failed: dict[int, Job] = {}
        self.stopped: dict[int, Job] = {}  # by whoever ended the run, and so not failed
        self._running: dict[int, Job] = {}
        self._graph_size: int | None = None
        self._lock = threading.Lock()

    def plan(self, counts: Mapping[str, int], total: int) -> None:
        """What Snakemake intends to run."""
        self.counts, self.total = counts, total

    def grow(self, graph_size: int) -> None:
        """The jobs in Snakemake's graph now. Checkpoints add some; `--until` leaves some in it that will not run."""
        if self._graph_size is not None:
            self.total += graph_size - self._graph_size
        self._graph_size = graph_size

    def start(self, job: Job) -> None:
        """A job begins, for the first time or again."""
        with self._lock:
            self._running[job.number] = job

    def finish(self, number: int) -> Job | None:
        """A job ended well; None when its start was never seen."""
        with self._lock:
            job = self._running.pop(number, None)
        self.failed.pop(number, None)
        self.stopped.pop(number, None)
        self.done += 1
        return job

    def fail(self, number: int, otherwise: Job | None = None, stopped: bool = False) -> Job | None:
        """A job ended badly, or was stopped; `otherwise` when its start was never seen."""
        with self._lock:
            job = self._running.pop(number, None)
        job = job or otherwise
        self.failed.pop(number, None)  # an earlier attempt
        if job is not None:
            (self.stopped if stopped else self.failed)[number] = job
        return job

    def running(self, at_most: int | None = None) -> tuple[int, Sequence[Job]]:
        """How many jobs run, and the `at_most` that started first."""
        with self._lock:
            return len(self._running), tuple(islice(self._running.values(), at_most))
