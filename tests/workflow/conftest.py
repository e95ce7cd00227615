"""A small project, built once by real Snakemake, and copies of it that a test may spoil."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

PARTS = ("Snakefile", "rules", "profiles", "config", "envs", "src")
TARGETS = ["linux_x86_ort", "linux_x86_litert"]
SCHEMES = ["fp32", "int8_dynamic", "int8_static"]


@dataclass(frozen=True)
class Project:
    """A project folder and what a user does in it."""

    folder: Path

    def run(self, *arguments: str, check: bool = True, module: str = "snakemake") -> subprocess.CompletedProcess[str]:
        """`snakemake <arguments>` with two cores."""
        cores = ("--cores", "2") if module == "snakemake" else ()
        done = subprocess.run(
            [sys.executable, "-m", module, *cores, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            pytest.fail(f"{module} {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    @property
    def environment(self) -> dict[str, str]:
        """The project's own copy of the source comes before the installed one."""
        return {**os.environ, "PYTHONPATH": str(self.folder / "src")}

    def pending(self, *arguments: str) -> set[tuple[str, str]]:
        """What a dry run would do: (rule, wildcards as "a/b/c")."""
        text = self.run("-n", *arguments).stdout
        jobs = re.split(r"\n(?=(?:local)?rule \w+:)", text)
        jobs_to_run = set()
        for job in jobs:
            if rule := re.match(r"(?:local)?rule (\w+):", job.lstrip()):
                line = re.search(r"^    wildcards: (.*)$", job, re.MULTILINE)
                values = [part.split("=", 1)[1] for part in line[1].split(", ")] if line else []
                jobs_to_run.add((rule[1], "/".join(values)))
        return jobs_to_run


def copy_checkout(folder: Path, source: Path) -> Project:
    """A copy of the checkout's workflow and configuration, with its toolchains."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        if (source / part).is_dir():
            shutil.copytree(source / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(source / part, folder / part)
    link_toolchains(source, folder)
    return Project(folder)


def link_toolchains(source: Path, folder: Path) -> None:
    """The same toolchains in another folder, each project with stamps of its own."""
    (folder / ".toolchains").mkdir()
    for path in (source / ".toolchains").iterdir():
        if path.suffix == ".json":
            shutil.copy2(path, folder / ".toolchains" / path.name)
        else:
            (folder / ".toolchains" / path.name).symlink_to(path.resolve())


def make_project(folder: Path, source: Path, matrix: dict[str, object]) -> Project:
    """A copy of the checkout's workflow with tiny models and the given matrix."""
    made = copy_checkout(folder, source)
    for name, dataset, arguments in (
        ("tiny_a", "digits_1x49x10", {"channels": 8, "blocks": 1}),
        ("tiny_b", "digits_3x32x32", {"channels": 8, "blocks": 1}),
    ):
        model = yaml.safe_load((source / "config/models/digits_dscnn.yaml").read_text())
        model |= {"dataset": dataset, "arguments": arguments}
        model["training"] |= {"epochs": 2}
        (folder / f"config/models/{name}.yaml").write_text(yaml.safe_dump(model))
    (folder / "config/config.yaml").write_text(yaml.safe_dump(matrix))
    return made


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, project: Path, torch_python: Path, edge_python: Path) -> Project:
    """A finished run of two tiny models × two targets × three schemes. Not to be written to: copy it."""
    matrix = {"models": ["tiny_a", "tiny_b"], "targets": TARGETS, "schemes": SCHEMES, "baseline": "fp32", "seed": 0}
    made = make_project(tmp_path_factory.mktemp("built") / "project", project, matrix)
    made.run()
    return made


@pytest.fixture
def copy(built: Project, tmp_path: Path) -> Project:
    """The finished run in a folder of this test's own, with the same times and Snakemake metadata."""
    shutil.copytree(built.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


@pytest.fixture
def fresh(project: Path, tmp_path: Path, torch_python: Path, edge_python: Path) -> Callable[..., Project]:
    """Make an unbuilt project with a matrix of the test's choice."""

    def make(**matrix: object) -> Project:
        default = {"models": ["tiny_a"], "targets": TARGETS, "schemes": SCHEMES, "baseline": "fp32", "seed": 0}
        return make_project(tmp_path / "fresh", project, {**default, **matrix})

    return make
