"""TFLite Micro: what its real interpreter runs and refuses, its arena, and the C++ source that ships with a program."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runtimes.conftest import FINER, SCHEMES, Toolchain

from edgeflow.errors import StageError
from edgeflow.plugin import Compiled, GoldenSamples, PackageJob
from edgeflow.preprocessing import Preprocessing
from edgeflow.runtimes.c_array import Arena, identifier, registration, sources
from edgeflow.runtimes.tflite_micro import compile_tolerance, compiles_for, plugin, supports
from edgeflow.types.figures import Evidence, Measurement
from edgeflow.types.plain import to_json
from edgeflow.types.programs import Operators, Program
from edgeflow.types.signatures import Binding, Bound, Signature, Tensor
from edgeflow.types.variants import Scheme, Target

CORTEX_M = Target("sensor", "tflite_micro", "armv7e-m", "cpu", ram_bytes=256 * 1024, flash_bytes=1024 * 1024)
ANY = Target("any", "tflite_micro", "", "cpu")
RUNS = ("fp32", "int8_static", "int16x8")
OPERATORS = ("ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MEAN")

toolchain = pytest.mark.toolchain
pytestmark = pytest.mark.xdist_group("tflite")  # one worker makes the networks for all


# --- without a toolchain ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scheme",
    [
        *(SCHEMES[scheme] for scheme in RUNS),
        *(FINER[scheme] for scheme in ("mse", "static4", "static4_corrected", "weights8_per_tensor")),
    ],
)
def test_supports(scheme: Scheme) -> None:
    assert supports(scheme, CORTEX_M) is None


@pytest.mark.parametrize(
    ("scheme", "reason"),
    [
        (
            SCHEMES["int8_dynamic"],
            "TFLite Micro has no kernels for ranges found at run time: "
            '"Hybrid models are not supported on TFLite Micro"',
        ),
        (SCHEMES["fp16"], "TFLite Micro has no float16 kernels: it dequantizes int8, uint8 and int16 only"),
        (
            replace(SCHEMES["fp16"], activations="float32"),
            "TFLite Micro has no float16 kernels: it dequantizes int8, uint8 and int16 only",
        ),
        (
            replace(FINER["weights4"], per_channel=False),
            "TFLite Micro dequantizes int8, uint8 and int16 only: int4 weights need static activations",
        ),
        (
            FINER["weights8"],
            "TFLite Micro dequantizes with one scale a tensor, so per-channel weights answer wrongly: "
            "set per_channel: false",
        ),
        (
            replace(SCHEMES["int16x8"], weights="int4"),
            "TFLite Micro has no convolution of int16 activations with int4 weights: "
            '"Hybrid models are not supported on TFLite Micro"',
        ),
    ],
)
def test_refuses_with_a_reason(scheme: Scheme, reason: str) -> None:
    refusal = supports(scheme, CORTEX_M)
    assert refusal is not None
    assert refusal.reason == reason


def test_what_runs_here_says_nothing_about_time() -> None:
    assert not plugin.times
    assert plugin.evidence == Evidence.SIMULATOR
    assert plugin.models_from == "litert"


# --- the interpreter -------------------------------------------------------------------------------------------------


@toolchain
@pytest.mark.parametrize("scheme", RUNS)
def test_answers_are_those_of_litert_within_the_tolerance(optimized: Path, edge: Toolchain, scheme: str) -> None:
    program, x = optimized / f"mixed.{scheme}.tflite", optimized / "x.npy"
    micro, lite = (
        np.array(answers)
        for answers in edge(["predict", "tflite_micro", program, x], ["predict", "litert", program, x])
    )
    assert abs(micro - lite).max() <= compile_tolerance(SCHEMES[scheme]).relative * np.ptp(lite)


@toolchain
def test_what_a_deep_network_makes_of_rounding_is_no_other_function(optimized: Path, edge: Toolchain) -> None:
    program, x = optimized / "deep.int8_static.tflite", optimized / "x.npy"
    micro, lite, apart = edge(
        ["predict", "tflite_micro", program, x], ["predict", "litert", program, x], ["rounding", program, x]
    )
    tolerance = compile_tolerance(SCHEMES["int8_static"])
    assert abs(np.array(micro) - lite).max() > tolerance.relative * np.ptp(lite)
    assert tolerance.rounding is not None
    assert apart == ""


@toolchain
def test_the_operator_that_is_another_function_is_named(finer: Path, edge: Toolchain) -> None:
    """TFLite Micro dequantizes with one scale a tensor what has one for each channel."""
    x = finer / "x.npy"
    wrong, right = edge(
        ["rounding", finer / "mixed.weights8.tflite", x], ["rounding", finer / "mixed.weights8_per_tensor.tflite", x]
    )
    assert wrong.startswith("DEQUANTIZE, operator ")
    assert "differs from LiteRT's on the same numbers by" in wrong
    assert right == ""


@toolchain
@pytest.mark.parametrize(
    ("net", "scheme", "most"),
    [
        ("mixed", "weights8_per_tensor", 1e-4),
        ("mixed", "static4_per_tensor", 0.03),
        ("roomy", "static4", 0.03),  # convolution takes a scale for each channel
    ],
)
def test_finer_schemes_answer_as_litert(finer: Path, edge: Toolchain, net: str, scheme: str, most: float) -> None:
    program, x = finer / f"{net}.{scheme}.tflite", finer / "x.npy"
    micro, lite = (
        np.array(answers)
        for answers in edge(["predict", "tflite_micro", program, x], ["predict", "litert", program, x])
    )
    assert compile_tolerance(FINER[scheme]).relative == most
    assert abs(micro - lite).max() <= most * np.ptp(lite)


@toolchain
def test_weights_with_a_scale_for_each_channel_answer_wrongly(finer: Path, edge: Toolchain) -> None:
    """The interpreter reports success; that is why `supports` refuses them."""
    program, x = finer / "mixed.weights8.tflite", finer / "x.npy"
    micro, lite = (
        np.array(answers)
        for answers in edge(["predict", "tflite_micro", program, x], ["predict", "litert", program, x])
    )
    assert abs(micro - lite).max() > 10 * compile_tolerance(FINER["weights8"]).relative * np.ptp(lite)


@toolchain
def test_large_models_answer_right(optimized: Path, edge: Toolchain) -> None:
    """The quantizer puts weights beyond 256 KiB where this interpreter reads noise and reports success."""
    program = optimized / "wide.int8_static.tflite"
    assert program.stat().st_size > 256 * 1024
    (answers,) = edge(["predict", "tflite_micro", program, optimized / "x.npy"])
    expected = np.load(optimized / "wide.npy")
    assert abs(np.array(answers) - expected).max() < 0.05 * np.ptp(expected)


@toolchain
def test_signature_operators_and_arena(optimized: Path, edge: Toolchain) -> None:
    programs = {scheme: optimized / f"mixed.{scheme}.tflite" for scheme in RUNS}
    fp32, int8, int16 = edge(*(["inspect", "tflite_micro", program] for program in programs.values()))
    assert int8["operators"] == [{"operator": name, "count": 1, "placement": "CPU"} for name in OPERATORS]
    (of_litert,) = edge(["inspect", "litert", programs["int8_static"]])
    for side in ("inputs", "outputs"):
        (mine,), (other,) = int8["signature"][side], of_litert["signature"][side]
        assert {**mine, "name": ""} == {**other, "name": ""}
    # The addition's inputs and its output are alive at once, three images of 16 channels.
    images, arenas = 3 * 12 * 10 * 16, [seen["arena_bytes"] for seen in (int8, int16, fp32)]
    assert [arena > images * size for arena, size in zip(arenas, (1, 2, 4), strict=True)] == [True] * 3
    assert arenas[2] - arenas[0] == pytest.approx(3 * images, rel=0.2)


@toolchain
def test_activations_may_be_larger_than_the_model(converted: Path, edge: Toolchain) -> None:
    (inspected,) = edge(["inspect", "tflite_micro", converted / "roomy.tflite"])
    assert inspected["arena_bytes"] > 10 * (converted / "roomy.tflite").stat().st_size


@toolchain
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no model", "cannot read it: not a whole TFLite file"),
        (None, "cannot run it: TFLM failed to allocate tensors"),
    ],
)
def test_the_runner_refuses_what_it_cannot_run(
    optimized: Path, edge: Toolchain, content: bytes | None, words: str
) -> None:
    program = optimized / "mixed.int8_dynamic.tflite"
    if content is not None:
        program = optimized / "no_model.tflite"
        program.write_bytes(content)
    (refusal,) = edge(["refusal", "tflite_micro", program])
    assert refusal.startswith(f"{program}: TFLite Micro 0.dev")
    assert refusal.endswith(words)


@toolchain
def test_ties_are_rounded_as_the_kernel_rounds_them(optimized: Path, edge: Toolchain) -> None:
    (rounded,) = edge(["ties", optimized / "mixed.int8_static.tflite"])
    assert rounded["litert"] == rounded["tflite_micro"] == rounded["layers"] == rounded["kernel"]
    assert len(set(rounded["kernel"])) > 50


# --- compile ---------------------------------------------------------------------------------------------------------


def _compile(edge: Toolchain, source: Path, target: Target) -> tuple[Any, Path]:
    output = source.with_suffix(".program")
    output.unlink(missing_ok=True)
    (compiled,) = edge(["compile_program", "tflite_micro", source, SCHEMES["int8_static"], target, output])
    return compiled, output


@toolchain
def test_the_program_is_the_model_whatever_the_target(optimized: Path, edge: Toolchain) -> None:
    source = optimized / "mixed.int8_static.tflite"
    compiled, output = _compile(edge, source, ANY)
    assert {**compiled, "zero_weights_ratio": None} == to_json(Compiled())
    assert compiled["zero_weights_ratio"] == pytest.approx(3 / 496)  # weights of less than half a step
    assert output.read_bytes() == source.read_bytes()


@toolchain
def test_probabilities_near_zero_are_a_result_and_no_error(optimized: Path, edge: Toolchain) -> None:
    """int8 has steps of 1/256 for them: LiteRT answers with two or three integers, which one step more is far off."""
    (said,) = edge(["rung_of_tflite_micro", optimized / "faint.int8_static.tflite", optimized / "x.npy"])
    assert said["scale"] == 1 / 256
    assert 0.03 * said["range"] < said["moved"] <= 2 / 256
    assert said["stage"] == "compile"


@pytest.mark.parametrize("scheme", RUNS)
def test_nothing_of_a_target_is_compiled_in(scheme: str) -> None:
    other = replace(CORTEX_M, arch="armv8.1-m.main", clock_hz=1e8, ram_bytes=500, flash_bytes=None)
    assert compiles_for(SCHEMES[scheme], CORTEX_M) == compiles_for(SCHEMES[scheme], other) == ANY


@toolchain
@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (
            "mixed.int8_dynamic",
            "TFLite Micro cannot run the model: CONV_2D: tensorflow/lite/micro/kernels/conv_common.cc Hybrid models "
            "are not supported on TFLite Micro.",
        ),
        (
            "mixed.fp16",
            "TFLite Micro cannot run the model: DEQUANTIZE: tensorflow/lite/micro/kernels/dequantize_common.cc:42 "
            "input->type == kTfLiteInt8 || input->type == kTfLiteInt16 || input->type == kTfLiteUInt8 was not true.",
        ),
        (
            "mixed.weights4",
            "TFLite Micro cannot run the model: DEQUANTIZE: tensorflow/lite/micro/kernels/dequantize_common.cc:42 "
            "input->type == kTfLiteInt8 || input->type == kTfLiteInt16 || input->type == kTfLiteUInt8 was not true.",
        ),
        (
            "mixed.static4",
            "TFLite Micro cannot run the model: FULLY_CONNECTED: tensorflow/lite/micro/kernels/"
            "fully_connected_common.cc:98 "
            "(input->type == kTfLiteInt8 && filter->type != kTfLiteInt4) || (input->type == kTfLiteInt16 && "
            "filter->type != kTfLiteInt4) was not true.",
        ),
        (
            "mixed.static16x4",
            "TFLite Micro cannot run the model: CONV_2D: tensorflow/lite/micro/kernels/conv_common.cc Hybrid models "
            "are not supported on TFLite Micro.",
        ),
    ],
)
def test_what_cannot_run_has_no_program(finer: Path, edge: Toolchain, file: str, reason: str) -> None:
    compiled, output = _compile(edge, finer / f"{file}.tflite", ANY)
    assert compiled == {"unsupported": reason}
    assert not output.exists()


@toolchain
def test_a_damaged_model_is_an_error(optimized: Path, edge: Toolchain) -> None:
    damaged = optimized / "damaged_for_micro.tflite"
    damaged.write_bytes((optimized / "mixed.tflite").read_bytes()[:1000])
    compiled, _ = _compile(edge, damaged, ANY)
    assert compiled["error"] == "StageError"
    assert "not a whole TFLite file" in compiled["message"]


# --- package ---------------------------------------------------------------------------------------------------------


GIVEN, ANSWER = Tensor("input", "int8", (1, 2, 2, 3), 0.5, -3), Tensor("output", "int8", (1, 2), 0.25, 4)


def _package_job(
    program: Path,
    *,
    arena_bytes: float | None = 8000.0,
    signature: Signature | None = Signature((GIVEN,), (ANSWER,)),  # noqa: B008  # frozen
    labels: tuple[str, ...] = ("no", "yes"),
) -> PackageJob:
    operators = tuple(Operators(name, 1, "CPU") for name in OPERATORS)
    info = Program("2d-net", "tflite_micro", "any", "int8_static", "", "", 0, signature, operators, "program")
    arena = () if arena_bytes is None else (_figure("memory_peak_bytes", arena_bytes),)
    how = Preprocessing((), (), None, None, None, (3, 2, 2), (0.5,), (0.1, 0.2, 0.3))
    inputs = np.arange(24, dtype=np.int8).reshape(2, 2, 2, 3)
    golden = GoldenSamples(
        {"input": inputs.astype(np.float32)},
        {"input": inputs},
        {"output": np.zeros((2, 2), np.int8)},
        {"output": 0.25},
        "an interpreter",
    )
    binding = Binding({"image": Bound("input", (1, 2, 0))}, {"logits": Bound("output")})
    figures = (_figure("size_bytes", 1.0), *arena)
    return PackageJob(program, info, CORTEX_M, figures, {"image": how}, labels, golden, binding)


def _figure(metric: str, value: float) -> Measurement:
    return Measurement(metric, value, "byte", Evidence.SIMULATOR, "an interpreter", "", "ran once")


PROBE = """\
#include "model_2d_net_int8_static.h"
#include "model_2d_net_int8_static.h"  // twice: it has a guard

