"""source on a tiny format: what a model is, what it answers, and what is refused before anything is made of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.stages.linear import SAMPLES, WEIGHTS, write_setting
from tests.stages.test_convert import BACKEND, PLUGINS

from edgeflow import files
from edgeflow.errors import DataError
from edgeflow.stages import source as stage
from edgeflow.stages.ladder import Outputs as Answers
from edgeflow.types.ladder import Ladder
from edgeflow.types.signatures import Binding, Bound

IN_TRAINING = """
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tests.splits import write_split

from edgeflow.errors import DataError
from edgeflow.stages import source

chance = np.random.default_rng(1)
values = {name: chance.uniform(0.5, 1.5, 6).astype(np.float32) for name in ("scale", "bias", "mean", "variance")}
values |= {"ratio": np.array(0.5, np.float32), "training": np.array(True)}
node = {
    "norm": helper.make_node("BatchNormalization", ["x", *list(values)[:4]], ["y", "m", "v"], training_mode=1),
    "dropout": helper.make_node("Dropout", ["x", "ratio", "training"], ["y"]),
}[sys.argv[1]]
border = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 6]) for name in "xy"]
stored = [numpy_helper.from_array(value, name) for name, value in values.items()]
graph = helper.make_graph([node], "net", border[:1], border[1:], stored)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "net.onnx")
x = chance.normal(size=(40, 6)).astype(np.float32)
write_split(Path("golden"), x[:8])
write_split(Path("evaluation"), x, x.argmax(1))
spec = source.Spec("m", "net.onnx", "edgeflow.formats.onnx:plugin", "edgeflow.tasks.classification:plugin")
try:
    source.run(spec, source.Inputs(Path("golden"), Path("evaluation")), source.Outputs(Path("o"), Path("l"), Path("i")))
except DataError as error:
    print(error)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model that somebody brings, and the samples."""
    write_setting(tmp_path, "model.npy")
    (tmp_path / "backend.py").write_text(BACKEND)
    (tmp_path / "plugins.py").write_text(PLUGINS)
    return tmp_path


def take(folder: Path, kind: str = "kind", output: str = "") -> Ladder:
    """The ladder of the model that is brought."""
    task, brought = "edgeflow.tasks.classification:plugin", str(folder / "model.npy")
    spec = stage.Spec("m", brought, f"{folder}/plugins.py:{kind}", task, output=output)
    made = stage.Outputs(*(folder / f"source.{part}" for part in ("outputs", "ladder", "info")))
    stage.run(spec, stage.Inputs(folder / "golden", folder / "evaluation"), made)
    return files.read_as(Ladder, made.ladder)


def test_the_first_rung_is_what_the_file_itself_answers(folder: Path) -> None:
    ladder = take(folder)
    assert ladder.binding == Binding({"input": Bound("x")}, {"y": Bound("y")})
    (step,) = ladder.rungs
    assert (step.stage, step.value, step.n, step.evaluated_on) == ("source", 1.0, SAMPLES, "tiny 1")
    assert step.artifact_sha256 == files.sha256_file(folder / "model.npy")
    answers = Answers.read(folder / "source.outputs")
    assert [len(answers.golden["y"]), len(answers.evaluation["y"])] == [4, SAMPLES]
    said = files.read_json(folder / "source.info")
    assert {key: said[key] for key in ("model", "format", "sha256", "quantized")} == {
        "model": "m",
        "format": "npy",
        "sha256": step.artifact_sha256,
        "quantized": "",
    }
    assert said["signature"]["inputs"][0]["name"] == "x"
    assert said["reference"]["value"] == 1.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a model", "model.npy: no .npy file"),
        (None, "config/models/m.yaml: source: .*model.npy: no such file; paths start at the project folder"),
        (WEIGHTS.astype("float64"), "MATMUL: no kernel for float64; without its own answers nothing could be compared"),
        (WEIGHTS[:4], "config/models/m.yaml: input x does not take samples of shape .6."),
    ],
)
def test_a_model_that_cannot_be_the_reference_is_refused(
    folder: Path, content: bytes | np.ndarray | None, message: str
) -> None:
    path = folder / "model.npy"
    path.unlink()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(DataError, match=message):
        take(folder)
    assert not [*folder.glob("source.*")]


@pytest.mark.parametrize(
    "answer",
    [
        "native @ self.weights - (native @ self.weights).mean(0)",  # as batch normalization in training mode does
        "native @ self.weights + np.random.default_rng().normal(size=(len(native), 3))",
        "(self.__dict__.setdefault('before', []).append(1), native @ self.weights + len(self.before))[1]",
    ],
    ids=["batch", "chance", "state"],
)
def test_answers_that_depend_on_what_else_is_asked_are_refused(folder: Path, answer: str) -> None:
    kept = "native @ self.weights"
    assert kept in BACKEND
    (folder / "backend.py").write_text(BACKEND.replace(kept, answer))
    with pytest.raises(
        DataError, match="to a sample in 'y' depends on what else it is asked: it was exported in train"
    ):
        take(folder)
    assert not [*folder.glob("source.*")]


@pytest.mark.toolchain
@pytest.mark.parametrize("name", ["norm", "dropout"])
def test_onnx_files_in_training_mode_are_refused(tmp_path: Path, project: Path, edge_python: Path, name: str) -> None:
    """ONNX Runtime runs them, and says nothing."""
    environment = {**os.environ, "PYTHONPATH": f"{project / 'src'}:{project}"}
    done = subprocess.run(
        [edge_python, "-c", IN_TRAINING, name],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "source: net.onnx: what it answers to a sample in 'y' depends on what else it is asked" in done.stdout


def test_what_batches_round_otherwise_is_no_other_answer(folder: Path) -> None:
    rounded = "(native @ self.weights).astype(np.float16 if len(native) > 1 else np.float32).astype(np.float32)"
    (folder / "backend.py").write_text(BACKEND.replace("native @ self.weights", rounded))
    assert take(folder).rungs


def test_a_crash_while_the_file_is_read_is_no_crash_of_the_job(folder: Path) -> None:
    with (folder / "plugins.py").open("a") as stream:
        stream.write("\nhostile = dataclasses.replace(kind, signature=ending(signal.SIGSEGV))\n")
    with pytest.raises(DataError, match=r"Tiny format: reading .*model.npy ends in a crash \(SIGSEGV, signal 11\)"):
        take(folder, "hostile")


def test_an_output_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match=r"config/models/m.yaml: output: its file has no 'z', only y float32\[n, 3\]"):
        take(folder, output="z")
