"""What intervals are called by the way they were made, and the variances behind those of scores. Standard library only.

Apart from the statistics, so that the judge knows how many samples would decide without depending on how they are made.
"""

from __future__ import annotations

import math
from statistics import NormalDist

WILSON = "wilson"
TANGO = "tango"
BOOTSTRAP = "bootstrap-t"
IDENTICAL = "identical answers"
ROUNDING = "rounding within the least margin"


def normal_quantile(confidence: float) -> float:
    """z of a two-sided interval: 1.96 for .95."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def paired_variance(lost: float, gained: float, difference: float) -> float:
    """Variance of one sample's change when the true difference is `difference` (Tango 1998, eq. 7 to 9).

    The arguments are ratios. The probability of a gain is its maximum-likelihood estimate under that difference: the
    greater root of 2 q² + b q + c = 0.
    """
    b = (2 - lost + gained) * difference - lost - gained
    c = -gained * difference * (1 - difference)
    gain = (math.sqrt(max(0.0, b * b - 8 * c)) - b) / 4
    return max(0.0, 2 * gain + difference * (1 - difference))
