"""ONNX Runtime on the networks of the default matrix: what convert, optimize and compile make, and what it answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.splits import write_split

from edgeflow.converters import torch_to_onnx
from edgeflow.converters.onnx_graphs import OPSET
from edgeflow.runners import harness
from edgeflow.runtimes.onnxruntime import compile_tolerance, compiles_for, plugin, profile, supports
from edgeflow.stages.ladder import Outputs
from edgeflow.types.plain import from_json
from edgeflow.types.signatures import Signature
from edgeflow.types.variants import Scheme, Target

NETWORKS = ("dscnn", "resnet8")
CONVOLUTIONS = 9  # of either network
FP32 = Scheme("fp32", "float32", "float32", "float")
INT8 = Scheme("int8_static", "int8", "int8", "static", calibration_samples=64)
SCHEMES = {
    "fp32": FP32,
    "fp16": Scheme("fp16", "float16", "float16", "float"),
    "int8_dynamic": Scheme("int8_dynamic", "int8", "int8", "dynamic"),
    "int8_static": INT8,
    "int16x8": replace(INT8, id="int16x8", activations="int16"),
}
WEIGHTS = Scheme("int8_weights", "int8", "float32", "weight_only")
LAYERS = CONVOLUTIONS + 1  # and a fully connected one
VARIANTS = [*(f"{scheme}.x86" for scheme in SCHEMES), "int8_static.arm"]
X86 = Target("gateway", "onnxruntime", "x86_64", "cpu")


# --- without a toolchain ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scheme",
    [
        *SCHEMES.values(),
        replace(INT8, id="int4_static", weights="int4"),
        replace(SCHEMES["int16x8"], id="int16x4", weights="int4"),
        WEIGHTS,
        replace(WEIGHTS, id="int4_weights", weights="int4"),
    ],
    ids=lambda scheme: scheme.id,
)
@pytest.mark.parametrize("arch", ["x86_64", "aarch64", "armv7l"])
def test_supports(scheme: Scheme, arch: str) -> None:
    assert supports(scheme, replace(X86, arch=arch)) is None


@pytest.mark.parametrize(
    ("scheme", "target", "reason"),
    [
        (INT8, replace(X86, arch="armv7e-m"), "ONNX Runtime is not built for armv7e-m; it runs on x86_64, aarch64"),
        (INT8, replace(X86, accelerator="npu"), "ONNX Runtime programs are compiled for the CPU, not for npu"),
        (
            replace(INT8, activations="float16"),
            X86,
            "ONNX Runtime has no static scheme with int8 weights and float16 activations",
        ),
        (
            replace(SCHEMES["int8_dynamic"], weights="int4"),
            X86,
            "ONNX Runtime has no dynamic scheme with int4 weights and int8 activations",
        ),
        (
            replace(SCHEMES["int8_dynamic"], activations="int16"),
            X86,
            "ONNX Runtime has no dynamic scheme with int8 weights and int16 activations",
        ),
    ],
)
def test_refuses_with_a_reason(scheme: Scheme, target: Target, reason: str) -> None:
    refusal = supports(scheme, target)
    assert refusal is not None
    assert refusal.reason.startswith(reason)


def test_targets_of_one_instruction_set_share_an_optimized_model() -> None:
    profiles = {arch: profile(INT8, replace(X86, arch=arch)) for arch in ("x86_64", "aarch64", "armv7l")}
    assert profiles == {"x86_64": "onnxruntime-x86", "aarch64": "onnxruntime-arm", "armv7l": "onnxruntime-arm"}


@pytest.mark.parametrize("scheme", ["fp32", "fp16", "int8_dynamic", "int16x8"])
def test_all_targets_share_what_the_instruction_set_does_not_change(scheme: str) -> None:
    targets = [replace(X86, arch=arch) for arch in ("x86_64", "aarch64", "armv7l")]
    assert {profile(SCHEMES[scheme], target) for target in targets} == {"onnxruntime-any"}
    assert [compiles_for(SCHEMES[scheme], target) for target in targets] == [
        Target("any", "onnxruntime", "any", "cpu")
    ] * 3


def test_a_program_depends_on_nothing_of_a_target_but_its_instruction_set() -> None:
    busy = replace(X86, threads=8, clock_hz=2e9, ram_bytes=2**30, flash_bytes=2**30)
    assert compiles_for(INT8, busy) == compiles_for(INT8, X86) == Target("x86", "onnxruntime", "x86", "cpu")
    assert compiles_for(INT8, replace(X86, arch="armv7l")) == Target("arm", "onnxruntime", "arm", "cpu")


def test_importing_the_plugin_loads_no_heavy_library() -> None:
    code = "import sys, edgeflow.runtimes.onnxruntime; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment())
    assert not {"numpy", "onnx", "onnxruntime", "torch"} & set(done.stdout.split())


# --- with the toolchains ---------------------------------------------------------------------------------------------


def _environment(seed: int = 0) -> dict[str, str]:
    source = str(Path(harness.__file__).parents[2])
    return {**os.environ, "PYTHONPATH": source, "PYTHONHASHSEED": str(seed), "CUDA_VISIBLE_DEVICES": ""}


def _start(python: Path, folder: Path, seed: int, *jobs: str) -> subprocess.Popen[str]:
    folder.mkdir()
    script = Path(__file__).with_name("onnxruntime_jobs.py")
    return subprocess.Popen(
        [python, script, folder, *jobs],
        env=_environment(seed),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _finish(*processes: subprocess.Popen[str]) -> list[str]:
    """What they printed; all are waited for before one that failed fails the test."""
    said = [process.communicate()[0] for process in processes]
    for process, text in zip(processes, said, strict=True):
        assert process.returncode == 0, text
    return said


def _digits(size: tuple[int, int], channels: int) -> dict[str, np.ndarray[Any, Any]]:
    """scikit-learn's digits, enlarged by repeating pixels: 300 samples to judge by, the rest to fit."""
    from sklearn.datasets import load_digits

    images, y = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).astype(np.float32) / 8 - 1
    rows, columns = (np.arange(n) * 8 // n for n in size)
    x = np.repeat(images[:, None][:, :, rows][..., columns], channels, axis=1)
    order = np.random.default_rng(5).permutation(len(x))
    x, y = np.ascontiguousarray(x[order]), y[order].astype(np.int64)
    return {"x": x[:300], "y": y[:300], "train_x": x[300:], "train_y": y[300:]}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the data of both networks."""
    folder = tmp_path_factory.mktemp("onnxruntime")
    np.savez(folder / "dscnn.npz", **_digits((49, 10), 1))
    np.savez(folder / "resnet8.npz", **_digits((32, 32), 3))
    return folder


@pytest.fixture(scope="module")
def converted(root: Path, torch_python: Path) -> SimpleNamespace:
    """Both networks converted, one of them twice, in processes with different hash seeds."""
    first, second = root / "converted", root / "converted_again"
    said = _finish(
        _start(torch_python, first, 1, "convert"),
        _start(torch_python, second, 2, "refuse", "convert_one"),
    )
    for name in NETWORKS:
        shutil.copy(first / f"{name}.onnx", root)
    return SimpleNamespace(first=first, second=second, said=said[0])


@pytest.fixture(scope="module")
def built(root: Path, converted: SimpleNamespace, edge_python: Path) -> SimpleNamespace:
    """Every scheme of both networks, and those of one a second time with another hash seed."""
    first, second = root / "built", root / "built_again"
    said = _finish(
        _start(edge_python, first, 1, "build"),
        _start(edge_python, second, 2, "build_again", "recalibrate", "run"),
        _start(edge_python, root / "unshared", 3, "build_unshared"),
    )
    facts = json.loads((first / "facts.json").read_text())
    return SimpleNamespace(first=first, second=second, unshared=root / "unshared", facts=facts, said=said[0])


@pytest.fixture(scope="module")
def asked(root: Path, built: SimpleNamespace, edge_python: Path) -> dict[str, dict[str, float]]:
    """How the models and programs of one network are asked."""
    _finish(_start(edge_python, root / "asked", 4, "ask"))
    calls: dict[str, dict[str, float]] = json.loads((root / "asked" / "ask.json").read_text())
    return calls


@pytest.fixture(scope="module")
def finer(root: Path, converted: SimpleNamespace, edge_python: Path) -> dict[str, Any]:
    """What the finer schemes make of one network, and how biases of networks by hand are corrected."""
    _finish(_start(edge_python, root / "finer", 5, "finer", "correct"))
    by_scheme: dict[str, Any] = json.loads((root / "finer" / "finer.json").read_text())
    return by_scheme


def _answers(path: Path) -> np.ndarray[Any, Any]:
    with np.load(path) as archive:
        answers: np.ndarray[Any, Any] = archive["y"]
    return answers


def _accuracy(root: Path, network: str, answers: np.ndarray[Any, Any]) -> float:
    with np.load(root / f"{network}.npz") as archive:
        return float(np.mean(answers.argmax(1) == archive["y"]))


def _distance(after: np.ndarray[Any, Any], before: np.ndarray[Any, Any]) -> float:
    """As the ladder has it: greatest difference over the range of what was before."""
    return float(np.abs(after - before).max() / np.ptp(before))


@pytest.mark.toolchain
@pytest.mark.xdist_group("onnxruntime")
class TestConvert:
    @pytest.mark.parametrize("network", NETWORKS)
    def test_answers_as_torch_does(self, root: Path, built: SimpleNamespace, converted: Any, network: str) -> None:
        torch = _answers(converted.first / f"{network}.torch.npz")
        converted = _answers(built.first / f"{network}.convert.npz")
        assert _distance(converted, torch) <= torch_to_onnx.plugin.tolerance.relative
        assert _accuracy(root, network, torch) > 0.7, "the network must have an accuracy to lose"

    def test_same_bytes_in_another_process(self, converted: SimpleNamespace) -> None:
        first, second = (folder / "resnet8.onnx" for folder in (converted.first, converted.second))
        assert first.read_bytes() == second.read_bytes()

    @pytest.mark.parametrize("network", NETWORKS)
    def test_holds_nothing_of_the_machine(self, converted: SimpleNamespace, project: Path, network: str) -> None:
        content = (converted.first / f"{network}.onnx").read_bytes()
        for trace in (b".py", b"site-packages", b"pkg.torch", os.fsencode(project), os.fsencode(Path.home())):
            assert trace not in content

    def test_wrote_the_opset_asked_for(self, built: SimpleNamespace) -> None:
        assert {built.facts[network]["opset"] for network in NETWORKS} == {OPSET}

    def test_batch_is_dynamic(self, built: SimpleNamespace) -> None:
        signature = from_json(Signature, built.facts["dscnn"]["inspected"]["signature"])
        (given,), (answered,) = signature.inputs, signature.outputs
        assert (given.name, given.dtype, given.shape) == ("input", "float32", ("batch", 1, 49, 10))
        assert (answered.name, answered.dtype, answered.shape) == ("logits", "float32", ("batch", 10))

    def test_is_silent(self, converted: SimpleNamespace) -> None:
        assert converted.said == ""

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (
                "unknown_operator",
                "ONNX Runtime: torch.onnx.export cannot export the model: Error when translating node %",
            ),
            (
                "two_outputs",
                "convert: expected inputs input and outputs logits, torch.onnx.export wrote input, ",
            ),
            ("fixed_batch", "convert: torch.onnx.export fixed the batch; the model's code must not depend on its size"),
            ("opset", "convert: torch.onnx.export wrote opset 18, not 17 as asked"),
        ],
    )
    def test_refuses_what_the_exporter_gets_wrong(self, converted: SimpleNamespace, model: str, message: str) -> None:
        said = json.loads((converted.second / "refused.json").read_text())[model]
        assert said.startswith(message)
        assert "\n" not in said


@pytest.mark.toolchain
@pytest.mark.xdist_group("onnxruntime")
class TestOptimize:
    def test_float32_changes_nothing(self, built: SimpleNamespace) -> None:
        assert plugin.optimize_tolerance is not None
        for network in NETWORKS:
            before, after = (_answers(built.first / f"{network}.{step}.npz") for step in ("convert", "fp32.x86.model"))
            assert _distance(after, before) <= plugin.optimize_tolerance.relative

    @pytest.mark.parametrize("network", NETWORKS)
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_loses_at_most_two_points(self, root: Path, built: SimpleNamespace, network: str, variant: str) -> None:
        before, after = (
            _accuracy(root, network, _answers(built.first / f"{network}.{step}.npz"))
            for step in ("convert", f"{variant}.model")
        )
        assert after >= before - 0.02

    @pytest.mark.parametrize(
        ("variant", "kernels", "activations"),
        [
            ("fp32.x86", ["FLOAT"], []),
            ("fp16.x86", ["FLOAT16"], []),
            ("int8_dynamic.x86", ["UINT8"], []),
            ("int8_static.x86", ["INT8"], ["UINT8"]),
            ("int8_static.arm", ["INT8"], ["INT8"]),
            ("int16x8.x86", ["INT8"], ["INT16"]),
        ],
    )
    def test_types(self, built: SimpleNamespace, variant: str, kernels: list[str], activations: list[str]) -> None:
        for network in NETWORKS:
            facts = built.facts[f"{network}.{variant}.model"]
            assert (facts["kernel_types"], facts["activation_types"]) == (kernels, activations)

    def test_inputs_and_outputs_stay_float32(self, built: SimpleNamespace) -> None:
        for variant in VARIANTS:
            signature = built.facts[f"resnet8.{variant}.program"]["inspected"]["signature"]
            assert [tensor["dtype"] for tensor in (*signature["inputs"], *signature["outputs"])] == ["float32"] * 2

    def test_channels_have_scales_of_their_own_where_the_scheme_says_so(self, built: SimpleNamespace) -> None:
        per_channel = built.facts["resnet8.int8_static.x86.model"]["weight_scales"]
        per_tensor = built.facts["resnet8.int8_static_per_tensor.x86.model"]["weight_scales"]
        assert [16] in per_channel
        assert [64] in per_channel
        assert per_tensor == [[]] * len(per_channel)

    def test_opset_is_not_raised_behind_our_back(self, built: SimpleNamespace) -> None:
        assert {built.facts[f"resnet8.{variant}.model"]["opset"] for variant in VARIANTS} == {OPSET}

    def test_calibration_decides_the_ranges(self, built: SimpleNamespace) -> None:
        name = "dscnn.int8_static.x86.model.onnx"
        assert (built.first / name).read_bytes() != (built.second / name).read_bytes()

    @pytest.mark.parametrize(
        ("variant", "calls", "distance"),
        [
            ("resnet8", 7, 0),
            ("resnet8 of large samples", 34, 0),
            ("resnet8.fp32.x86.model", 7, 0),
            ("resnet8.fp16.x86.model", 7, 0),
            ("resnet8.int8_static.x86.model", 7, 0),
            ("resnet8.int8_static.arm.model", 7, 0),
            ("resnet8.int16x8.x86.model", 7, 1e-4),  # a tie of 2**-16 steps may be rounded apart
            ("resnet8.int8_dynamic.x86.model", 100, 0),
            ("resnet8.fp32.x86.program", 100, 0),
            ("resnet8.int8_static.x86.program", 100, 0),
        ],
    )
    def test_a_hundred_samples_are_asked_in_batches_where_that_changes_nothing(
        self, asked: dict[str, dict[str, float]], variant: str, calls: int, distance: float
    ) -> None:
        assert asked[variant]["calls"] == calls
        assert asked[variant]["distance"] <= distance

    def test_an_answer_does_not_depend_on_the_samples_beside_it(self, built: SimpleNamespace) -> None:
        # One range for a whole batch would move the model's answers away from those of the program, whose batch is one.
        together, alone = (
            _answers(built.first / f"resnet8.int8_dynamic.x86.{step}.npz") for step in ("model", "program")
        )
        assert _distance(together, alone) < 1e-5

    def test_is_silent(self, built: SimpleNamespace) -> None:
        assert built.said == ""


@pytest.mark.toolchain
@pytest.mark.xdist_group("onnxruntime")
class TestFinerQuantization:
    @pytest.mark.parametrize(
        ("scheme", "plain"),
        [
            ("mse", "int8_static"),
            ("percentile", "int8_static"),
            ("wide_percentile", "int16x8"),
            ("wide_per_tensor", "int16x8"),
            ("static4", "int8_static"),
            ("static8_corrected", "int8_static"),
            ("static4_corrected", "static4"),
            ("weights8", "fp32"),
            ("weights8_per_tensor", "weights8"),
            ("weights4", "weights8"),
            ("weights4_corrected", "weights4"),
        ],
    )
    def test_each_setting_changes_the_model(self, root: Path, finer: dict[str, Any], scheme: str, plain: str) -> None:
        models = [(root / "finer" / f"resnet8.{name}.x86.model.onnx").read_bytes() for name in (scheme, plain)]
        assert models[0] != models[1]

    @pytest.mark.parametrize("scheme", ["percentile", "wide_percentile"])
    def test_percentile_is_what_the_file_says(self, root: Path, finer: dict[str, Any], scheme: str) -> None:
        with np.load(root / "resnet8.npz") as archive:
            x = archive["train_x"][:64]
        if scheme == "percentile":
            expected = np.ptp([*np.quantile(x, [0.005, 0.995]), 0]) / 255
        else:
            expected = np.quantile(abs(x), 0.99) / 32767
        assert finer[scheme]["input_scale"] == pytest.approx(expected, rel=2e-3)

    def test_squared_error_narrows_ranges(self, finer: dict[str, Any]) -> None:
        assert finer["mse"]["input_scale"] <= finer["int8_static"]["input_scale"]

    @pytest.mark.parametrize(
        ("scheme", "types", "greatest"),
        [
            ("weights8", ["INT8"], 0.06),
            ("weights8_per_tensor", ["INT8"], 0.08),
            ("weights4_corrected", ["INT4"], 0.4),
            ("static4_corrected", ["INT4"], 0.4),
        ],
    )
    def test_weights_are_stored_as_the_scheme_says(
        self, finer: dict[str, Any], scheme: str, types: list[str], greatest: float
    ) -> None:
        assert finer[scheme]["kernel_types"] == types
        model, expected = (np.array(finer[name]["answers"][0]) for name in (scheme, "fp32"))
        assert 0 < _distance(model, expected) < greatest

    @pytest.mark.parametrize(("scheme", "most"), [("weights8", 0.3), ("weights4", 0.17), ("static4", 0.2)])
    def test_programs_are_as_small_as_their_weights(self, finer: dict[str, Any], scheme: str, most: float) -> None:
        """ONNX Runtime would fold a DequantizeLinear of a constant like any other node, and ship floats."""
        assert finer[scheme]["sizes"][1] < most * finer["fp32"]["sizes"][1]

    @pytest.mark.parametrize("scheme", ["weights8", "weights4"])
    def test_kernels_compute_in_floats_where_weights_alone_are_integers(
        self, finer: dict[str, Any], scheme: str
    ) -> None:
        counts = finer[scheme]["program"]
        assert counts["DequantizeLinear"] == LAYERS
        assert counts["Conv"] + counts["FusedConv"] == CONVOLUTIONS
        assert "QuantizeLinear" not in counts

    @pytest.mark.parametrize("scheme", ["weights8", "weights4"])
    def test_weights_are_dequantized_when_the_program_is_loaded(self, finer: dict[str, Any], scheme: str) -> None:
        assert finer[scheme]["ran"] == finer["fp32"]["ran"]
        assert "DequantizeLinear" not in finer[scheme]["ran"]

    @pytest.mark.parametrize("scheme", ["mse", "percentile", "static4", "weights8", "weights4_corrected"])
    def test_programs_answer_as_their_models_do(self, finer: dict[str, Any], scheme: str) -> None:
        model, program = (np.array(answers) for answers in finer[scheme]["answers"])
        asked = WEIGHTS if scheme.startswith("weights") else INT8
        assert _distance(program, model) <= compile_tolerance(asked).relative

    @pytest.mark.parametrize(
        ("scheme", "plain"),
        [("static4_corrected", "static4"), ("weights4_corrected", "weights4")],
    )
    def test_corrected_layers_answer_on_average_as_before(self, finer: dict[str, Any], scheme: str, plain: str) -> None:
        after, before = np.array(finer[scheme]["shifts"]), np.array(finer[plain]["shifts"])
        assert len(before) == LAYERS
        assert before.min() > 0.02, "there must be a shift to correct"
        assert (after < before / 10).all()

    def test_corrected_answers_are_nearer(self, finer: dict[str, Any]) -> None:
        corrected, plain, expected = (
            np.array(finer[name]["answers"][0]) for name in ("weights4_corrected", "weights4", "fp32")
        )
        assert _distance(corrected, expected) < 0.8 * _distance(plain, expected)

    def test_layers_that_share_a_bias_get_one_each(self, root: Path, finer: dict[str, Any]) -> None:
        said = json.loads((root / "finer" / "correct.json").read_text())
        first, second, without, last = said["after"]
        assert min(said["before"]) > 1e-3
        assert max(first, second) < 1e-5
        assert min(without, last) > 1e-3, "a layer without a bias, or with one that is computed, stays"
        assert said["biases"] == {"first": "first_bias", "second": "shared", "last": "computed"}
        assert said["unnamed_stay"]

    @pytest.mark.parametrize("scheme", ["mse", "weights4", "static4"])
    def test_operators_are_those_of_the_file(self, finer: dict[str, Any], scheme: str) -> None:
        nodes = finer[scheme]["nodes"]
        assert finer[scheme]["operators"] == {name: nodes.count(name) for name in sorted(set(nodes))}


@pytest.mark.toolchain
@pytest.mark.xdist_group("onnxruntime")
class TestCompile:
    @pytest.mark.parametrize("network", NETWORKS)
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_zeros_are_those_of_the_network(
        self, converted: SimpleNamespace, built: SimpleNamespace, network: str, variant: str
    ) -> None:
        with np.load(converted.first / f"{network}.torch.npz") as archive:
            expected = float(archive["zeros"])
        ratio = json.loads((built.first / f"{network}.{variant}.zeros.json").read_text())
        assert 0.3 < expected < 0.35
        if variant.startswith("fp"):
            assert ratio == expected
        else:  # what is less than half a step becomes one too
            assert expected <= ratio < expected + 0.05

    @pytest.mark.parametrize("scheme", ["fp32", "fp16", "int8_dynamic", "int16x8"])
    @pytest.mark.parametrize("step", ["model", "program"])
    def test_what_is_shared_by_all_families_is_the_same_for_each(
        self, built: SimpleNamespace, scheme: str, step: str
    ) -> None:
        shared = (built.first / f"resnet8.{scheme}.x86.{step}.onnx").read_bytes()
        for family in ("x86", "arm"):
            assert (built.unshared / f"resnet8.{scheme}.{family}.{step}.onnx").read_bytes() == shared

    @pytest.mark.parametrize("network", NETWORKS)
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_answers_as_the_model_does(self, built: SimpleNamespace, network: str, variant: str) -> None:
        model, program = (_answers(built.first / f"{network}.{variant}.{step}.npz") for step in ("model", "program"))
        tolerance = compile_tolerance(SCHEMES[variant.partition(".")[0]])
        assert _distance(program, model) <= tolerance.relative

    @pytest.mark.parametrize("network", NETWORKS)
    @pytest.mark.parametrize("variant", ["int8_static.x86", "int8_static.arm"])
    def test_every_convolution_is_an_integer_kernel(self, built: SimpleNamespace, network: str, variant: str) -> None:
        nodes = built.facts[f"{network}.{variant}.program"]["nodes"]
        assert (nodes.count("QLinearConv"), nodes.count("Conv"), nodes.count("Add")) == (CONVOLUTIONS, 0, 0)

    def test_batch_is_one(self, built: SimpleNamespace) -> None:
        for variant in VARIANTS:
            signature = built.facts[f"dscnn.{variant}.program"]["inspected"]["signature"]
            assert signature["inputs"][0]["shape"] == [1, 1, 49, 10]
            assert signature["outputs"][0]["shape"] == [1, 10]

    def test_nothing_is_laid_out_for_the_machine_that_compiled(self, built: SimpleNamespace) -> None:
        nodes = set(built.facts["resnet8.fp32.x86.program"]["nodes"])
        assert "Conv" in nodes
        assert not nodes & {"ReorderInput", "ReorderOutput"}  # of the NCHWc layout, whose block depends on the CPU

    @pytest.mark.parametrize(
        ("variant", "most"), [("fp16.x86", 0.62), ("int8_static.x86", 0.42), ("int8_dynamic.x86", 0.42)]
    )
    def test_is_smaller(self, built: SimpleNamespace, variant: str, most: float) -> None:
        for network in NETWORKS:
            sizes = [(built.first / f"{network}.{v}.program.onnx").stat().st_size for v in (variant, "fp32.x86")]
            assert sizes[0] < most * sizes[1]

    @pytest.mark.parametrize("variant", VARIANTS)
    @pytest.mark.parametrize("step", ["model", "program"])
    def test_same_bytes_in_another_process(self, built: SimpleNamespace, variant: str, step: str) -> None:
        first, second = (folder / f"resnet8.{variant}.{step}.onnx" for folder in (built.first, built.second))
        assert first.read_bytes() == second.read_bytes()

    def test_holds_nothing_of_the_machine(self, built: SimpleNamespace, root: Path) -> None:
        for variant in VARIANTS:
            content = (built.first / f"resnet8.{variant}.program.onnx").read_bytes()
            assert os.fsencode(root) not in content
            assert b"site-packages" not in content


@pytest.mark.toolchain
@pytest.mark.xdist_group("onnxruntime")
class TestRun:
    def test_operators_are_those_that_run(self, built: SimpleNamespace) -> None:
        operators = built.facts["resnet8.int8_static.x86.program"]["inspected"]["operators"]
        counts = {operator["operator"]: operator["count"] for operator in operators}
        assert (counts["QLinearConv"], counts["QLinearAdd"]) == (CONVOLUTIONS, 3)
        assert {operator["placement"] for operator in operators} == {"CPUExecutionProvider"}

    @pytest.mark.parametrize(
        ("program", "message"),
        [
            ("damaged", "damaged.onnx: ONNX Runtime "),
            ("texts", "texts.onnx: x0 is a tensor(string); expected a tensor of float, double, float16, bool, int8, "),
        ],
    )
    def test_what_cannot_run_is_named(self, built: SimpleNamespace, program: str, message: str) -> None:
        assert message in json.loads((built.second / "run.json").read_text())[program]

    def test_measures_in_a_process_of_its_own(
        self, root: Path, built: SimpleNamespace, edge_python: Path, tmp_path: Path
    ) -> None:
        with np.load(root / "resnet8.npz") as archive:
            write_split(tmp_path / "resnet8.safetensors", archive["x"])
        job = {
            "backend": str(plugin.backend),
            "program": str(built.first / "resnet8.int8_static.x86.program.onnx"),
            "binding": None,
            "baseline": {"program": str(built.first / "resnet8.fp32.x86.program.onnx"), "binding": None},
            "threads": 1,
            "split": str(tmp_path / "resnet8.safetensors"),
            "outputs": str(tmp_path / "outputs.safetensors"),
            "known": None,
            "times": True,
            "max_runs": 40,
            "max_seconds": 60.0,
            "enough": {"runs": 40, "seconds": 60.0},
            "warmup_runs": 2,
            "block_runs": 20,
        }
        (tmp_path / "job.json").write_text(json.dumps(job))
        command = [edge_python, "-I", harness.__file__, tmp_path / "job.json", tmp_path / "result.json"]
        subprocess.run(command, check=True)
        result = json.loads((tmp_path / "result.json").read_text())
        assert [len(block) for block in result["latency_blocks_s"]] == [20, 20]
        assert [len(block) for block in result["baseline_blocks_s"]] == [20, 20]
        assert 0 < result["load_s"] < result["first_inference_s"]
        assert 0 < result["memory_peak_bytes"] < 64 * 2**20
        assert set(result["versions"]) == {"onnxruntime"}
        expected = _answers(built.first / "resnet8.int8_static.x86.program.npz")
        np.testing.assert_array_equal(Outputs.read(tmp_path / "outputs.safetensors").evaluation["logits"], expected)
