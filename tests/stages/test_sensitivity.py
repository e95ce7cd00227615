"""The fewest layers that have to stay in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from edgeflow.errors import DataError
from edgeflow.plugin import Drop, Layer
from edgeflow.stages.sensitivity import Trial, fewest
from edgeflow.types import Interval

LAYERS = tuple(Layer(name, "Conv") for name in ("a", "b", "c", "d"))


def costs(needed: Sequence[set[str]], half_width: float = 0.002) -> Callable[[Sequence[Layer]], Trial]:
    """Attempts that lose 5 points for each of the sets of which no layer is kept."""

    def attempt(kept: Sequence[Layer]) -> Trial:
        lost = 0.05 * sum(not group & {layer.name for layer in kept} for group in needed)
        return Trial(Drop(lost, 900, Interval(lost - half_width, lost + half_width, 0.9, "tango")), 40.0)

    return attempt


def names(kept: Sequence[Layer]) -> list[str]:
    return [layer.name for layer in kept]


def test_layers_are_kept_in_their_order_until_the_limit_holds() -> None:
    kept, trial = fewest(LAYERS, costs([{"a"}, {"b"}]), 0.01)
    assert names(kept) == ["a", "b"]
    assert trial.drop.value == 0


def test_a_layer_that_was_not_needed_is_given_back() -> None:
    kept, _ = fewest(LAYERS, costs([{"b"}, {"c", "d"}]), 0.01)
    assert names(kept) == ["b", "c"]


def test_nothing_is_kept_where_all_can_be_quantized() -> None:
    assert fewest(LAYERS, costs([]), 0.01)[0] == []


def test_the_upper_end_of_the_interval_decides() -> None:
    assert names(fewest(LAYERS, costs([{"a"}]), 0.0521)[0]) == []
    assert names(fewest(LAYERS, costs([{"a"}]), 0.0519)[0]) == ["a"]


def test_too_few_samples_are_refused_with_the_figures() -> None:
    message = r"with every layer in float32 the drop is 0\.00%, at most 2\.00% of 900 .*the limit is 1\.00%\. Raise it"
    with pytest.raises(DataError, match=message):
        fewest(LAYERS, costs([], half_width=0.02), 0.01)
