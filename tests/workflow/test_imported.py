"""Models that somebody brings, from a file to packages, by the real workflow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.workflow.conftest import Project

from edgeflow import cli, files, layout
from edgeflow.stages.ladder import Outputs
from edgeflow.types.programs import Measured
from edgeflow.types.verdicts import Release, Status, Verdict

pytestmark = [pytest.mark.workflow, pytest.mark.toolchain]


def bring(project: Project, built: Project, suffix: str) -> Path:
    """Give a project the model `brought`: a file that another project made, channels last in TFLite's."""
    made = layout.convert("tiny_a", "base", suffix)["model"]
    (project.folder / "models").mkdir(exist_ok=True)
    file = project.folder / f"models/brought.{suffix}"
    shutil.copy(built.folder / made, file)
    model = {"source": f"models/brought.{suffix}", "dataset": "digits_1x49x10", "task": "classification"}
    (project.folder / f"config/models/brought_{suffix}.yaml").write_text(yaml.safe_dump(model))
    return file


def test_files_become_packages_without_a_training(fresh: Callable[..., Project], built: Project) -> None:
    models = ["brought_onnx", "brought_tflite"]
    project = fresh(models=models, schemes=["fp32", "int8_static"])
    brought = [bring(project, built, suffix) for suffix in ("onnx", "tflite")]
    excluded = [
        {"model": "brought_onnx", "target": "linux_x86_litert"},
        {"model": "brought_tflite", "target": "linux_x86_ort"},
    ]
    matrix = yaml.safe_load((project.folder / "config/config.yaml").read_text())
    (project.folder / "config/config.yaml").write_text(yaml.safe_dump({**matrix, "exclude": excluded}))
    project.run()
    assert not (project.folder / "results/train").exists()
    assert project.pending() == set()
    for model, target, file in zip(models, ("linux_x86_ort", "linux_x86_litert"), brought, strict=True):
        record = json.loads((project.folder / layout.package(model, target, "fp32")["record"]).read_text())
        assert record["digests"]["source"] == files.sha256_file(file)
        assert "checkpoint" not in record["digests"]
        measured = files.read_as(Measured, project.folder / layout.measure(model, target, "int8_static")["measurement"])
        assert {"accuracy", "accuracy_drop", "latency_p50_s"} <= {each.metric for each in measured.measurements}
        source = layout.source(model)
        own = Outputs.read(project.folder / source["outputs"])
        trained = Outputs.read(built.folder / layout.train("tiny_a", "base")["outputs"])
        ((_, answers),) = own.golden.items()
        ((_, expected),) = trained.golden.items()
        assert abs(answers - expected).max() < 1e-4 * abs(expected).max(), "the file is asked as its maker asked it"

    brought[0].write_bytes(brought[0].read_bytes().replace(b"logits", b"scores"))
    pending = project.pending()
    assert ("source", "brought_onnx") in pending
    assert ("convert", "brought_onnx/base/onnx") in pending
    assert {keys for rule, keys in pending if rule in ("prepare", "source")} == {"brought_onnx"}


NOISE = {
    "loader": "random",
    "options": {"samples": 260},
    "shape": [1, 49, 10],
    "range": "any",
    "splits": {"calibration": 32, "evaluation": 200, "golden": 4},
    "source": "drawn",
    "license": "none",
}


def test_without_labels_and_samples_nothing_is_released_unless_that_is_accepted(
    fresh: Callable[..., Project], built: Project
) -> None:
    project = fresh(models=["brought_onnx"], targets=["linux_x86_ort"], schemes=["fp32", "int8_dynamic"])
    bring(project, built, "onnx")
    (project.folder / "config/datasets/noise.yaml").write_text(yaml.safe_dump(NOISE))
    model = project.folder / "config/models/brought_onnx.yaml"
    config = {"source": "models/brought.onnx", "dataset": "noise", "task": "fidelity"}
    config["budgets"] = {"signal_to_noise_db": {"min": "6 dB"}}
    model.write_text(yaml.safe_dump(config))
    target = project.folder / "config/targets/linux_x86_ort.yaml"
    content = yaml.safe_load(target.read_text())
    budgets = {"accuracy_drop": content["budgets"]["accuracy_drop"]}  # of another task: it does not apply
    target.write_text(yaml.safe_dump({**content, "budgets": budgets, "release_without": []}))
    project.run()

    key = ("brought_onnx", "linux_x86_ort")
    for scheme in ("fp32", "int8_dynamic"):
        measured = files.read_as(Measured, project.folder / layout.measure(*key, scheme)["measurement"])
        figures = {each.metric: each for each in measured.measurements}
        noise = figures["signal_to_noise_db"]
        assert (noise.unit, noise.n, noise.conditions["inputs"]) == ("decibel", 200, "declared random")
        assert noise.method.startswith("signal_to_noise_db on declared random inputs")
        assert "accuracy" not in figures
        assert (noise.value > 100) == (scheme == "fp32")
        verdict = files.read_as(Verdict, project.folder / layout.judge(*key, scheme)["verdict"])
        assert {c.metric: c.status for c in verdict.checks} == {
            "accuracy_drop": Status.NOT_APPLICABLE,
            "signal_to_noise_db": Status.PASS,
        }
        assert (verdict.release, len(verdict.reasons)) == (Release.HELD, 1)
        assert verdict.reasons[0].startswith("only random inputs were asked")
    page = (project.folder / layout.report()["html"]).read_text(encoding="utf-8")
    assert "What would decide more" in page
    assert "Signal-to-noise after each stage" in page

    model.write_text(yaml.safe_dump({**config, "accept_random_inputs": True}))
    assert {rule for rule, _ in project.pending()} <= {"judge", "package", "report", "all"}
    project.run()
    verdict = files.read_as(Verdict, project.folder / layout.judge(*key, "int8_dynamic")["verdict"])
    assert (verdict.release, verdict.warnings) == (
        Release.RELEASED,
        ("only random inputs were asked, as its model accepts",),
    )
    record = json.loads((project.folder / layout.package(*key, "int8_dynamic")["record"]).read_text())
    assert record["figures"]["signal_to_noise_db"]["unit"] == "decibel"
    package = next((project.folder / layout.package(*key, "int8_dynamic")["record"]).parent.glob("*.efpkg"))
    assert cli.main(["verify", str(package)]) == 0


def test_a_damaged_file_fails_by_name_and_nothing_else_does(fresh: Callable[..., Project], built: Project) -> None:
    project = fresh(models=["brought_onnx", "brought_tflite"], targets=["linux_x86_litert"], schemes=["fp32"])
    bring(project, built, "onnx")
    file = bring(project, built, "tflite")
    file.write_bytes(file.read_bytes()[:4000])
    done = project.run("results/source/brought_tflite/source.json", check=False)
    assert done.returncode != 0
    log = (project.folder / layout.log("source", "brought_tflite")).read_text()
    assert "DataError: models/brought.tflite" in log
    assert not (project.folder / layout.source("brought_tflite")["ladder"]).exists()
