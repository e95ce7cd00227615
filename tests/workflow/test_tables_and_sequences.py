"""Features [F] and sequences [C, L] go through the whole build, in their own ranges, with classes of any numbers."""

from __future__ import annotations

import csv
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.splits import read_answers
from tests.workflow.conftest import Project, make_project

from edgeflow import files

pytestmark = [pytest.mark.workflow, pytest.mark.toolchain]

MODELS = ("table", "motion")
TARGETS = ("linux_x86_ort", "linux_x86_litert", "cortex_m4_tflm")
SCHEMES = ("fp32", "int8_static")
CLASSES = np.array([2, 9, 10])
NETS = """\
from torch import nn


def table(input_shape, classes):
    return nn.Sequential(nn.Linear(*input_shape, 32), nn.ReLU(), nn.Linear(32, classes))


def motion(input_shape, classes):
    first, second = nn.Conv1d(input_shape[0], 16, 5, padding=2), nn.Conv1d(16, 32, 3, padding=1)
    body = (first, nn.BatchNorm1d(16), nn.ReLU(), nn.MaxPool1d(2), second, nn.ReLU(), nn.AdaptiveAvgPool1d(1))
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(32, classes))
"""
DATASETS = {
    "table": "options: {file: table.npz}\nshape: [4]\nrange: any\nnormalize: measured\n",
    "motion": "options: {file: motion.npz, layout: NLC}\nshape: [3, 64]\nrange: [-16384, 16384]\n"
    "normalize: {mean: 0.5, std: 0.2}\n",
}
REST = (
    "loader: npz\nclasses: 3\nsplits: {calibration: 128, evaluation: 300, golden: 8}\nsource: made up\nlicense: none\n"
)
MODEL = "framework: torch\nbuilder: nets.py:%s\ndataset: %s\ntask: classification\ntraining: {epochs: 8}\n"


def write_data(folder: Path) -> None:
    """Features of very different sizes, and 16-bit signals of three frequencies, of classes 2, 9 and 10."""
    rng = np.random.default_rng(0)
    y = rng.choice(CLASSES, 900)
    features = rng.normal([0, 5000, 0, -20], [1, 1000, 0.01, 5], (900, 4))
    features[:, 0] += 9 * (y == 9)
    features[:, 1] += 9000 * (y == 10)
    np.savez(folder / "table.npz", x=features, y=y)
    frequency = np.select([y == 2, y == 9], [0.2, 0.5], 0.9)[:, None, None]
    waves = np.sin(frequency * np.arange(64) + rng.uniform(0, 6, (900, 3, 1)))
    signals = (8000 * waves + rng.normal(0, 500, (900, 3, 64))).astype(np.int16)
    np.savez(folder / "motion.npz", x=signals.transpose(0, 2, 1), y=y)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, project: Path, torch_python: Path, edge_python: Path) -> Project:
    """A finished run. Not to be written to."""
    matrix = {"models": list(MODELS), "targets": list(TARGETS), "schemes": list(SCHEMES), "baseline": "fp32"}
    made = make_project(tmp_path_factory.mktemp("own") / "project", project, {**matrix})
    write_data(made.folder)
    (made.folder / "nets.py").write_text(NETS)
    for name, keys in DATASETS.items():
        (made.folder / f"config/datasets/{name}.yaml").write_text(keys + REST)
        (made.folder / f"config/models/{name}.yaml").write_text(MODEL % (name, name))
    made.run()
    return made


def manifest(package: Path) -> dict[str, Any]:
    """What a package says about itself."""
    with tarfile.open(package) as archive:
        member = archive.extractfile("manifest.json")
        assert member is not None
        content: dict[str, Any] = json.loads(member.read())
    return content


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("model", MODELS)
def test_every_runtime_builds_them_and_answers_right(own: Project, model: str, target: str, scheme: str) -> None:
    record = files.read_json(own.folder / f"results/package/{model}/{target}/{scheme}/package.json")
    assert record["status"] == "released" or all("latency" in reason for reason in record["reasons"])
    measured = files.read_json(own.folder / f"results/measure/{model}/{target}/{scheme}/measurement.json")
    (accuracy,) = (m["value"] for m in measured["measurements"] if m["metric"] == "accuracy")
    assert accuracy > 0.95


@pytest.mark.parametrize("model", MODELS)
def test_classes_of_any_numbers_are_evaluated_by_their_names(own: Project, model: str) -> None:
    with (own.folder / f"results/prepare/{model}/samples.csv").open(newline="") as stream:
        lines = [line for line in csv.DictReader(stream) if line["split"] == "evaluation"]
    with np.load(own.folder / f"{model}.npz") as archive:
        y = archive["y"]
    assert [line["label"] for line in lines] == [str(y[int(line["index"])]) for line in lines]
    assert files.read_json(own.folder / f"results/prepare/{model}/dataset.json")["labels"] == ["2", "9", "10"]
    _, answers = read_answers(own.folder / f"results/train/{model}/base/outputs.safetensors")
    right = [str(CLASSES[answer]) == line["label"] for answer, line in zip(answers.argmax(axis=1), lines, strict=True)]
    ladder = files.read_json(own.folder / f"results/train/{model}/base/ladder.json")
    assert ladder["rungs"][0]["value"] == pytest.approx(np.mean(right))


@pytest.mark.parametrize("model", MODELS)
def test_their_package_says_how_to_prepare_a_sample(own: Project, model: str) -> None:
    packages = [*own.folder.glob(f"results/package/{model}/*/*/*.efpkg")]
    assert packages
    for package in packages:
        package_json = manifest(package)
        said = package_json["preprocessing"]["input"]
        assert package_json["labels"] == ["2", "9", "10"]
        assert (said["channels"], said["resize"]) == (None, None)
        if model == "motion":
            assert said["scale"] == {"int16": [-16384, 16384]}
            assert (said["mean"], said["std"]) == ([0.5], [0.2])
        else:
            assert said["scale"] is None
            assert said["mean"][1] == pytest.approx(8000, rel=0.1)
            assert len(said["std"]) == 4


@pytest.mark.parametrize("model", MODELS)
def test_their_example_runs_where_the_runtime_is(own: Project, edge_python: Path, tmp_path: Path, model: str) -> None:
    """Without Pillow: there is nothing to resize."""
    targets = ("linux_x86_ort", "linux_x86_litert")
    packages = [path for target in targets for path in own.folder.glob(f"results/package/{model}/{target}/*/*.efpkg")]
    assert packages
    for number, package in enumerate(packages):
        folder = tmp_path / str(number)
        folder.mkdir()
        subprocess.run(["tar", "-xf", package], cwd=folder, check=True)
        command = [edge_python, "example.py"]
        done = subprocess.run(command, cwd=folder, env={}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        first, *samples, last = done.stdout.splitlines()
        assert first == "preprocessing: right, greatest difference 0"
        assert len(samples) == 4
        assert last.startswith("answers: as expected")
