"""Intervals against published values, scipy, brute force, and the coverage that they promise."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from edgeflow.intervals import IDENTICAL, ROUNDING, normal_quantile
from edgeflow.stats import (
    ROUNDING_MARGINS,
    median_ratio,
    no_difference,
    paired_difference,
    quantile,
    quantile_interval,
    samples_for_all_right,
    samples_for_no_change,
    wilson,
    within_rounding,
)

# --- one proportion ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 10), (10, 10), (81, 263), (889, 900), (1, 900)])
@pytest.mark.parametrize("confidence", [0.90, 0.95])
def test_wilson_is_that_of_scipy(successes: int, n: int, confidence: float) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    interval = wilson(successes, n, confidence)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert interval.low <= successes / n <= interval.high
    assert (interval.confidence, interval.method) == (confidence, "wilson")


def test_wilson_stays_on_the_scale_to_the_last_digit() -> None:
    for n in range(1, 300):
        assert wilson(n, n).high == 1.0
        assert wilson(0, n).low == 0.0


def test_wilson_matches_the_published_example() -> None:
    # Newcombe 1998, Statistics in Medicine 17, 857–872, table I: 81 of 263 and 15 of 148
    assert [round(end, 4) for end in (wilson(81, 263).low, wilson(81, 263).high)] == [0.2553, 0.3662]
    assert [round(end, 4) for end in (wilson(15, 148).low, wilson(15, 148).high)] == [0.0624, 0.1605]


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_what_is_no_proportion(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"{successes} successes of {n}: not a proportion"):
        wilson(successes, n)


# --- paired difference ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lost", "gained", "n", "low", "high"),
    [
        (1, 7, 21, -0.517, -0.026),  # Fagerland, Lydersen, Laake 2014, BMC Med. Res. Methodol.: airway reactivity
        (6, 16, 161, -0.124, -0.005),  # the same authors, Statistical Analysis of Contingency Tables, ch. 8
    ],
)
def test_tango_matches_the_published_examples(lost: int, gained: int, n: int, low: float, high: float) -> None:
    interval = paired_difference(lost, gained, n, 0.95)
    assert (round(interval.low, 3), round(interval.high, 3)) == (low, high)
    assert (interval.confidence, interval.method) == (0.95, "tango")


def _score(lost: int, gained: int, n: int, difference: float) -> float:
    """Tango's statistic with the likelihood maximised by search instead of by formula."""

    def minus_log_likelihood(gain: float) -> float:
        cells = ((lost, gain + difference), (gained, gain), (n - lost - gained, 1 - 2 * gain - difference))
        return -sum(count * math.log(p) for count, p in cells if count)

    least, most = max(0.0, -difference) + 1e-12, (1 - difference) / 2 - 1e-12
    gain = optimize.minimize_scalar(minus_log_likelihood, (least, most), bounds=(least, most), method="bounded").x
    return (lost - gained - n * difference) / math.sqrt(n * (2 * gain + difference * (1 - difference)))


@pytest.mark.parametrize(("lost", "gained", "n"), [(6, 3, 900), (1, 0, 40), (30, 60, 200), (9, 9, 20), (2, 1, 4)])
def test_tango_ends_where_the_score_test_begins_to_reject(lost: int, gained: int, n: int) -> None:
    interval = paired_difference(lost, gained, n)
    z = normal_quantile(0.90)
    assert _score(lost, gained, n, interval.high) == pytest.approx(-z, abs=1e-3)
    assert _score(lost, gained, n, interval.low) == pytest.approx(z, abs=1e-3)


@pytest.mark.parametrize("n", [1, 30, 900])
def test_tango_without_any_change_is_the_closed_form(n: int) -> None:
    z = normal_quantile(0.90)
    interval = paired_difference(0, 0, n)
    assert interval.high == pytest.approx(z * z / (n + z * z), rel=1e-12)
    assert interval.low == -interval.high


def test_tango_at_the_ends_of_the_scale() -> None:
    assert paired_difference(900, 0, 900).high == 1.0
    assert paired_difference(0, 900, 900).low == -1.0
    assert 0.99 < paired_difference(900, 0, 900).low < 1.0


