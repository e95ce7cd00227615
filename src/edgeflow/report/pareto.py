"""Which variants nobody beats."""

from __future__ import annotations

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points (cost, gain) that no other one beats in one and equals in the other; cheapest first.

    A lower cost and a higher gain are better. Equal points are all on the front.
    """
    kept = [i for i, point in enumerate(points) if not any(_beats(other, point) for other in points)]
    return sorted(kept, key=lambda i: points[i])


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] <= other[0] and one[1] >= other[1]
