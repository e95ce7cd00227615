"""Which layers add most noise: the signal-to-noise ratio of the golden activations, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from edgeflow.plugin import Activations
from edgeflow.types.ladder import LayerNoise

if TYPE_CHECKING:
    from edgeflow.plugin import Float32

NAMED = 5  # layers: enough to act on, and little to carry through the ladders of all variants
CLEAN_DB = 120.0  # as good as no noise: JSON has no infinity


def noisiest(activations: Iterable[Activations]) -> tuple[LayerNoise, ...]:
    """The layers that add most noise to what they read, most first; without those that add none."""
    noise: dict[str, float] = {}  # layer → noise-to-signal ratio of what it answers
    ranked: list[tuple[float, LayerNoise]] = []
    for each in activations:
        read = [noise[name] for name in each.reads if name in noise]
        noise[each.layer.name] = now = _noise_to_signal(each.before, each.after)
        added = now - max(read, default=0.0)
        before = _decibel(max(read)) if read else None
        if added > 0:
            figures = (before, _decibel(now), _range_over_median(each.before))
            ranked.append((added, LayerNoise(each.layer.name, each.layer.operator, *figures)))
    ranked.sort(key=lambda pair: -pair[0])
    return tuple(layer for _, layer in ranked[:NAMED])


def signal_to_noise_db(before: Float32, after: Float32) -> float:
    """Of two arrays of one shape, at most CLEAN_DB."""
    return _decibel(_noise_to_signal(before, after))


def _noise_to_signal(before: Float32, after: Float32) -> float:
    """Mean over the channels: one range for all of them drowns the quiet ones, which a sum over all would not show.

    A channel that is silent says nothing, and one with nothing but noise counts as 1.
    """
    import numpy as np

    axes = tuple(range(before.ndim - 1))
    signal = np.square(before, dtype="float64").sum(axis=axes)
    noise = np.square(before.astype("float64") - after).sum(axis=axes)
    heard = signal > 0
    return float(np.minimum(noise[heard] / signal[heard], 1).mean()) if heard.any() else 0.0


def _decibel(noise_to_signal: float) -> float:
    return -10 * math.log10(max(noise_to_signal, 10 ** (-CLEAN_DB / 10)))


def _range_over_median(values: Float32) -> float:
    """Greatest / median absolute value, of what is not 0: ReLU leaves many zeros."""
    import numpy as np

    absolute = np.abs(values[values != 0])
    return float(absolute.max() / np.median(absolute)) if absolute.size else 1.0
