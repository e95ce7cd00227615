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


def test_another_file_of_the_same_name_and_the_same_samples_go_beside_it(
    own: Path, stand_ins: StandIns, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Files that weights are in have one name for many models, and none is written over."""
    for number, text in enumerate(("first", "second")):
        folder = tmp_path_factory.mktemp(text)
        script = [str(stand_ins.torch_python), "-c", EXTERNAL, str(folder), str(number)]
        subprocess.run(script, check=True)
        samples = stand_ins.folder / "for_both.npz"
        np.savez(samples, x=np.random.default_rng(0).random((200, 3), np.float32))
        done = run("add", "model", folder / "net.onnx", "--id", text, "--data", samples, folder=own)
        assert done.returncode == 0, done.stderr
    weights = {name: np.fromfile(own / name, np.float32).max() for name in ("models/weights", "models/second/weights")}
    assert weights == {"models/weights": 0, "models/second/weights": 1}
    sources = [yaml.safe_load((own / f"config/models/{id_}.yaml").read_text())["source"] for id_ in ("first", "second")]
    assert sources == ["models/net.onnx", "models/second/net.onnx"]
    assert os.listdir(own / "data") == ["for_both.npz"]
    splits = yaml.safe_load((own / "config/datasets/second_samples.yaml").read_text())["splits"]
    assert splits == {"calibration": 128, "evaluation": 56, "golden": 16}  # as many as int8_static of the project takes


def test_fewer_samples_than_a_scheme_takes_are_refused(own: Path, stand_ins: StandIns, tmp_path: Path) -> None:
    script = [str(stand_ins.torch_python), "-c", EXTERNAL, str(tmp_path), "0"]
    subprocess.run(script, check=True)
    np.savez(tmp_path / "few.npz", x=np.zeros((60, 3), np.float32))
    before = everything(own)
    done = run("add", "model", "net.onnx", "--data", "few.npz", folder=own)
    assert (done.returncode, everything(own)) == (2, before)
    assert "60 samples, of which the schemes of this project take 128 for ranges: bring more, or lower" in done.stderr


EXTERNAL = """
import sys
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

weights = numpy_helper.from_array(np.full((3, 400), float(sys.argv[2]), np.float32), "w")
x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 400])
graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "net", [x], [y], [weights])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.save(model, f"{sys.argv[1]}/net.onnx", save_as_external_data=True, location="weights", size_threshold=0)
"""
