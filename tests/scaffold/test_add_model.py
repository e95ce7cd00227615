"""`edgeflow add model`: one more model in a project, of which nothing else changes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.scaffold.conftest import StandIns, run

pytestmark = [pytest.mark.toolchain, pytest.mark.tensorflow, pytest.mark.xdist_group("try")]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A project whose matrix somebody has written comments into."""
    assert run("init", ".", folder=tmp_path).returncode == 0
    matrix = tmp_path / "config/config.yaml"
    matrix.write_text(matrix.read_text().replace("- digits_dscnn", "- digits_dscnn   # the oldest"))
    return tmp_path


def everything(folder: Path) -> dict[str, bytes]:
    """Every file of a project but what edgeflow makes for itself."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".toolchains" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_model_is_added_and_planned(own: Path, stand_ins: StandIns) -> None:
    before = everything(own)
    done = run("add", "model", stand_ins.torch("listing") / "listing.onnx", folder=own)
    assert done.returncode == 0, done.stderr
    after = everything(own)
    assert set(after) - set(before) == {
        "config/models/listing.yaml",
        "config/datasets/listing_samples.yaml",
        "models/listing.onnx",
    }
    assert {name for name in before if after[name] != before[name]} == {"config/config.yaml"}
    text = after["config/config.yaml"].decode()
    assert "- digits_dscnn   # the oldest\n  - listing\n" in text
    plan = run("plan", "--json", folder=own)
    assert plan.returncode == 0, plan.stderr
    assert any(cell["model"] == "listing" for cell in yaml.safe_load(plan.stdout))


def test_what_is_quantized_already_brings_the_scheme_that_leaves_it_so(own: Path, stand_ins: StandIns) -> None:
    done = run("add", "model", stand_ins.keras("kws") / "kws.int8.tflite", "--id", "words", folder=own)
    assert done.returncode == 0, done.stderr
    assert "only as_is" in done.stdout
    matrix = yaml.safe_load((own / "config/config.yaml").read_text())
    assert (matrix["models"][-1], matrix["schemes"][-1]) == ("words", "as_is")


def test_what_cannot_be_added_changes_nothing(own: Path, stand_ins: StandIns, tmp_path: Path) -> None:
    file = stand_ins.torch("listing") / "listing.onnx"
    (own / "config/models/listing.yaml").write_text("# of somebody else\n")
    before = everything(own)
    done = run("add", "model", file, folder=own)
    assert (done.returncode, everything(own)) == (2, before)
    assert "config/models/listing.yaml is there already: choose another name with --id" in done.stderr
    done = run("add", "model", file, "--id", "Not An Id", folder=own)
    assert done.returncode != 0
    assert everything(own) == before
    assert not os.path.lexists(own / "models")
    (outside := tmp_path / "outside").mkdir()
    done = run("add", "model", file, folder=outside)
    assert done.returncode == 2
    assert "this is no project" in done.stderr


def test_a_file_of_the_project_stays_where_it_is(own: Path, stand_ins: StandIns) -> None:
    (own / "nets").mkdir()
    shutil.copyfile(stand_ins.torch("listing") / "listing.onnx", own / "nets/mine.onnx")
    done = run("add", "model", "nets/mine.onnx", folder=own)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load((own / "config/models/mine.yaml").read_text())["source"] == "nets/mine.onnx"
    assert not (own / "models").exists()


def test_as_many_samples_as_the_schemes_of_the_project_take(own: Path, stand_ins: StandIns, tmp_path: Path) -> None:
    """Of a file that is large there are few random samples, and of 200 a quarter is less than int8_static takes."""
    script = [str(stand_ins.torch_python), "-c", LARGE, str(tmp_path)]
    subprocess.run(script, check=True)
    np.savez(own / "some.npz", x=np.random.default_rng(0).random((200, 3), np.float32))
    for name, options in (("random", ()), ("brought", ("--data", "some.npz"))):
        done = run("add", "model", tmp_path / "net.onnx", "--id", name, *options, folder=own)
        assert done.returncode == 0, done.stderr
    datasets = [
        yaml.safe_load((own / f"config/datasets/{name}_samples.yaml").read_text()) for name in ("random", "brought")
    ]
    assert datasets[0]["splits"] == {"calibration": 128, "evaluation": 184, "golden": 16}
    assert datasets[1]["splits"] == {"calibration": 128, "evaluation": 56, "golden": 16}
    assert datasets[1]["options"]["file"] == "some.npz"  # of the project already
    np.savez(tmp_path / "few.npz", x=np.zeros((60, 3), np.float32))
    before = everything(own)
    done = run("add", "model", tmp_path / "net.onnx", "--id", "few", "--data", tmp_path / "few.npz", folder=own)
    assert (done.returncode, everything(own)) == (2, before)
    assert "60 samples, and the schemes of this project take 128 for ranges: bring more, or lower" in done.stderr


LARGE = """
import sys
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

weights = numpy_helper.from_array(np.ones((1100000, 1), np.float32), "w")
x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
nodes = [helper.make_node("ReduceMean", ["w"], ["one"], keepdims=0), helper.make_node("Mul", ["x", "one"], ["y"])]
graph = helper.make_graph(nodes, "net", [x], [y], [weights])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.save(model, f"{sys.argv[1]}/net.onnx")
"""
