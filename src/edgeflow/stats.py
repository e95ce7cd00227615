"""Confidence intervals for what edgeflow claims: proportions, paired differences, quantiles, sums, ratios of medians.

Equal figures give equal intervals: what is drawn is drawn with a fixed seed. The standard library is enough but for
`resampled`, which imports numpy.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

from edgeflow.intervals import BOOTSTRAP, IDENTICAL, ROUNDING, TANGO, WILSON, normal_quantile, paired_variance
from edgeflow.types.figures import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    # sums float64[…, K] over samples → the figure […] that follows from them, and its derivatives […, K] by each sum
    OfSums: TypeAlias = Callable[[Floats], tuple[Floats, Floats]]

ORDER_STATISTICS = "order statistics"
BLOCK_RATIOS = "order statistics of block ratios"
ROUNDING_MARGINS = 100
MOST_NEAR = 0.05  # of the samples: of float32 programs next to none are, of int8 ones nearly all


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Score interval of a proportion (Wilson 1927), good for small samples and for proportions near 0 and 1.

    Raises ValueError unless 0 <= successes <= n and n > 0.
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} successes of {n}: not a proportion")
    z = normal_quantile(confidence)
    p = successes / n
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale
    # at the ends rounding must not leave the estimate outside its own interval
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(low, high, confidence, WILSON)


def paired_difference(lost: int, gained: int, n: int, confidence: float = 0.90) -> Interval:
    """Score interval of (lost − gained) / n on n paired samples (Tango 1998, Statistics in Medicine 17, 891–908).

    `lost` samples were right before and are wrong now, `gained` the other way round. Two-sided; its upper end is the
    one-sided bound at (1 + confidence) / 2. Holds for lost = gained = 0 too, where it is ± z² / (n + z²).

    Raises ValueError unless the counts are at least 0, lost + gained <= n and n > 0.
    """
    if min(lost, gained) < 0 or lost + gained > n or n == 0:
        raise ValueError(f"{lost} lost and {gained} gained of {n}: not paired counts")
    z = normal_quantile(confidence)
    # exchanging the two sides changes the sign of the difference and of both ends
    return Interval(-_tango_upper(gained, lost, n, z), _tango_upper(lost, gained, n, z), confidence, TANGO)


def no_difference(value: float = 0.0) -> Interval:
    """Of two models whose answers to the very same inputs are equal bit for bit: there is nothing to infer.

    `value` is the figure of no difference: 0 lost, a ratio of 1.
    """
    return Interval(value, value, 1.0, IDENTICAL)


def within_rounding(near: int, n: int, confidence: float = 0.90) -> Interval:
    """Of two models that decide alike on n samples and whose outputs differ by rounding.

    A decision can change only where its margin is within reach: twice the greatest difference. `near` samples have a
    margin of less than ROUNDING_MARGINS times that, which bounds how many have; of these a part of 1 / ROUNDING_MARGINS
    is within reach, if margins near 0 are no more frequent than those above.

    Raises ValueError where more than a part MOST_NEAR is near: so great a difference is no rounding.
    """
    if near > MOST_NEAR * n:
        raise ValueError(f"{near} of {n} decisions are near: no rounding")
    bound = wilson(near, n, confidence).high / ROUNDING_MARGINS
    return Interval(-bound, bound, confidence, ROUNDING)


@cache  # each of many targets has the same limit
def samples_for_no_change(limit: float, confidence: float = 0.90) -> int | None:
    """The fewest paired samples on which no change at all, nothing lost and nothing gained, is within a limit > 0.

    None for a limit that no number of samples shows.
    """
    return _fewest(lambda n: paired_difference(0, 0, n, confidence).high <= limit) if limit > 0 else None


@cache
def samples_for_all_right(limit: float, confidence: float = 0.95) -> int | None:
    """The fewest samples of which all are right that show a proportion of at least a limit < 1; None as above."""
    return _fewest(lambda n: wilson(n, n, confidence).low >= limit) if limit < 1 else None


_MOST_SAMPLES = 2**40  # more than anybody has


def _fewest(enough: Callable[[int], bool]) -> int | None:
    """The least n that is enough, where all that are greater are too."""
    if not enough(_MOST_SAMPLES):
        return None
    return bisect_left(range(1, _MOST_SAMPLES), True, key=enough) + 1


def _tango_upper(lost: int, gained: int, n: int, z: float) -> float:
    """The greatest difference that the score test at z does not reject, by bisection down to neighbouring floats.

    Rejection is monotonic in the difference: nothing is rejected at the estimate, and 1 always is unless all are lost.
    """
    inside, outside = (lost - gained) / n, 1.0
    while inside < (middle := (inside + outside) / 2) < outside:
        spread = math.sqrt(n * paired_variance(lost / n, gained / n, middle))
        if n * middle - (lost - gained) > z * spread:
            outside = middle
        else:
            inside = middle
    return outside


RESAMPLES = 999
_DRAWN = 2**21  # indices at once: memory does not grow with the samples
_MOST_T = 2.5  # of the quantile of Student's distribution


def resampled(questions: Sequence[tuple[Floats, OfSums]], confidence: float = 0.95) -> list[Interval | None]:
    """Studentized bootstrap (Efron 1981, "bootstrap-t") of figures that follow from sums over samples.

    Each question has one row per sample, float64[N, K], and how the figure follows from their sums; all have the same
    N, and the same draws decide all of them. The variance of each draw is that of the linearised figure. Where one
    sample has nearly all that is summed up, draws without it would have any t: it is cut off at _MOST_T times that of
    Student's distribution. None for one sample, which says nothing of others.
    """
    import numpy as np

    n = len(questions[0][0])
    if n < 2:
        return [None for _ in questions]
    columns = [np.hstack([rows, _products(rows)]) for rows, _ in questions]
    begins = np.cumsum([0, *(each.shape[1] for each in columns)])
    everything = np.hstack(columns)
    draws, own = _draws(everything), everything.sum(axis=0)
    most = _MOST_T * _student_quantile(confidence, n - 1)
    intervals: list[Interval | None] = []
    for (rows, figure), begin, end in zip(questions, begins, begins[1:], strict=False):
        value, error = _linearised(own[begin:end], rows.shape[1], figure)
        values, errors = _linearised(draws[:, begin:end], rows.shape[1], figure)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.nan_to_num((values - value) / errors, nan=0.0, posinf=most, neginf=-most)
        low, high = np.quantile(np.clip(t, -most, most), [(1 - confidence) / 2, (1 + confidence) / 2])
        # whatever the draws say, the estimate is in its own interval
        ends = float(value - max(high, 0) * error), float(value - min(low, 0) * error)
        intervals.append(Interval(*ends, confidence, BOOTSTRAP))
    return intervals


def _products(rows: Floats) -> Floats:
    """Of each row with itself, float64[N, K²]: their sums say how much the rows differ."""
    return (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)


def _linearised(sums: Floats, width: int, figure: OfSums) -> tuple[Floats, Floats]:
    """A figure […] and its standard error, from the sums […, K + K²] of rows and of their products."""
    import numpy as np

    values, slopes = figure(sums[..., :width])
    products = sums[..., width:].reshape(*sums.shape[:-1], width, width)
    return values, np.sqrt(np.maximum(np.einsum("...i,...ij,...j->...", slopes, products, slopes), 0))


def _draws(rows: Floats) -> Floats:
    """Sums float64[RESAMPLES, K] of as many rows as there are, drawn with replacement."""
    import numpy as np

    n, generator = len(rows), np.random.default_rng(0)
    block, sums = max(1, _DRAWN // n), []
    for begin in range(0, RESAMPLES, block):
        size = min(block, RESAMPLES - begin)
        drawn = generator.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        sums.append(np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n) @ rows)
    return np.concatenate(sums)


def _student_quantile(confidence: float, freedom: int) -> float:
    """Two-sided, by the first terms of its expansion around the normal one: within 1 % from 5 degrees of freedom on."""
    z = normal_quantile(confidence)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return float(sum(term / freedom**power for power, term in enumerate(terms)))


def quantile(sample: Sequence[float], q: float) -> float:
    """The q-quantile as a value that was seen: the smallest one that at least a share q of the sample does not exceed.

    Raises ValueError for an empty sample.
    """
    if not sample:
        raise ValueError("an empty sample has no quantiles")
    return sorted(sample)[max(0, math.ceil(q * len(sample)) - 1)]


def quantile_interval(sample: Sequence[float], q: float, confidence: float = 0.90) -> Interval | None:
    """Distribution-free interval of the q-quantile between two order statistics, runs taken as independent.

    Each end alone is a bound at (1 + confidence) / 2 or better. None when the sample is too small to hold both: a 99th
    percentile needs 299 runs for an upper 95 % bound, so that of 200 runs is not a figure to give.
    """
    n, tail = len(sample), (1 - confidence) / 2
    below = _binomial_cdf(n, q)  # [k]: probability that at most k of n values are under the quantile
    low = bisect_right(below, tail)  # ranks count from 1
    high = bisect_left(below, 1 - tail) + 1
    if low < 1 or high > n:
        return None
    ordered = sorted(sample)
    return Interval(ordered[low - 1], ordered[high - 1], confidence, ORDER_STATISTICS)


def _binomial_cdf(n: int, p: float) -> list[float]:
    """P(at most k of n) for k from 0 to n; logarithms keep the terms from underflowing."""

    def term(k: int) -> float:
        ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        return math.exp(ways + k * math.log(p) + (n - k) * math.log1p(-p))

    return list(accumulate(term(k) for k in range(n + 1)))


def median_ratio(
    blocks: Sequence[Sequence[float]], baseline: Sequence[Sequence[float]], confidence: float = 0.90
) -> tuple[float, Interval] | None:
    """A program's median time as a multiple of a baseline's, from blocks of runs that alternate with the baseline's.

    Each pair of neighbouring blocks gives one ratio of medians, so that a machine that slows down on the way slows
    both; the value is the median of these ratios, its interval is between two of them. None when there are too few
    pairs for the interval: five at 90 %.
    """
    ratios = [median(a) / median(b) for a, b in zip(blocks, baseline, strict=True)]
    interval = quantile_interval(ratios, 0.5, confidence)
    if interval is None:
        return None
    return median(ratios), Interval(interval.low, interval.high, confidence, BLOCK_RATIOS)
