"""Confidence intervals for what edgeflow claims: proportions, paired differences, quantiles, ratios of medians.

Standard library only, and nothing random: equal counts give equal intervals.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from statistics import NormalDist, median

from edgeflow.types import Interval

WILSON = "wilson"
TANGO = "tango"
ORDER_STATISTICS = "order statistics"
BLOCK_RATIOS = "order statistics of block ratios"


def normal_quantile(confidence: float) -> float:
    """z of a two-sided interval: 1.96 for .95."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


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


def paired_variance(lost: float, gained: float, difference: float) -> float:
    """Variance of one sample's change when the true difference is `difference` (Tango 1998, eq. 7 to 9).

    The arguments are ratios. The probability of a gain is its maximum-likelihood estimate under that difference: the
    greater root of 2 q² + b q + c = 0.
    """
    b = (2 - lost + gained) * difference - lost - gained
    c = -gained * difference * (1 - difference)
    gain = (math.sqrt(max(0.0, b * b - 8 * c)) - b) / 4
    return max(0.0, 2 * gain + difference * (1 - difference))


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
