"""Runs in which models break: everything else is built and reported, and the next run tries what broke again."""

from __future__ import annotations

import csv
import html
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.workflow.conftest import Project, make_project

from edgeflow import failures, files
from edgeflow.types.jobs import Failure

pytestmark = [pytest.mark.workflow, pytest.mark.toolchain, pytest.mark.xdist_group("workflow")]

TARGET, SCHEMES = "linux_x86_ort", ["fp32", "int8_static"]
GOOD = "def build(input_shape, classes):\n    import torch\n    return torch.nn.Sequential({layers})\n"
NETS = {
    "bad_syntax": GOOD.format(layers="torch.nn.Flatten("),
    "bad_forward": (
        "import torch\n\n\nclass Net(torch.nn.Module):\n    def forward(self, x):\n"
        '        raise RuntimeError("no forward today")\n\n\ndef build(input_shape, classes):\n    return Net()\n'
    ),
    "bad_import": "import timm_is_not_here\n\n\n" + GOOD.format(layers=""),
}
BAD = (*NETS, "bad_data")


def _model(project: Project, name: str, **changes: object) -> None:
    content = yaml.safe_load((project.folder / "config/models/tiny_a.yaml").read_text())
    content = {**content, "training": {"epochs": 1}, **changes}
    content.pop("arguments", None)
    (project.folder / f"config/models/{name}.yaml").write_text(yaml.safe_dump(content))


def _write_nets(project: Project) -> None:
    """One good model, and four that break: in the source, when it runs, at an import, and in its data."""
    (project.folder / "nets").mkdir()
    for name, source in NETS.items():
        (project.folder / f"nets/{name}.py").write_text(source)
        _model(project, name, builder=f"nets/{name}.py:build")
    dataset = yaml.safe_load((project.folder / "config/datasets/digits_3x32x32.yaml").read_text())
    dataset |= {"loader": "image_folder", "options": {"folder": "photos"}, "classes": 2}
    (project.folder / "config/datasets/photos.yaml").write_text(yaml.safe_dump(dataset))
    (project.folder / "photos/cat").mkdir(parents=True)
    (project.folder / "photos/notes.txt").write_text("not an image")
    _model(project, "bad_data", builder="edgeflow.zoo.dscnn:build", dataset="photos")


@pytest.fixture(scope="module")
def first(
    tmp_path_factory: pytest.TempPathFactory, project: Path, torch_python: Path, edge_python: Path
) -> tuple[Project, subprocess.CompletedProcess[str]]:
    """The first run of that project. Not to be written to."""
    matrix = {"models": [*BAD, "tiny_a"], "targets": [TARGET], "schemes": SCHEMES, "baseline": "fp32", "seed": 0}
    made = make_project(tmp_path_factory.mktemp("failing") / "project", project, matrix)
    _write_nets(made)
    return made, made.run(check=False)


def _rows(project: Project) -> dict[tuple[str, str], dict[str, str]]:
    with (project.folder / "results/summary.csv").open(encoding="utf-8", newline="") as stream:
        return {(row["model"], row["scheme"]): row for row in csv.DictReader(stream)}


def _record(project: Project) -> dict[str, Failure]:
    return {f.key[0]: f for f in failures.read(project.folder / "results/report/failures.json")}


def test_the_run_ends_with_an_error_and_says_how_many_cells_failed(
    first: tuple[Project, subprocess.CompletedProcess[str]],
) -> None:
    _, done = first
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "8 of 10 cells failed:" in said
    assert "train bad_forward/base failed: " in said
    assert "The report has these and all that was built: results/report/index.html" in said
    assert "Traceback" not in said


def test_what_does_not_depend_on_a_failure_is_built(first: tuple[Project, subprocess.CompletedProcess[str]]) -> None:
    project, _ = first
    rows = _rows(project)
    assert len(rows) == 10
    for scheme in SCHEMES:
        assert rows["tiny_a", scheme]["status"] in ("released", "held", "rejected")
        assert (project.folder / f"results/package/tiny_a/{TARGET}/{scheme}/package.json").is_file()


