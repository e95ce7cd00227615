"""What ships, and the sentence that says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest
from synthetic import MATRIX, MODELS, TARGETS, Case, build, path

from edgeflow import files, layout
from edgeflow.errors import DataError
from edgeflow.report import charts, primary
from edgeflow.report.decide import Decision, TargetInfo, decide
from edgeflow.report.variants import Variant, read
from edgeflow.runners import identity
from edgeflow.stages import report
from edgeflow.types.figures import Evidence, Measurement
from edgeflow.types.programs import Measured
from edgeflow.types.verdicts import Release

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
    case = MATRIX[model, target, scheme]
    assert isinstance(case, Case)
    return case


def test_one_decision_per_target_and_model_in_the_order_of_the_spec(tmp_path: Path) -> None:
    decisions = _decisions(tmp_path, dict(MATRIX))
    assert list(decisions) == [(target.id, model) for target in TARGETS for model in MODELS]


def test_times_of_two_machines_choose_nothing(tmp_path: Path) -> None:
    """A node of a cluster beside another, or one machine before and after an update of its kernel."""
    _, inputs, _ = build(tmp_path, _only("linux_x86_ort", "digits_resnet8"), TARGETS)
    variants = read(inputs.plan, inputs.results)

    def decision(**machines: str) -> Decision:
        taken = [_on(v, machines.get(v.cell.scheme, "one")) for v in variants]
        (one,) = decide(taken, TARGETS, "fp32")
        return one

    assert decision().why.startswith("The fastest of 2 released schemes: latency p50 132 µs")
    assert decision().device == f"this_host@{_short('one')}"
    both = ", ".join(sorted(map(_short, ("one", "two"))))
    mixed = decision(int8_static="two").why
    assert mixed.startswith("The smallest of 2 released schemes: size ")
    assert f"; latency p50 was taken on 2 machines ({both}), which cannot be compared, so the size decides; " in mixed


def test_times_of_two_machines_are_on_no_front(tmp_path: Path) -> None:
    spec, inputs, outputs = build(tmp_path, _only(ORT.id, MODELS[0]), (ORT,))
    here = {v.cell.scheme: v for v in read(inputs.plan, inputs.results)}
    assert [point.chooses for point in charts.points(here, "latency_p50_s")] == [True] * 4
    for scheme, variant in here.items():
        if not variant.figures:
            continue
        file = path(inputs.results, layout.measure(MODELS[0], ORT.id, scheme)["measurement"])
        measured = files.read_as(Measured, file)
        taken = tuple(_taken_on(m, "two" if scheme == "int8_static" else "one") for m in measured.measurements)
        files.write_json(file, replace(measured, measurements=taken))
    mixed = {v.cell.scheme: v for v in read(inputs.plan, inputs.results)}
    assert [point.chooses for point in charts.points(mixed, "latency_p50_s")] == [False] * 4
    assert [point.chooses for point in charts.points(mixed, "size_bytes")] == [True] * 4
    report.run(spec, inputs, outputs)
    both = ", ".join(sorted(map(_short, ("one", "two"))))
    assert outputs.html.read_text().count(f"Taken on 2 machines, which cannot be compared: {both}.") == 1


def _on(variant: Variant, machine: str) -> Variant:
    return replace(variant, figures={name: _taken_on(m, machine) for name, m in variant.figures.items()})


def _short(machine: str) -> str:
    """As `measure` names a machine in `Measurement.device`: of a virtual one the governor is not known."""
    return identity.short({"machine_id": machine, "cpu": "", "os": "", "governor": ""})


def _taken_on(figure: Measurement, machine: str) -> Measurement:
    return replace(
        figure, device=f"this_host@{_short(machine)}", conditions={**figure.conditions, "machine_id": machine}
    )


def test_the_fastest_released_scheme_ships(tmp_path: Path) -> None:
    decision = _decisions(tmp_path, dict(MATRIX))["linux_x86_ort", "digits_resnet8"]
    assert decision.ship == decision.scheme == "int8_static"
    assert decision.release is Release.RELEASED
    assert decision.why == (
        "The fastest of 2 released schemes: latency p50 132 µs (device); "
        "1.76× as fast as fp32; 3.24× smaller than fp32."
    )
    assert decision.task is not None
    assert (decision.task.metric, decision.task.unit) == ("accuracy", "ratio")
    assert decision.task.value == pytest.approx(891 / 899)
    assert decision.task.drop_upper == pytest.approx(2 / 899 + 0.0054)
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
    assert decision.why == (
        "The smallest of those within 5 % of the fastest of 3 released schemes (1 without latency p50): latency p50 "
        "64.1 µs (device); 1.02× as fast as fp32; 1.84× smaller than fp32."
    )


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


# --- figures of another machine, and ratios ---------------------------------------------------------------------------

PHONE = next(target for target in TARGETS if target.id == "android_arm64_litert")


def _released_phone(**changes: Case) -> Matrix:
    """The phone's schemes, released although a figure of the target is missing."""
    return {
        key: replace(changes.get(key[2], case), release=Release.RELEASED, reasons=())
        for key, case in MATRIX.items()
        if key[:2] == (MODELS[0], PHONE.id) and isinstance(case, Case)
    }


def test_the_clock_of_another_machine_chooses_nothing_and_is_no_gain(tmp_path: Path) -> None:
    fast = replace(_case(PHONE.id, MODELS[0], "fp32"), p50_s=1e-6)
    decision = _decisions(tmp_path, _released_phone(fp32=fast), (PHONE,))[PHONE.id, MODELS[0]]
    assert decision.ship == "int8_static"  # 42 KiB; fp32 is the fastest here, on a machine that is no phone
    assert decision.why == (
        "The smallest of 5 released schemes: size 42 KiB (device); latency p50 is host evidence only, which chooses "
        "nothing on this target, so the size decides; 2.36× smaller than fp32."
    )
    assert decision.evidence_latency is decision.evidence_latency_ratio is Evidence.HOST


