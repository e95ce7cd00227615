"""A project of configuration alone: written into an empty folder, and built by plain `snakemake`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgeflow import cli, workflow


def test_a_new_project_plans_without_a_word_of_complaint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new"
    assert cli.main(["init", str(folder)]) == 0
    assert f"cd {folder}" in capsys.readouterr().out
    monkeypatch.chdir(folder)
    project, plan = workflow.open_project()
    assert project.warnings == ()
    assert {cell.model for cell in plan.cells} == {"digits_dscnn"}
    assert {"cortex_m4_tflm"} < {cell.target for cell in plan.cells}  # and this machine
    assert "cortex_m4_tflm" not in project.devices["this_host"].targets


def test_only_an_empty_folder_is_written_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "thesis.tex").touch()
    assert cli.main(["init", str(tmp_path)]) == 2
    assert "is not empty: it has thesis.tex; name another folder" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == [".git", "thesis.tex"]
    assert cli.main(["init", str(tmp_path / "thesis.tex")]) == 2
    assert "is a file" in capsys.readouterr().err
    (tmp_path / "thesis.tex").unlink()
    assert cli.main(["init", str(tmp_path)]) == 0  # a repository that has nothing yet


@pytest.mark.workflow
@pytest.mark.toolchain
def test_plain_snakemake_builds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init"]) == 0
    model = Path("config/models/digits_dscnn.yaml")
    model.write_text(re.sub(r"epochs: \d+", "epochs: 1", model.read_text()))
    targets = [path.stem for path in sorted(Path("config/targets").glob("*_ort.yaml"))]
    matrix = ["--config", f"targets=[{targets[0]}]", "schemes=[fp32]"]
    build = [sys.executable, "-m", "snakemake", "--cores", "2", *matrix]
    assert subprocess.run(build, check=False).returncode == 0
    summary = subprocess.run(
        [sys.executable, "-m", "edgeflow", "summary", *matrix], capture_output=True, text=True, check=True
    )
    assert "digits_dscnn" in summary.stdout
    assert "results/report/index.html" in summary.stdout
    again = subprocess.run([*build, "-n"], capture_output=True, text=True, check=True)
    assert "Nothing to be done" in again.stdout + again.stderr
