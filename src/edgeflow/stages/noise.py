"""Which layers add most noise: the signal-to-noise ratio of the golden activations, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgeflow.plugin import Activations, Layer
from edgeflow.types.ladder import LayerNoise

if TYPE_CHECKING:
    from edgeflow.plugin import Float32

NAMED = 5  # layers: enough to act on, and little to carry through the ladders of all variants
CLEAN_DB = 120.0  # as good as no noise: JSON has no infinity
SPREAD = 4096  # values of each sample, evenly spread over it, that a layer's median is taken of


def noisiest(activations: Iterable[Activations]) -> tuple[LayerNoise, ...]:
    """The layers that add most noise to what they read, most first; without those that add none.

    Takes each layer of each sample in order of execution and keeps sums of it.
    """
    layers: dict[str, _Sums] = {}
    for each in activations:
        sums = layers.setdefault(each.layer.name, _Sums(each.layer, each.reads))
        sums.add(each.before, each.after)
    noise: dict[str, float] = {}  # layer → noise-to-signal ratio of what it answers
    ranked: list[tuple[float, LayerNoise]] = []
    for name, sums in layers.items():
        read = [noise[other] for other in sums.reads if other in noise]
        noise[name] = now = sums.noise_to_signal()
        added = now - max(read, default=0.0)
        before = _decibel(max(read)) if read else None
        if added > 0:
            figures = (before, _decibel(now), sums.range_over_median())
            ranked.append((added, LayerNoise(sums.layer.name, sums.layer.operator, *figures)))
    ranked.sort(key=lambda pair: -pair[0])
    return tuple(layer for _, layer in ranked[:NAMED])


def signal_to_noise_db(before: Float32, after: Float32) -> float:
    """Of two arrays of one shape, at most CLEAN_DB."""
    sums = _Sums(Layer("", ""), ())
    sums.add(before, after)
    return _decibel(sums.noise_to_signal())


@dataclass
class _Sums:
    """What is kept of a layer's answers, whatever the number of samples."""

    layer: Layer
    reads: tuple[str, ...]
    signal: Any = 0.0  # float64[C]: of squares
    noise: Any = 0.0
    greatest: float = 0.0
    spread: list[Float32] = field(default_factory=list)  # absolute values

    def add(self, before: Float32, after: Float32) -> None:
        """Count one sample's answers, float32[…, C] of one shape."""
        import numpy as np

        before, after = (np.atleast_1d(answer) for answer in (before, after))
        rows = np.ascontiguousarray(before).reshape(-1, before.shape[-1])
        off = rows - after.reshape(rows.shape)
        self.signal = self.signal + _squares(rows)
        self.noise = self.noise + _squares(off)
        self.greatest = max(self.greatest, float(rows.max(initial=0)), -float(rows.min(initial=0)))
        self.spread.append(np.abs(rows.ravel()[:: max(1, rows.size // SPREAD)]))

    def noise_to_signal(self) -> float:
        """Mean over the channels: one range for all of them drowns the quiet ones, which a sum over all would not show.

        A channel that is silent says nothing, and one with nothing but noise counts as 1.
        """
        import numpy as np

        heard = self.signal > 0
        return float(np.minimum(self.noise[heard] / self.signal[heard], 1).mean()) if heard.any() else 0.0

    def range_over_median(self) -> float:
        """Greatest / median absolute value, of what is not 0: ReLU leaves many zeros."""
        import numpy as np

        values = np.concatenate(self.spread)
        values = values[values != 0]
        return float(self.greatest / np.median(values)) if values.size else 1.0


def _squares(rows: Float32) -> Any:
    """float64[C]: the sum of squares of each column of float32[R, C]."""
    import numpy as np

    return np.einsum("ij,ij->j", rows, rows, dtype="float64")


def _decibel(noise_to_signal: float) -> float:
    return -10 * math.log10(max(noise_to_signal, 10 ** (-CLEAN_DB / 10)))
