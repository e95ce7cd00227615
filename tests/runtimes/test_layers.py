"""Layers by the names of their modules, left in float32 or not, and what each answers before and after quantization."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeflow.runtimes import names

JOBS = Path(__file__).with_name("layers_jobs.py")
RUNTIMES = ("onnxruntime", "litert")


@pytest.fixture(scope="module")
def inspected(
    tmp_path_factory: pytest.TempPathFactory, project: Path, torch_python: Path, edge_python: Path
) -> dict[str, Any]:
    """What layers_jobs.py says, by runtime."""
    folder = tmp_path_factory.mktemp("layers")
    np.save(folder / "x.npy", np.random.default_rng(0).standard_normal((16, 2, 10, 10), dtype=np.float32))
    for python, job in ((torch_python, "convert"), (edge_python, "inspect")):
        command = [str(python), str(JOBS), str(folder), job]
        environment = {**os.environ, "PYTHONPATH": str(project / "src")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    read: dict[str, Any] = json.loads((folder / "edge.json").read_text())
    return read


@pytest.mark.toolchain
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_layers_have_the_names_of_their_modules(inspected: dict[str, Any], runtime: str) -> None:
    layers = [layer["name"] for layer in inspected[runtime]["layers"]]
    expected = ["stem", "second.conv", "second.add", "third.conv", "third.add"]
    assert [name for name in layers if name in expected] == expected
    assert len(set(layers)) == len(layers)


@pytest.mark.toolchain
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_layers_that_are_kept_have_float_weights_and_the_others_have_not(
    inspected: dict[str, Any], runtime: str
) -> None:
    assert inspected[runtime]["all"]["float"] == []
    assert inspected[runtime]["mixed"]["float"] == [[8, 8, 3, 3] if runtime == "onnxruntime" else [8, 3, 3, 8]]


@pytest.mark.toolchain
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_each_layer_reads_and_answers(inspected: dict[str, Any], runtime: str) -> None:
    each = inspected[runtime]["all"]
    assert each["reads"]["stem"] == []
    assert each["reads"]["second.conv"] == ["stem"]
    assert sorted(each["reads"]["third.add"]) == ["second.add", "third.conv"]
    assert each["shapes"]["second.add"] == [[16, 10, 10, 8], [16, 10, 10, 8]]  # channels last, whatever the layout
    # One range for all channels of the stem: what answers 300 times less than the others has few steps left.
    assert each["error"]["stem"] > 0.1
    quantized = np.array(inspected[runtime]["last"])
    assert quantized.shape == (16, 4)
    assert abs(quantized - np.array(each["outputs"])).max() < 0.1 * np.ptp(quantized)


@pytest.mark.toolchain
def test_both_runtimes_see_the_same_network(inspected: dict[str, Any]) -> None:
    one, other = (np.array(inspected[runtime]["last"]) for runtime in RUNTIMES)
    assert abs(one - other).max() < 1e-4 * np.ptp(one)
    for layer in ("stem", "second.conv", "second.add", "third.conv", "third.add"):
        assert inspected["litert"]["all"]["error"][layer] == pytest.approx(
            inspected["onnxruntime"]["all"]["error"][layer], rel=0.2
        )


def test_names_that_come_twice_are_numbered() -> None:
    assert names.distinct(["a", "b", "a", "a"]) == ["a", "b", "a_2", "a_3"]


@pytest.mark.parametrize(
    ("modules", "operator", "name"),
    [("blocks.0", "Add", "blocks.0.add"), ("blocks.0.relu", "Relu", "blocks.0.relu"), ("", "RESHAPE", "reshape")],
)
def test_a_module_and_what_it_computes(modules: str, operator: str, name: str) -> None:
    assert names.of(modules, operator) == name
