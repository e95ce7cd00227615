"""Which layers add most noise."""

from __future__ import annotations

import numpy as np
import pytest

from edgeflow.plugin import Activations, Layer
from edgeflow.stages.noise import CLEAN_DB, NAMED, noisiest, signal_to_noise_db


def answers(name: str, noise: float, reads: tuple[str, ...] = (), signal: float = 1.0) -> Activations:
    """Two channels with that much noise on each."""
    before = np.full((4, 3, 2), signal, np.float32)
    return Activations(Layer(name, "Conv"), reads, before, before + np.float32(noise))


def test_the_layer_that_adds_noise_is_named_and_not_those_that_pass_it_on() -> None:
    first, *others = noisiest([
        answers("stem", 0.01),
        answers("bad", 0.5, ("stem",)),
        answers("next", 0.52, ("bad",)),
        answers("sum", 0.5, ("stem", "next")),
    ])  # fmt: skip
    assert (first.name, first.operator) == ("bad", "Conv")
    assert first.before_db == pytest.approx(40, abs=0.01)
    assert first.after_db == pytest.approx(6.02, abs=0.01)
    assert [layer.name for layer in others] == ["next", "stem"]  # what the sum answers is no worse than what it reads
    assert others[1].before_db is None


def test_a_quiet_channel_that_drowns_is_heard() -> None:
    before = np.ones((8, 5, 2), np.float32)
    before[..., 0] *= 1000
    (layer,) = noisiest([Activations(Layer("uneven", "Conv"), (), before, before + np.float32(1))])
    assert layer.after_db == pytest.approx(3.0, abs=0.1)  # half of the channels are noise; over all it would be 57 dB


def test_silent_channels_say_nothing() -> None:
    before = np.zeros((8, 2), np.float32)
    after = before.copy()
    after[:, 0] = 1e-3
    assert noisiest([Activations(Layer("dead", "Relu"), (), before, after)]) == ()


def test_range_over_median_leaves_zeros_out() -> None:
    before = np.array([[0, 0, 0, 1, 1, 1, 40]], np.float32)
    (layer,) = noisiest([Activations(Layer("tail", "Add"), (), before, before + np.float32(0.1))])
    assert layer.range_over_median == pytest.approx(40)


def test_no_more_layers_than_a_ladder_can_carry() -> None:
    assert len(noisiest([answers(f"layer{i}", 0.1 + i / 100) for i in range(NAMED + 3)])) == NAMED


def test_what_is_exact_has_a_finite_ratio() -> None:
    x = np.ones((2, 3), np.float32)
    assert signal_to_noise_db(x, x) == CLEAN_DB
    assert noisiest([answers("exact", 0.0)]) == ()
