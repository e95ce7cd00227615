"""Models and samples of which several have the same name, as `model.onnx` has: none takes the place of another."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.scaffold.conftest import run

pytestmark = pytest.mark.toolchain

MAKE = """
import sys
import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

for seed, (path, weights) in enumerate(zip(sys.argv[1::2], sys.argv[2::2])):
    values = numpy.random.default_rng(seed).normal(size=(8, 4)).astype("float32")
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", k]) for n, k in (("x", 8), ("y", 4))]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [numpy_helper.from_array(values, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    beside = {"save_as_external_data": True, "location": weights, "size_threshold": 0} if weights else {}
    onnx.save_model(model, path, **beside)
"""


@pytest.fixture
def brought(tmp_path: Path, edge_python: Path) -> Path:
    """Two folders, each with net.onnx, heavy.onnx whose weights are in weights.bin, and samples.npz."""
    files: list[str] = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        files += [
            str(tmp_path / folder / "net.onnx"),
            "",
            str(tmp_path / folder / f"heavy_{folder}.onnx"),
            "weights.bin",
        ]
        np.savez(tmp_path / folder / "samples.npz", x=np.zeros((600, 8), np.float32) + len(files))
    subprocess.run([str(edge_python), "-c", MAKE, *files], check=True)
    return tmp_path


@pytest.fixture
def own(tmp_path: Path) -> Path:
    assert run("init", "own", folder=tmp_path).returncode == 0
    return tmp_path / "own"


def source(own: Path, model: str) -> Path:
    return own / yaml.safe_load((own / f"config/models/{model}.yaml").read_text())["source"]


def test_weights_that_lie_beside_two_models_stay_those_of_each(brought: Path, own: Path) -> None:
    for folder in ("one", "two"):
        done = run("add", "model", brought / folder / f"heavy_{folder}.onnx", folder=own)
        assert done.returncode == 0, done.stderr
    for folder in ("one", "two"):
        kept = source(own, f"heavy_{folder}").parent / "weights.bin"
        assert kept.read_bytes() == (brought / folder / "weights.bin").read_bytes()


def test_a_second_file_of_the_same_name_comes_in_with_another_id(brought: Path, own: Path) -> None:
    assert run("add", "model", brought / "one/net.onnx", folder=own).returncode == 0
    refused = run("add", "model", brought / "two/net.onnx", folder=own)
    assert "choose another name with --id" in refused.stderr
    done = run("add", "model", brought / "two/net.onnx", "--id", "other", folder=own)
    assert done.returncode == 0, done.stderr
    for folder, model in (("one", "net"), ("two", "other")):
        assert source(own, model).read_bytes() == (brought / folder / "net.onnx").read_bytes()


def test_samples_are_linked_once_and_others_of_that_name_beside_them(brought: Path, own: Path) -> None:
    names = (("net", "one"), ("same", "one"), ("other", "two"))
    for model, folder in names:
        data = brought / folder / "samples.npz"
        done = run("add", "model", brought / "one/net.onnx", "--id", model, "--data", data, folder=own)
        assert done.returncode == 0, done.stderr
    for model, folder in names:
        options = yaml.safe_load((own / f"config/datasets/{model}_samples.yaml").read_text())["options"]
        assert (own / options["file"]).samefile(brought / folder / "samples.npz")
    assert sorted(os.listdir(own / "data")) == ["other_samples.npz", "samples.npz"]
    inside = run("add", "model", brought / "one/net.onnx", "--id", "inside", "--data", "data/samples.npz", folder=own)
    assert inside.returncode == 0, inside.stderr
    assert run("plan", folder=own).returncode == 0
