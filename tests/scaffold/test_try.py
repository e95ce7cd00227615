"""`edgeflow try` on stand-ins for what people bring: each ends with a table of every variant and a report."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.scaffold.conftest import StandIns, Tried, run, tried

SCHEMES = ["fp32", "fp16", "int8_dynamic", "int8_static"]
FORMATS = ("tflite", "int8.tflite", "keras", "h5", "onnx")
REDUCED = [("kws", suffix) for suffix in FORMATS]  # one of each format
FULL = [each for each in itertools.product(("kws", "vww", "ic", "ad"), FORMATS) if each not in REDUCED]
BUILT = ("released", "held", "rejected")

pytestmark = [pytest.mark.workflow, pytest.mark.toolchain, pytest.mark.tensorflow, pytest.mark.xdist_group("try")]


def check(trial: Tried, schemes: list[str]) -> dict[tuple[str, str], str]:
    """It ended with a table that has every variant, and a report; what became of each variant."""
    assert trial.code == 0, trial.output[-6000:]
    statuses = trial.statuses()
    matrix = yaml.safe_load((trial.folder / "config/config.yaml").read_text())
    assert set(statuses) == set(itertools.product(matrix["targets"], schemes))
    assert "failed" not in statuses.values()
    table = trial.output[trial.output.index("peak memory") :]
    assert all(status in table for status in statuses.values())
    report = trial.folder / "results/report/index.html"
    assert f"Report: {report}" in trial.output
    assert report.is_file()
    return statuses


def file_of(stand_ins: StandIns, name: str, suffix: str) -> Path:
    folder = stand_ins.torch(name) if suffix == "onnx" else stand_ins.keras(name)
    return folder / f"{name}.{suffix}"


@pytest.mark.parametrize(("name", "suffix"), REDUCED)
def test_a_file_of_each_format_ends_with_a_table(name: str, suffix: str, stand_ins: StandIns, tmp_path: Path) -> None:
    statuses = check(
        tried(file_of(stand_ins, name, suffix), tmp_path), ["as_is"] if suffix == "int8.tflite" else SCHEMES
    )
    assert any(status in BUILT for status in statuses.values())


@pytest.mark.trials
@pytest.mark.parametrize(("name", "suffix"), FULL)
def test_every_stand_in_ends_with_a_table(name: str, suffix: str, stand_ins: StandIns, tmp_path: Path) -> None:
    check(tried(file_of(stand_ins, name, suffix), tmp_path), ["as_is"] if suffix == "int8.tflite" else SCHEMES)


@pytest.mark.trials
@pytest.mark.parametrize("name", ["kws", "ad", "listing"])
def test_what_torch_export_wrote_ends_with_a_table(name: str, stand_ins: StandIns, tmp_path: Path) -> None:
    statuses = check(tried(stand_ins.torch(name) / f"{name}.pt2", tmp_path), SCHEMES)
    assert any(status in BUILT for status in statuses.values())


def test_two_inputs_that_sort_against_their_order_and_three_outputs(stand_ins: StandIns, tmp_path: Path) -> None:
    trial = tried(stand_ins.torch("listing") / "listing.onnx", tmp_path)
    statuses = check(trial, SCHEMES)
    ort = next(target for target, _ in statuses if target.endswith("_ort"))
    assert statuses[ort, "fp32"] == "held"  # built and true; on random inputs nothing is released
    assert "only random inputs were asked" in trial.output
    figures = (trial.folder / "results/summary.csv").read_text()
    assert "120" in figures, "the file and its own float32 program answer alike"
    dataset = yaml.safe_load((trial.folder / "config/datasets/listing_samples.yaml").read_text())
    assert [*dataset["inputs"]] == ["photo", "ids"]


def test_labelled_samples_make_it_a_question_of_accuracy(stand_ins: StandIns, tmp_path: Path) -> None:
    folder = stand_ins.keras("kws")
    samples = dict(np.load(folder / "kws.npz"))
    np.savez(tmp_path / "words.npz", x=samples["x"][:300], y=samples["y"][:300])
    ((target, _), *_) = check_targets(tmp_path, folder)
    trial = tried(folder / "kws.tflite", tmp_path, "--data", tmp_path / "words.npz", "--target", target)
    check(trial, SCHEMES)
    assert "accuracy" in trial.output[trial.output.index("peak memory") :]
    assert "bring labelled samples" not in trial.output


def check_targets(tmp_path: Path, folder: Path) -> list[tuple[str, str]]:
    """This machine's targets, as the command itself names them where it does not know one."""
    done = run("try", folder / "kws.tflite", "--target", "toaster", folder=tmp_path)
    assert done.returncode == 2
    known = done.stderr.partition("known are ")[2].strip().split(", ")
    return [(name, "litert") for name in known if name.startswith(("linux", "macos")) and name.endswith("litert")]


def test_what_cannot_be_tried_leaves_nothing_behind(stand_ins: StandIns, tmp_path: Path) -> None:
    folder = stand_ins.keras("kws")
    (tmp_path / "cut.tflite").write_bytes((folder / "kws.tflite").read_bytes()[:5000])
    (tmp_path / "letter.onnx").write_text("Dear Sirs,\n")
    (tmp_path / "taken").mkdir()
    for file, options, words in (
        ("cut.tflite", (), "cut.tflite"),
        ("letter.onnx", (), "is of no format that is known"),
        ("none.onnx", (), "no such file"),
        (folder / "kws.tflite", ("--output", "taken"), "is there already"),
        (folder / "kws.tflite", ("--data", "nowhere.npz"), "--data"),
        (folder / "kws.tflite", ("--shape", "input_1=49x10"), "does not fit"),
    ):
        before = sorted(os.listdir(tmp_path))
        done = run("try", file, *options, folder=tmp_path)
        assert done.returncode in (2, 3), (file, done.returncode, done.stderr)
        assert words in done.stderr
        assert sorted(os.listdir(tmp_path)) == before


def test_after_ctrl_c_plain_snakemake_goes_on(stand_ins: StandIns, tmp_path: Path) -> None:
    ((target, _), *_) = check_targets(tmp_path, stand_ins.keras("kws"))
    command = [sys.executable, "-m", "edgeflow", "try", str(stand_ins.folder / "kws.tflite"), "--target", target]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        said = ""
        while " prepare " not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all that run in it
        said += process.stdout.read()
        assert process.wait() != 0
    assert "cd kws\n  snakemake" in said
    project = tmp_path / "kws"
    done = subprocess.run([sys.executable, "-m", "snakemake"], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (project / "results/report/index.html").is_file()
