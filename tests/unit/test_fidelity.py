"""Fidelity: what the distance to the source's own answers is, and how sure one can be of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from edgeflow.errors import DataError
from edgeflow.plugin import Comparison, Score
from edgeflow.registry import load_reference
from edgeflow.stats import no_difference, resampled, wilson
from edgeflow.tasks.fidelity import MOST_DB, plugin
from edgeflow.types.figures import Direction, Interval

Array = np.ndarray[Any, Any]


def normal(shape: tuple[int, ...], seed: int, scale: float = 1.0) -> Array:
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def score(reference: Mapping[str, Array], answers: Mapping[str, Array]) -> Score:
    return plugin.score(Comparison(reference, answers))


def further(reference: Mapping[str, Array], answers: Mapping[str, Array], output: str = "") -> dict[str, Score | str]:
    assert plugin.further is not None
    return dict(plugin.further(Comparison(reference, answers, None, output)))


def figure(found: Mapping[str, Score | str], metric: str) -> Score:
    known = found[metric]
    assert isinstance(known, Score)
    return known


X = normal((400, 10), 1)
NOISY = X + normal(X.shape, 2, 0.1)


def test_the_plugin_is_found_and_needs_no_labels() -> None:
    assert load_reference("edgeflow.tasks.fidelity:plugin") is plugin
    assert (plugin.metric, plugin.unit, plugin.direction) == ("signal_to_noise_db", "decibel", Direction.MAX)
    assert (plugin.needs_targets, plugin.drop, plugin.chance) == (False, None, None)
    assert [*plugin.metrics] == ["signal_to_noise_db", "cosine_similarity", "agreement", "exact_match"]
    assert plugin.metrics["signal_to_noise_db"].default_limit == 20.0


def test_noise_of_a_tenth_is_twenty_decibel() -> None:
    found = score({"y": X}, {"y": NOISY})
    assert found.value == pytest.approx(20.0, abs=0.2)
    assert found.interval.low < 20.0 < found.interval.high
    assert (found.n, found.interval.confidence, found.interval.method) == (400, 0.95, "bootstrap-t")


def test_it_is_pooled_so_that_loud_samples_count_most() -> None:
    reference, answers = np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32)
    reference[0], reference[1] = [10, -10], [1, -1]
    answers[0], answers[1] = [11, -10], [1, -1]
    assert score({"y": reference}, {"y": answers}).value == pytest.approx(10 * math.log10(202 / 1))


def test_an_offset_that_all_answers_share_is_no_signal() -> None:
    assert score({"y": X + 1000}, {"y": NOISY + 1000}).value == pytest.approx(20.0, abs=0.2)
    assert figure(further({"y": X + 1000}, {"y": NOISY + 1000}), "cosine_similarity").value == pytest.approx(
        1 / math.sqrt(1.01), abs=1e-3
    )


def test_equal_figures_give_equal_intervals() -> None:
    assert score({"y": X}, {"y": NOISY}) == score({"y": X.copy()}, {"y": NOISY.copy()})


def test_the_order_of_axes_and_the_rank_do_not_matter() -> None:
    shaped = {"y": X.reshape(400, 2, 5)}
    assert score(shaped, {"y": NOISY.reshape(400, 2, 5)}).value == pytest.approx(score({"y": X}, {"y": NOISY}).value)


def test_answers_that_are_equal_bit_for_bit_have_the_stated_most_and_nothing_to_infer() -> None:
    found = score({"y": X}, {"y": X.copy()})
    assert (found.value, found.interval) == (MOST_DB, no_difference(MOST_DB))
    assert found.conditions == {"answers": "equal bit for bit"}
    zero = np.zeros_like(X)
    both = score({"y": X, "z": zero}, {"y": X.copy(), "z": -zero})
    assert both.conditions == {
        "answers": "equal bit for bit",
        "source_alike_in_part": "z: they do not vary from sample to sample",
    }
    assert "answers" not in figure(further({"y": X, "z": zero}, {"y": X, "z": -zero}), "exact_match/z").conditions


def test_a_source_that_answers_all_samples_nearly_alike_says_so_with_a_figure() -> None:
    """An untrained network: an offset of each class, which int8 keeps well, and beside it next to nothing."""
    offsets = np.linspace(-3, 3, 10, dtype=np.float32)
    reference = offsets + 1e-5 * X
    found = score({"y": reference}, {"y": reference + normal(X.shape, 2, 0.01)})
    assert found.value > 40  # it looks good, and the noise is a thousand times what tells samples apart
    assert found.conditions == {
        "source_alike": "from sample to sample they vary by 0.00052 % of their standard deviation"
    }
    again = further({"y": reference}, {"y": reference + normal(X.shape, 2, 0.01)})
    assert "source_alike" in figure(again, "cosine_similarity").conditions
    for varied in (offsets + X, offsets + 0.1 * X, 1000 + 1e-2 * X):  # what all values share is no signal
        assert score({"y": varied}, {"y": varied + normal(X.shape, 2, 0.001)}).conditions == {}


@pytest.mark.parametrize("deviation", [0.02, 0.05, 0.3])
def test_a_figure_has_to_be_above_that_of_always_the_same_answer(deviation: float) -> None:
    """20 dB is the default limit, and where the source's answers differ by 5 % their mean alone has 26."""
    reference = np.linspace(-3, 3, 10, dtype=np.float32) + 2 * np.float32(deviation) * X
    always = np.broadcast_to(reference.mean(axis=0), reference.shape)
    found = score({"y": reference}, {"y": always})
    assert "always the same answer has" in str(found.conditions["source_alike"])
    assert f"{found.value:.1f} dB" in str(found.conditions["source_alike"])
    close = reference + normal(X.shape, 2, 0.1 * deviation)
    assert "source_alike" not in score({"y": reference}, {"y": close}).conditions
    several = further({"y": reference, "z": X}, {"y": always, "z": NOISY})
    assert "source_alike" in figure(several, "signal_to_noise_db/y").conditions
    assert "source_alike" not in figure(several, "signal_to_noise_db/z").conditions


