"""Models with several inputs and outputs, token ids, attention, recurrence: quantized, compared, compiled; models that
are quantized already; files without names.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

JOBS = Path(__file__).with_name("any_model_jobs.py")
NETS = ("two_inputs", "two_outputs", "attention", "shared_weights", "lstm")
FORMATS = ("onnx", "tflite")
# Greatest distance to PyTorch's answers on the calibration samples themselves, relative to the output's range.
LIMITS = {"fp16": 2e-3, "int8_dynamic": 0.05, "int8_static": 0.12, "corrected": 0.12, "mse": 0.05, "weights": 0.03}
WORDS = {  # what is said of a model that a scheme made
    "onnx": {
        "fp16": "float16 weights",
        "int8_dynamic": "uint8 weights and activations",
        "int8_static": "int8 weights and uint8 activations",
        "corrected": "int8 weights and uint8 activations",
        "mse": "int8 weights and int16 activations",
        "weights": "int8 weights",
    },
    "tflite": {
        "fp16": "float16 weights",
        "int8_dynamic": "int8 weights",
        "int8_static": "int8 weights and activations",
        "corrected": "int8 weights and activations",
        "mse": "int8 weights and int16 activations",
        "weights": "int8 weights",
    },
}
BUILT = [
    (net, suffix, scheme)
    for net, suffix, scheme in itertools.product(NETS, FORMATS, LIMITS)
    if (net, suffix, scheme) != ("attention", "onnx", "fp16")  # ONNX Runtime dies when it fuses this one
]
pytestmark = pytest.mark.toolchain


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, project: Path, torch_python: Path, edge_python: Path) -> Path:
    """Where the models are, converted and built in every scheme."""
    made = tmp_path_factory.mktemp("any_model")
    for python, job in ((torch_python, "convert"), (edge_python, "build")):
        _do(python, project, made, job)
    return made


@pytest.fixture(scope="module")
def built(folder: Path) -> dict[str, Any]:
    """What any_model_jobs.py found about each."""
    said: dict[str, Any] = json.loads((folder / "build.json").read_text())
    return said


def _do(python: Path, project: Path, folder: Path, job: str) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(project / "src")}
    done = subprocess.run([python, JOBS, folder, job], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    answer = folder / f"{job}.json"
    return json.loads(answer.read_text()) if answer.is_file() else {}


@pytest.mark.parametrize(("net", "suffix", "scheme"), BUILT)
def test_every_scheme_answers_as_the_model_does(built: dict[str, Any], net: str, suffix: str, scheme: str) -> None:
    assert 0 < built[f"{net} {suffix} {scheme}"]["distance"] < LIMITS[scheme]


@pytest.mark.parametrize(("net", "suffix", "scheme"), BUILT)
def test_programs_have_the_inputs_of_the_model(built: dict[str, Any], net: str, suffix: str, scheme: str) -> None:
    each = built[f"{net} {suffix} {scheme}"]
    assert list(each["inputs"]) == list(each["wanted"])
    assert each["batch"] in ([1] * len(each["batch"]), ["batch"])
    if net in ("attention", "shared_weights"):  # token ids stay what they are
        assert each["inputs"] == each["wanted"]
        assert {*each["inputs"].values()} <= {"int64", "int32"}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("suffix", FORMATS)
def test_layers_are_compared_sample_by_sample(built: dict[str, Any], suffix: str, net: str) -> None:
    each = built[f"{net} {suffix} int8_static"]
    half = len(each["layers"]) // 2
    assert each["layers"][:half] == each["layers"][half:]  # of two samples
    assert set(each["layers"]) <= set(each["known"])
    assert len(set(each["known"])) == len(each["known"])
    assert each["shapes_differ"] == []
    assert each["noisiest"]


@pytest.fixture(scope="module")
def refused(folder: Path, project: Path, edge_python: Path, built: dict[str, Any]) -> dict[str, Any]:
    """What each scheme says of models that each scheme made."""
    return _do(edge_python, project, folder, "refuse")


@pytest.mark.parametrize("before", LIMITS)
@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_quantized_already_is_refused_by_name(refused: dict[str, Any], suffix: str, before: str) -> None:
    """Else AEQ "succeeds" with the same bytes, or writes float16 that LiteRT refuses."""
    reason = f"the model has {WORDS[suffix][before]} already; use a scheme with mode: as_is"
    assert {refused[f"{suffix} {before} {scheme}"] for scheme in (*LIMITS, "fp32")} == {reason}


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_float_model_is_not_refused(refused: dict[str, Any], suffix: str) -> None:
    assert {refused[f"{suffix}  {scheme}"] for scheme in LIMITS} == {"changed"}


def test_a_scheme_that_finds_nothing_to_quantize_says_so(refused: dict[str, Any]) -> None:
    assert refused["nothing"] == [
        "ONNX Runtime's quantizer finds nothing in the model that weights applies to",
        "LiteRT: ai-edge-quantizer finds nothing in the model that weights applies to",
    ]


@pytest.mark.parametrize("suffix", FORMATS)
def test_files_without_names_are_quantized_and_layers_kept(
    folder: Path, project: Path, edge_python: Path, built: dict[str, Any], suffix: str
) -> None:
    said = _do(edge_python, project, folder, "anonymous")[suffix]
    assert said["float"] < 1e-5
    assert said["distance"] == pytest.approx(built[f"two_inputs {suffix} int8_static"]["distance"], rel=0.3)
    assert len(set(said["layers"])) == len(said["layers"])
    assert said["compared"] == said["layers"]
    assert said["kept"] < 0.7 * said["distance"]  # what is left are integers at the borders, and no layers


def test_what_has_no_float16_stays_float32_wherever_it_is(folder: Path, project: Path, edge_python: Path) -> None:
    said = _do(edge_python, project, folder, "stays_float32")
    assert {*said} == {"middle", "first", "last", "top", "cast", "branch"}
    assert max(said.values()) < 5e-3


def test_bytes_and_ids_in_and_three_outputs_out(folder: Path, project: Path, edge_python: Path) -> None:
    for scheme, said in _do(edge_python, project, folder, "typed").items():
        assert said["signature"] == [
            ["zoom", "uint8", [1, 3, 8, 8]],
            ["ids", "int64", [1, "length"]],
            ["steps", "float32", [1, "length", 5]],
            ["label", "int64", [1]],
            ["best", "float32", [1, 5]],
        ]
        assert said["distance"] < LIMITS[scheme]
        assert said["same_labels"] > 0.9
        assert {"conv", "steps", "best"} <= set(said["layers"])


def test_what_an_older_onnx_file_cannot_hold_is_refused(folder: Path, project: Path, edge_python: Path) -> None:
    refusal = "ONNX Runtime's quantizer cannot apply"
    axes, four = "and scales by channel came with 13", "and int4 came with 21"
    refused = {name: reason for name, reason in _do(edge_python, project, folder, "old").items() if reason}
    assert refused == {
        **{
            f"11 {size} {scheme}": f"{refusal} {scheme}: the model has opset 11, {axes if scheme != 'int4' else four}"
            for size in ("10", "size")
            for scheme in ("int8_static", "weights", "int4")
        },
        **{f"17 {size} int4": f"{refusal} int4: the model has opset 17, {four}" for size in ("10", "size")},
        **{
            f"{opset} size int8_static": f"{refusal} int8_static: average pooling with ceil_mode on a free size: pool"
            for opset in (17, 21)
        },
    }


def test_ranges_are_those_of_the_librarys_calibrator(folder: Path, project: Path, edge_python: Path) -> None:
    """Bit by bit: of the first sample alone it is asked which tensors have one."""
    for theirs, ours in _do(edge_python, project, folder, "calibrate").values():
        assert len(theirs) > 3
        assert ours == theirs


def test_ranges_are_those_of_all_samples(folder: Path, project: Path, edge_python: Path) -> None:
    """And not of the last one, or of the first."""
    said = _do(edge_python, project, folder, "order")
    for suffix in FORMATS:
        assert said[f"{suffix} all"] == said[f"{suffix} reversed"]
        assert said[f"{suffix} all"] != said[f"{suffix} last"]


def test_few_samples_are_held_at_once(folder: Path, project: Path, edge_python: Path, built: dict[str, Any]) -> None:
    held = _do(edge_python, project, folder, "hold")
    assert set(held.values()) <= {1, 2, 3}
