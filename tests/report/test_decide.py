"""What ships, and the sentence that says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest
from synthetic import MATRIX, MODELS, TARGETS, Case, build

from edgeflow.errors import DataError
from edgeflow.report.decide import Decision, TargetInfo, decide
from edgeflow.report.variants import read
from edgeflow.stages import report
from edgeflow.types import Evidence, Release

ORT = TARGETS[0]
Outcome: TypeAlias = Case | str | tuple[str]
Matrix: TypeAlias = dict[tuple[str, str, str], Outcome]


def _decisions(
    root: Path, matrix: Matrix, targets: tuple[TargetInfo, ...] = TARGETS
) -> dict[tuple[str, str], Decision]:
    _, inputs, _ = build(root, matrix, targets)
    return {(d.target, d.model): d for d in decide(read(inputs.plan, inputs.results), targets, "fp32")}


def _only(target: str, model: str, **changes: Outcome) -> Matrix:
    """The schemes of one model on one target, some of them changed."""
    return {key: changes.get(key[2], case) for key, case in MATRIX.items() if key[:2] == (model, target)}


def _case(target: str, model: str, scheme: str) -> Case:
    found = MATRIX[model, target, scheme]
    assert isinstance(found, Case)
    return found


def test_one_decision_per_target_and_model_in_the_order_of_the_spec(tmp_path: Path) -> None:
    found = _decisions(tmp_path, dict(MATRIX))
    assert list(found) == [(target.id, model) for target in TARGETS for model in MODELS]


def test_the_fastest_released_scheme_ships(tmp_path: Path) -> None:
    decision = _decisions(tmp_path, dict(MATRIX))["linux_x86_ort", "digits_resnet8"]
    assert decision.ship == decision.scheme == "int8_static"
    assert decision.release is Release.RELEASED
    assert decision.why == (
        "The fastest of 2 released schemes: latency p50 132 µs (device); "
        "1.76× as fast as fp32; 3.24× smaller than fp32."
    )
    assert decision.accuracy == pytest.approx(891 / 899)
    assert decision.accuracy_drop_upper == pytest.approx(2 / 899 + 0.0054)
    assert decision.latency_p50_s == 132e-6
    assert decision.evidence is decision.evidence_latency is Evidence.DEVICE


@pytest.mark.parametrize(
    ("prefer", "ship", "words"),
    [
        ("latency_p50_s", "int8_static", "The fastest of 3 released schemes: latency p50 54.8 µs"),
        ("size_bytes", "fp16", "The smallest of 3 released schemes: size 10 KiB"),
        ("memory_peak_bytes", "int8_static", "The least memory-hungry of 3 released schemes: peak memory 1.17 MiB"),
        ("accuracy", "fp16", "The most accurate of 3 released schemes: accuracy 98.89 %"),
        ("energy_j", "fp16", "The smallest of 3 released schemes: size 10 KiB (device); none has energy"),
    ],
)
def test_the_target_says_by_what_schemes_are_ranked(tmp_path: Path, prefer: str, ship: str, words: str) -> None:
    small = replace(_case(ORT.id, MODELS[0], "fp16"), size_bytes=10 * 1024)
    matrix = _only(ORT.id, MODELS[0], fp16=small)
    decision = _decisions(tmp_path, matrix, (replace(ORT, prefer=prefer),))[ORT.id, MODELS[0]]
    assert decision.ship == ship
    assert decision.why.startswith(words)


def test_a_released_scheme_without_the_preferred_figure_comes_last(tmp_path: Path) -> None:
    unmeasured = replace(_case(ORT.id, MODELS[0], "int8_static"), p50_s=None)
    decision = _decisions(tmp_path, _only(ORT.id, MODELS[0], int8_static=unmeasured), (ORT,))[ORT.id, MODELS[0]]
    assert decision.ship == "fp16"
    assert decision.why.startswith("The fastest of 3 released schemes (1 without latency p50): latency p50 64.1 µs")


def test_the_baseline_ships_when_it_is_the_best(tmp_path: Path) -> None:
    fast = replace(_case(ORT.id, MODELS[0], "fp32"), p50_s=1e-6)
    decision = _decisions(tmp_path, _only(ORT.id, MODELS[0], fp32=fast), (ORT,))[ORT.id, MODELS[0]]
    assert decision.ship == "fp32"
    assert decision.why == "The fastest of 3 released schemes: latency p50 1 µs (device)."
    assert decision.size_ratio_fp32 is None


@pytest.mark.parametrize(("slower", "ship"), [(1.04, "int8_static"), (1.06, "fp32")])
def test_of_latencies_that_cannot_be_told_apart_the_smallest_file_ships(
    tmp_path: Path, slower: float, ship: str
) -> None:
    fastest = replace(_case(ORT.id, MODELS[0], "fp32"), p50_s=50e-6)
    int8 = replace(_case(ORT.id, MODELS[0], "int8_static"), p50_s=50e-6 * slower)
    matrix = _only(ORT.id, MODELS[0], fp32=fastest, int8_static=int8)
    decision = _decisions(tmp_path, matrix, (ORT,))[ORT.id, MODELS[0]]
    assert decision.ship == ship
    tied = "The smallest of those within 5 % of the fastest (fp32) of 3 released schemes: latency p50 52 µs (device); "
    assert decision.why.startswith(tied) == (ship == "int8_static")


def test_what_ships_without_a_figure_says_so(tmp_path: Path) -> None:
    decision = _decisions(tmp_path, dict(MATRIX))["cortex_m4_tflm", "digits_dscnn"]
    assert decision.ship == "int8_static"
    assert decision.shipped_without == ("latency_p50_s",)
    assert decision.latency_p50_s is None
    assert decision.why.endswith("ships without latency p50, which this target accepts.")


def test_no_baseline_to_compare_with_is_said(tmp_path: Path) -> None:
    decision = _decisions(tmp_path, dict(MATRIX))["ethos_u55_128", "digits_dscnn"]
    assert decision.why == (
        "The only released scheme: latency p50 182 µs (estimate); there is no fp32 here to compare with."
    )


def test_nothing_ships_where_everything_is_held(tmp_path: Path) -> None:
    decision = _decisions(tmp_path, dict(MATRIX))["android_arm64_litert", "digits_dscnn"]
    assert decision.ship is None
    assert decision.release is Release.HELD
    assert decision.scheme == "int8_static"
    tally, _, closest = decision.why.partition(". ")
    assert tally == "Nothing ships: 4 held, 1 rejected"
    assert closest.startswith("int8_static comes closest and is held: latency_p50_s: evidence host is weaker")


def test_nothing_ships_where_the_rest_is_rejected(tmp_path: Path) -> None:
    decision = _decisions(tmp_path, dict(MATRIX))["ethos_u55_128", "digits_resnet8"]
    assert (decision.ship, decision.release) == (None, Release.REJECTED)
    assert "is rejected: memory_peak_bytes is 50.8 KiB, over the limit of 48 KiB." in decision.why


def test_nothing_ships_where_everything_is_infeasible(tmp_path: Path) -> None:
    matrix = {key: ("too big for the flash",) if key[2] == "fp32" else "no kernels" for key in _only(ORT.id, MODELS[0])}
    decision = _decisions(tmp_path, matrix, (ORT,))[ORT.id, MODELS[0]]
    assert decision == Decision(
        ORT.id, MODELS[0], None, Release.INFEASIBLE, None,
        "Nothing ships: every scheme is infeasible: too big for the flash; no kernels.",
    )  # fmt: skip


def test_a_target_that_the_spec_forgot_is_an_error(tmp_path: Path) -> None:
    spec, inputs, outputs = build(tmp_path, targets=TARGETS[1:])
    with pytest.raises(DataError, match="the plan has target linux_x86_ort, the spec has only android_arm64_litert"):
        report.run(spec, inputs, outputs)
    assert not outputs.html.exists()
