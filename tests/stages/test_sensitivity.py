"""The fewest layers that have to stay in float32, on samples that are as hard as those that are evaluated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.splits import write_split

from edgeflow.errors import DataError
from edgeflow.plugin import Drop, Layer
from edgeflow.stages import sensitivity, splits
from edgeflow.stages.sensitivity import MOST_BLENDED, Trial, as_hard, fewest, training_samples
from edgeflow.types.figures import Direction, Interval

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


def test_every_class_of_a_sorted_split_has_its_share_in_the_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensitivity, "MOST_SAMPLES", 200)
    y = np.repeat(np.arange(4), 250)
    write_split(tmp_path / "train.safetensors", np.arange(1000, dtype=np.float32), y)
    samples, labels = training_samples(tmp_path / "train.safetensors")
    x = np.concatenate([*samples.batches()])
    assert len(set(x)) == 200
    assert (labels == y[x.astype(int)]).all()
    assert all(count in range(35, 66) for count in np.bincount(labels, minlength=4))  # 50 each, give or take 5.5
    again, _ = training_samples(tmp_path / "train.safetensors")
    assert (np.concatenate([*again.batches()]) == x).all()


def test_a_small_split_is_taken_whole_and_in_its_order(tmp_path: Path) -> None:
    write_split(tmp_path / "train.safetensors", np.arange(1000, dtype=np.float32), np.arange(1000) % 4)
    samples, y = training_samples(tmp_path / "train.safetensors")
    assert (np.concatenate([*samples.batches()]) == np.arange(1000)).all()
    assert [x.tolist() for x in samples.batches(most=2)] == [[0, 1]]
    assert (y == np.arange(1000) % 4).all()


def sure(x: np.ndarray) -> float:
    """The part of the samples on the side of 0 that their place in the array says."""
    return float(np.mean((x[:, 0] > 0) == (np.arange(len(x)) % 2 == 0)))


def apart() -> np.ndarray:
    """float32[2000, 3]: every other sample above 0 and below, from near to far."""
    far = np.linspace(0.1, 2, 2000) * np.where(np.arange(2000) % 2 == 0, 1, -1)
    return np.repeat(far[:, None], 3, axis=1).astype(np.float32)


@pytest.fixture
def blended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], np.ndarray]:
    """The samples of `apart` with such a part of another, as they are read from a split."""
    monkeypatch.setattr(splits, "IN_MEMORY_BYTES", 0)
    write_split(tmp_path / "train.safetensors", apart(), np.arange(2000) % 2)
    samples, _ = training_samples(tmp_path / "train.safetensors")
    return lambda part: np.concatenate([*replace(samples, part=part).batches()])


def test_training_samples_get_as_hard_as_the_others(blended: Callable[[float], np.ndarray]) -> None:
    part = as_hard(lambda part: sure(blended(part)), 0.95, Direction.MAX)
    assert (blended(0.0) == apart()).all()
    assert sure(apart()) == 1
    assert sure(blended(part)) == pytest.approx(0.95, abs=0.005)
    assert 0 < part < MOST_BLENDED
    assert abs(blended(part)).max() <= abs(apart()).max()
    assert as_hard(lambda part: sure(blended(part)), 0.95, Direction.MAX) == part


def test_samples_that_are_hard_enough_stay_as_they_are() -> None:
    assert as_hard(lambda _: 0.9, 0.95, Direction.MAX) == 0


def test_a_metric_that_should_be_low_is_brought_up(blended: Callable[[float], np.ndarray]) -> None:
    part = as_hard(lambda part: 1 - sure(blended(part)), 0.05, Direction.MIN)
    assert sure(blended(part)) == pytest.approx(0.95, abs=0.005)


def test_no_more_than_half_of_a_sample_is_another() -> None:
    assert as_hard(lambda _: 1.0, 0.5, Direction.MAX) == MOST_BLENDED
