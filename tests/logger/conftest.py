"""A folder with a Snakefile, and real Snakemake runs in it with the progress display on."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.rights import heed_modes

SOURCES = Path(__file__).parents[2] / "src"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# What would change the display, Snakemake's options, or how fast Python starts.
IGNORED = ("SNAKEMAKE_PROFILE", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONDONTWRITEBYTECODE")


@dataclass(frozen=True)
class Terminal:
    """What a terminal got."""

    raw: str  # with control sequences

    @property
    def lines(self) -> list[str]:
        """What it shows in the end: without colours, overwritten text and empty lines."""
        shown = (CONTROL.sub("", line).rstrip("\r").rpartition("\r")[2].rstrip() for line in self.raw.split("\n"))
        return [line for line in shown if line]


@dataclass(frozen=True)
class Workflow:
    """A Snakefile in a folder of its own."""

    folder: Path
    bytecode: Path  # shared by all runs of a session: compiling Snakemake takes longer than running these workflows

    def write(self, snakefile: str) -> Workflow:
        """Replace the Snakefile."""
        (self.folder / "Snakefile").write_text(snakefile, encoding="utf-8")
        return self

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Snakemake with two cores and the progress display, its output not a terminal."""
        return self.run_plain(*self._with_display(arguments))

    def run_plain(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Snakemake with these arguments only."""
        command = [sys.executable, "-m", "snakemake", *arguments]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=heed_modes,
        )

    def interrupt(self, started: Path, jobs: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Like `run`, and Ctrl-C as soon as so many jobs have written a line to the fifo `started`."""
        command = [sys.executable, "-m", "snakemake", *self._with_display(arguments)]
        os.mkfifo(started)
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            held = os.open(started, os.O_RDWR)  # a second writer, so that the end of a job is not the end of the file
            with open(started, encoding="utf-8") as lines:
                for _ in range(jobs):
                    lines.readline()
                os.killpg(process.pid, signal.SIGINT)
            os.close(held)
            out, err = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def run_in_terminal(self, *arguments: str, **environment: str) -> Terminal:
        """Like `run`, in a terminal of 80 columns."""
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "snakemake", *self._with_display(arguments)]
        variables = self._environment(TERM="xterm-256color", COLUMNS="80", **environment)
        chunks = []
        with (
            open(ours, "rb", buffering=0) as terminal,
            subprocess.Popen(command, cwd=self.folder, env=variables, stdin=theirs, stdout=theirs, stderr=theirs),
        ):
            os.close(theirs)
            with contextlib.suppress(OSError):  # EIO: the run has ended
                while chunk := terminal.read(65536):
                    chunks.append(chunk)
        return Terminal(b"".join(chunks).decode())

    def log(self) -> str:
        """What Snakemake wrote to its own log file in the latest run."""
        logs = sorted((self.folder / ".snakemake" / "log").glob("*.snakemake.log"))
        return logs[-1].read_text(encoding="utf-8")

    @staticmethod
    def _with_display(arguments: tuple[str, ...]) -> list[str]:
        # `--logger` takes any number of values, so it stands last; the default scheduler starts a solver for each job.
        return [*arguments, "--cores", "2", "--scheduler", "greedy", "--logger", "edgeflow"]

    def _environment(self, **environment: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in IGNORED}
        own = {
            "PYTHONPATH": str(SOURCES),
            "PYTHONPYCACHEPREFIX": str(self.bytecode),
            "XDG_CACHE_HOME": str(self.folder / ".cache"),
        }
        return {**kept, **own, **environment}


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Python keeps what it has compiled."""
    return tmp_path_factory.mktemp("bytecode")


@pytest.fixture
def workflow(tmp_path: Path, bytecode: Path) -> Workflow:
    """An empty workflow."""
    return Workflow(tmp_path, bytecode)
