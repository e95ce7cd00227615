"""Classification: what counts as right, what is lost and gained, and what has no answer."""

from __future__ import annotations

import numpy as np
import pytest

from edgeflow.errors import DataError
from edgeflow.plugin import Comparison, Drop, Score
from edgeflow.registry import load_reference
from edgeflow.stats import no_difference, paired_difference, wilson, within_rounding
from edgeflow.tasks.classification import plugin
from edgeflow.types.figures import Direction

Y = np.array([0, 1, 2, 1], np.int64)


def outputs(*answers: int, classes: int = 3) -> np.ndarray:
    """float32[N, classes] that answers so."""
    made = np.zeros((len(answers), classes), np.float32)
    made[np.arange(len(answers)), answers] = 0.7
    return made


def compared(reference: np.ndarray, answers: np.ndarray, y: np.ndarray | None = None) -> Comparison:
    return Comparison({"logits": reference}, {"logits": answers}, y)


def score(answers: np.ndarray, y: np.ndarray) -> Score:
    return plugin.score(compared(answers, answers, y))


def drop_of(reference: np.ndarray, answers: np.ndarray, y: np.ndarray) -> Drop:
    assert plugin.drop is not None
    return plugin.drop(compared(reference, answers, y))


def agreement(reference: np.ndarray, answers: np.ndarray) -> float:
    return plugin.agreement(compared(reference, answers))


def test_the_plugin_is_found_by_its_reference() -> None:
    assert load_reference("edgeflow.tasks.classification:plugin") is plugin
    assert (plugin.id, plugin.metric, plugin.direction) == ("classification", "accuracy", Direction.MAX)


def test_score_is_the_ratio_of_right_answers_with_its_interval() -> None:
    scored = score(outputs(0, 1, 2, 0), Y)
    assert (scored.value, scored.n, scored.interval) == (0.75, 4, wilson(3, 4))


def test_of_equal_outputs_the_first_class_is_the_answer() -> None:
    assert score(np.zeros((4, 3), np.float32), Y).value == 0.25


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_not_finite_is_wrong_whatever_the_label(bad: float) -> None:
    broken = outputs(0, 1, 2, 1)
    for column in range(3):
        broken[1] = [0.1, 0.9, 0.2]
        broken[1, column] = bad
        assert score(broken, Y).value == 0.75
    broken[:] = bad
    for label in range(3):
        assert score(broken, np.full(4, label)).value == 0.0


def test_an_answer_that_is_not_finite_agrees_with_nothing() -> None:
    broken = outputs(0, 1, 2, 1)
    broken[0] = np.nan
    assert agreement(broken, broken) == 0.75
    assert agreement(broken, outputs(0, 1, 2, 1)) == 0.75


def test_drop_counts_what_was_lost_and_gained_on_the_same_samples() -> None:
    before, after = outputs(0, 1, 0, 1), outputs(1, 0, 2, 1)  # right: 0, 1, 3; then 2, 3
    drop = drop_of(before, after, Y)
    assert (drop.value, drop.n) == (0.25, 4)
    assert drop.conditions == {"lost": 2, "gained": 1, "n": 4}
    assert drop.interval == paired_difference(2, 1, 4)


def test_drop_is_negative_when_the_model_became_better() -> None:
    drop = drop_of(outputs(0, 0, 0, 0), outputs(0, 1, 2, 1), Y)
    assert (drop.value, drop.conditions) == (-0.75, {"lost": 0, "gained": 3, "n": 4})


def test_answers_that_are_equal_bit_for_bit_are_no_drop() -> None:
    drop = drop_of(outputs(0, 1, 2, 1), outputs(0, 1, 2, 1), Y)
    assert (drop.value, drop.interval) == (0.0, no_difference())
    assert drop.conditions == {"lost": 0, "gained": 0, "n": 4, "answers": "equal bit for bit"}


def test_the_same_answers_of_other_outputs_are_not_certain() -> None:
    drop = drop_of(outputs(0, 1, 2, 1), outputs(0, 1, 2, 1) / 2, Y)
    assert (drop.value, drop.interval) == (0.0, paired_difference(0, 0, 4))
    assert "answers" not in drop.conditions


def logits(*answers: int) -> np.ndarray:
    """float32[N, 3] that answers so, by a margin of 7."""
    return 10 * outputs(*answers) - 1


def softmax(values: np.ndarray) -> np.ndarray:
    exponential = np.exp(values - values.max(axis=1, keepdims=True))
    return (exponential / exponential.sum(axis=1, keepdims=True)).astype(np.float32)


def test_rounding_that_comes_near_few_decisions_is_hardly_a_drop() -> None:
    y = np.arange(240) % 3
    reference = logits(*y)
    moved = np.float32(1e-4) * np.eye(240, 3, dtype=np.float32)
    drop = drop_of(reference, reference + moved, y)
    assert drop.conditions == {"lost": 0, "gained": 0, "n": 240, "answers": "equal but for rounding", "near": 0}
    assert drop.interval == within_rounding(0, 240)
    assert 0 < drop.interval.high < 2e-4
    reference[0] = [6, 5.99, -1]  # below a hundred times 2 · 1e-4
    near = drop_of(reference, reference + moved, y)
    assert (near.conditions["near"], near.interval) == (1, within_rounding(1, 240))
    reference[:20] = [6, 5.99, -1]
    same = outputs(*([0] * 20), *y[20:])
    many = drop_of(reference, reference + moved, same.argmax(axis=1))
    assert many.interval == paired_difference(0, 0, 240)


