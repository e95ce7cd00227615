"""`edgeflow summary` says when its report is older than what it was made from, and never when it is not."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import build, path

from edgeflow import cli, failures, files, layout
from edgeflow.config import load
from edgeflow.config.digests import digests
from edgeflow.registry import discover
from edgeflow.stages import report
from edgeflow.types.jobs import Failure

OLD = "This report is older than "
UNKNOWN = "Whether this report is of the configuration as it is now cannot be told: "


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Path:
    """A project folder with a configuration, results and the report of both. Not to be written to."""
    root = tmp_path_factory.mktemp("summary")
    shutil.copytree(project / "config", root / "config")
    spec, inputs, outputs = build(root)
    configuration = digests(load(root, None, discover()))
    report.run(replace(spec, configuration=configuration), inputs, outputs)
    return root


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return Path()


@pytest.fixture
def age(capsys: pytest.CaptureFixture[str]) -> object:
    """What the summary says after its table, given its options."""

    def of(*arguments: str) -> str:
        assert cli.main(["summary", *arguments]) == 0
        table, _, said = capsys.readouterr().out.partition("Report: results/report/index.html")
        assert "digits_resnet8" in table
        return said.partition("\n")[2].strip()

    return of


def edit(file: str, old: str, new: str) -> None:
    text = Path(file).read_text()
    assert old in text
    Path(file).write_text(text.replace(old, new, 1))


def test_a_report_of_now_says_nothing(folder, age) -> None:
    assert age() == ""


def test_times_comments_and_things_that_are_not_used_make_no_report_old(folder, age) -> None:
    for file in folder.rglob("*"):
        os.utime(file, (2e9, 2e9))
    with Path("config/targets/cortex_m4_tflm.yaml").open("a") as stream:
        stream.write("# a comment\n")
    shutil.copy("config/schemes/int8_static.yaml", "config/schemes/another.yaml")
    assert age() == ""


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("config/targets/linux_x86_ort.yaml", "max: 1 %", "max: 2 %", "target linux_x86_ort changed"),
        ("config/schemes/int8_static.yaml", "per_channel: true", "per_channel: false", "scheme int8_static changed"),
        ("config/models/digits_dscnn.yaml", "epochs: ", "epochs: 1", "model digits_dscnn changed"),
        ("config/datasets/digits_1x49x10.yaml", "golden: ", "golden: 1", "dataset digits_1x49x10 changed"),
        ("config/devices/this_host.yaml", "linux_x86_ort", "cortex_m4_tflm", "device this_host changed"),
        ("config/config.yaml", "seed: 0", "seed: 1", "seed changed"),
        ("config/config.yaml", "  - fp16\n", "", "10 cells are gone"),
        ("config/config.yaml", "  - digits_dscnn\n", "", "25 cells are gone"),
    ],
)
def test_an_edit_of_what_is_used_is_named(folder, age, file, old, new, said) -> None:
    edit(file, old, new)
    assert age() == f"{OLD}the configuration ({said}): run snakemake, which makes it again."


def test_the_matrix_is_that_of_the_options(folder, age) -> None:
    Path("other.yaml").write_text("title: Another\n")
    assert age("--configfile", "other.yaml") == (
        f"{OLD}the configuration (title changed): run snakemake, which makes it again."
    )
    shutil.copy("config/schemes/int8_static.yaml", "config/schemes/another.yaml")
    assert "(10 cells are new; 50 cells are gone)" in age("--config", "schemes=another")


def test_newer_results_are_named(folder, age) -> None:
    verdict = path(folder / "results", layout.judge("digits_dscnn", "cortex_m4_tflm", "int8_static")["verdict"])
    content = verdict.read_text()
    files.write_text(verdict, content.replace("released", "held"))
    assert age() == (
        f"{OLD}the results of digits_dscnn/cortex_m4_tflm/int8_static: run snakemake, which makes it again."
    )
    files.write_text(verdict, content)
    assert age() == ""
    shutil.rmtree("results/measure/digits_resnet8")
    assert " and 16 more" in age()


def test_a_failure_that_the_report_does_not_show_makes_it_old(folder, age) -> None:
    cell = "digits_dscnn/linux_x86_ort/int8_static"
    known = failures.read(Path(layout.failures()))
    broken = Failure("measure", tuple(cell.split("/")), "StageError: no", "x.log", (cell,))
    failures.write(Path(layout.failures()), [*known, broken])
    assert age() == f"{OLD}the results of {cell}: run snakemake, which makes it again."


def test_a_broken_configuration_hides_neither_the_report_nor_newer_results(folder, age) -> None:
    edit("config/targets/linux_x86_ort.yaml", "runtime: onnxruntime", "runtime: onnxruntim\nbudget: 1")
    said = age()
    assert said.startswith(f"{UNKNOWN}config/targets/linux_x86_ort.yaml: ")
    assert said.endswith("(and 1 more); 'edgeflow plan' says all of it")
    shutil.rmtree("results/judge")
    assert age().startswith(f"{OLD}the results of ")
    assert UNKNOWN in age()
    Path("config/config.yaml").unlink()
    assert f"{UNKNOWN}config/config.yaml: no such file" in age()


def test_a_report_that_does_not_say_what_it_was_made_from(folder, age, capsys) -> None:
    Path("results/report/sources.json").unlink()
    assert age() == f"{UNKNOWN}results/report/sources.json is not there; run snakemake, which makes it"
    shutil.rmtree("results/report")
    assert cli.main(["summary"]) == 3
    assert capsys.readouterr().err == (
        "DataError: results/report/decision.json is not there: there is no report yet; run 'snakemake' first\n"
    )


@pytest.mark.parametrize("cell", ["", "a/b", "a/b/c/d"])
def test_sources_of_no_cell_are_refused_with_their_file(folder, capsys, cell) -> None:
    record = Path(layout.report()["sources"])
    files.write_json(record, {"configuration": {}, "results": {cell: ""}})
    assert cli.main(["summary"]) != 0
    assert f"{record}: {cell!a} is no cell; run snakemake" in capsys.readouterr().err
