"""Stand-ins for models that people have, made once by the toolchains, and commands as they are typed."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

MODELS = Path(__file__).parent.parent / "models"


@dataclass(frozen=True)
class StandIns:
    """Makes stand-ins in a folder, each once."""

    folder: Path
    keras_python: Path
    torch_python: Path
    source: Path

    def keras(self, name: str) -> Path:
        """The folder with NAME.tflite, NAME.int8.tflite, NAME.keras, NAME.h5 and NAME.npz of a Keras stand-in."""
        if not (self.folder / f"{name}.int8.tflite").exists():
            self._make("stand_ins_keras.py", self.keras_python, name)
        return self.folder

    def torch(self, name: str) -> Path:
        """The folder with NAME.onnx and NAME.pt2."""
        if not (self.folder / f"{name}.onnx").exists():
            self._make("stand_ins_torch.py", self.torch_python, name)
        return self.folder

    def _make(self, script: str, python: Path, name: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(self.source), "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [str(python), "-W", "ignore", str(MODELS / script), str(self.folder), name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory, project: Path, tf_python: Path, torch_python: Path) -> StandIns:
    """Stand-ins, made when they are asked for."""
    return StandIns(tmp_path_factory.mktemp("stand_ins"), tf_python, torch_python, project / "src")


@dataclass(frozen=True)
class Tried:
    """What a command left."""

    code: int
    output: str  # both streams
    folder: Path  # of the project

    def statuses(self) -> dict[tuple[str, str], str]:
        """(target, scheme) → what became of it, of the report's table."""
        with (self.folder / "results/summary.csv").open() as stream:
            return {(row["target"], row["scheme"]): row["status"] for row in csv.DictReader(stream)}


def run(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """`edgeflow …` in a folder."""
    command = [sys.executable, "-m", "edgeflow", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def tried(file: Path, folder: Path, *options: str | Path) -> Tried:
    """`edgeflow try FILE` in a folder."""
    done = run("try", file, "--output", "tried", *options, folder=folder)
    return Tried(done.returncode, done.stdout + done.stderr, folder / "tried")
