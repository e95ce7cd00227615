"""What a job of the workflow cost, and what broke."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class JobCost:
    """What one job took, by the operating system's own accounting (`job.json`)."""

    stage: str
    toolchain: str
    worker: str  # "warm": forked from a worker that had imported the libraries; "cold": a process of its own
    started_at: str  # ISO 8601, UTC
    wall_s: float
    cpu_s: float  # user and system, of the job and the processes that it waited for
    memory_peak_bytes: int  # resident; of the largest of these processes
    exit_code: int  # −n: ended by signal n


@dataclass(frozen=True)
class Failure:
    """A job that broke in the last run, and what is lost by that (`failures.json`)."""

    stage: str  # the rule: "train", "toolchain"
    key: tuple[str, ...]  # of the job, as layout.py has it
    reason: str  # one line
    log: str  # path in the project; empty where the job has none
    cells: tuple[str, ...]  # `Cell.id` of every variant that needs what the job makes

    @property
    def sentence(self) -> str:
        """Stage, job and reason, as a table shows them."""
        return f"{self.stage} {'/'.join(self.key)} failed: {self.reason}"
