"""Folders with an apostrophe and a space in their name, and runs that die while they write."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.workflow.conftest import Project, copy_checkout, make_project

from edgeflow import layout
from edgeflow.toolchains import environments

pytestmark = [pytest.mark.workflow, pytest.mark.toolchain, pytest.mark.xdist_group("workflow")]

MATRIX = {"models": ["tiny_a"], "targets": ["linux_x86_ort"], "schemes": ["fp32"], "baseline": "fp32", "seed": 0}


def test_a_project_in_a_folder_with_an_apostrophe_and_a_space(
    project: Path, tmp_path: Path, torch_python: Path, edge_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From training to package, by warm workers and by processes of their own."""
    made = make_project(tmp_path / "it's here" / 'a "project"', project, MATRIX)
    made.run()
    paths = layout.package("tiny_a", "linux_x86_ort", "fp32")
    record = json.loads((made.folder / paths["record"]).read_text())
    assert record["status"] in ("released", "held", "rejected")  # which is for budgets of time to say
    assert (made.folder / layout.report()["html"]).is_file()
    assert made.pending() == set()
    assert "tiny_a" in made.run("summary", module="edgeflow").stdout
    for folder in ("judge", "compile"):
        shutil.rmtree(made.folder / layout.RESULTS / folder)
    monkeypatch.setenv("EDGEFLOW_WARM", "0")
    made.run()
    jobs = made.folder / layout.RESULTS / "jobs"
    assert {json.loads(path.read_text())["worker"] for path in (jobs / "compile").rglob("job.json")} == {"cold"}
    assert made.pending() == set()


def test_a_toolchain_in_a_folder_with_an_apostrophe_and_a_space(project: Path, tmp_path: Path) -> None:
    made = copy_checkout(tmp_path / "it's here", project)
    (made.folder / "envs/nothing.txt").write_text("")
    paths = {name: made.folder / path for name, path in layout.toolchain("nothing").items()}
    made.run("toolchain", "nothing", module="edgeflow")
    assert json.loads(paths["stamp"].read_text())["toolchain"] == "nothing"
    python = environments._python(paths["environment"])
    said = subprocess.run([str(python), "-c", "print('here')"], capture_output=True, text=True, check=True).stdout
    assert said == "here\n"


def test_what_a_run_left_half_written_does_not_pass_for_whole(
    fresh: Callable[..., Project],
) -> None:
    """Snakemake is told to keep it: model and answers are whole, the ladder has its name and half its content."""
    project = fresh(targets=["linux_x86_ort"], schemes=["fp32"], plugins=["half.py"])
    shutil.copy(Path(__file__).with_name("half.py"), project.folder / "half.py")
    (project.folder / "fail").touch()
    done = project.run("--keep-incomplete", check=False)
    assert done.returncode != 0
    kept = {name: project.folder / path for name, path in layout.convert("tiny_a", "base", "onnx").items()}
    assert kept["model"].is_file()
    assert kept["ladder"].read_text() == '{"rungs": ['
    assert not list((project.folder / layout.RESULTS).rglob("*.efpkg"))
    (project.folder / "fail").unlink()
    pending = project.pending("--keep-incomplete")
    assert ("convert", "tiny_a/base/onnx") in pending
    assert {rule for rule, _ in pending} >= {"convert", "optimize", "compile", "measure", "judge", "package", "report"}
    assert "train" not in {rule for rule, _ in pending}
    project.run("--keep-incomplete")
    assert json.loads(kept["ladder"].read_text())["rungs"]
    assert project.pending() == set()
    assert not [p for p in (project.folder / layout.RESULTS).rglob(".*") if p.name != ".snakemake_timestamp"]
