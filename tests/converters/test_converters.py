"""What libraries do wrong and call a success is right here or refused by name; made once, in each toolchain."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.toolchain, pytest.mark.xdist_group("converters")]
JOBS = Path(__file__).with_name("converter_jobs.py")
MOST = 1e-5  # of the range of the answers


def _run(python: Path, project: Path, folder: Path, name: str, **more: str) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(project / "src"), "TF_CPP_MIN_LOG_LEVEL": "3", **more}
    command = [str(python), str(JOBS), str(folder), name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    answers: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return answers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, project: Path, torch_python: Path) -> Path:
    """With files of networks of PyTorch."""
    made = tmp_path_factory.mktemp("converters")
    _run(torch_python, project, made, "torch")
    return made


# --- ONNX ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def edge(folder: Path, project: Path, edge_python: Path) -> dict[str, Any]:
    """What the edge toolchain made."""
    return _run(edge_python, project, folder, "edge")


def test_an_old_onnx_file_is_written_as_the_tools_want_it(edge: dict[str, Any]) -> None:
    adopted = edge["adopted"]
    assert adopted["apart"] <= MOST
    assert (adopted["opset"], adopted["inputs"], adopted["named"], adopted["noted"]) == (21, ["x"], True, False)


def test_an_opset_is_raised_where_the_answers_stay(edge: dict[str, Any]) -> None:
    raised, failed, lied = edge["raised"]
    assert (raised["opset"], failed["opset"], lied["opset"]) == (21, 9, 9)
    assert max(each["apart"] for each in edge["raised"]) <= MOST


def test_equal_graphs_are_equal_bytes(edge: dict[str, Any]) -> None:
    canonical = edge["canonical"]
    assert not canonical["equal_before"]
    assert canonical["equal"]
    assert canonical["products"] == 1
    assert canonical["apart"] <= MOST


def test_names_can_be_exchanged(edge: dict[str, Any]) -> None:
    assert edge["swapped"]["apart"] <= MOST


# --- ONNX → TFLite ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def onnx2tf(folder: Path, project: Path, onnx2tf_python: Path) -> dict[str, Any]:
    """What the onnx2tf toolchain made."""
    return _run(onnx2tf_python, project, folder, "onnx2tf")


def test_what_is_no_image_keeps_its_axes(onnx2tf: dict[str, Any]) -> None:
    """onnx2tf takes [1, 49, 10, 1] for an image of 49 channels, and makes [1, 10, 1, 49] of it."""
    assert onnx2tf["no_image"]["shape"] == [1, 49, 10, 1]
    assert onnx2tf["no_image"]["axes"] == []
    assert onnx2tf["no_image"]["apart"] <= MOST


def test_names_that_are_no_words_are_bound_to_some(onnx2tf: dict[str, Any]) -> None:
    assert onnx2tf["odd_names"]["apart"] <= MOST


@pytest.mark.parametrize("net", ["grouped", "cube", "lstm"])
def test_what_onnx2tf_gets_wrong_is_right(onnx2tf: dict[str, Any], net: str) -> None:
    """It exits with 0 for a free batch, for axes of one length, and with an LSTM that remembers the sample before."""
    made = onnx2tf["of_torch"][net]
    assert made["apart"] <= MOST
    assert made["fixed"]
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" not in made["operators"]
    if net == "grouped":
        assert made["operators"] == {"CONV_2D": 3}  # and nothing that puts axes in another order


def test_a_file_that_answers_otherwise_is_refused_at_its_first_wrong_operator(onnx2tf: dict[str, Any]) -> None:
    assert "what onnx2tf makes of the model answers otherwise, at operator Relu" in onnx2tf["lied_to"]["refused"]


def test_a_model_of_float16_is_asked_in_float32_and_refused_for_its_rounding_alone(onnx2tf: dict[str, Any]) -> None:
    halves = onnx2tf["halves"]
    assert halves["exact"] == ""
    assert " of their range apart, and 0.0001 is allowed; it computes in float32 what the model" in halves["rounded"]


def test_an_operator_without_a_way_is_named(onnx2tf: dict[str, Any]) -> None:
    wrong, refused = onnx2tf["no_way"]
    assert "what onnx2tf makes of the model answers otherwise, at operator DFT" in wrong
    assert "onnx2tf cannot convert the model: op=DFT" in refused


# --- TensorFlow ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tf(folder: Path, project: Path, tf_python: Path) -> dict[str, Any]:
    """What the tf toolchain made."""
    return _run(tf_python, project, folder, "tf", PYTHONHASHSEED="1")


@pytest.mark.tensorflow
@pytest.mark.parametrize("target", ["tflite", "onnx"])
@pytest.mark.parametrize("source", ["keras", "saved_model", "tflite"])
def test_variables_are_values_and_outputs_have_their_names(tf: dict[str, Any], source: str, target: str) -> None:
    """TFLiteConverter succeeds with variables that nobody initialised, and the answers are NaN."""
    assert tf["of_keras"][f"{source} two_outputs {target}"] <= MOST


@pytest.mark.tensorflow
@pytest.mark.parametrize("file", ["keras", "saved_model", "tflite"])
@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_a_loop_is_right_or_refused_by_its_operator(tf: dict[str, Any], file: str, target: str) -> None:
    cell = tf["of_keras"][f"{file} gru {target}"]
    refused = {"saved_model tflite": "TensorListReserve", "tflite onnx": "Loop"}.get(f"{file} {target}")
    assert cell <= MOST if refused is None else refused in cell, cell


@pytest.mark.tensorflow
def test_integers_stay_integers_inside(tf: dict[str, Any]) -> None:
    quantized = tf["quantized"]
    assert quantized["integers"]
    assert quantized["types"] == [1]  # float32: an integer of ONNX has no scale
    assert quantized["apart"] <= 2 / 255  # a step or two
    assert 1e-3 < quantized["lost"] < 0.05


@pytest.mark.tensorflow
@pytest.mark.parametrize(("target", "operator"), [("tflite", "MatrixDeterminant"), ("onnx", "Lgamma")])
def test_an_operator_that_only_tensorflow_has_is_named(tf: dict[str, Any], target: str, operator: str) -> None:
    """tf2onnx logs a line, leaves it in the file, and succeeds."""
    assert operator in tf["no_operator"][target]


@pytest.mark.tensorflow
def test_another_process_writes_the_same_bytes(
    tf: dict[str, Any], folder: Path, project: Path, tf_python: Path
) -> None:
    again = _run(tf_python, project, folder, "again", PYTHONHASHSEED="77", TZ="Asia/Tokyo")
    assert again["again"] == tf["first"]
