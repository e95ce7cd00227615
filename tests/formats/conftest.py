"""Model files as tools write them and as an attacker does, and how a toolchain reads them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
MOST_BYTES = 512 * 2**20  # that reading any file may take


@dataclass(frozen=True)
class Read:
    """What became of each file that one process was asked about."""

    answers: Mapping[str, Mapping[str, Any]]  # name of the file → see reading.py
    peak_bytes: int  # of that process or one of its children, the larger

    def refused(self, name: str) -> str:
        """Why a file was refused, with the file's name for its path."""
        answer = self.answers[name]
        assert list(answer) == ["refused"], answer
        reason: str = answer["refused"]
        return reason


@dataclass(frozen=True)
class Toolchain:
    """Runs the programs of this folder in an interpreter."""

    python: Path
    project: Path

    def run(self, script: str, *arguments: str | Path) -> str:
        """Standard output of a program."""
        done = subprocess.run(
            [self.python, HERE / script, *arguments],
            env={**os.environ, "PYTHONPATH": str(self.project / "src"), "CUDA_VISIBLE_DEVICES": ""},
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            pytest.fail(f"{script}: exit code {done.returncode}\n{done.stderr[-4000:]}")
        return done.stdout

    def read(self, kind: str, folder: Path, *names: str) -> Read:
        """What a format says of files: `signature` and `quantized`, or why it refuses them."""
        said = json.loads(self.run("reading.py", kind, folder, *names).splitlines()[-1])
        return Read(said["answers"], said["peak_bytes"])


@pytest.fixture(scope="session")
def edge(edge_python: Path, project: Path) -> Toolchain:
    """The edge toolchain."""
    return Toolchain(edge_python, project)


@pytest.fixture(scope="session")
def torch(torch_python: Path, project: Path) -> Toolchain:
    """The torch toolchain."""
    return Toolchain(torch_python, project)