def test_agreement_is_no_figure_where_the_source_decides_nothing() -> None:
    """A detector sorts its scores: the first is the greatest, in any of its answers."""
    ranked, others = (np.sort(values)[:, ::-1] for values in (X, normal(X.shape, 7)))
    found = further({"detection_scores": ranked}, {"detection_scores": others})["agreement"]
    assert "the same class the greatest score for all samples" in str(found)
    assert plugin.agreement(Comparison({"scores": ranked}, {"scores": others})) is None


def test_one_of_several_outputs_that_hardly_varies_is_named() -> None:
    fixed = np.linspace(-3, 3, 10, dtype=np.float32) + 1e-5 * X
    found = score({"scores": X, "boxes": fixed}, {"scores": NOISY, "boxes": fixed + 1e-3})
    assert found.conditions == {
        "worst_output": "scores",
        "source_alike_in_part": "boxes: from sample to sample they vary by 0.00052 % of their standard deviation",
    }
    each = further({"scores": X, "boxes": fixed}, {"scores": NOISY, "boxes": fixed + 1e-3})
    assert "source_alike" in figure(each, "signal_to_noise_db/boxes").conditions
    assert figure(each, "signal_to_noise_db/scores").conditions == {}


def test_one_sample_and_integers_that_never_change() -> None:
    assert "source_alike" not in score({"y": X[:1]}, {"y": NOISY[:1]}).conditions
    same = np.full((30, 4), 7, np.int64)
    found = score({"ids": same}, {"ids": same.copy()})
    assert (found.value, found.conditions["source_alike"]) == (1.0, "they do not vary from sample to sample")


def test_less_noise_than_float32_programs_have_says_nothing_more() -> None:
    found = score({"y": X.astype("float64")}, {"y": X + 1e-9})
    assert found.value == pytest.approx(MOST_DB)
    assert MOST_DB - 1 < found.interval.low < found.interval.high == MOST_DB
    assert found.conditions == {}


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_not_finite_is_the_worst_there_is(broken: float) -> None:
    answers = NOISY.copy()
    answers[7, 3] = broken
    assert score({"y": X}, {"y": answers}).value == -MOST_DB
    softmax = np.abs(X) / np.abs(X).sum(axis=1, keepdims=True)
    other = softmax.copy()
    other[7, 3] = broken
    assert figure(further({"y": softmax}, {"y": other}), "agreement").value == 399 / 400


