"""Ranges of activations: what percentile and squared error cut off, whatever the order of the samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeflow.techniques.ranges import BINS, find
from edgeflow.types.variants import Scheme

MSE = Scheme("s", "int8", "int8", "static", calibration_samples=8, calibration_method="mse")
RNG = np.random.default_rng(3)
SHAPES = {
    "normal": RNG.standard_normal(40_000),
    "laplace": RNG.laplace(size=40_000),
    "relu": np.maximum(RNG.standard_normal(40_000), 0),
    "negative": -np.abs(RNG.standard_normal(40_000)) - 1,
    "far out": np.append(RNG.standard_normal(40_000), [20, -9]),
}


def by_percentile(share: float, activations: str = "int8") -> Scheme:
    return Scheme(
        "s", "int8", activations, "static", calibration_samples=8, calibration_method="percentile", percentile=share
    )


def range_of(scheme: Scheme, values: NDArray[Any], parts: int = 8) -> tuple[float, float]:
    """The range of one tensor whose values come in so many samples."""

    def samples() -> Iterator[dict[str, NDArray[np.float32]]]:
        return ({"y": part} for part in np.array_split(values.astype(np.float32), parts))

    return find(scheme, samples)["y"]


def error(values: NDArray[Any], low: float, high: float) -> float:
    """Mean squared error of real 8-bit quantization with a zero point."""
    scale = (high - low) / 255
    zero = round(-low / scale)
    return float(np.mean(((np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale - values) ** 2))


@pytest.mark.parametrize("shape", SHAPES)
def test_no_range_has_less_squared_error(shape: str) -> None:
    values = SHAPES[shape]
    low, high = range_of(MSE, values)
    least, greatest = min(values.min(), 0), max(values.max(), 0)
    assert least <= low <= 0 <= high <= greatest
    shares = np.linspace(0.05, 1, 20)
    others = [error(values, least * i, greatest * j) for i in shares for j in shares if least * i < greatest * j]
    assert error(values, low, high) <= 1.01 * min(others)


def test_squared_error_cuts_off_what_costs_more_than_it_holds() -> None:
    values = SHAPES["laplace"]
    low, high = range_of(MSE, values)
    assert values.min() < low
    assert high < values.max()
    assert error(values, low, high) < 0.95 * error(values, values.min(), values.max())


@pytest.mark.parametrize("share", [0.9, 0.99, 0.999])
def test_percentile_cuts_half_off_at_either_side(share: float) -> None:
    values = SHAPES["laplace"]
    expected = np.quantile(values, [(1 - share) / 2, (1 + share) / 2])
    assert range_of(by_percentile(share), values) == pytest.approx(expected, abs=np.ptp(values) / BINS)


def test_zeros_count_where_values_are_counted() -> None:
    values = SHAPES["relu"]
    low, high = range_of(by_percentile(0.99), values)
    assert low == 0
    assert high == pytest.approx(np.quantile(values, 0.995), abs=np.ptp(values) / BINS)


def test_zeros_cost_nothing_where_errors_are_added() -> None:
    values = SHAPES["normal"]
    assert range_of(MSE, np.append(values, np.zeros(400_000))) == range_of(MSE, values)


def test_16_bits_are_symmetric() -> None:
    values = SHAPES["far out"]
    low, high = range_of(by_percentile(0.99, "int16"), values)
    assert high == -low == pytest.approx(np.quantile(abs(values), 0.99), abs=20 / BINS)


@pytest.mark.parametrize("scheme", [MSE, by_percentile(0.999), by_percentile(0.999, "int16")])
def test_neither_order_nor_number_of_samples_matters(scheme: Scheme) -> None:
    values = SHAPES["far out"]
    assert (
        range_of(scheme, values) == range_of(scheme, values[::-1], parts=1) == range_of(scheme, RNG.permutation(values))
    )


@pytest.mark.parametrize("scheme", [MSE, by_percentile(0.9), by_percentile(0.9, "int16")])
def test_zeros_have_no_range(scheme: Scheme) -> None:
    assert range_of(scheme, np.zeros(100)) == (0, 0)


@pytest.mark.parametrize("value", [2.0, -2.0])
def test_one_value_is_within_its_range(value: float) -> None:
    low, high = range_of(MSE, np.full(100, value))
    assert (low, high) == pytest.approx((min(value, 0), max(value, 0)), abs=2 / BINS)