#include <cstdio>

struct Resolver {
  int left;
  int add(const char* name) { std::printf("%s ", name); return left-- > 0 ? 0 : 1; }
  int AddAdd() { return add("ADD"); }
  int AddConv2D() { return add("CONV_2D"); }
  int AddDepthwiseConv2D() { return add("DEPTHWISE_CONV_2D"); }
  int AddFullyConnected() { return add("FULLY_CONNECTED"); }
  int AddMean() { return add("MEAN"); }
};

int main(int, char** arguments) {
  std::FILE* copy = std::fopen(arguments[1], "wb");
  std::fwrite(model_2d_net_int8_static, 1, model_2d_net_int8_static_size_bytes, copy);
  std::fclose(copy);
  Resolver enough{5}, too_small{4};
  const bool all = model_2d_net_int8_static_add_operators(enough);
  std::printf("all %d\\n", all);
  std::printf("all %d\\n", model_2d_net_int8_static_add_operators(too_small));
  std::printf("%u kinds, %zu bytes, at %zu\\n", model_2d_net_int8_static_operator_kinds,
              model_2d_net_int8_static_arena_bytes,
              reinterpret_cast<std::uintptr_t>(model_2d_net_int8_static) % 16);
}
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize("size", [1, 12, 1201])
def test_the_source_compiles_to_the_program(tmp_path: Path, size: int) -> None:
    program = tmp_path / "program.tflite"
    program.write_bytes(np.random.default_rng(5).bytes(size))
    added = plugin.package_files(_package_job(program)) if plugin.package_files else {}
    named = [f"model_2d_net_int8_static{end}" for end in (".cc", ".h", "_golden.cc", "_golden.h")]
    assert sorted(added) == ["example.cc", "interpreter.cc", *named]
    for name, content in added.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "probe.cc").write_text(PROBE)
    strict = ["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
    files = ["probe.cc", "model_2d_net_int8_static.cc", "-o", "probe"]
    subprocess.run(["g++", *strict, *files], cwd=tmp_path, check=True)
    done = subprocess.run(["./probe", "copy"], cwd=tmp_path, capture_output=True, text=True, check=True)
    every = "ADD CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED MEAN"
    assert done.stdout.splitlines() == [f"{every} all 1", f"{every} all 0", "5 kinds, 8000 bytes, at 0"]
    assert (tmp_path / "copy").read_bytes() == program.read_bytes()


def test_a_package_needs_an_arena(tmp_path: Path) -> None:
    program = tmp_path / "program.tflite"
    program.write_bytes(b"program")
    assert plugin.package_files is not None
    with pytest.raises(StageError, match="2d-net/sensor/int8_static: no memory_peak_bytes among the measurements"):
        plugin.package_files(_package_job(program, arena_bytes=None))


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("digits_dscnn", "int8_static"), "digits_dscnn_int8_static"),
        (("dscnn.v2", "int8-static"), "dscnn_v2_int8_static"),
        (("8bit", "fp32"), "model_8bit_fp32"),
        (("_net__a_", "fp32"), "net_a_fp32"),
        (("größe", "fp32"), "gr_e_fp32"),
    ],
)
def test_identifiers_are_valid_in_c(parts: tuple[str, ...], name: str) -> None:
    assert identifier(*parts) == name