def test_what_the_source_itself_does_not_answer_is_left_out_and_said() -> None:
    reference = X.copy()
    reference[:3, 0] = [np.nan, np.inf, -np.inf]
    found = score({"y": reference, "n": X.argmax(1)}, {"y": NOISY, "n": NOISY.argmax(1)})
    assert found.n == 397
    assert found.conditions["left_out"] == "3 samples to which the source itself answers NaN or infinity"
    assert found.value == pytest.approx(score({"y": X[3:]}, {"y": NOISY[3:]}).value)
    with pytest.raises(DataError, match="answers no sample of 400 with finite numbers"):
        score({"y": np.full_like(X, np.nan)}, {"y": NOISY})


def test_of_several_outputs_the_worst_counts_and_each_stands_beside_it() -> None:
    reference = {"boxes": X, "scores": X}
    answers = {"scores": X + normal(X.shape, 3, 0.01), "boxes": NOISY}
    found, more = score(reference, answers), further(reference, answers)
    assert found.conditions == {"worst_output": "boxes"}
    assert figure(more, "signal_to_noise_db/boxes").value == found.value
    assert figure(more, "signal_to_noise_db/scores").value == pytest.approx(40, abs=0.5)
    assert found.interval.low == figure(more, "signal_to_noise_db/boxes").interval.low
    assert figure(more, "cosine_similarity").value == figure(more, "cosine_similarity/boxes").value
    assert figure(more, "agreement").conditions == {}  # one output has scores
    assert "agreement/scores" in more
    assert "agreement/boxes" not in more


def test_integers_are_the_same_or_not() -> None:
    classes, other = X.argmax(1), NOISY.argmax(1)
    right = int((classes == other).sum())
    found = score({"ids": classes}, {"ids": other})
    assert (found.metric, found.value, found.interval) == ("exact_match", right / 400, wilson(right, 400))
    assert further({"ids": classes}, {"ids": other})["signal_to_noise_db"] == (
        "every output is of integers or always zero, which has no noise; what is the same is counted: exact_match"
    )
    beside = further({"ids": classes, "y": X}, {"ids": other, "y": NOISY})
    assert figure(beside, "exact_match").value == right / 400
    assert score({"ids": classes, "y": X}, {"ids": other, "y": NOISY}).metric == ""


def test_a_sequence_of_tokens_is_right_as_a_whole() -> None:
    tokens = np.arange(12).reshape(3, 4)
    other = tokens.copy()
    other[1, 2] = 0
    assert score({"t": tokens}, {"t": other}).value == 2 / 3


def test_an_output_that_is_always_zero_has_no_signal_and_is_counted() -> None:
    nothing = np.zeros((20, 3), np.float32)
    other = nothing.copy()
    other[4] = 1e-9
    found = score({"y": nothing}, {"y": other})
    assert (found.metric, found.value) == ("exact_match", 0.95)


def test_an_output_that_is_always_the_same_is_its_own_signal() -> None:
    constant = np.full((20, 3), 5, np.float32)
    found = score({"y": constant}, {"y": constant * np.float32(1.01)})
    assert found.metric == ""
    assert found.value == pytest.approx(40, abs=0.01)


def test_one_sample_says_nothing_of_others() -> None:
    found = score({"y": X[:1]}, {"y": NOISY[:1]})
    assert (found.n, found.interval) == (1, Interval(-MOST_DB, MOST_DB, 0.95, "one sample"))


def test_scores_are_known_by_their_sum_or_name_and_nothing_else_is_guessed() -> None:
    exponential = np.exp(X)
    probabilities = exponential / exponential.sum(axis=1, keepdims=True)
    right = int((X.argmax(1) == NOISY.argmax(1)).sum())
    assert figure(further({"Identity": probabilities}, {"Identity": NOISY}), "agreement").value == right / 400
    named = figure(further({"logits": X}, {"logits": NOISY}), "agreement")
    assert (named.value, named.interval) == (right / 400, wilson(right, 400))
    assert "name it with 'output'" in str(further({"y": X}, {"y": NOISY})["agreement"])
    chosen = further({"y": X, "logits": X}, {"y": NOISY, "logits": X}, output="y")
    assert figure(chosen, "agreement").value == right / 400
    narrow = X.reshape(400, 1, 1, 10)
    assert figure(further({"logits": narrow}, {"logits": NOISY.reshape(narrow.shape)}), "agreement").value < 1
    flat = further({"logits": X[:, :1]}, {"logits": NOISY[:, :1]})
    assert isinstance(flat["agreement"], str)


