"""Ranges of activations for static quantization, from histograms of their values over the calibration samples.

One meaning of percentile and of mean squared error for every runtime: ONNX Runtime's own percentile depends on the
order of the samples, ai-edge-quantizer has none, and neither minimises an error over activations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgeflow.types.variants import Scheme

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]
Range: TypeAlias = tuple[float, float]  # low ≤ 0 ≤ high: integers represent zero exactly
Pass: TypeAlias = Callable[[], Iterable[Mapping[str, Float32]]]

BINS = 2048
INT8_STEPS = 255  # from low to high
INT16_STEPS = 32767  # from zero to high: the range is symmetric


def find(scheme: Scheme, samples: Pass) -> dict[str, Range]:
    """The range of each tensor by the scheme's calibration method, "percentile" or "mse".

    Each call of `samples` goes over all calibration samples and gives the values of every tensor at each: once for the
    extremes, once to count what lies between them.
    """
    symmetric = scheme.activations == "int16"
    histograms: dict[str, Histogram] = {}
    for name, (low, high) in _extremes(samples()).items():
        histograms[name] = Histogram(0.0, max(-low, high)) if symmetric else Histogram(low, high)
    for tensors in samples():
        for name, values in tensors.items():
            histograms[name].add(abs(values) if symmetric else values)
    limits = {name: _range(histogram, scheme, symmetric) for name, histogram in histograms.items()}
    return {name: (-high, high) for name, (_, high) in limits.items()} if symmetric else limits


def _extremes(samples: Iterable[Mapping[str, Float32]]) -> dict[str, Range]:
    extremes: dict[str, Range] = {}
    for tensors in samples:
        for name, values in tensors.items():
            low, high = extremes.get(name, (0.0, 0.0))
            extremes[name] = min(low, float(values.min())), max(high, float(values.max()))
    return extremes


def _range(histogram: Histogram, scheme: Scheme, symmetric: bool) -> Range:
    if histogram.low == histogram.high:
        return histogram.low, histogram.high
    if scheme.percentile is not None:
        return percentile(histogram, scheme.percentile, one_sided=symmetric)
    return least_error(histogram, INT16_STEPS if symmetric else INT8_STEPS)


@dataclass
class Histogram:
    """How many values lie in each of BINS equal parts of [low, high]; zeros are counted on their own."""

    low: float
    high: float
    zeros: int = 0
    counts: Float64 = field(default_factory=lambda: np.zeros(BINS))

    @property
    def edges(self) -> Float64:
        """float64[BINS + 1], ascending."""
        return np.linspace(self.low, self.high, BINS + 1)

    def add(self, values: Float32) -> None:
        """Count float32[…]."""
        others = values[values != 0]
        self.zeros += values.size - others.size
        self.counts += np.histogram(others, BINS, (self.low, self.high))[0]


def percentile(histogram: Histogram, share: float, one_sided: bool) -> Range:
    """What holds at least `share` of all values: of the others, half are cut off at either side."""
    zeros = np.histogram([0.0], BINS, (histogram.low, histogram.high))[0] * histogram.zeros
    below = np.concatenate([[0.0], np.cumsum(histogram.counts + zeros)])
    cut = (1 - share) * below[-1] / (1 if one_sided else 2)
    low, high = np.interp([cut, below[-1] - cut], below, histogram.edges)
    return (0.0 if one_sided else min(float(low), 0.0)), max(float(high), 0.0)


def least_error(histogram: Histogram, steps: int) -> Range:
    """The range with the least squared error of quantization, of all whose ends are edges of the histogram.

    Inside, rounding to the nearest of `steps` + 1 values costs step² / 12 on average, zeros nothing; outside, a value
    costs its squared distance to the range.
    """
    edges = histogram.edges
    centres = (edges[:-1] + edges[1:]) / 2
    # Of the values below each edge: how many, their sum, and the sum of their squares.
    below = [np.insert(np.cumsum(histogram.counts * centres**power), 0, 0.0) for power in range(3)]
    above = [sums[-1] - sums for sums in below]
    low, high = edges <= 0, edges >= 0
    clipping = _squares(below, edges)[low][:, None] + _squares(above, edges)[high]
    inside = below[0][high] - below[0][low][:, None]
    rounding = inside * ((edges[high] - edges[low][:, None]) / steps) ** 2 / 12
    i, j = np.unravel_index(np.argmin(clipping + rounding), clipping.shape)
    return float(edges[low][i]), float(edges[high][j])


def _squares(sums: list[Float64], edges: Float64) -> Float64:
    """Squared distances to each edge of values: `sums` has how many they are, their sum, and that of their squares."""
    number, first, second = sums
    return second - 2 * edges * first + edges**2 * number