def test_tango_contains_the_estimate_and_turns_with_the_sides() -> None:
    for lost, gained in product(range(8), range(8)):
        interval, turned = paired_difference(lost, gained, 15), paired_difference(gained, lost, 15)
        assert interval.low <= (lost - gained) / 15 <= interval.high
        assert (turned.low, turned.high) == (-interval.high, -interval.low)


@pytest.mark.parametrize(("lost", "gained", "n"), [(0, 0, 0), (-1, 0, 5), (3, 3, 5)])
def test_tango_refuses_what_are_no_paired_counts(lost: int, gained: int, n: int) -> None:
    with pytest.raises(ValueError, match="not paired counts"):
        paired_difference(lost, gained, n)


def _upper_coverage(lost: float, gained: float, n: int) -> float:
    """Exact probability that the upper end is not below the true difference, over every outcome."""
    outcomes = [(i, j) for i in range(n + 1) for j in range(n + 1 - i)]
    chances = stats.multinomial.pmf([(i, j, n - i - j) for i, j in outcomes], n, [lost, gained, 1 - lost - gained])
    likely = [(outcome, chance) for outcome, chance in zip(outcomes, chances, strict=True) if chance > 1e-9]
    return float(sum(c for (i, j), c in likely if paired_difference(i, j, n).high >= lost - gained))


@pytest.mark.parametrize(("lost", "gained"), [(0.05, 0.05), (0.1, 0.05), (0.2, 0.1), (0.3, 0.3)])
def test_tango_upper_end_covers_as_a_one_sided_bound(lost: float, gained: float) -> None:
    assert 0.935 <= _upper_coverage(lost, gained, 60) <= 0.975


def test_tango_covers_at_the_size_of_an_evaluation_split() -> None:
    random = np.random.default_rng(7)
    counts = random.multinomial(900, [0.015, 0.005, 0.98], size=4000)
    kept = [paired_difference(int(lost), int(gained), 900).high >= 0.01 for lost, gained, _ in counts]
    assert 0.935 <= np.mean(kept) <= 0.965


# --- quantiles -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "q"), [(5, 0.5), (20, 0.5), (29, 0.9), (299, 0.99), (1000, 0.9), (1000, 0.99)])
@pytest.mark.parametrize("confidence", [0.90, 0.95])
def test_quantile_interval_is_that_of_scipy(n: int, q: float, confidence: float) -> None:
    sample = np.random.default_rng(n).gamma(2.0, size=n).tolist()
    expected = stats.quantile_test(sample, p=q).confidence_interval(confidence)
    interval = quantile_interval(sample, q, confidence)
    if math.isnan(expected.low) or math.isnan(expected.high):
        assert interval is None
    else:
        assert interval is not None
        assert (interval.low, interval.high) == (expected.low, expected.high)
        assert interval.low <= quantile(sample, q) <= interval.high


@pytest.mark.parametrize(("least", "q"), [(5, 0.5), (29, 0.9), (299, 0.99)])
def test_a_quantile_of_too_few_runs_is_refused(least: int, q: float) -> None:
    # the greatest of n values bounds the quantile from above with probability 1 − qⁿ
    assert 1 - q**least >= 0.95 > 1 - q ** (least - 1)
    assert quantile_interval(list(range(least)), q) is not None
    assert quantile_interval(list(range(least - 1)), q) is None
    assert quantile_interval([], q) is None


@pytest.mark.parametrize(("n", "q"), [(30, 0.5), (300, 0.99), (1000, 0.9)])
def test_each_end_of_a_quantile_interval_covers_as_a_one_sided_bound(n: int, q: float) -> None:
    truth = float(stats.expon.ppf(q))
    samples = np.random.default_rng(11).exponential(size=(1500, n))
    intervals = [quantile_interval(sample.tolist(), q) for sample in samples]
    assert all(intervals)
    # at least 95 %; three standard errors of 1,500 repetitions are 1.7 %
    assert np.mean([i.high >= truth for i in intervals if i]) >= 0.933
    assert np.mean([i.low <= truth for i in intervals if i]) >= 0.933


