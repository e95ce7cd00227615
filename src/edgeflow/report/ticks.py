"""Where a logarithmic axis has its ticks, and what they say: round numbers of the unit people read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from edgeflow import units

# From coarse to fine: multiples of each power of the base. Bytes go by powers of two.
_DECIMAL: Sequence[Sequence[float]] = (
    (1,),
    (1, 3),
    (1, 2, 5),
    (1, 1.5, 2, 3, 4, 5, 6, 8),
    tuple(1 + i / 10 for i in range(90)),
)
_BINARY: Sequence[Sequence[float]] = (
    (1,),
    (1, 4),
    (1, 2, 4, 8),
    (1, 1.5, 2, 3, 4, 6, 8, 12),
    tuple(1 + i / 8 for i in range(120)),
)
_ENOUGH = 3
_AT_MOST = 7


def log_ticks(low: float, high: float, unit: str) -> tuple[list[float], list[str]]:
    """Tick values within [low, high] (canonical unit, both > 0) and their texts, with the unit."""
    base, levels = (16.0, _BINARY) if unit == "byte" else (10.0, _DECIMAL)
    values: list[float] = []
    for multiples in levels:
        values = sorted(_within(low, high, base, multiples))
        if len(values) >= _ENOUGH:
            break
    values = values[:: math.ceil(len(values) / _AT_MOST)] if values else []
    return values, [units.show(value, unit) for value in values]


def _within(low: float, high: float, base: float, multiples: Sequence[float]) -> Iterator[float]:
    for power in range(math.floor(math.log(low, base)), math.ceil(math.log(high, base)) + 1):
        for multiple in multiples:
            value = float(f"{multiple * base**power:.12g}")  # 3 · 10⁻⁵ is 3e-05, not 3.0000000000000004e-05
            if low <= value <= high:
                yield value
