"""LiteRT: what its converter and quantizer make of small networks, what XNNPACK takes, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.runtimes.conftest import FINER, SAMPLES, SCHEMES, Toolchain

from edgeflow.converters import torch_to_tflite
from edgeflow.plugin import Compiled
from edgeflow.runtimes.litert import plugin, profile, supports
from edgeflow.types.plain import to_json
from edgeflow.types.variants import Scheme, Target

MODULES = ("stem", "depthwise", "add", "pool.mean")  # of the network `mixed`, whose answers keep their names
HOST = Target("gateway", "litert", "x86_64", "cpu")
PHONE = replace(HOST, id="phone", arch="aarch64")
INT8, DYNAMIC = SCHEMES["int8_static"], SCHEMES["int8_dynamic"]

toolchain = pytest.mark.toolchain
pytestmark = pytest.mark.xdist_group("tflite")  # one worker makes the networks for all


def distance(answers: list[list[float]], expected: NDArray[np.float32]) -> float:
    """Greatest difference, relative to the range of what is expected."""
    return float(abs(np.array(answers) - expected).max() / np.ptp(expected))


# --- without a toolchain ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [HOST, PHONE], ids=lambda target: target.id)
@pytest.mark.parametrize(
    "scheme",
    [
        *SCHEMES.values(),
        replace(SCHEMES["fp16"], activations="float32"),
        replace(INT8, per_channel=False),
        replace(SCHEMES["int16x8"], per_channel=False),
        *FINER.values(),
    ],
)
def test_supports(scheme: Scheme, target: Target) -> None:
    assert supports(scheme, target) is None


@pytest.mark.parametrize(
    ("scheme", "reason"),
    [
        (replace(DYNAMIC, activations="int16"), "LiteRT has no dynamic scheme with int8 weights and int16 activations"),
        (replace(INT8, weights="float16"), "LiteRT has no static scheme with float16 weights and int8 activations"),
        (replace(INT8, mode="float"), "LiteRT has no float scheme with int8 weights and int8 activations"),
        (
            replace(DYNAMIC, per_channel=False),
            "LiteRT's dynamic depthwise convolutions read a scale for each channel: per-tensor weights answer wrongly",
        ),
    ],
)
def test_refuses_with_a_reason(scheme: Scheme, reason: str) -> None:
    refusal = supports(scheme, HOST)
    assert refusal is not None
    assert refusal.reason == reason


def test_all_targets_share_an_optimized_model() -> None:
    assert {profile(scheme, target) for scheme in SCHEMES.values() for target in (HOST, PHONE)} == {"tflite"}


def test_importing_the_plugins_loads_no_heavy_library(project: Path) -> None:
    code = (
        "import sys, edgeflow.runtimes.litert, edgeflow.runtimes.tflite_micro, edgeflow.runtimes.ethos_u;"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    environment = {**os.environ, "PYTHONPATH": str(project / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert not {"numpy", "torch", "tflite_micro", "ai_edge_litert", "ethosu"} & set(done.stdout.split())


# --- convert ---------------------------------------------------------------------------------------------------------


@toolchain
@pytest.mark.parametrize("net", ["mixed", "sine", "wide", "roomy"])
def test_a_converted_network_answers_as_pytorch(converted: Path, edge: Toolchain, net: str) -> None:
    (answers,) = edge(["predict", "litert", converted / f"{net}.tflite", converted / "x.npy"])
    assert distance(answers, np.load(converted / f"{net}.npy")) <= torch_to_tflite.plugin.tolerance.relative / 10


@toolchain
def test_converting_again_elsewhere_gives_the_same_bytes(converted: Path) -> None:
    assert (converted / "mixed.again.tflite").read_bytes() == (converted / "mixed.tflite").read_bytes()


@toolchain
def test_compacting_changes_names_and_positions_only(converted: Path, edge: Toolchain) -> None:
    raw, compact = converted / "mixed.raw.tflite", converted / "mixed.tflite"
    before, after, *answers = edge(
        *(["layout", path] for path in (raw, compact)),
        *(["predict", "litert", path, converted / "x.npy"] for path in (raw, compact)),
    )
    assert answers[0] == answers[1]
    assert compact.stat().st_size < 0.8 * raw.stat().st_size
    names = [tensor["name"] for tensor in after["tensors"]]
    assert len(set(names)) == len(names)
    for old, new in zip(before["tensors"], after["tensors"], strict=True):
        assert new["name"] == old["name"] if new["border"] else new["name"] in MODULES or len(new["name"]) <= 4
        assert {**new, "name": ""} == {**old, "name": ""}
    assert [p % 16 for p in before["positions"]] != [0] * len(before["positions"])
    assert [p % 16 for p in after["positions"]] == [0] * len(before["positions"])


@toolchain
def test_what_cannot_be_converted_is_one_line(converted: Path) -> None:
    said = "LiteRT: litert_torch cannot convert the model: Lowering not found: aten.linalg_eig.default"
    assert json.loads((converted / "eigen.json").read_text()) == said


# --- optimize --------------------------------------------------------------------------------------------------------


@toolchain
def test_float32_is_copied(optimized: Path) -> None:
    assert (optimized / "mixed.fp32.tflite").read_bytes() == (optimized / "mixed.tflite").read_bytes()


@toolchain
@pytest.mark.parametrize(
    ("scheme", "dtype", "least", "greatest"),
    [
        ("fp32", "float32", 0, 1e-5),
        ("fp16", "float32", 1e-6, 1e-3),  # float16 has 11 bits: 5e-4 a weight
        ("int8_dynamic", "float32", 1e-5, 0.05),
        ("int8_static", "int8", 1e-4, 0.05),
        ("int16x8", "int16", 1e-5, 0.02),  # what is left are the weights' 8 bits
    ],
)
def test_a_scheme_quantizes_as_it_says(
    optimized: Path, edge: Toolchain, scheme: str, dtype: str, least: float, greatest: float
) -> None:
    program = optimized / f"mixed.{scheme}.tflite"
    answers, seen = edge(["predict", "litert", program, optimized / "x.npy"], ["inspect", "litert", program])
    assert least <= distance(answers, np.load(optimized / "mixed.npy")) <= greatest
    signature = seen["signature"]
    assert [tensor["dtype"] for side in ("inputs", "outputs") for tensor in signature[side]] == [dtype, dtype]
    assert signature["inputs"][0]["shape"] == [1, 12, 10, 2]
    assert (signature["inputs"][0]["scale"] is None) == (dtype == "float32")


@toolchain
@pytest.mark.parametrize(
    ("scheme", "share"), [("fp32", 1), ("fp16", 1 / 2), ("int8_dynamic", 1 / 4), ("int8_static", 1 / 4)]
)
def test_weights_take_as_many_bytes_as_their_type(optimized: Path, scheme: str, share: float) -> None:
    full = (optimized / "wide.tflite").stat().st_size
    size = (optimized / f"wide.{scheme}.tflite").stat().st_size
    assert share * full <= size <= (share + 0.03) * full  # a scale and a zero point for each row come on top


@toolchain
def test_ranges_are_those_of_all_samples(optimized: Path, edge: Toolchain) -> None:
    """A moving average would forget most of the one sample that is far out, and all the more the earlier it came."""
    x = np.load(optimized / "x.npy")
    int8, int16 = (
        edge(["inspect", "litert", optimized / f"mixed.{scheme}.tflite"])[0]["signature"]["inputs"][0]
        for scheme in ("int8_static", "int16x8")
    )
    assert int8["scale"] == pytest.approx(np.ptp(x) / 255, rel=1e-6)
    assert int8["zero_point"] == round(-128 - x.min() / int8["scale"])
    assert int16["scale"] == pytest.approx(abs(x).max() / 32767, rel=1e-4)
    assert int16["zero_point"] == 0


@toolchain
def test_the_order_of_samples_the_process_and_its_hashes_do_not_matter(optimized: Path, edge: Toolchain) -> None:
    turned = optimized / "turned.npy"
    np.save(turned, np.load(optimized / "x.npy")[::-1])
    source, output = optimized / "mixed.tflite", optimized / "turned.tflite"
    for scheme in ("int8_static", "int16x8"):
        edge(["optimize", source, SCHEMES[scheme], turned, output], PYTHONHASHSEED="77", TZ="Asia/Tokyo")
        assert output.read_bytes() == (optimized / f"mixed.{scheme}.tflite").read_bytes()


@toolchain
@pytest.mark.parametrize("scheme", ["int8_static", "int16x8"])
def test_per_channel_is_what_the_scheme_says(optimized: Path, edge: Toolchain, scheme: str) -> None:
    output = optimized / f"mixed.{scheme}.tensor.tflite"
    asked = replace(SCHEMES[scheme], per_channel=False)
    _, tensor, channel, answers = edge(
        ["optimize", optimized / "mixed.tflite", asked, optimized / "x.npy", output],
        ["layout", output],
        ["layout", optimized / f"mixed.{scheme}.tflite"],
        ["predict", "litert", output, optimized / "x.npy"],
    )
    scales = [
        sorted(t["scales"] for t in inspected["tensors"] if t["constant"] and t["dtype"] == "INT8")
        for inspected in (tensor, channel)
    ]
    assert scales == [[1, 1, 1], [4, 16, 16]]
    assert distance(answers, np.load(optimized / "mixed.npy")) < 0.05


@toolchain
@pytest.mark.parametrize("scheme", ["fp16", "int8_dynamic", "int8_static"])
def test_weights_stay_inside_of_large_models(optimized: Path, edge: Toolchain, scheme: str) -> None:
    (stored,) = edge(["layout", optimized / f"wide.{scheme}.tflite"])
    assert stored["outside"] == []
    assert {position % 16 for position in stored["positions"]} == {0}


@toolchain
def test_samples_are_needed(converted: Path, edge: Toolchain) -> None:
    source, output = converted / "mixed.tflite", converted / "none.tflite"
    static, corrected = edge(
        ["optimize", source, INT8, None, output], ["optimize", source, FINER["weights4_corrected"], None, output]
    )
    said = "got no calibration samples"
    assert static == {"error": "StageError", "message": f"optimize: scheme int8_static is static and {said}"}
    assert corrected == {"error": "StageError", "message": f"optimize: scheme int8_weights corrects biases and {said}"}


# --- finer quantization ----------------------------------------------------------------------------------------------


@toolchain
@pytest.mark.parametrize(
    ("scheme", "plain"),
    [
        ("mse", "int8_static"),
        ("percentile", "int8_static"),
        ("wide_percentile", "int16x8"),
        ("static4", "int8_static"),
        ("static4_per_tensor", "static4"),
        ("static16x4", "int16x8"),
        ("static8_corrected", "int8_static"),
        ("static4_corrected", "static4"),
        ("static16x4_corrected", "static16x4"),
        ("weights8", "fp32"),
        ("weights8_per_tensor", "weights8"),
        ("weights4", "weights8"),
        ("weights4_corrected", "weights4"),
    ],
)
def test_each_setting_changes_the_model(finer: Path, scheme: str, plain: str) -> None:
    models = [(finer / f"mixed.{name}.tflite").read_bytes() for name in (scheme, plain)]
    assert models[0] != models[1]


@toolchain
def test_percentile_is_what_the_file_says(finer: Path, edge: Toolchain) -> None:
    x = np.load(finer / "x.npy")
    narrow, wide = (
        edge(["inspect", "litert", finer / f"mixed.{scheme}.tflite"])[0]["signature"]["inputs"][0]["scale"]
        for scheme in ("percentile", "wide_percentile")
    )
    assert narrow == pytest.approx(np.ptp(np.quantile(x, [0.005, 0.995])) / 255, rel=0.02)
    assert wide == pytest.approx(np.quantile(abs(x), 0.99) / 32767, rel=0.02)


@toolchain
def test_squared_error_is_less_than_that_of_the_extremes(finer: Path, edge: Toolchain) -> None:
    x = np.load(finer / "x.npy")

    def error(scheme: str) -> float:
        (seen,) = edge(["inspect", "litert", finer / f"mixed.{scheme}.tflite"])
        (given,) = seen["signature"]["inputs"]
        steps = np.clip(np.rint(x / given["scale"]) + given["zero_point"], -128, 127)
        return float(np.mean(((steps - given["zero_point"]) * given["scale"] - x) ** 2))

    assert error("mse") < error("int8_static")


@toolchain
def test_ranges_that_are_the_extremes_change_nothing(finer: Path) -> None:
    """With 16 bits clipping costs more than it gains: so that is seen, and refused by the stage."""
    assert (finer / "mixed.wide_mse.tflite").read_bytes() == (finer / "mixed.int16x8.tflite").read_bytes()


@toolchain
@pytest.mark.parametrize(
    ("scheme", "greatest"),
    [
        ("mse", 0.05),
        ("static4", 0.3),
        ("static4_per_tensor", 0.4),
        ("static16x4", 0.3),
        ("weights8", 0.02),
        ("weights8_per_tensor", 0.05),
        ("weights4", 0.3),
        ("weights4_corrected", 0.3),
    ],
)
def test_finer_schemes_answer_rightly(finer: Path, edge: Toolchain, scheme: str, greatest: float) -> None:
    (answers,) = edge(["predict", "litert", finer / f"mixed.{scheme}.tflite", finer / "x.npy"])
    assert 0 < distance(answers, np.load(finer / "mixed.npy")) < greatest


@toolchain
@pytest.mark.parametrize("scheme", ["static4", "static16x4", "weights4"])
def test_depthwise_weights_keep_8_bits(finer: Path, edge: Toolchain, scheme: str) -> None:
    """No tool quantizes them to 4; float ones would make an int4 model larger than an int8 one."""
    (stored,) = edge(["layout", finer / f"mixed.{scheme}.tflite"])
    types = [tensor["dtype"] for tensor in stored["tensors"] if tensor["constant"] and tensor["scales"]]
    assert sorted(kind for kind in types if kind in ("INT4", "INT8")) == ["INT4", "INT4", "INT8"]


@toolchain
@pytest.mark.parametrize("scheme", ["static4", "weights4"])
def test_4_bits_are_half_a_byte(finer: Path, scheme: str) -> None:
    full, size = ((finer / f"wide{part}.tflite").stat().st_size for part in ("", f".{scheme}"))
    assert full / 8 <= size <= (1 / 8 + 0.03) * full


@toolchain
@pytest.mark.parametrize(
    ("scheme", "plain"),
    [
        ("static4_corrected", "static4"),
        ("static16x4_corrected", "static16x4"),
        ("weights4_corrected", "weights4"),
    ],
)
def test_corrected_models_answer_on_average_as_before(finer: Path, edge: Toolchain, scheme: str, plain: str) -> None:
    """Of the layers, the last has no activation, behind which means are not what was corrected."""
    reference, x = finer / "mixed.tflite", finer / "x.npy"
    after, before = (
        np.array(shifts)
        for shifts in edge(*(["shifts", reference, finer / f"mixed.{name}.tflite", x] for name in (scheme, plain)))
    )
    assert len(before) == 3
    assert before[-1] > 0.05, "there must be a shift to correct"
    assert after[-1] < before[-1] / 20
    assert (after <= before).all()


@toolchain
@pytest.mark.parametrize("scheme", ["fp32", "int8_static", "static4", "weights4"])
def test_operators_of_a_file_are_counted_alike(finer: Path, edge: Toolchain, scheme: str) -> None:
    program = finer / f"mixed.{scheme}.tflite"
    lite, micro, expected = edge(
        ["operators_in", "litert", program], ["operators_in", "tflite_micro", program], ["operators_of", program]
    )
    assert lite == micro == expected
    assert lite["CONV_2D"] == 1
    assert ("DEQUANTIZE" in lite) == (scheme == "weights4")


# --- compile and run -------------------------------------------------------------------------------------------------


@toolchain
def test_the_program_is_the_model(optimized: Path, edge: Toolchain) -> None:
    source, output = optimized / "mixed.int8_static.tflite", optimized / "program.tflite"
    (compiled,) = edge(["compile_program", "litert", source, INT8, PHONE, output])
    assert {**compiled, "zero_weights_ratio": None} == to_json(Compiled())
    assert output.read_bytes() == source.read_bytes()
    assert plugin.compile_tolerance(INT8).relative == 0


@toolchain
def test_zeros_are_those_of_the_network(optimized: Path, edge: Toolchain) -> None:
    def job(scheme: Scheme) -> list[object]:
        source = optimized / f"wide.{scheme.id}.tflite"
        return ["compile_program", "litert", source, scheme, HOST, optimized / "program.tflite"]

    programs = dict(zip(SCHEMES, edge(*map(job, SCHEMES.values())), strict=True))
    ratios = {scheme: compiled["zero_weights_ratio"] for scheme, compiled in programs.items()}
    assert ratios["fp32"] == ratios["fp16"] == 0.5
    # what is less than half a step becomes zero too
    assert all(0.5 <= ratios[scheme] < 0.55 for scheme in ("int8_dynamic", "int8_static", "int16x8"))


@toolchain
def test_zeros_of_int4_weights_are_those_that_the_kernels_unpack(finer: Path, edge: Toolchain) -> None:
    weights4, static4, unpacked, compiled = edge(
        ["zeros", finer / "sparse.weights4.tflite"],
        ["zeros", finer / "sparse.static4.tflite"],
        ["widened_zeros", finer / "sparse.weights4.tflite"],
        ["compile_program", "litert", finer / "sparse.static4.tflite", INT8, HOST, finer / "program.tflite"],
    )
    assert [size for _, size in unpacked] == [9 * 2 * 9, 5 * 9 * 9, 7 * 5]
    assert weights4 == static4 == unpacked
    assert all(2 / 3 <= zeros / size < 0.75 for zeros, size in unpacked)  # what is less than half a step becomes zero
    assert compiled["zero_weights_ratio"] == sum(zeros for zeros, _ in unpacked) / sum(size for _, size in unpacked)


@toolchain
def test_a_model_that_does_not_load_is_an_error(optimized: Path, edge: Toolchain) -> None:
    damaged = optimized / "damaged.tflite"
    damaged.write_bytes((optimized / "mixed.tflite").read_bytes()[:2000])
    job = ["compile_program", "litert", damaged, INT8, HOST, optimized / "program.tflite"]
    (failure,) = edge(job)
    assert failure["error"] == "StageError"
    assert "program.tflite: LiteRT" in failure["message"]
    assert "cannot load it: The model is not a valid Flatbuffer buffer" in failure["message"]


@toolchain
@pytest.mark.parametrize(
    ("scheme", "left"),
    [
        ("fp32", {}),
        ("fp16", {}),
        ("int8_dynamic", {"DEPTHWISE_CONV_2D": 1}),  # XNNPACK has no such kernel
        ("int8_static", {}),
        ("int16x8", {"ADD": 1, "CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "MEAN": 1}),
    ],
)
def test_operators_say_what_runs_them(optimized: Path, edge: Toolchain, scheme: str, left: dict[str, int]) -> None:
    program = optimized / f"mixed.{scheme}.tflite"
    seen, empty = edge(["inspect", "litert", program], ["without_values", program])
    placed = {(o["operator"], o["placement"]): o["count"] for o in seen["operators"]}
    all_of_them = {"ADD": 1, "CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "MEAN": 1}
    if scheme == "fp16":
        all_of_them["DEQUANTIZE"] = 3
    expected = {(name, "LiteRT CPU kernel"): n for name, n in left.items()}
    expected |= {(name, "XNNPACK"): n for name, n in all_of_them.items() if name not in left}
    assert placed == expected
    # An independent witness: an operator of the interpreter's own leaves its output in the interpreter's memory.
    assert not any(flag for name in left for flag in empty[name])
    if not left:  # all but the output of the whole
        assert sum(not flag for flags in empty.values() for flag in flags) == 1


@toolchain
def test_samples_beyond_the_range_are_clipped(optimized: Path, edge: Toolchain) -> None:
    far, edges = optimized / "far.npy", optimized / "edges.npy"
    x = np.load(optimized / "x.npy")
    np.save(far, np.full((1, *x.shape[1:]), 1000, np.float32))
    np.save(edges, np.full((1, *x.shape[1:]), x.max(), np.float32))
    program = optimized / "mixed.int8_static.tflite"
    for runtime in ("litert", "tflite_micro"):
        beyond, at_the_edge = edge(["predict", runtime, program, far], ["predict", runtime, program, edges])
        assert beyond == at_the_edge
    assert len(x) == SAMPLES


@toolchain
def test_two_axes_of_any_length_take_that_of_what_is_fed(edge_python: Path, project: Path, tmp_path: Path) -> None:
    job = Path(__file__).with_name("lengths_jobs.py")
    environment = {**os.environ, "PYTHONPATH": str(project / "src")}
    done = subprocess.run([edge_python, job, tmp_path], check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    for who in ("backend", "example"):
        answers = np.load(tmp_path / f"{who}.npz")
        assert {length: answer.tolist() for length, answer in answers.items()} == {
            "3": [[0, 11, 22]],
            "5": [[0, 11, 22, 33, 44]],
        }