def test_quantile_is_a_value_that_was_seen() -> None:
    sample = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [quantile(sample, q) for q in (0.0, 0.2, 0.5, 0.9, 1.0)] == [1.0, 1.0, 3.0, 5.0, 5.0]
    with pytest.raises(ValueError, match="empty sample"):
        quantile([], 0.5)


# --- ratio of medians ----------------------------------------------------------------------------------------------


def _blocks(random: np.random.Generator, typical: np.ndarray, runs: int) -> list[list[float]]:
    return [(t * random.lognormal(sigma=0.1, size=runs)).tolist() for t in typical]


def test_ratio_of_medians_is_not_moved_by_a_machine_that_slows_down() -> None:
    random = np.random.default_rng(3)
    drift = np.linspace(1.0, 3.0, 20)
    ratio = median_ratio(_blocks(random, 0.8 * drift, 50), _blocks(random, drift, 50))
    assert ratio is not None
    value, interval = ratio
    assert interval.low <= value <= interval.high
    assert interval.low <= 0.8 <= interval.high
    assert interval.high - interval.low < 0.05
    assert (interval.confidence, interval.method) == (0.90, "order statistics of block ratios")


def test_ratio_of_medians_covers_as_a_one_sided_bound() -> None:
    random = np.random.default_rng(5)
    drift = np.linspace(1.0, 1.5, 20)
    ratios = [median_ratio(_blocks(random, drift, 25), _blocks(random, drift, 25)) for _ in range(600)]
    assert np.mean([f[1].high >= 1 for f in ratios if f]) >= 0.923  # three standard errors below 95 %
    assert np.mean([f[1].low <= 1 for f in ratios if f]) >= 0.923


def test_ratio_of_medians_needs_five_pairs_of_blocks() -> None:
    assert median_ratio([[2.0]] * 4, [[1.0]] * 4) is None
    ratio = median_ratio([[2.0]] * 5, [[1.0]] * 5)
    assert ratio is not None
    assert (ratio[0], ratio[1].low, ratio[1].high) == (2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="zip"):
        median_ratio([[2.0]] * 5, [[1.0]] * 4)


# --- answers that hardly differ, and samples that are needed ---------------------------------------------------------


def test_of_identical_answers_nothing_is_inferred() -> None:
    interval = no_difference()
    assert (interval.low, interval.high, interval.confidence, interval.method) == (0.0, 0.0, 1.0, IDENTICAL)


def test_rounding_takes_its_part_of_the_bound_on_small_margins() -> None:
    interval = within_rounding(3, 240)
    assert (interval.confidence, interval.method) == (0.90, ROUNDING)
    assert interval.high == -interval.low == wilson(3, 240, 0.90).high / ROUNDING_MARGINS
    assert within_rounding(12, 240).high > interval.high
    with pytest.raises(ValueError, match="no rounding"):
        within_rounding(13, 240)


def test_the_bound_of_rounding_holds_where_margins_are_as_frequent_near_zero_as_above() -> None:
    """Margins are uniform on [0, 1]: what is within reach is a part `reach` of all; the bound is one-sided at 95 %."""
    random = np.random.default_rng(0)
    reach, n = 1e-4, 240
    near = (random.random((2000, n)) < ROUNDING_MARGINS * reach).sum(axis=1)
    bounds = [within_rounding(int(k), n).high for k in near if k <= 0.05 * n]
    assert len(bounds) > 1990
    assert np.mean([bound >= reach for bound in bounds]) >= 0.94


@given(st.floats(1e-4, 0.9))
def test_the_fewest_samples_are_enough_and_one_fewer_is_not(limit: float) -> None:
    n = samples_for_no_change(limit)
    assert n is not None
    assert paired_difference(0, 0, n).high <= limit
    assert n == 1 or paired_difference(0, 0, n - 1).high > limit
    right = samples_for_all_right(1 - limit)
    assert right is not None
    assert wilson(right, right).low >= 1 - limit
    assert right == 1 or wilson(right - 1, right - 1).low < 1 - limit


def test_no_number_of_samples_shows_that_nothing_can_be_lost() -> None:
    assert samples_for_no_change(0.0) is None
    assert samples_for_all_right(1.0) is None
