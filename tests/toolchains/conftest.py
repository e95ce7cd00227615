"""A project with a loader that does what a test asks of it, run by `edgeflow prepare` in the core toolchain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

LOADER = '''
import os, signal, sys, time
import numpy as np
from edgeflow.errors import DataError
from edgeflow.plugin import DatasetLoader, Samples


def load(job):
    """Run the Python code in the options, then give samples."""
    exec(job.options["code"], globals())
    y = np.arange(40) % 2
    x = np.zeros((40, 1, 4, 4), np.float32) + (.9 * y + np.arange(40) / 1000)[:, None, None, None].astype(np.float32)
    return Samples(x, y.astype(np.int64), ("a", "b"))


plugin = DatasetLoader("x", "runs code", "core", load, lambda job: ())
'''
OUTPUTS = ("train", "calibration", "evaluation", "golden", "golden_raw", "samples", "info")


@dataclass(frozen=True)
class Stage:
    """`edgeflow prepare` in a folder with a loader of the test's."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def arguments(self, code: str, out: str = "out") -> list[str]:
        spec: dict[str, Any] = {
            **{"dataset": "d", "loader": "loader.py:plugin", "options": {"code": code}},
            **{
                "inputs": {"input": {"shape": [1, 4, 4]}},
                "classes": 2,
                "seed": 0,
                "calibration": 4,
                "evaluation": 8,
                "golden": 2,
            },
            "source": "made up",
        }
        outputs = [f"{name}={out}/{name}" for name in OUTPUTS]
        return ["prepare", "--job", f"{out}/job.json", "--spec", json.dumps(spec), "--output", *outputs]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.variables}

    def start(self, code: str, out: str = "out", *words: str, **more: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "edgeflow", *self.arguments(code, out), *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    def run(self, code: str, out: str = "out", *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        process = self.start(code, out, *words, **more)
        said = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, *said)

    def worker(self, *words: str) -> int:
        """The process id of the worker that runs the next job."""
        done = self.run("print(os.getppid())", "out", *words)
        assert done.returncode == 0, done.stderr
        assert self.job()["worker"] == "warm", done.stderr
        return int(done.stdout)

    def job(self, out: str = "out") -> dict[str, Any]:
        cost: dict[str, Any] = json.loads((self.folder / out / "job.json").read_text())
        return cost

    def files(self, out: str = "out") -> dict[str, bytes]:
        return {name: (self.folder / out / name).read_bytes() for name in OUTPUTS}

    def with_variables(self, **variables: str) -> Stage:
        return Stage(self.folder, {**self.variables, **variables})


@pytest.fixture
def warm(tmp_path: Path) -> Stage:
    """With warm workers, those of this test session."""
    (tmp_path / "loader.py").write_text(LOADER)
    return Stage(tmp_path, {"EDGEFLOW_WARM": "1"})


@pytest.fixture
def cold(warm: Stage) -> Stage:
    """The same folder, in a process of its own."""
    return warm.with_variables(EDGEFLOW_WARM="0")


@pytest.fixture
def own(warm: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """With a worker of this test's alone, which is no longer there afterwards."""
    folder = tmp_path_factory.mktemp("run")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as run:  # stands for a Snakemake run: ends with the test
        yield warm.with_variables(XDG_RUNTIME_DIR=str(folder), EDGEFLOW_RUN=str(run.pid))
        run.kill()
