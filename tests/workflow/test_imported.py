"""Models that somebody brings, from a file to packages, by the real workflow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.workflow.conftest import Project

from edgeflow import files, layout
from edgeflow.stages.ladder import Outputs
from edgeflow.types.programs import Measured

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
