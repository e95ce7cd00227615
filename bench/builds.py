"""A copy of the checkout with a matrix of its own, to be built again and again from its trained checkpoints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from bench.measure import Run, once
from edgeflow import files, layout
from edgeflow.types.jobs import JobCost

CHECKOUT = Path(__file__).parent.parent
PARTS = ("Snakefile", "rules", "profiles", "config", "envs")
BIN = Path(sys.executable).parent
KEPT = ("prepare", "train", "plan.json")  # of the results: what a run from trained checkpoints starts with
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Build:
    """A project folder."""

    folder: Path
    sockets: Path  # the folder of its workers' sockets

    def train(self) -> None:
        """Make the checkpoints."""
        paths = sorted({layout.train(model, "base")["checkpoint"] for model in self.matrix["models"]})
        self.snakemake(self.environment(warm=True), *paths)

    @property
    def matrix(self) -> Mapping[str, list[str]]:
        """The content of config.yaml."""
        config: Mapping[str, list[str]] = yaml.safe_load((self.folder / "config/config.yaml").read_text("utf-8"))
        return config

    def forget(self, kept: tuple[str, ...] = KEPT) -> None:
        """Remove what was built, but for what is kept."""
        for path in (self.folder / layout.RESULTS).iterdir():
            if path.name in kept:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def snakemake(self, environment: Mapping[str, str], *targets: str) -> Run:
        """One run with all cores."""
        command = [str(BIN / "snakemake"), "--cores", str(CORES), *targets]
        return once(command, self.folder, environment)

    def environment(self, *, warm: bool, run: int | None = None) -> dict[str, str]:
        """Variables of a run; `run`: a process with which the workers end, in place of that run."""
        given = {name: value for name, value in os.environ.items() if name not in ("EDGEFLOW_ENVS", "EDGEFLOW_RUN")}
        given |= {"EDGEFLOW_WARM": str(int(warm)), "XDG_RUNTIME_DIR": str(self.sockets)}
        return given if run is None else {**given, "EDGEFLOW_RUN": str(run), "EDGEFLOW_WARM_IDLE_S": "3600"}

    def useful_s(self) -> float:
        """CPU time of all jobs, as job.json has it: without what starts them and without imports of workers."""
        return sum(files.read_as(JobCost, path).cpu_s for path in (self.folder / layout.RESULTS).rglob("job.json"))


@contextmanager
def project(**matrix: object) -> Iterator[Build]:
    """A copy of the checkout with the toolchains linked; `matrix` replaces keys of config.yaml."""
    with TemporaryDirectory(prefix="ef-bench-") as name:
        yield made_in(Path(name), **matrix)


def made_in(parent: Path, **matrix: object) -> Build:
    """The same in a folder that stays."""
    folder, sockets = parent / "project", parent / "run"
    sockets.mkdir(parents=True)
    folder.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (CHECKOUT / part).is_dir() else shutil.copy2
        copy(CHECKOUT / part, folder / part)
    path = folder / "config/config.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text("utf-8")), **matrix}), "utf-8")
    (folder / layout.TOOLCHAINS).symlink_to(CHECKOUT / layout.TOOLCHAINS)
    return Build(folder, sockets)


@contextmanager
def held() -> Iterator[int]:
    """A process that stands for a run of the user's: while it lives, so do the workers of runs that name it."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()