def test_what_comes_closest_is_not_chosen_by_another_machine_either(tmp_path: Path) -> None:
    fast = replace(_case(PHONE.id, MODELS[0], "fp32"), p50_s=1e-6)
    matrix = {key: fast if key[2] == "fp32" else case for key, case in MATRIX.items() if key[1] == PHONE.id}
    assert _decisions(tmp_path, matrix, (PHONE,))[PHONE.id, MODELS[0]].scheme == "int8_static"


def test_ratios_of_another_machine_are_marked_and_on_no_front(tmp_path: Path) -> None:
    spec, inputs, outputs = build(tmp_path)
    report.run(spec, inputs, outputs)
    html = outputs.html.read_text(encoding="utf-8")
    assert "0.72× of fp32 (host)" in html
    assert "0.57× of fp32<" in html  # of the device: nothing to mark
    assert "Host evidence, which chooses nothing here: fp32, fp16, int8_dynamic, int8_static" in html
    variants = [v for v in read(inputs.plan, inputs.results) if v.cell.target == PHONE.id]
    drawn = charts.points({str(i): v for i, v in enumerate(variants)}, "latency_p50_s")
    assert drawn
    assert not any(point.chooses for point in drawn)
    names = [
        trace["name"]
        for trace in charts.scatter(drawn, "latency_p50_s", primary.of(v.primary for v in variants))["data"]
        if len(trace["x"])
    ]
    assert names == ["held", "rejected"]  # and no Pareto front


def test_a_target_whose_budget_takes_such_evidence_is_ranked_by_it(tmp_path: Path) -> None:
    _, inputs, _ = build(tmp_path, _released_phone(), (PHONE,))
    variants = [_accepting(variant, Evidence.HOST) for variant in read(inputs.plan, inputs.results)]
    (decision,) = decide(variants, (PHONE,), "fp32")
    assert decision.why == (
        "The fastest of 5 released schemes: latency p50 42.1 µs (host); 1.38× as fast as fp32; 2.36× smaller than fp32."
    )


def _accepting(variant: Variant, evidence: Evidence) -> Variant:
    """A variant whose latency budgets are decided by weaker evidence."""
    assert variant.verdict is not None
    checks = tuple(
        replace(c, evidence_required=evidence) if c.metric.startswith("latency") else c for c in variant.checks
    )
    return replace(variant, verdict=replace(variant.verdict, checks=checks))


def test_the_baseline_counts_as_its_own_ratio(tmp_path: Path) -> None:
    slower = replace(_case(ORT.id, MODELS[0], "int8_static"), p50_s=90e-6)
    matrix = {key: case for key, case in _only(ORT.id, MODELS[0], int8_static=slower).items() if key[2] != "fp16"}
    target = replace(ORT, prefer="latency_ratio_fp32")
    decision = _decisions(tmp_path, matrix, (target,))[ORT.id, MODELS[0]]
    assert decision.ship == "fp32"
    assert decision.why == (
        "The fastest of 2 released schemes: latency p50 65.2 µs (device), which the others are held against."
    )


def test_a_ratio_that_cannot_be_told_from_one_is_not_called_the_fastest(tmp_path: Path) -> None:
    slower = replace(_case(ORT.id, MODELS[0], "int8_static"), p50_s=65.9e-6)
    matrix = {key: case for key, case in _only(ORT.id, MODELS[0], int8_static=slower).items() if key[2] != "fp16"}
    target = replace(ORT, prefer="latency_ratio_fp32")
    decision = _decisions(tmp_path, matrix, (target,))[ORT.id, MODELS[0]]
    assert decision.why == (
        "The smallest of those within 5 % of the fastest (fp32) of 2 released schemes: latency vs fp32 1.01× (device); "
        "0.99× as fast as fp32; 1.98× smaller than fp32."
    )


def test_the_baseline_alone_has_no_ratio_to_be_ranked_by(tmp_path: Path) -> None:
    matrix = {key: case for key, case in _only(ORT.id, MODELS[0]).items() if key[2] == "fp32"}
    target = replace(ORT, prefer="latency_ratio_fp32")
    decision = _decisions(tmp_path, matrix, (target,))[ORT.id, MODELS[0]]
    assert decision.why == "The only released scheme: size 103 KiB (device)."


def test_times_are_ranked_as_they_were_taken_in_turn_with_the_baseline(tmp_path: Path) -> None:
    """The machine was slow while fp32 was measured by itself: side by side it is the faster one."""
    _, inputs, _ = build(tmp_path, _only(ORT.id, MODELS[0]), (ORT,))
    pair = [v for v in read(inputs.plan, inputs.results) if v.cell.scheme in ("fp32", "int8_static")]
    turned = [_with_ratio(v, 1.25) if v.cell.scheme == "int8_static" else v for v in pair]
    (decision,) = decide(turned, (ORT,), "fp32")
    assert decision.ship == "fp32"
    assert decision.why == "The fastest of 2 released schemes: latency p50 65.2 µs (device)."


def _with_ratio(variant: Variant, ratio: float) -> Variant:
    figure = replace(variant.figures["latency_ratio_fp32"], value=ratio)
    return replace(variant, figures={**variant.figures, "latency_ratio_fp32": figure})


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
