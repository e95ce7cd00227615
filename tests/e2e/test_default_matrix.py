"""The default matrix from an empty folder: 50 cells, none lost, and what they must come to."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import PIL
import pytest
from tests.workflow.conftest import Project, copy_checkout

pytestmark = [pytest.mark.e2e, pytest.mark.toolchain]

MODELS = ("digits_dscnn", "digits_resnet8")
TARGETS = ("linux_x86_ort", "linux_x86_litert", "android_arm64_litert", "cortex_m4_tflm", "ethos_u55_128")
SCHEMES = ("fp32", "fp16", "int8_dynamic", "int8_static", "int16x8")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, project: Path, torch_python: Path, edge_python: Path) -> Project:
    made = copy_checkout(tmp_path_factory.mktemp("e2e") / "project", project)
    made.run()
    return made


@pytest.fixture(scope="module")
def rows(built: Project) -> dict[tuple[str, str, str], dict[str, str]]:
    with (built.folder / "results/summary.csv").open(newline="") as stream:
        return {(row["model"], row["target"], row["scheme"]): row for row in csv.DictReader(stream)}


def test_no_cell_is_lost(built: Project, rows: dict[tuple[str, str, str], dict[str, str]]) -> None:
    cells = {(m, t, s) for m in MODELS for t in TARGETS for s in SCHEMES}
    assert set(rows) == cells
    for cell, row in rows.items():
        record = json.loads(built.folder.joinpath("results/package", *cell, "package.json").read_text())
        assert record["status"] == row["status"]
        assert row["status"] in ("released", "held", "rejected", "infeasible")
        assert row["reason"] or row["status"] == "released", cell


def test_every_target_ships_something_but_the_one_without_a_device(
    rows: dict[tuple[str, str, str], dict[str, str]],
) -> None:
    statuses = defaultdict(set)
    for (_, target, _), row in rows.items():
        statuses[target].add(row["status"])
    assert "released" not in statuses["android_arm64_litert"]
    assert "held" in statuses["android_arm64_litert"]
    assert [target for target in TARGETS if "released" not in statuses[target]] == ["android_arm64_litert"]


def test_the_trained_models_are_not_undertrained(rows: dict[tuple[str, str, str], dict[str, str]]) -> None:
    for model in MODELS:
        assert float(rows[model, "linux_x86_ort", "fp32"]["accuracy"]) >= 0.97


def test_int8_is_within_a_point_of_float32(rows: dict[tuple[str, str, str], dict[str, str]]) -> None:
    for model in MODELS:
        for target in TARGETS:
            row = rows[model, target, "int8_static"]
            assert float(row["accuracy_drop"]) <= 0.01, (model, target)


def test_figures_of_a_target_without_a_device_are_not_device_figures(
    rows: dict[tuple[str, str, str], dict[str, str]],
) -> None:
    for model in MODELS:
        assert rows[model, "android_arm64_litert", "int8_static"]["evidence_latency"] == "host"
        assert rows[model, "linux_x86_litert", "int8_static"]["evidence_latency"] == "device"
        assert rows[model, "cortex_m4_tflm", "int8_static"]["latency_p50_s"] == ""
        assert rows[model, "cortex_m4_tflm", "int8_static"]["evidence_memory"] == "simulator"
        assert rows[model, "ethos_u55_128", "int8_static"]["evidence_latency"] == "estimate"


def test_packages_verify_and_damaged_ones_do_not(built: Project, tmp_path: Path) -> None:
    archives = sorted((built.folder / "results/package").rglob("*.efpkg"))
    assert len(archives) >= 8
    for archive in archives[:3]:
        built.run("verify", str(archive), module="edgeflow")
    damaged = tmp_path / "damaged.efpkg"
    content = bytearray(archives[0].read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(bytes(content))
    done = built.run("verify", str(damaged), module="edgeflow", check=False)
    assert done.returncode == 8
    assert "PackageError" in done.stderr


@pytest.fixture(scope="module")
def extracted(built: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Variant → an empty folder but for what its package holds."""
    folders = {}
    for archive in sorted((built.folder / "results/package").rglob("*.efpkg")):
        folder = tmp_path_factory.mktemp("extracted")
        subprocess.run(["tar", "-xf", archive], cwd=folder, check=True)
        folders[archive.parent.relative_to(built.folder / "results/package").as_posix()] = folder
    return folders


@pytest.fixture(scope="module")
def pillow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Pillow alone, which the edge toolchain does not have, and who prepares images needs."""
    folder = tmp_path_factory.mktemp("pillow")
    installed = Path(PIL.__file__).parent
    for path in (installed, *installed.parent.glob("pillow.libs")):
        (folder / path.name).symlink_to(path)
    return folder


@pytest.mark.parametrize("target", ["linux_x86_ort", "linux_x86_litert"])
@pytest.mark.parametrize("model", MODELS)
def test_python_examples_run_where_the_runtime_is(
    extracted: dict[str, Path], edge_python: Path, pillow: Path, model: str, target: str
) -> None:
    folders = [folder for variant, folder in extracted.items() if variant.startswith(f"{model}/{target}/")]
    assert folders
    for folder in folders:
        command = [edge_python, "example.py"]
        environment = {"PYTHONPATH": str(pillow)}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        first, *samples, last = done.stdout.splitlines()
        assert first == "preprocessing: right, greatest difference 0"
        assert [" 0 apart" in line for line in samples] == [True] * 4  # where it was measured
        assert last.startswith("answers: as expected")


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize("target", ["cortex_m4_tflm", "ethos_u55_128"])
@pytest.mark.parametrize("model", MODELS)
def test_cpp_examples_compile_and_run_with_stand_ins(
    extracted: dict[str, Path], project: Path, model: str, target: str
) -> None:
    folders = [folder for variant, folder in extracted.items() if variant.startswith(f"{model}/{target}/")]
    assert folders
    for folder in folders:
        (golden,) = folder.glob("*_golden.h")
        name = golden.name.removesuffix("_golden.h")
        strict = ["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
        stand_ins = ["-I.", f"-I{project / 'tests/package/cpp'}", f"-DNAME={name}", f'-DGOLDEN_H="{golden.name}"']
        sources = ["example.cc", "interpreter.cc", f"{name}.cc", f"{name}_golden.cc", "-o", "run"]
        subprocess.run(["g++", *strict, *stand_ins, *sources], cwd=folder, check=True)
        done = subprocess.run(["./run"], cwd=folder, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "all as expected")


def test_what_must_be_on_a_device_is_what_executes(extracted: dict[str, Path]) -> None:
    needed = {
        variant.split("/")[1]: json.loads((folder / "manifest.json").read_text())["runtime"]["least_versions"]
        for variant, folder in extracted.items()
    }
    assert {target: [*versions] for target, versions in needed.items()} == {
        "linux_x86_ort": ["onnxruntime"],
        "linux_x86_litert": ["ai-edge-litert"],
        "cortex_m4_tflm": ["tflite-micro"],
        "ethos_u55_128": ["tflite-micro"],
    }


def test_a_second_run_has_nothing_to_do(built: Project) -> None:
    assert built.pending() == set()