def test_what_differs_by_more_than_float32_does_is_no_rounding_whatever_the_margins() -> None:
    y = np.arange(240) % 3
    reference = logits(*y)
    moved = np.float32(1e-3) * np.eye(240, 3, dtype=np.float32)  # as float16: it may overflow on other samples
    assert drop_of(reference, reference + moved, y).interval == paired_difference(0, 0, 240)


def test_probabilities_near_one_do_not_hide_what_an_int8_network_does() -> None:
    y = np.arange(10) % 3
    sure = 3 * logits(*y)  # margins of 21: all probabilities are 0 or 1 but for 1e-9
    noise = np.random.default_rng(1).normal(0, 0.2, sure.shape).astype(np.float32)
    before, after = softmax(sure), softmax(sure + noise)
    assert np.abs(after - before).max() < 1e-8
    assert drop_of(before, after, y).interval == paired_difference(0, 0, 10)
    rounded = softmax(sure + np.float32(1e-4) * noise)
    assert drop_of(before, rounded, y).interval == within_rounding(0, 10)


def test_a_decision_that_changed_is_no_rounding_whatever_the_label() -> None:
    y = np.arange(240) % 3
    reference = logits(*y)
    reference[0] = [0.0, 1e-6, 0.0]
    y[0] = 2  # wrong before and after
    other = reference.copy()
    other[0] = [1e-6, 0.0, 0.0]
    assert drop_of(reference, other, y).interval == paired_difference(0, 0, 240)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_not_finite_are_never_the_same(value: float) -> None:
    broken = outputs(0, 1, 2, 1)
    broken[0] = value
    assert drop_of(broken, broken.copy(), Y).interval == paired_difference(0, 0, 4)


def test_zeros_of_either_sign_are_not_equal_bit_for_bit() -> None:
    reference, other = outputs(0, 1, 2, 1), outputs(0, 1, 2, 1)
    other[other == 0] = -0.0
    assert drop_of(reference, other, Y).conditions["answers"] == "equal but for rounding"
    assert drop_of(reference, other, Y).interval == within_rounding(0, 4)


def test_chance_is_the_share_of_the_most_frequent_class() -> None:
    assert plugin.chance is not None
    assert plugin.chance(np.array([2, 2, 5, 2, 7])) == 0.6


def test_least_samples_decide_a_flawless_result_and_no_fewer_do() -> None:
    assert plugin.least_samples is not None
    assert plugin.least_samples("accuracy_drop", 0.01) == 268  # z²(1 − limit) / limit, z = 1.645
    assert plugin.least_samples("accuracy", 0.97) == 125
    assert plugin.least_samples("accuracy_drop", 0.0) is None
    assert plugin.least_samples("accuracy", 1.0) is None


def test_a_model_that_breaks_loses_every_right_answer() -> None:
    good = outputs(0, 1, 2, 1)
    assert drop_of(good, np.full_like(good, np.nan), Y).value == 1.0


def test_the_counts_are_plain_numbers_that_json_takes() -> None:
    assert {type(v) for v in drop_of(outputs(0, 1, 0, 1), outputs(0, 1, 2, 1), Y).conditions.values()} == {int}


def test_agreement_is_about_answers_not_labels() -> None:
    assert agreement(outputs(0, 1, 2, 2), outputs(0, 1, 2, 1)) == 0.75


@pytest.mark.parametrize(
    ("answers", "y", "message"),
    [
        (np.zeros((4,), np.float32), Y, r"outputs have shape \(4,\); a classifier gives \(samples, classes\)"),
        (np.zeros((0, 3), np.float32), Y[:0], r"outputs have shape \(0, 3\)"),
        (np.zeros((4, 0), np.float32), Y, r"outputs have shape \(4, 0\)"),
        (outputs(0, 1, 2), Y, r"3 outputs and labels of shape \(4,\); expected one label per sample"),
        (outputs(0, 1, 0, 1, classes=2), Y, "labels from 0 to 2; the model has 2 classes, 0 to 1"),
        (outputs(0, 1, 2, 1), Y - 1, "labels from -1 to 1; the model has 3 classes, 0 to 2"),
    ],
)
def test_what_does_not_fit_is_refused(answers: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        score(answers, y)


def test_outputs_of_different_shapes_are_not_compared() -> None:
    with pytest.raises(DataError, match="expected equal shapes"):
        agreement(outputs(0, 1, 2), outputs(0, 1, 2, 1))


def test_without_labels_nothing_is_right_or_wrong() -> None:
    with pytest.raises(DataError, match=r"the samples have no labels.*task: fidelity"):
        plugin.score(compared(outputs(0), outputs(0)))
    assert plugin.needs_targets


def test_of_several_outputs_somebody_must_say_which_one() -> None:
    both = {"logits": outputs(0), "boxes": outputs(1)}
    with pytest.raises(DataError, match=r"2 outputs \(logits, boxes\); 'output' in its configuration"):
        plugin.score(Comparison(both, both, Y[:1]))
    assert plugin.score(Comparison(both, both, Y[:1], "logits")).value == 1.0
    assert plugin.score(Comparison(both, both, Y[:1], "boxes")).value == 0.0


def test_the_metrics_that_a_budget_may_be_on() -> None:
    known = {name: (metric.unit, metric.direction) for name, metric in plugin.metrics.items()}
    assert known == {"accuracy": ("ratio", Direction.MAX), "accuracy_drop": ("ratio", Direction.MIN)}
