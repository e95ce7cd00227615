"""The judge: exact sentences for the cases that people read, and properties that hold for every input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeflow.figures import may_choose
from edgeflow.judge import Circumstances, judge
from edgeflow.stats import no_difference, paired_difference, wilson, within_rounding
from edgeflow.types.figures import Budget, Direction, Evidence, Interval, Measurement, Reference
from edgeflow.types.ladder import Network
from edgeflow.types.variants import Cell
from edgeflow.types.verdicts import Check, Release, Status, Verdict
from edgeflow.units import unit_of

CELL = Cell("resnet8", "linux_x86_ort", "int8_static")
DEVICE, HOST, ESTIMATE = Evidence.DEVICE, Evidence.HOST, Evidence.ESTIMATE
MAX, MIN = Direction.MAX, Direction.MIN


def budget(metric: str, limit: float, evidence: Evidence = HOST, direction: Direction = MAX) -> Budget:
    return Budget(metric, limit, unit_of(metric), direction, evidence)


def measured(
    metric: str,
    value: float,
    interval: tuple[float, float] | Interval | None = None,
    evidence: Evidence = DEVICE,
    n: int | None = None,
    **conditions: int,
) -> Measurement:
    ends = Interval(*interval, 0.90, "order statistics") if isinstance(interval, tuple) else interval
    return Measurement(
        metric, value, unit_of(metric), evidence, "host", "0" * 64, "test", n, ends, conditions=conditions
    )


def drop(lost: int, gained: int, n: int, evidence: Evidence = DEVICE) -> Measurement:
    interval = paired_difference(lost, gained, n)
    return measured("accuracy_drop", (lost - gained) / n, interval, evidence, n, lost=lost, gained=gained)


def verdict_on(
    budgets: Sequence[Budget],
    measurements: Sequence[Measurement],
    infeasible: str = "",
    release_without: Sequence[str] = (),
    **not_applicable: str,
) -> Verdict:
    return judge(CELL, budgets, measurements, infeasible, release_without, not_applicable)


def check_of(held: Budget, *measurements: Measurement, **not_applicable: str) -> Check:
    (check,) = verdict_on([held], measurements, **not_applicable).checks
    return check


DROP = budget("accuracy_drop", 0.01)
GOOD_DROP = drop(3, 3, 900)

# --- tasks other than classification -------------------------------------------------------------------------------

FIDELITY = Circumstances(task=("signal_to_noise_db", "agreement", "exact_match"))
NOISE = budget("signal_to_noise_db", 20.0, HOST, MIN)


def noise(value: float, low: float, n: int = 200) -> Measurement:
    return measured("signal_to_noise_db", value, Interval(low, value + 1, 0.95, "bootstrap-t"), HOST, n)


def judged(held: Budget, figure: Measurement | None, known: Circumstances = FIDELITY, **not_applicable: str) -> Verdict:
    return judge(CELL, [held], [figure] if figure else [], "", (), not_applicable, known)


def test_a_figure_in_decibel_is_held_against_its_lower_end() -> None:
    verdict = judged(NOISE, noise(41.2, 40.8))
    assert (verdict.release, verdict.task) == (Release.RELEASED, FIDELITY.task)
    assert verdict.checks[0].reason == (
        "signal_to_noise_db 41.2 dB (lower bound 40.8 dB) is within 20.0 dB, n = 200, host"
    )
    unsure = judged(NOISE, noise(21.0, 19.0))
    assert (unsure.release, unsure.checks[0].samples_to_decide) == (Release.HELD, 800)
    assert judged(NOISE, noise(15.0, 14.0)).release == Release.REJECTED


def test_a_limit_that_nobody_wrote_says_who_did() -> None:
    held = replace(NOISE, default="default of the task fidelity, as m.yaml has no budgets: a rule of thumb")
    assert judged(held, noise(15.0, 14.0)).reasons == (
        "signal_to_noise_db 15.0 dB (lower bound 14.0 dB) is under 20.0 dB, n = 200, host; the limit is the default "
        "of the task fidelity, as m.yaml has no budgets: a rule of thumb",
    )


def test_what_the_outputs_have_no_figure_of_is_held_where_somebody_asked_and_no_default_is() -> None:
    known = replace(FIDELITY, missing={"agreement": "no output holds scores"})
    asked = budget("agreement", 0.99, HOST, MIN)
    verdict = judged(asked, None, known)
    assert (verdict.release, verdict.reasons) == (
        Release.HELD,
        ("agreement cannot be measured: no output holds scores",),
    )
    both = judge(CELL, [NOISE, replace(asked, default="a default")], [noise(41.2, 40.8)], "", (), {}, known)
    assert both.release == Release.RELEASED
    assert both.checks[1].reason == "agreement does not apply: no output holds scores"


def test_a_budget_that_applies_to_another_task_decides_nothing() -> None:
    verdict = judged(DROP, None, accuracy_drop="it is of the task classification")
    assert (verdict.release, verdict.checks[0].status) == (Release.HELD, Status.NOT_APPLICABLE)
    assert verdict.reasons == (
        "no budget on agreement or exact_match or signal_to_noise_db was decided, and nothing is released without one",
    )


def test_random_inputs_release_nothing_until_the_user_accepts_them() -> None:
    declared = replace(FIDELITY, declared="random")
    verdict = judged(NOISE, noise(41.2, 40.8), declared)
    assert (verdict.release, verdict.status) == (Release.HELD, Status.INSUFFICIENT_EVIDENCE)
    assert verdict.reasons == (
        "only random inputs were asked, which says nothing sure of its answers to real ones; give samples, or set "
        "accept_random_inputs: true in config/models/resnet8.yaml",
    )
    assert judged(NOISE, noise(15.0, 14.0), declared).release == Release.REJECTED
    accepted = judged(NOISE, noise(41.2, 40.8), replace(declared, accept_random_inputs=True))
    assert (accepted.release, accepted.warnings) == (
        Release.RELEASED,
        ("only random inputs were asked, as its model accepts",),
    )


def alike(**conditions: str) -> Measurement:
    return replace(noise(45.0, 44.0), conditions=conditions)


def test_a_source_that_answers_all_samples_alike_holds_until_the_user_accepts_it() -> None:
    vary = "from sample to sample they vary by 0.0005 % of their standard deviation"
    verdict = judged(NOISE, alike(source_alike=vary), FIDELITY)
    assert (verdict.release, verdict.status) == (Release.HELD, Status.INSUFFICIENT_EVIDENCE)
    assert verdict.reasons == (
        f"the source answers all samples nearly alike: {vary}, so that no distance to it shows whether samples are "
        "still told apart; give samples that it answers differently, or set accept_chance_level: true in "
        "config/models/resnet8.yaml",
    )
    accepted = judged(NOISE, alike(source_alike=vary), replace(FIDELITY, accept_chance_level=True))
    assert (accepted.release, accepted.warnings) == (
        Release.RELEASED,
        (f"the source answers all samples nearly alike: {vary}, as its model accepts",),
    )


def test_some_outputs_that_are_alike_are_a_warning() -> None:
    verdict = judged(NOISE, alike(source_alike_in_part="boxes: they do not vary from sample to sample"), FIDELITY)
    assert (verdict.release, verdict.warnings) == (
        Release.RELEASED,
        ("the source answers all samples nearly alike in some outputs: boxes: they do not vary from sample to sample",),
    )


# --- one check: what it says ---------------------------------------------------------------------------------------


def test_a_bound_within_the_limit_passes() -> None:
    check = check_of(DROP, drop(5, 3, 900))
    assert check.status == Status.PASS
    assert check.reason == "accuracy_drop 0.22 % (upper bound 0.84 %) is within 1.00 %, n = 900, device"
    assert (check.value, check.bound) == (2 / 900, paired_difference(5, 3, 900).high)
    assert check.margin == pytest.approx(0.01 - paired_difference(5, 3, 900).high)
    assert (check.evidence, check.evidence_required, check.samples_to_decide) == (DEVICE, HOST, None)


def test_a_figure_outside_the_limit_fails_whatever_its_interval() -> None:
    check = check_of(DROP, drop(20, 3, 900))
    assert check.status == Status.FAIL
    assert check.reason == "accuracy_drop 1.89 % (upper bound 2.89 %) is over 1.00 %, n = 900, device"
    assert check.margin is not None
    assert check.margin < 0


def test_a_figure_inside_with_its_bound_outside_decides_nothing_and_says_what_would() -> None:
    check = check_of(DROP, drop(8, 3, 900))
    assert check.status == Status.INSUFFICIENT_EVIDENCE
    assert check.reason == (
        "accuracy_drop 0.56 % is within 1.00 %, but its upper bound 1.28 % is not, n = 900, device; "
        "n = 2060 at the same figures would decide"
    )
    assert check.samples_to_decide == 2060


def test_a_least_value_is_judged_by_its_lower_bound() -> None:
    least = budget("accuracy", 0.97, direction=MIN)
    passed = check_of(least, measured("accuracy", 885 / 900, wilson(885, 900), n=900))
    assert passed.reason == "accuracy 98.33 % (lower bound 97.27 %) is within 97.00 %, n = 900, device"
    open_ = check_of(least, measured("accuracy", 880 / 900, wilson(880, 900), n=900))
    assert open_.reason == (
        "accuracy 97.78 % is within 97.00 %, but its lower bound 96.59 % is not, n = 900, device; "
        "n = 1848 at the same figures would decide"
    )
    failed = check_of(least, measured("accuracy", 870 / 900, wilson(870, 900), n=900))
    assert failed.reason == "accuracy 96.67 % (lower bound 95.28 %) is under 97.00 %, n = 900, device"
    assert [c.status for c in (passed, open_, failed)] == [
        Status.PASS,
        Status.INSUFFICIENT_EVIDENCE,
        Status.FAIL,
    ]


def test_a_figure_without_an_interval_is_judged_itself() -> None:
    held = budget("size_bytes", 256 * 1024)
    assert check_of(held, measured("size_bytes", 98 * 1024)).reason == "size_bytes 98 KiB is within 256 KiB, device"
    failed = check_of(held, measured("size_bytes", 318 * 1024))
    assert failed.reason == "size_bytes 318 KiB is over 256 KiB, device"
    assert (failed.bound, failed.margin) == (None, -62 * 1024)


@pytest.mark.parametrize("direction", [MAX, MIN])
def test_a_figure_on_its_limit_is_within(direction: Direction) -> None:
    check = check_of(budget("accuracy", 0.97, direction=direction), measured("accuracy", 0.97))
    assert (check.status, check.margin) == (Status.PASS, 0.0)


def test_a_figure_that_rounds_to_the_limit_is_shown_exactly() -> None:
    held = budget("size_bytes", 256 * 1024)
    assert check_of(held, measured("size_bytes", 262145)).reason == "size_bytes 262145 byte is over 256 KiB, device"
    assert check_of(held, measured("size_bytes", 262144)).reason == "size_bytes 256 KiB is within 256 KiB, device"
    over = measured("accuracy_drop", 0.010001, (0.0, 0.02), n=900)
    assert check_of(DROP, over).reason == (
        "accuracy_drop 1.000100 % (upper bound 2.00 %) is over 1.00 %, n = 900, device"
    )


def test_a_figure_on_its_limit_is_decided_by_no_number_of_samples() -> None:
    check = check_of(DROP, drop(9, 0, 900))
    assert check.status == Status.INSUFFICIENT_EVIDENCE
    assert check.samples_to_decide is None
    assert check.reason == (
        "accuracy_drop 1.00 % is within 1.00 %, but its upper bound 1.71 % is not, n = 900, device; "
        "no n decides a figure on its limit"
    )


def test_a_missing_figure_is_unmeasured() -> None:
    check = check_of(budget("latency_p99_s", 0.005, DEVICE))
    assert check.status == Status.UNMEASURED
    assert check.reason == "latency_p99_s was not measured; its limit 5 ms demands device"
    assert (check.value, check.bound, check.margin, check.evidence) == (None, None, None, None)


def test_evidence_that_is_too_weak_decides_nothing_and_names_both_classes() -> None:
    check = check_of(budget("latency_p50_s", 0.005, DEVICE), measured("latency_p50_s", 0.0001, evidence=HOST))
    assert check.status == Status.UNMEASURED
    assert check.reason == "latency_p50_s 100 µs is host evidence; its budget demands device"
    assert (check.value, check.evidence, check.margin) == (0.0001, HOST, None)


def test_a_figure_of_another_machine_than_the_device_says_in_what_that_differs() -> None:
    elsewhere = {"elsewhere": "not measured on desk: CPU governor 'powersave', not 'performance'"}
    figure = replace(measured("latency_p50_s", 0.0001, evidence=HOST), conditions=elsewhere)
    assert check_of(budget("latency_p50_s", 0.005, DEVICE), figure).reason == (
        "latency_p50_s 100 µs is host evidence; its budget demands device; "
        "not measured on desk: CPU governor 'powersave', not 'performance'"
    )


def test_a_figure_in_another_unit_decides_nothing() -> None:
    given_in_kib = replace(measured("memory_peak_bytes", 90.0), unit="KiB")
    check = check_of(budget("memory_peak_bytes", 65536), given_in_kib)
    assert check.status == Status.UNMEASURED
    assert check.reason == "memory_peak_bytes 90 KiB cannot be held against a limit in byte"


def test_a_budget_with_nothing_to_compare_with_does_not_apply() -> None:
    why = "fp32 is what the others are compared with"
    check = check_of(budget("latency_ratio_fp32", 1.0), latency_ratio_fp32=why)
    assert check.status == Status.NOT_APPLICABLE
    assert check.reason == f"latency_ratio_fp32 does not apply: {why}"


def test_the_strongest_evidence_for_a_metric_decides_in_any_order() -> None:
    held = budget("memory_peak_bytes", 65536, ESTIMATE)
    estimate, seen = measured("memory_peak_bytes", 60000, evidence=ESTIMATE), measured("memory_peak_bytes", 70000)
    for measurements in ([estimate, seen], [seen, estimate]):
        check = check_of(held, *measurements)
        assert (check.status, check.value) == (Status.FAIL, 70000)


def test_a_figure_that_is_no_number_fails() -> None:
    assert check_of(budget("size_bytes", 1024), measured("size_bytes", math.nan)).status == Status.FAIL


# --- how many samples would decide ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("lost", "gained", "n"), [(0, 0, 100), (8, 3, 900), (9, 1, 900), (2, 2, 200), (3, 1, 300)])
def test_samples_to_decide_a_drop_is_where_the_real_bound_meets_the_limit(lost: int, gained: int, n: int) -> None:
    check = check_of(DROP, drop(lost, gained, n))
    assert check.samples_to_decide is not None
    # the same proportions need whole counts: hold the answer between two multiples of the sample
    enough = math.ceil(check.samples_to_decide / n)
    assert paired_difference(enough * lost, enough * gained, enough * n).high <= 0.01
    too_few = math.ceil(check.samples_to_decide / n) - 1
    assert paired_difference(too_few * lost, too_few * gained, too_few * n).high > 0.01


def test_samples_to_decide_an_unchanged_model_is_exact_to_the_sample() -> None:
    assert check_of(DROP, drop(0, 0, 100)).samples_to_decide == 268
    assert paired_difference(0, 0, 268).high <= 0.01 < paired_difference(0, 0, 267).high


def test_samples_to_decide_an_accuracy_is_where_the_real_bound_meets_the_limit() -> None:
    check = check_of(budget("accuracy", 0.97, direction=MIN), measured("accuracy", 0.975, wilson(195, 200), n=200))
    needed = check.samples_to_decide
    assert needed is not None
    multiple = math.ceil(needed / 200)
    assert wilson(195 * multiple, 200 * multiple).low >= 0.97 > wilson(195 * (multiple - 1), 200 * (multiple - 1)).low


def test_samples_to_decide_another_figure_follows_the_root_of_n() -> None:
    ratio = measured("latency_ratio_fp32", 0.98, (0.95, 1.02), n=20)
    check = check_of(budget("latency_ratio_fp32", 1.0), ratio)
    assert check.samples_to_decide == 80  # the bound is twice as far from the figure as the limit
    assert check.reason == (
        "latency_ratio_fp32 0.98 is within 1, but its upper bound 1.02 is not, n = 20, device; "
        "n = 80 at the same figures would decide"
    )


def test_samples_to_decide_are_more_than_there_were_even_where_rounding_hides_the_difference() -> None:
    check = check_of(budget("accuracy_drop", 1e-20), measured("accuracy_drop", -1.0, (-1.0, 2e-20), n=10))
    assert (check.status, check.samples_to_decide) == (Status.INSUFFICIENT_EVIDENCE, 11)


# --- the verdict ---------------------------------------------------------------------------------------------------

LATENCY = budget("latency_p50_s", 0.005, DEVICE)
GOOD_LATENCY = measured("latency_p50_s", 0.001, (0.0009, 0.0011), n=1000)
SIZE = budget("size_bytes", 1024)


def test_all_within_budget_is_released() -> None:
    verdict = verdict_on([DROP, LATENCY], [GOOD_DROP, GOOD_LATENCY])
    assert (verdict.model, verdict.target, verdict.scheme) == (CELL.model, CELL.target, CELL.scheme)
    assert (verdict.status, verdict.release) == (Status.PASS, Release.RELEASED)
    assert (verdict.reasons, verdict.shipped_without) == ((), ())


def test_infeasible_says_why_and_checks_nothing() -> None:
    verdict = verdict_on([DROP], [GOOD_DROP], infeasible="needs 300 KiB of arena, the target has 256 KiB")
    assert (verdict.status, verdict.release) == (Status.INFEASIBLE, Release.INFEASIBLE)
    assert verdict.reasons == ("needs 300 KiB of arena, the target has 256 KiB",)
    assert verdict.checks == ()


def test_a_failed_budget_rejects_and_every_reason_is_given_worst_first() -> None:
    verdict = verdict_on([LATENCY, DROP, SIZE], [drop(8, 3, 900), measured("size_bytes", 2048)])
    assert (verdict.status, verdict.release) == (Status.FAIL, Release.REJECTED)
    assert [reason.split()[0] for reason in verdict.reasons] == ["size_bytes", "accuracy_drop", "latency_p50_s"]


def test_too_few_samples_hold_and_are_never_excused() -> None:
    verdict = verdict_on([DROP, LATENCY], [drop(8, 3, 900), GOOD_LATENCY], release_without=["accuracy_drop"])
    assert (verdict.status, verdict.release) == (Status.INSUFFICIENT_EVIDENCE, Release.HELD)
    assert verdict.shipped_without == ()


def test_an_unmeasured_figure_holds() -> None:
    verdict = verdict_on([DROP, LATENCY], [GOOD_DROP])
    assert (verdict.status, verdict.release) == (Status.UNMEASURED, Release.HELD)
    assert verdict.reasons == ("latency_p50_s was not measured; its limit 5 ms demands device",)


@pytest.mark.parametrize("latency", [[], [measured("latency_p50_s", 0.001, evidence=HOST)]])
def test_a_target_may_ship_without_a_figure_and_the_verdict_says_so(latency: list[Measurement]) -> None:
    verdict = verdict_on([DROP, LATENCY], [GOOD_DROP, *latency], release_without=["latency_p50_s", "size_bytes"])
    assert (verdict.status, verdict.release, verdict.reasons) == (Status.PASS, Release.RELEASED, ())
    assert verdict.shipped_without == ("latency_p50_s",)
    assert [c.status for c in verdict.checks] == [Status.PASS, Status.UNMEASURED]


def test_a_figure_that_was_measured_and_fails_is_not_excused() -> None:
    slow = measured("latency_p50_s", 0.02, (0.019, 0.021), n=1000)
    verdict = verdict_on([DROP, LATENCY], [GOOD_DROP, slow], release_without=["latency_p50_s"])
    assert (verdict.release, verdict.shipped_without) == (Release.REJECTED, ())


def test_one_excused_budget_does_not_excuse_another_on_the_same_metric() -> None:
    tight = budget("latency_p50_s", 0.0001, HOST)
    weak = measured("latency_p50_s", 0.001, evidence=HOST)
    verdict = verdict_on([DROP, LATENCY, tight], [GOOD_DROP, weak], release_without=["latency_p50_s"])
    assert verdict.release == Release.REJECTED


def test_a_model_whose_accuracy_nobody_measured_is_held_whatever_the_target_accepts() -> None:
    everything = ["accuracy", "accuracy_drop", "latency_p50_s"]
    verdict = verdict_on([DROP, LATENCY], [GOOD_LATENCY], release_without=everything)
    assert (verdict.status, verdict.release) == (Status.UNMEASURED, Release.HELD)
    assert verdict.reasons == ("accuracy_drop was not measured; its limit 1.00 % demands host",)
    assert verdict.shipped_without == ()


def test_a_target_without_any_budget_on_the_task_releases_nothing() -> None:
    verdict = verdict_on([LATENCY], [GOOD_LATENCY, GOOD_DROP])
    assert (verdict.status, verdict.release) == (Status.UNMEASURED, Release.HELD)
    assert verdict.reasons == (
        "no budget on accuracy or accuracy_drop was decided, and nothing is released without one",
    )
    assert verdict_on([], []).release == Release.HELD


def test_a_second_task_figure_may_be_missing_when_one_was_decided() -> None:
    least = budget("accuracy", 0.97, DEVICE, MIN)
    weak = measured("accuracy", 0.99, evidence=HOST)
    verdict = verdict_on([least, DROP], [GOOD_DROP, weak], release_without=["accuracy"])
    assert (verdict.release, verdict.shipped_without) == (Release.RELEASED, ("accuracy",))


def test_accuracy_alone_counts_as_the_task() -> None:
    least = budget("accuracy", 0.97, direction=MIN)
    assert verdict_on([least], [measured("accuracy", 0.99)]).release == Release.RELEASED


def test_another_tasks_metric_counts_as_the_task() -> None:
    held = Budget("auc_drop", 0.01, "ratio", MAX, HOST)
    figure = Measurement("auc_drop", 0.0, "ratio", DEVICE, "host", "0" * 64, "test", 900)
    assert verdict_on([held], [figure]).release == Release.RELEASED


def test_a_check_that_does_not_apply_neither_holds_nor_decides() -> None:
    ratio = budget("latency_ratio_fp32", 1.0)
    why = "fp32 is what the others are compared with"
    assert verdict_on([DROP, ratio], [GOOD_DROP], latency_ratio_fp32=why).release == Release.RELEASED
    assert verdict_on([DROP], [], accuracy_drop="there is no reference").release == Release.HELD


# --- the same answers, and models that guess ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (no_difference(), "the same answers, bit for bit"),
        (within_rounding(0, 240), "the same answers but for rounding"),
    ],
)
def test_what_answers_as_the_trained_model_has_no_drop_whatever_the_number_of_samples(
    interval: Interval, words: str
) -> None:
    check = check_of(DROP, measured("accuracy_drop", 0.0, interval, n=240))
    assert check.reason == f"accuracy_drop 0.00 % ({words}) is within 1.00 %, n = 240, device"
    assert check.status == Status.PASS
    assert check_of(DROP, drop(0, 0, 240)).status == Status.INSUFFICIENT_EVIDENCE


def trained(right: int, n: int, chance: float | None) -> Reference:
    return Reference("accuracy", right / n, n, wilson(right, n), MAX, chance)


def verdict_of(
    reference: Reference | None,
    budgets: Sequence[Budget] = (DROP,),
    network: Network | None = None,
    accepted: bool = False,
    figure: Measurement = GOOD_DROP,
) -> Verdict:
    circumstances = Circumstances(reference, network or Network(), accepted)
    return judge(CELL, budgets, [figure], "", (), {}, circumstances)


GUESSES = (
    "the model itself is not shown to beat chance: its accuracy 36.00 % (lower bound 30.78 %, n = 300) is not above "
    "the 34.00 % of always the same answer"
)


def test_a_model_that_may_be_guessing_is_held() -> None:
    verdict = verdict_of(trained(108, 300, 0.34))
    assert (verdict.status, verdict.release) == (Status.INSUFFICIENT_EVIDENCE, Release.HELD)
    assert verdict.reasons == (
        f"{GUESSES}; train it better, or set accept_chance_level: true in config/models/resnet8.yaml",
    )
    assert verdict.warnings == (GUESSES,)
    assert [check.status for check in verdict.checks] == [Status.PASS]


def test_a_model_that_may_be_guessing_is_released_on_its_users_word() -> None:
    verdict = verdict_of(trained(108, 300, 0.34), accepted=True)
    assert (verdict.release, verdict.reasons) == (Release.RELEASED, ())
    assert verdict.warnings == (f"{GUESSES}, as its model accepts",)


def test_a_model_below_chance_is_held_and_one_above_is_released() -> None:
    assert verdict_of(trained(30, 300, 0.34)).release == Release.HELD
    assert verdict_of(trained(200, 300, 0.34)).release == Release.RELEASED
    assert verdict_of(trained(200, 300, 0.34)).warnings == ()


@pytest.mark.parametrize("reference", [None, trained(108, 300, None)])
def test_where_nobody_knows_chance_nothing_is_said_of_it(reference: Reference | None) -> None:
    verdict = verdict_of(reference)
    assert (verdict.release, verdict.warnings) == (Release.RELEASED, ())


def test_a_failed_budget_still_rejects_a_model_that_guesses() -> None:
    verdict = verdict_of(trained(108, 300, 0.34), figure=drop(20, 3, 900))
    assert (verdict.status, verdict.release) == (Status.FAIL, Release.REJECTED)
    assert len(verdict.reasons) == 2


def test_of_a_metric_that_is_better_when_less_the_other_end_decides() -> None:
    good = Reference("error", 0.1, 300, Interval(0.08, 0.12, 0.95, "bootstrap"), MIN, 0.2)
    assert verdict_of(good).release == Release.RELEASED
    assert verdict_of(replace(good, interval=Interval(0.05, 0.25, 0.95, "bootstrap"))).release == Release.HELD


def test_a_budget_that_a_guess_keeps_is_warned_of() -> None:
    wide = budget("accuracy_drop", 0.2)
    low = budget("accuracy", 0.3, direction=MIN)
    verdict = verdict_of(trained(150, 300, 0.34), budgets=[wide, low, DROP])
    assert verdict.warnings == (
        "always the same answer keeps accuracy_drop ≤ 20.00 %: it has accuracy 34.00 %, and the model itself 50.00 %",
        "always the same answer keeps accuracy ≥ 30.00 %: it has accuracy 34.00 %, and the model itself 50.00 %",
    )


def test_what_training_showed_of_the_network_is_warned_of() -> None:
    names = ("spare.weight", "spare.bias", "head.weight", "head.bias")
    verdict = verdict_of(trained(290, 300, 0.34), network=Network(names, softmax_twice=True))
    assert verdict.release == Release.RELEASED
    assert verdict.warnings == (
        "the network answers with probabilities, and its loss takes a softmax of them once more, which learns badly; "
        "return what goes into the softmax",
        "no loss ever depended on spare.weight, spare.bias, head.weight and 1 more: untrained parameters; use them or "
        "remove them",
    )


# --- which figures may choose ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "evidence", "demanded", "may"),
    [
        ("latency_p50_s", HOST, None, False),
        ("latency_ratio_fp32", HOST, None, False),
        ("memory_peak_bytes", HOST, None, False),
        ("latency_p50_s", ESTIMATE, None, True),  # made for the target
        ("latency_p50_s", DEVICE, None, True),
        ("latency_p50_s", HOST, HOST, True),  # the target's own word
        ("latency_p50_s", ESTIMATE, HOST, False),
        ("latency_p50_s", Evidence.SIMULATOR, DEVICE, False),
        ("size_bytes", HOST, DEVICE, True),  # a file is as long everywhere
        ("accuracy", HOST, None, True),
        ("accuracy", HOST, DEVICE, False),
    ],
)
def test_a_figure_may_choose_where_it_would_decide_a_budget(
    metric: str, evidence: Evidence, demanded: Evidence | None, may: bool
) -> None:
    assert may_choose(metric, evidence, demanded) is may


# --- properties ----------------------------------------------------------------------------------------------------

METRICS = {
    "accuracy": MIN,
    "accuracy_drop": MAX,
    "latency_p50_s": MAX,
    "latency_ratio_fp32": MAX,
    "memory_peak_bytes": MAX,
}
RELEASES = [Release.REJECTED, Release.HELD, Release.RELEASED]  # worst first
small = st.floats(0, 1, allow_subnormal=False)


@st.composite
def figures(draw: st.DrawFn, metric: str) -> Measurement:
    value = draw(small)
    interval = draw(st.none() | st.tuples(small, small).map(lambda w: (value - w[0], value + w[1])))
    n = draw(st.none() | st.integers(1, 10**6))
    return measured(metric, value, interval, draw(st.sampled_from(Evidence)), n)


@st.composite
def variants(draw: st.DrawFn) -> tuple[list[Budget], list[Measurement], list[str], dict[str, str]]:
    chosen = draw(st.lists(st.sampled_from(list(METRICS)), unique=True, min_size=1))
    budgets = [budget(m, draw(small), draw(st.sampled_from(Evidence)), METRICS[m]) for m in chosen]
    measurements = [draw(figures(metric)) for metric in METRICS if draw(st.booleans())]
    accepted = draw(st.lists(st.sampled_from(chosen), unique=True))
    return budgets, measurements, accepted, {"latency_ratio_fp32": "test"} if draw(st.booleans()) else {}


def _judge(variant: tuple[list[Budget], list[Measurement], list[str], dict[str, str]]) -> Verdict:
    budgets, measurements, accepted, not_applicable = variant
    return judge(CELL, budgets, measurements, "", accepted, not_applicable)


@given(variants())
def test_release_follows_from_the_checks(variant: tuple) -> None:
    verdict = _judge(variant)
    by_status = {s: [c.metric for c in verdict.checks if c.status == s] for s in Status}
    assert (verdict.release == Release.REJECTED) == bool(by_status[Status.FAIL])
    if verdict.release == Release.RELEASED:
        assert not by_status[Status.INSUFFICIENT_EVIDENCE]
        assert list(verdict.shipped_without) == by_status[Status.UNMEASURED]
        assert set(verdict.shipped_without) <= set(variant[2])
        assert {"accuracy", "accuracy_drop"} & set(by_status[Status.PASS])
        assert verdict.reasons == ()
    else:
        assert verdict.reasons
        assert verdict.shipped_without == ()


@given(variants())
def test_a_pass_stands_on_strong_enough_evidence_and_on_its_bad_end(variant: tuple) -> None:
    known = {m.metric: m for m in variant[1]}
    for check in _judge(variant).checks:
        if check.status == Status.PASS:
            figure = known[check.metric]
            assert figure.evidence.strength >= check.evidence_required.strength
            ends = [figure.value] if figure.interval is None else [figure.interval.low, figure.interval.high]
            worst = max(ends) if check.direction == MAX else min(ends)
            assert worst <= check.limit if check.direction == MAX else worst >= check.limit
            assert check.margin is not None
            assert check.margin >= 0
        if check.status == Status.INSUFFICIENT_EVIDENCE and check.samples_to_decide is not None:
            assert check.samples_to_decide > (known[check.metric].n or 0)


def _changed(variant: tuple, metric: str, **changes: object) -> tuple:
    budgets, measurements, accepted, not_applicable = variant
    return budgets, [replace(m, **changes) if m.metric == metric else m for m in measurements], accepted, not_applicable


@given(variants().filter(lambda v: v[1]), st.data())
def test_a_better_figure_never_gives_a_worse_verdict(variant: tuple, data: st.DataObject) -> None:
    worse = data.draw(st.sampled_from(variant[1]))
    step = data.draw(small) * (1 if METRICS[worse.metric] == MIN else -1)
    interval = worse.interval and replace(
        worse.interval, low=worse.interval.low + step, high=worse.interval.high + step
    )
    better = _changed(variant, worse.metric, value=worse.value + step, interval=interval)
    assert RELEASES.index(_judge(better).release) >= RELEASES.index(_judge(variant).release)


@given(variants().filter(lambda v: any(m.interval for m in v[1])), st.data())
def test_more_samples_never_give_a_worse_verdict(variant: tuple, data: st.DataObject) -> None:
    wide = data.draw(st.sampled_from([m for m in variant[1] if m.interval]))
    share, v = data.draw(small), wide.value
    narrow = replace(wide.interval, low=v - share * (v - wide.interval.low), high=v + share * (wide.interval.high - v))
    sure = _changed(variant, wide.metric, interval=narrow)
    assert RELEASES.index(_judge(sure).release) >= RELEASES.index(_judge(variant).release)


@given(variants().filter(lambda v: v[1]), st.data())
def test_stronger_evidence_changes_no_figure_that_was_decided(variant: tuple, data: st.DataObject) -> None:
    figure = data.draw(st.sampled_from(variant[1]))
    strong = _changed(variant, figure.metric, evidence=DEVICE)
    for before, after in zip(_judge(variant).checks, _judge(strong).checks, strict=True):
        if before.status != Status.UNMEASURED:
            assert after.status == before.status


@given(variants().filter(lambda v: v[1]), st.data())
def test_taking_a_figure_away_releases_nothing_unless_the_target_accepts_that(
    variant: tuple, data: st.DataObject
) -> None:
    budgets, measurements, accepted, not_applicable = variant
    figure = data.draw(st.sampled_from(measurements))
    without = budgets, [m for m in measurements if m != figure], accepted, not_applicable
    if figure.metric not in accepted and _judge(variant).release != Release.RELEASED:
        assert _judge(without).release != Release.RELEASED


@given(variants(), st.randoms())
def test_the_order_of_budgets_and_measurements_does_not_matter(variant: tuple, random: object) -> None:
    budgets, measurements, accepted, not_applicable = variant
    mixed = [list(items) for items in (budgets, measurements, accepted)]
    for items in mixed:
        random.shuffle(items)  # type: ignore[attr-defined]
    before, after = _judge(variant), _judge((*mixed, not_applicable))
    assert (after.status, after.release) == (before.status, before.release)
    assert set(after.reasons) == set(before.reasons)