def test_agreement_of_a_rung_is_none_where_nothing_is_decided() -> None:
    assert plugin.agreement(Comparison({"y": X}, {"y": NOISY})) is None
    assert plugin.agreement(Comparison({"logits": X}, {"logits": X.copy()})) == 1.0
    assert plugin.agreement(Comparison({"ids": X.argmax(1)}, {"ids": X.argmax(1)})) == 1.0


def test_least_samples_are_those_that_the_same_decisions_need() -> None:
    assert plugin.least_samples is not None
    assert plugin.least_samples("agreement", 0.99) == plugin.least_samples("exact_match", 0.99) == 381
    assert plugin.least_samples("agreement", 1.0) is None
    assert plugin.least_samples("signal_to_noise_db", 40.0) == 2


@pytest.mark.parametrize(
    ("reference", "answers", "message"),
    [
        ({"a": X}, {"b": X}, "outputs b cannot be held against outputs a; expected the same names"),
        ({}, {}, "outputs none cannot be held"),
        ({"a": X}, {"a": X[:3]}, r"output a has shape \(3, 10\), and its reference \(400, 10\)"),
        ({"a": X, "b": X[:3]}, {"a": X, "b": X[:3]}, r"outputs of \[3, 400\] samples"),
        ({"a": X[:0]}, {"a": X[:0]}, r"outputs of \[0\] samples"),
    ],
)
def test_what_does_not_fit_is_refused(
    reference: Mapping[str, Array], answers: Mapping[str, Array], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        score(reference, answers)


def skewed(generator: np.random.Generator, n: int) -> tuple[Array, Array, float]:
    """Noise that differs from sample to sample, and the true ratio in decibel. With heavier tails fewer are covered."""
    reference = generator.normal(size=(n, 4))
    noise = 0.03 * np.exp(generator.normal(0, 0.3, (n, 1))) * generator.normal(size=(n, 4))
    return reference, reference + noise, -10 * math.log10(0.03**2 * math.exp(2 * 0.3**2))


def even(generator: np.random.Generator, n: int) -> tuple[Array, Array, float]:
    reference = generator.normal(size=(n, 10))
    return reference, reference + 0.1 * generator.normal(size=(n, 10)), 20.0


@pytest.mark.parametrize("drawn", [skewed, even])
def test_the_interval_covers_what_is_true_as_often_as_it_says(drawn: Any) -> None:
    generator, covered, trials = np.random.default_rng(3), 0, 600
    for _ in range(trials):
        reference, answers, true = drawn(generator, 200)
        interval = score({"y": reference}, {"y": answers}).interval
        covered += interval.low <= true <= interval.high
    assert 0.93 <= covered / trials <= 0.97


def test_what_few_samples_hold_is_not_taken_for_sure() -> None:
    rows = np.ones((200, 2))
    rows[0, 0] = 1e6  # nearly all that is summed up
    (interval,) = resampled([(rows, lambda sums: (np.log(sums[..., 0]), np.array([1.0, 0.0]) / sums))])
    assert interval is not None
    assert interval.low < math.log(1e6) - math.log(5)  # as well there could be five in two hundred
    assert interval.high >= math.log(1e6)


def test_the_figures_are_plain_numbers_that_json_takes() -> None:
    found = {"": score({"y": X, "n": X.argmax(1)}, {"y": NOISY, "n": NOISY.argmax(1)})}
    found |= {k: v for k, v in further({"y": X}, {"y": NOISY}).items() if isinstance(v, Score)}
    for each in found.values():
        assert {type(each.value), type(each.interval.low), type(each.interval.high)} == {float}
        assert type(each.n) is int
