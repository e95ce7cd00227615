"""A folder with a Snakefile, and real Snakemake runs in it with the progress display on."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pty
import re
import runpy
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "src"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["snakemake.cli"])


@dataclass(frozen=True)
class Run:
    """How a run of Snakemake ended and what it said."""

    returncode: int
    stdout: str
    stderr: str


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

    def write(self, snakefile: str) -> Workflow:
        """Replace the Snakefile."""
        (self.folder / "Snakefile").write_text(snakefile, encoding="utf-8")
        return self

    def run(self, *arguments: str) -> Run:
        """Snakemake with two cores and the progress display, its output not a terminal."""
        stdout, stderr = self.folder / ".stdout", self.folder / ".stderr"
        stdout.unlink(missing_ok=True)
        stderr.unlink(missing_ok=True)
        returncode = self._fork(arguments, [os.devnull, str(stdout), str(stderr)])
        return Run(returncode, stdout.read_text(encoding="utf-8"), stderr.read_text(encoding="utf-8"))

    def run_cold(self, *arguments: str) -> Run:
        """Snakemake in a new interpreter, with nothing but these arguments."""
        command = [sys.executable, "-m", "snakemake", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment(), capture_output=True, text=True, check=False
        )
        return Run(done.returncode, done.stdout, done.stderr)

    def run_in_terminal(self, *arguments: str, **environment: str) -> Terminal:
        """Like `run`, in a terminal of 80 columns."""
        ours, theirs = pty.openpty()
        chunks = []

        def read() -> None:
            with contextlib.suppress(OSError), open(ours, "rb", buffering=0) as terminal:  # EIO when the run has ended
                while chunk := terminal.read(65536):
                    chunks.append(chunk)

        reader = threading.Thread(target=read)
        reader.start()
        variables = {"TERM": "xterm-256color", "COLUMNS": "80", **environment}
        self._fork(arguments, [os.ttyname(theirs)] * 3, **variables)
        os.close(theirs)
        reader.join()
        return Terminal(b"".join(chunks).decode())

    def log(self) -> str:
        """What Snakemake wrote to its own log file in the latest run."""
        logs = sorted((self.folder / ".snakemake" / "log").glob("*.snakemake.log"))
        return logs[-1].read_text(encoding="utf-8")

    def _fork(self, arguments: tuple[str, ...], streams: list[str], **environment: str) -> int:
        request = {
            # `--logger` takes any number of values, so it stands last
            "arguments": [*arguments, "--cores", "2", "--logger", "edgeflow"],
            "folder": str(self.folder),
            "environment": self._environment(**environment),
            "sources": str(SOURCES),
            "streams": streams,
        }
        script = str(Path(__file__).with_name("become_snakemake.py"))
        process = SERVER.Process(target=runpy.run_path, args=(script, {"request": request}))
        process.start()
        process.join()
        assert process.exitcode is not None
        return process.exitcode

    def _environment(self, **environment: str) -> dict[str, str]:
        """Ours, without what would change the display or Snakemake's options."""
        ignored = ("SNAKEMAKE_PROFILE", "NO_COLOR", "FORCE_COLOR", "COLUMNS")
        kept = {name: value for name, value in os.environ.items() if name not in ignored}
        return {**kept, "PYTHONPATH": str(SOURCES), "XDG_CACHE_HOME": str(self.folder / ".cache"), **environment}


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    """An empty workflow."""
    return Workflow(tmp_path)