def test_every_failed_cell_has_stage_reason_and_log(first: tuple[Project, subprocess.CompletedProcess[str]]) -> None:
    project, _ = first
    rows = _rows(project)
    expected = {
        "bad_syntax": ("train", "nets/bad_syntax.py"),
        "bad_forward": ("train", "no forward today"),
        "bad_import": ("train", "timm_is_not_here"),
        "bad_data": ("prepare", "photos/notes.txt"),
    }
    for model, (stage, words) in expected.items():
        for scheme in SCHEMES:
            row = rows[model, scheme]
            assert (row["status"], row["failed_stage"]) == ("failed", stage)
            assert words in row["reason"]
            assert "\n" not in row["reason"]
            assert words in (project.folder / row["log"]).read_text()
    page = html.unescape((project.folder / "results/report/index.html").read_text())
    assert all(row["reason"] in page for row in rows.values() if row["status"] == "failed")
    decisions = {d["model"]: d for d in files.read_json(project.folder / "results/report/decision.json")}
    assert {d["release"] for model, d in decisions.items() if model in BAD} == {"failed"}


def test_the_summary_has_a_line_for_each_failure(first: tuple[Project, subprocess.CompletedProcess[str]]) -> None:
    project, _ = first
    said = project.run("summary", module="edgeflow").stdout
    assert "  bad_syntax" in said
    line = next(line for line in said.splitlines() if line.startswith("train bad_syntax/base failed: "))
    assert line.endswith("(2 cells, log: results/logs/train/bad_syntax/base.log)")


def test_the_plan_says_before_what_will_fail(first: tuple[Project, subprocess.CompletedProcess[str]]) -> None:
    project, _ = first
    cells = json.loads(project.run("plan", "--json", module="edgeflow").stdout)
    faults = {cell["model"]: cell["fault"] for cell in cells if "fault" in cell}
    assert set(faults) == {"bad_syntax", "bad_data"}  # what an import or a forward does, only its environment knows
    assert faults["bad_syntax"].startswith("nets/bad_syntax.py:3: SyntaxError")
    assert "photos/notes.txt" in faults["bad_data"]
    table = project.run("plan", module="edgeflow").stdout
    assert "10 cells: 6 to build, 0 infeasible, 4 will fail." in table


def test_the_next_run_tries_exactly_what_failed(first: tuple[Project, subprocess.CompletedProcess[str]]) -> None:
    project, _ = first
    pending = project.pending()
    assert {keys for rule, keys in pending if rule == "train"} == {f"{model}/base" for model in BAD}
    assert {keys for rule, keys in pending if rule == "prepare"} == {"photos"}
    assert not [keys for _, keys in pending if "tiny_a" in keys]


def test_mended_models_leave_the_record_and_stale_files_do_not_pass(
    first: tuple[Project, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """One is mended, then one that was good is broken: what the good one left is not shown as its result."""
    shutil.copytree(first[0].folder, tmp_path / "project", symlinks=True)
    project = Project(tmp_path / "project")
    layers = "torch.nn.Flatten(), torch.nn.Linear(490, 10)"
    (project.folder / "nets/bad_syntax.py").write_text(GOOD.format(layers=layers))
    config = ("--config", "models=[bad_syntax,bad_forward]", "schemes=[fp32]")
    assert project.run(*config, check=False).returncode == 1
    assert set(_record(project)) == {"bad_forward"}
    assert _rows(project)["bad_syntax", "fp32"]["status"] in ("released", "held", "rejected")

    (project.folder / "nets/bad_syntax.py").write_text(GOOD.format(layers="torch.nn.Flatten(), 3"))
    package = f"results/package/bad_syntax/{TARGET}/fp32/package.json"
    assert project.run(package, *config, check=False).returncode == 1  # of a part: the other record stays
    assert set(_record(project)) == {"bad_forward", "bad_syntax"}
    assert (project.folder / package).is_file()  # of the model as it was
    assert project.run(*config, check=False).returncode == 1
    assert _rows(project)["bad_syntax", "fp32"]["status"] == "failed"

    for name in ("bad_syntax", "bad_forward"):
        (project.folder / f"nets/{name}.py").write_text(GOOD.format(layers=layers))
    project.run(*config)
    assert _record(project) == {}
    assert {row["status"] for row in _rows(project).values()}.isdisjoint({"failed"})
    assert project.pending(*config) == set()
