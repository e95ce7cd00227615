"""Classification: what counts as right, what is lost and gained, and what has no answer."""

from __future__ import annotations

import numpy as np
import pytest

from edgeflow.errors import DataError
from edgeflow.registry import load_reference
from edgeflow.stats import paired_difference, wilson
from edgeflow.tasks.classification import plugin
from edgeflow.types import Direction

Y = np.array([0, 1, 2, 1], np.int64)


def outputs(*answers: int, classes: int = 3) -> np.ndarray:
    """float32[N, classes] that answers so."""
    found = np.zeros((len(answers), classes), np.float32)
    found[np.arange(len(answers)), answers] = 0.7
    return found


def test_the_plugin_is_found_by_its_reference() -> None:
    assert load_reference("edgeflow.tasks.classification:plugin") is plugin
    assert (plugin.id, plugin.metric, plugin.direction) == ("classification", "accuracy", Direction.MAX)


def test_score_is_the_ratio_of_right_answers_with_its_interval() -> None:
    score = plugin.score(outputs(0, 1, 2, 0), Y)
    assert (score.value, score.n, score.interval) == (0.75, 4, wilson(3, 4))


def test_of_equal_outputs_the_first_class_is_the_answer() -> None:
    assert plugin.score(np.zeros((4, 3), np.float32), Y).value == 0.25


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_not_finite_is_wrong_whatever_the_label(bad: float) -> None:
    broken = outputs(0, 1, 2, 1)
    for column in range(3):
        broken[1] = [0.1, 0.9, 0.2]
        broken[1, column] = bad
        assert plugin.score(broken, Y).value == 0.75
    broken[:] = bad
    for label in range(3):
        assert plugin.score(broken, np.full(4, label)).value == 0.0


def test_an_answer_that_is_not_finite_agrees_with_nothing() -> None:
    broken = outputs(0, 1, 2, 1)
    broken[0] = np.nan
    assert plugin.agreement(broken, broken) == 0.75
    assert plugin.agreement(broken, outputs(0, 1, 2, 1)) == 0.75


def test_drop_counts_what_was_lost_and_gained_on_the_same_samples() -> None:
    before, after = outputs(0, 1, 0, 1), outputs(1, 0, 2, 1)  # right: 0, 1, 3; then 2, 3
    drop = plugin.drop(before, after, Y)
    assert (drop.value, drop.n) == (0.25, 4)
    assert drop.conditions == {"lost": 2, "gained": 1, "n": 4}
    assert drop.interval == paired_difference(2, 1, 4)


def test_drop_is_negative_when_the_model_became_better() -> None:
    drop = plugin.drop(outputs(0, 0, 0, 0), outputs(0, 1, 2, 1), Y)
    assert (drop.value, drop.conditions) == (-0.75, {"lost": 0, "gained": 3, "n": 4})


def test_drop_of_a_model_against_itself_is_nothing_but_not_certain() -> None:
    drop = plugin.drop(outputs(0, 1, 2, 1), outputs(0, 1, 2, 1), Y)
    assert drop.value == 0.0
    assert drop.interval.high > 0


def test_a_model_that_breaks_loses_every_right_answer() -> None:
    good = outputs(0, 1, 2, 1)
    assert plugin.drop(good, np.full_like(good, np.nan), Y).value == 1.0


def test_the_counts_are_plain_numbers_that_json_takes() -> None:
    assert {type(v) for v in plugin.drop(outputs(0, 1, 0, 1), outputs(0, 1, 2, 1), Y).conditions.values()} == {int}


def test_agreement_is_about_answers_not_labels() -> None:
    assert plugin.agreement(outputs(0, 1, 2, 2), outputs(0, 1, 2, 1)) == 0.75


@pytest.mark.parametrize(
    ("found", "y", "message"),
    [
        (np.zeros((4,), np.float32), Y, r"outputs have shape \(4,\); a classifier gives \(samples, classes\)"),
        (np.zeros((0, 3), np.float32), Y[:0], r"outputs have shape \(0, 3\)"),
        (np.zeros((4, 0), np.float32), Y, r"outputs have shape \(4, 0\)"),
        (outputs(0, 1, 2), Y, r"3 outputs and labels of shape \(4,\); expected one label per sample"),
        (outputs(0, 1, 0, 1, classes=2), Y, "labels from 0 to 2; the model has 2 classes, 0 to 1"),
        (outputs(0, 1, 2, 1), Y - 1, "labels from -1 to 1; the model has 3 classes, 0 to 2"),
    ],
)
def test_what_does_not_fit_is_refused(found: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        plugin.score(found, y)


def test_outputs_of_different_shapes_are_not_compared() -> None:
    with pytest.raises(DataError, match="expected equal shapes"):
        plugin.agreement(outputs(0, 1, 2), outputs(0, 1, 2, 1))
