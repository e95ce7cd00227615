"""What every benchmark needs: one run of a command with its peak memory, medians with their spread, a table."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RUNS = 5


@dataclass(frozen=True)
class Run:
    """One run of a command."""

    wall_s: float
    cpu_s: float  # user and system, of the command and of the children that it waited for
    peak_bytes: int  # resident set, of the largest single process
    output: str  # standard output and error


@dataclass(frozen=True)
class Sample:
    """Several runs of the same command."""

    runs: tuple[Run, ...]

    @property
    def wall_s(self) -> float:
        """Median wall time."""
        return statistics.median(run.wall_s for run in self.runs)

    @property
    def cpu_s(self) -> float:
        """Median CPU time."""
        return statistics.median(run.cpu_s for run in self.runs)

    @property
    def peak_bytes(self) -> int:
        """Greatest peak memory."""
        return max(run.peak_bytes for run in self.runs)

    @property
    def spread(self) -> str:
        """Least and greatest wall time and the number of runs: "1.02 – 1.31 s (5)"."""
        walls = [run.wall_s for run in self.runs]
        return f"{min(walls):.2f} – {max(walls):.2f} s ({len(walls)})"


def once(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Run:
    """Run a command in a folder to its end.

    Raises CalledProcessError with the output when it fails.
    """
    with tempfile.TemporaryFile() as stream:
        begin = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=stream, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        stream.seek(0)
        output = stream.read().decode(errors="replace")
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, list(command), output)
    unit = 1 if os.uname().sysname == "Darwin" else 1024  # getrusage(2): bytes there, KiB on Linux
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit, output)


def repeat(run: Callable[[], Run], times: int = RUNS, *, warm_up: bool = True) -> Sample:
    """The same run several times, after one that does not count: it fills the caches of Python and of the disk."""
    if warm_up:
        run()
    return Sample(tuple(run() for _ in range(times)))


def in_turn(runs: Sequence[Callable[[], Run]], times: int = RUNS) -> list[Sample]:
    """Several runs side by side, one of each a round: a slow quarter of an hour is slow for all of them."""
    rounds = [[run() for run in runs] for _ in range(times)]
    return [Sample(of_one) for of_one in zip(*rounds, strict=True)]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns: the first to the left, the others to the right."""
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    texts = ["  ".join(f"{cell:{'>' if i else '<'}{widths[i]}}" for i, cell in enumerate(line)) for line in lines]
    return "\n".join([texts[0], "─" * len(texts[0]), *texts[1:]])
