"""Ethos-U: what vela makes of small networks, what it estimates, and what has no program."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runtimes.conftest import SCHEMES, Toolchain

from edgeflow.plugin import GoldenSamples, PackageJob
from edgeflow.preprocessing import Preprocessing
from edgeflow.runtimes.ethos_u import MEMORY_MODES, SYSTEM_CONFIGS, compiles_for, plugin, supports
from edgeflow.types.figures import Evidence, Measurement
from edgeflow.types.programs import Operators, Program
from edgeflow.types.signatures import Binding, Bound, Signature, Tensor
from edgeflow.types.variants import Scheme, Target

HIGH_END = {"system_config": "Ethos_U55_High_End_Embedded", "memory_mode": "Shared_Sram"}
U55 = Target("camera", "ethos_u", "armv8.1-m.main", "ethos-u55-128", ram_bytes=2 * 1024 * 1024, options=HIGH_END)
INT8 = SCHEMES["int8_static"]

toolchain = pytest.mark.toolchain
pytestmark = pytest.mark.xdist_group("tflite")  # one worker makes the networks for all


# --- without a toolchain ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["int8_static", "int16x8"])
@pytest.mark.parametrize(
    ("accelerator", "system"),
    [
        ("ethos-u55-128", "Ethos_U55_Deep_Embedded"),
        ("ethos-u65-512", "Ethos_U65_High_End"),
        ("ethos-u85-256", "Ethos_U85_SYS_Flash_Low"),
    ],
)
def test_supports(scheme: str, accelerator: str, system: str) -> None:
    target = replace(U55, accelerator=accelerator, options={**HIGH_END, "system_config": system})
    assert supports(SCHEMES[scheme], target) is None


def test_a_program_depends_on_what_vela_is_told() -> None:
    platform = compiles_for(INT8, U55)
    assert platform == replace(U55, id="ethos-u55-128-high_end_embedded-shared_sram-2097152", arch="")
    assert compiles_for(INT8, replace(U55, id="other", arch="x", clock_hz=1e9, flash_bytes=10, threads=2)) == platform
    told = (
        {"ram_bytes": None},
        {"accelerator": "ethos-u55-256"},
        {"options": {**HIGH_END, "memory_mode": "Sram_Only"}},
        {"options": {**HIGH_END, "system_config": "Ethos_U55_Deep_Embedded"}},
    )
    assert len({compiles_for(INT8, replace(U55, **change)).id for change in ({}, *told)}) == 5


def test_its_models_are_answered_for_by_tflite_micro() -> None:
    assert (plugin.compiles_from, plugin.runs) == ("tflite_micro", "model")


FLOATS = "Ethos-U executes int8 and int16 operators with static ranges only"


@pytest.mark.parametrize(
    ("scheme", "target", "reason"),
    [
        (SCHEMES["fp32"], U55, FLOATS),
        (SCHEMES["fp16"], U55, FLOATS),
        (SCHEMES["int8_dynamic"], U55, FLOATS),
        (
            INT8,
            replace(U55, accelerator="ethos-u55-100"),
            "'ethos-u55-100' is not an Ethos-U; vela knows ethos-u55-32, ethos-u55-64, ethos-u55-128",
        ),
        (INT8, replace(U55, accelerator="cpu"), "'cpu' is not an Ethos-U; vela knows ethos-u55-32"),
        (
            INT8,
            replace(U55, accelerator="ethos-u65-256"),
            "system_config Ethos_U55_High_End_Embedded does not describe an ethos-u65-256",
        ),
    ],
)
def test_refuses_with_a_reason(scheme: Scheme, target: Target, reason: str) -> None:
    refusal = supports(scheme, target)
    assert refusal is not None
    assert refusal.reason.startswith(reason)


def test_what_runs_is_the_model_before_vela() -> None:
    assert plugin.runs == "model"
    assert plugin.evidence == Evidence.HOST
    assert not plugin.times
    assert {name for name, option in plugin.target_options.items() if option.required} == set(HIGH_END)


# --- vela ------------------------------------------------------------------------------------------------------------


def _job(source: Path, target: Target = U55, scheme: Scheme = INT8, output: str = "program") -> list[Any]:
    return ["compile_program", "ethos_u", source, scheme, target, source.with_suffix(f".{output}")]


@toolchain
def test_choices_are_the_sections_of_vela(edge: Toolchain) -> None:
    (sections,) = edge(["vela_sections"])
    assert {f"System_Config.{name}" for name in SYSTEM_CONFIGS} == {s for s in sections if s.startswith("System")}
    assert {f"Memory_Mode.{name}" for name in MEMORY_MODES} < {s for s in sections if s.startswith("Memory")}


@toolchain
@pytest.mark.parametrize("scheme", ["int8_static", "int16x8"])
def test_all_operators_are_on_the_accelerator(optimized: Path, edge: Toolchain, scheme: str) -> None:
    source = optimized / f"mixed.{scheme}.tflite"
    compiled, made = edge(_job(source, scheme=SCHEMES[scheme]), ["operators_of", source.with_suffix(".program")])
    assert made == {"ethos-u": 1}
    names = ("ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MEAN")
    assert compiled["operators"] == [{"operator": name, "count": 1, "placement": "Ethos-U55"} for name in names]
    assert compiled["tools"].keys() == {"ethos-u-vela"}
    assert compiled["zero_weights_ratio"] == pytest.approx(3 / 496)  # of the model: weights of less than half a step
    estimates = {e["metric"]: e["value"] for e in compiled["estimates"]}
    assert estimates.keys() == {
        *("latency_p50_s", "latency_p90_s", "memory_peak_bytes", "flash_bytes", "accelerator_cycles", "cpu_operators")
    }
    assert estimates.keys() == set(plugin.estimates)
    assert estimates["cpu_operators"] == 0
    assert estimates["latency_p90_s"] == estimates["latency_p50_s"]
    assert estimates["accelerator_cycles"] == pytest.approx(500e6 * estimates["latency_p50_s"])  # core_clock
    image = 12 * 10 * 16 * (2 if scheme == "int16x8" else 1)
    assert 2 * image <= estimates["memory_peak_bytes"] <= 4 * image
    assert estimates["flash_bytes"] <= source.with_suffix(".program").stat().st_size
    (method,) = {e["method"] for e in compiled["estimates"] if e["metric"] == "latency_p90_s"}
    assert method == (
        "vela's estimate for ethos-u55-128 at 500 MHz, Ethos_U55_High_End_Embedded, Shared_Sram; deterministic: one "
        "figure stands for every percentile"
    )


@toolchain
def test_vela_again_gives_the_same_bytes(optimized: Path, edge: Toolchain) -> None:
    source = optimized / "mixed.int8_static.tflite"
    first = edge(_job(source, output="first"))
    second = edge(_job(source, output="second"), PYTHONHASHSEED="77", TZ="Asia/Tokyo")
    assert first == second
    assert source.with_suffix(".first").read_bytes() == source.with_suffix(".second").read_bytes()


@toolchain
@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("sine.int8_static", "Ethos-U: 3 operators stay on the CPU: DEQUANTIZE, QUANTIZE, SIN"),
        ("mixed.fp32", "Ethos-U: 5 operators stay on the CPU: ADD, CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, MEAN"),
        (
            "mixed.int8_dynamic",
            "Ethos-U: 5 operators stay on the CPU: ADD, CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, MEAN",
        ),
    ],
)
def test_operators_on_the_cpu_are_refused_by_name(optimized: Path, edge: Toolchain, file: str, reason: str) -> None:
    source = optimized / f"{file}.tflite"
    assert edge(_job(source, output="refused")) == [{"unsupported": reason}]
    assert not source.with_suffix(".refused").exists()


@toolchain
def test_too_little_sram_shows_in_the_estimate(optimized: Path, edge: Toolchain) -> None:
    """Vela warns and exits with 0; that the target has less is for measure to see."""
    (compiled,) = edge(_job(optimized / "mixed.int8_static.tflite", replace(U55, ram_bytes=1024)))
    assert next(e["value"] for e in compiled["estimates"] if e["metric"] == "memory_peak_bytes") > 1024


@toolchain
def test_vela_plans_for_the_sram_that_there_is(optimized: Path, edge: Toolchain) -> None:
    """It warns of too little SRAM and exits with 0; told beforehand, it finds a plan that fits."""
    source = optimized / "mixed.int8_static.tflite"
    (roomy,) = edge(_job(source))
    used = next(e["value"] for e in roomy["estimates"] if e["metric"] == "memory_peak_bytes")
    (tight,) = edge(_job(source, replace(U55, ram_bytes=int(used) - 1)))
    assert next(e["value"] for e in tight["estimates"] if e["metric"] == "memory_peak_bytes") < used


@toolchain
def test_a_failure_of_vela_is_an_error(optimized: Path, edge: Toolchain) -> None:
    target = replace(U55, options={**HIGH_END, "system_config": "Ethos_U55_Unknown"})
    (compiled,) = edge(_job(optimized / "mixed.int8_static.tflite", target))
    assert compiled["error"] == "StageError"
    assert compiled["message"].startswith("compile: vela failed for camera: ")
    assert "System_Config.Ethos_U55_Unknown not found" in compiled["message"]


# --- package ---------------------------------------------------------------------------------------------------------


def test_the_source_registers_the_accelerator(tmp_path: Path) -> None:
    program = tmp_path / "program.tflite"
    program.write_bytes(np.random.default_rng(5).bytes(100))
    operators = (Operators("CONV_2D", 3, "Ethos-U55"),)
    given, answer = Tensor("x", "int8", (1, 2, 2, 1), 0.1, 3), Tensor("y", "int8", (1, 2), 0.1, 4)
    signature = Signature((given,), (answer,))
    info = Program("net", "ethos_u", "any", "int8_static", "", "", 100, signature, operators, "model")
    sram = Measurement("memory_peak_bytes", 5000.0, "byte", Evidence.ESTIMATE, "vela", "", "estimate")
    assert plugin.package_files is not None
    how = Preprocessing((), (), None, None, None, (1, 2, 2), (0.5,), (0.5,))
    scaled, inputs, outputs = (
        np.zeros((1, 2, 2, 1), np.float32),
        np.zeros((1, 2, 2, 1), np.int8),
        np.zeros((1, 2), np.int8),
    )
    samples = GoldenSamples({"x": scaled}, {"x": inputs}, {"y": outputs}, {"y": 0.1}, "tflite-micro 0.1")
    binding = Binding({"image": Bound("x", (1, 2, 0))}, {"logits": Bound("y")})
    job = PackageJob(program, info, U55, (sram,), {"image": how}, ("no", "yes"), samples, binding)
    added = plugin.package_files(job)
    header = added["net_int8_static.h"].decode()
    assert "resolver.AddEthosU() == 0;" in header
    assert "AddConv2D" not in header
    assert "net_int8_static_operator_kinds = 1;" in header
    assert "net_int8_static_arena_bytes = 5000;" in header
    assert "net_int8_static_size_bytes = 100;" in header
    glue = added["interpreter.cc"].decode()
    assert "arena[net_int8_static_arena_bytes + 16384]" in glue  # vela's figure is not all of it
    assert "ethosu_init()" in glue
    # nothing here executes vela's output: the golden answers are of the model, and the example says whose
    assert "The golden answers are real: tflite-micro 0.1." in added["example.cc"].decode()