@pytest.mark.parametrize(
    ("operator", "function"),
    [
        ("ADD_N", "AddAddN"),
        ("AVERAGE_POOL_2D", "AddAveragePool2D"),
        ("BATCH_MATMUL", "AddBatchMatMul"),
        ("CONV_2D", "AddConv2D"),
        ("CUMSUM", "AddCumSum"),
        ("L2_NORMALIZATION", "AddL2Normalization"),
        ("PADV2", "AddPadV2"),
        ("RELU6", "AddRelu6"),
        ("SPACE_TO_BATCH_ND", "AddSpaceToBatchNd"),
        ("SVDF", "AddSvdf"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "AddUnidirectionalSequenceLSTM"),
        ("ethos-u", "AddEthosU"),
    ],
)
def test_registrations_are_named_as_in_the_resolver(operator: str, function: str) -> None:
    assert registration(operator) == function


def test_the_same_program_gives_the_same_source(tmp_path: Path) -> None:
    (tmp_path / "program.tflite").write_bytes(b"program")
    job, arena = _package_job(tmp_path / "program.tflite"), Arena(100, "measured")
    first, second = (sources(job, arena, names) for names in (["PAD", "MEAN"], ["MEAN", "PAD", "MEAN"]))
    assert first == second


def test_the_header_says_what_goes_in_and_out(tmp_path: Path) -> None:
    program = tmp_path / "program.tflite"
    program.write_bytes(b"program")
    header = sources(_package_job(program), Arena(100, "measured"), ())["model_2d_net_int8_static.h"].decode()
    for line in (
        "using @_input_t = std::int8_t;",
        "constexpr std::size_t @_input_values = 12;",
        "constexpr float @_input_scale = 0.5f;",
        "constexpr std::int32_t @_input_zero_point = -3;",
        "using @_output_t = std::int8_t;",
        "constexpr std::size_t @_output_values = 2;",
        "constexpr float @_output_scale = 0.25f;",
        "constexpr std::int32_t @_output_zero_point = 4;",
        "constexpr std::size_t @_channel_stride = 1;",
        "constexpr float @_mean[3] = {0.5f, 0.5f, 0.5f};",
        "constexpr float @_std[3] = {0.1f, 0.2f, 0.3f};",
        'constexpr const char* @_labels[2] = {\n    "no",\n    "yes",\n};',
    ):
        assert line.replace("@", "model_2d_net_int8_static") in header


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"signature": None}, "no signature; compile the variant again"),
        (
            {"signature": Signature((replace(GIVEN, dtype="float16"),), (ANSWER,))},
            "tensor input is float16[1, 2, 2, 3], which C++ has not",
        ),
        (
            {"signature": Signature((GIVEN,), (replace(ANSWER, shape=("n", 2)),))},
            "tensor output is int8['n', 2], which C++ has not",
        ),
    ],
)
def test_what_cpp_cannot_be_given_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    program = tmp_path / "program.tflite"
    program.write_bytes(b"program")
    with pytest.raises(StageError) as caught:
        sources(_package_job(program, **changes), Arena(100, "measured"), ())
    assert str(caught.value) == f"package: 2d-net/sensor/int8_static: {reason}"
