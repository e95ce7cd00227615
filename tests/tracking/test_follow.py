"""MLflow fills while a build runs, and the rule `track` stands beside the build."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.tracking.conftest import VARIANTS, Repository

pytestmark = [pytest.mark.tracking, pytest.mark.workflow, pytest.mark.toolchain, pytest.mark.xdist_group("tracking")]


def test_finished_variants_are_shown_before_the_build_is_over(
    copy: Repository, read_store: Callable[..., dict[str, list[dict[str, Any]]]]
) -> None:
    """The build is held before its last package until MLflow shows the first."""
    (copy.folder / "mlflow.db").unlink()
    for part in ("judge", "package"):
        for path in sorted((copy.folder / "results" / part).rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
    gate = copy.folder / "gate"
    rule = copy.folder / "rules/package.smk"
    held = "while [ {wildcards.scheme} = fp32 -a ! -e gate ]; do :; done; "
    rule.write_text(rule.read_text().replace('"edgeflow package', f'"{held}edgeflow package'))
    build = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "2"], cwd=copy.folder, env=copy.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    follow = subprocess.Popen(
        [sys.executable, "-u", "-m", "edgeflow", "track", "--follow"], cwd=copy.folder, env=copy.environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert follow.stdout
        said = [follow.stdout.readline()]
        while "1/2 variants finished" not in said[-1]:
            assert said[-1], said
            said.append(follow.stdout.readline())
        assert build.poll() is None
        runs = {run["name"] for run in read_store(f"sqlite:///{copy.folder}/mlflow.db")["runs"]}
        assert runs & VARIANTS == {"tiny_a/linux_x86_ort/int8_static"}
        gate.touch()
        assert build.wait() == 0
        rest = follow.stdout.read()
        assert follow.wait() == 0
        assert "2/2 variants finished" in rest
    finally:
        gate.touch()
        for process in (build, follow):
            process.kill()
            process.wait()
        assert follow.stdout
        follow.stdout.close()
    stored = read_store(f"sqlite:///{copy.folder}/mlflow.db")
    assert {run["name"] for run in stored["runs"]} > VARIANTS
    assert len(stored["runs"]) == 3


def test_following_a_finished_build_ends_at_once(copy: Repository) -> None:
    assert "2/2 variants finished" in copy.edgeflow("track", "--follow").stdout


def test_the_rule_is_one_job_beside_the_build(tracked: Repository) -> None:
    assert tracked.pending() == set()
    assert tracked.pending("track") == {("track", "")}


def test_stages_import_neither_dvc_nor_mlflow(project: Path, torch_python: Path, edge_python: Path) -> None:
    code = "import importlib.util as u, json; print(json.dumps([n for n in ('dvc', 'mlflow') if u.find_spec(n)]))"
    for python in (sys.executable, torch_python, edge_python):
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == []
