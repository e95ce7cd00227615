"""convert on a tiny framework, format and backend: from checkpoints and from files, by one edge after the other; what a
converter refuses or dies of is infeasible, all else an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.answers import BINDING, MATRIX
from tests.splits import read_split, write_split
from tests.stages.linear import CLASSES, FEATURES, SAMPLES, write_setting

from edgeflow import files
from edgeflow.errors import EdgeflowError, MismatchError, StageError
from edgeflow.stages import convert as stage
from edgeflow.stages import optimize, sensitivity
from edgeflow.types.ladder import Ladder, Rung, Sensitivity
from edgeflow.types.variants import Scheme

REFUSE = """self.program = program
        if np.load(program).dtype == np.float64:
            raise RefusedError(f"{program}: MATMUL: no kernel for float64")"""
BACKEND = MATRIX.replace("self.program = program", REFUSE)

PLUGINS = """
import dataclasses
import os
import signal
from pathlib import Path

import numpy as np

from edgeflow.errors import DataError
from edgeflow.plugin import Converted, Converter, Format, Framework, Runtime, Tolerance, Unsupported
from edgeflow.types.figures import Evidence
from edgeflow.types.signatures import Binding, Bound, Signature, Tensor


def save(weights, job):
    with job.output.open("wb") as stream:
        np.save(stream, weights)


def ending(number):
    return lambda job: os.kill(os.getpid(), number)


def optimize(job):
    save(np.rint(np.load(job.source) * 128) / np.float32(128), job)


framework = Framework(
    id="tiny", description="", toolchain="core", train=None, predict=None, versions=dict,
    load=lambda spec, checkpoint: np.load(checkpoint),
)


def signature(path):
    if not path.read_bytes().startswith(b"\\x93NUMPY"):
        raise DataError(f"{path}: no .npy file")
    features, classes = np.load(path, allow_pickle=False).shape
    return Signature((Tensor("x", "float32", ("n", features)),), (Tensor("y", "float32", ("n", classes)),))


kind = Format(
    id="npy", description="Tiny format", suffixes=(".npy",), toolchain="core", recognizes=None, check=None,
    signature=signature, quantized=lambda path: "float16 weights" if np.load(path).dtype == np.float16 else "",
    backend=Path(__file__).with_name("backend.py"),
)


def converted(weights, job):
    save(weights, job)
    return Converted(Binding({"input": Bound("x")}, {"logits": Bound("y")}))


def converter(convert):
    return Converter("tiny_to_npy", "tiny converter", "tiny", "npy", "core", convert, Tolerance(1e-6, "it is copied"))


def runtime(optimize=optimize):
    return Runtime(
        id="micro", description="Tiny runtime", format="npy", program_suffix="npy", toolchain="core",
        backend=Path(__file__).with_name("backend.py"), evidence=Evidence.SIMULATOR, times=False,
        supports=lambda scheme, target: None, compile=None, compile_tolerance=None,
        optimize=optimize, optimize_tolerance=Tolerance(0.0, "it is copied"), layers=lambda source: (),
    )


right = converter(lambda job: converted(job.model, job))
wrong = converter(lambda job: converted(job.model + 1, job))
refusing = converter(lambda job: Unsupported("Tiny format: no operator EIG"))
crashing = converter(ending(signal.SIGABRT))
killed = converter(ending(signal.SIGKILL))
ours = converter(lambda job: job.no_such_field)
unrunnable = converter(lambda job: converted(job.model.astype("float64"), job))


def again(job):
    save(np.load(job.source), job)
    np.save(Path(__file__).with_name("example.npy"), job.example["x"])
    assert job.model is None
    assert not [*job.work.iterdir()]
    return Converted(Binding({"x": Bound("x")}, {"y": Bound("y")}))


def widened(job):
    save(np.load(job.source).astype("float32"), job)
    return Converted(Binding({"x": Bound("x")}, {"y": Bound("y")}))


half = dataclasses.replace(
    right, convert=lambda job: converted(job.model.astype("float16"), job), tolerance=Tolerance(1e-2, "float16")
)
from_file = dataclasses.replace(right, source="npy", convert=again)
to_float32 = dataclasses.replace(from_file, convert=widened)
dies_of_files = dataclasses.replace(from_file, convert=ending(signal.SIGSEGV))
working = runtime()
choosy = runtime(lambda job: Unsupported("Tiny runtime: no int8 MATMUL"))
dying = runtime(ending(signal.SIGSEGV))
"""
NAMES = ("outputs", "ladder", "golden", "evaluation")
SCHEME = Scheme("int8", "int8", "int8", "static", calibration_samples=8)
MIXED = Scheme("mixed", "int8", "int8", "static", calibration_samples=8, mixed_precision=0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint, and the samples."""
    digest = write_setting(tmp_path, "checkpoint")
    rung = Rung("train", "accuracy", 1.0, SAMPLES, None, None, 1.0, None, None, "", digest, "tiny")
    files.write_json(tmp_path / "ladder", Ladder((rung,)))
    (tmp_path / "backend.py").write_text(BACKEND)
    (tmp_path / "plugins.py").write_text(PLUGINS)
    return tmp_path


def convert(folder: Path, plugin: str = "right") -> Ladder:
    """The ladder of what a plugin's converter makes of the checkpoint."""
    model = {"id": "m", "builder": "b", "arguments": {}, "input_shape": [FEATURES], "classes": CLASSES, "training": {}}
    trained = stage.Trained(f"{folder}/plugins.py:framework", model)
    given = stage.Inputs(model=folder / "checkpoint", **{name: folder / name for name in NAMES})
    return _converted(folder, plugin, given, "converted", checkpoint=trained)


def convert_again(folder: Path, plugin: str = "from_file") -> Ladder:
    """The ladder of what the next edge makes of the converted file."""
    before = {"model": folder / "converted.model", "golden": folder / "golden", "evaluation": folder / "evaluation"}
    given = stage.Inputs(**before, outputs=folder / "converted.outputs", ladder=folder / "converted.ladder")
    return _converted(folder, plugin, given, "again", source=stage.Brought(f"{folder}/plugins.py:kind"))


def _converted(folder: Path, plugin: str, inputs: stage.Inputs, name: str, **origin: Any) -> Ladder:
    kind, task = f"{folder}/plugins.py:kind", "edgeflow.tasks.classification:plugin"
    spec = stage.Spec("m", f"{folder}/plugins.py:{plugin}" if plugin else "", kind, task, **origin)
    made = stage.Outputs(*(folder / f"{name}.{part}" for part in ("model", "outputs", "ladder")))
    stage.run(spec, inputs, made)
    return files.read_as(Ladder, made.ladder)


def optimized(folder: Path, plugin: str, scheme: Scheme = SCHEME, ranked: bool = False) -> Ladder:
    """The ladder of what a plugin's quantizer makes of the converted model."""
    spec = optimize.Spec("m", scheme, "any", f"{folder}/plugins.py:{plugin}", "edgeflow.tasks.classification:plugin")
    converted = {name: folder / f"converted.{name}" for name in ("model", "outputs", "ladder")}
    given = {name: folder / name for name in ("golden", "evaluation", "calibration")}
    made = optimize.Outputs(*(folder / f"optimized.{name}" for name in ("model", "outputs", "ladder")))
    ranking = folder / "sensitivity" if ranked else None
    optimize.run(spec, optimize.Inputs(**converted, **given, sensitivity=ranking), made)
    return files.read_as(Ladder, made.ladder)


def ranked(folder: Path, plugin: str) -> Sensitivity:
    """The ranking of the converted model's layers."""
    spec = sensitivity.Spec("m", MIXED, "any", f"{folder}/plugins.py:{plugin}", "edgeflow.tasks.classification:plugin")
    converted = {name: folder / f"converted.{name}" for name in ("model", "ladder")}
    given = {name: folder / name for name in ("train", "calibration")}
    sensitivity.run(spec, sensitivity.Inputs(**converted, **given), sensitivity.Outputs(folder / "sensitivity"))
    return files.read_as(Sensitivity, folder / "sensitivity")


def test_what_is_converted_right_gets_a_rung(folder: Path) -> None:
    ladder = convert(folder)
    assert [rung.stage for rung in ladder.rungs] == ["train", "convert"]
    assert ladder.infeasible == ""
    assert ladder.binding == BINDING
    assert [(rung.value, rung.n) for rung in ladder.rungs] == [(1.0, SAMPLES), (None, 0)]  # proved on golden inputs


def test_the_next_edge_takes_the_file_and_the_names_that_lead_to_it(folder: Path) -> None:
    convert(folder)
    ladder = convert_again(folder)
    assert [rung.stage for rung in ladder.rungs] == ["train", "convert", "convert"]
    assert ladder.binding == BINDING
    golden, _ = read_split(folder / "golden")
    np.testing.assert_array_equal(np.load(folder / "example.npy"), golden[:1])


def test_a_file_without_an_edge_is_taken_as_it_is(folder: Path) -> None:
    convert(folder)
    ladder = convert_again(folder, "")
    assert (folder / "again.model").read_bytes() == (folder / "converted.model").read_bytes()
    assert [(rung.tolerance, rung.golden_max_abs) for rung in ladder.rungs[2:]] == [(0.0, 0.0)]


def test_what_is_no_longer_stored_as_it_was_quantized_is_said(folder: Path) -> None:
    """Its answers are the same, its size is not."""
    convert(folder, "half")
    *_, kept = convert_again(folder).rungs
    assert kept.tolerance_reason == "it is copied"
    *_, widened = convert_again(folder, "to_float32").rungs
    assert widened.golden_max_abs == 0
    assert widened.tolerance_reason == "it is copied; made of float16 weights, it is stored as float32"


def test_what_the_first_edge_cannot_do_the_next_does_not_try(folder: Path) -> None:
    convert(folder, "refusing")
    assert convert_again(folder, "dies_of_files").infeasible == "Tiny format: no operator EIG"
    assert (folder / "again.model").read_bytes() == b""


def test_a_converter_that_a_file_crashes_is_infeasible(folder: Path) -> None:
    convert(folder)
    said = convert_again(folder, "dies_of_files").infeasible
    assert said.startswith("Tiny format: converting the model with tiny converter ends in a crash (SIGSEGV, signal 11)")


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        ("refusing", "Tiny format: no operator EIG"),
        (
            "crashing",
            "Tiny format: converting the model with tiny converter ends in a crash (SIGABRT, signal 6), "
            "at which operator is not known",
        ),
        ("unrunnable", "MATMUL: no kernel for float64"),
    ],
)
def test_why_there_is_no_model_goes_down_the_stages(folder: Path, plugin: str, reason: str) -> None:
    ladder = convert(folder, plugin)
    assert (ladder.infeasible, [rung.stage for rung in ladder.rungs]) == (reason, ["train"])
    assert (folder / "converted.model").read_bytes() == b""
    ladder = optimized(folder, "working")
    assert (ladder.infeasible, [rung.stage for rung in ladder.rungs]) == (reason, ["train"])
    assert (folder / "optimized.model").read_bytes() == b""
    assert ranked(folder, "working").infeasible == reason


@pytest.mark.parametrize(
    ("plugin", "error", "message"),
    [
        ("wrong", MismatchError, "convert: .* does not match the stage before it"),
        ("killed", StageError, "converting the model with tiny converter was ended by SIGKILL"),
        ("ours", AttributeError, "no_such_field"),
    ],
)
def test_what_proves_nothing_about_the_model_is_an_error(
    folder: Path, plugin: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        convert(folder, plugin)
    assert not [path for path in folder.iterdir() if "converted" in path.name]


@pytest.mark.parametrize(
    ("plugin", "words"),
    [("choosy", "Tiny runtime: no int8 MATMUL"), ("dying", "scheme {scheme} ends in a crash (SIGSEGV, signal 11)")],
)
def test_what_a_quantizer_refuses_or_dies_of_is_infeasible(folder: Path, plugin: str, words: str) -> None:
    convert(folder)
    ladder = optimized(folder, plugin)
    assert words.format(scheme="int8") in ladder.infeasible
    assert [rung.stage for rung in ladder.rungs] == ["train", "convert"]
    ranking = ranked(folder, plugin)
    assert words.format(scheme="mixed") in ranking.infeasible
    assert optimized(folder, plugin, MIXED, ranked=True).infeasible == ranking.infeasible


def test_calibration_samples_that_are_all_the_same_are_refused(folder: Path) -> None:
    convert(folder)
    write_split(folder / "calibration", np.zeros((8, FEATURES), np.float32))
    with pytest.raises(EdgeflowError, match="all 8 calibration samples of m hold 0 everywhere, so they show no range"):
        optimized(folder, "working")
    assert not (folder / "optimized.model").exists()
