"""The Pareto front, the ticks, the ladder's steps and the numbers as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeflow.report import show
from edgeflow.report.ladder_charts import relative, stages, steps
from edgeflow.report.pareto import front
from edgeflow.report.ticks import log_ticks
from edgeflow.types.figures import Interval, Measurement
from edgeflow.types.ladder import Ladder, Rung

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


def test_front_of_a_known_set() -> None:
    points = [(3.0, 5.0), (1.0, 1.0), (2.0, 4.0), (2.0, 3.0), (4.0, 5.0), (3.0, 5.0)]
    assert front(points) == [1, 2, 0, 5]


@given(POINTS)
def test_a_point_is_off_the_front_exactly_when_another_beats_it(points: list[tuple[int, int]]) -> None:
    kept = set(front(points))
    for i, (cost, gain) in enumerate(points):
        beaten = any(c <= cost and g >= gain and (c < cost or g > gain) for c, g in points)
        assert (i in kept) != beaten
    gains = [points[i][1] for i in front(points)]
    assert gains == sorted(gains)


@given(st.floats(1e-9, 1e3), st.floats(1.5, 1e6), st.sampled_from(["second", "byte"]))
def test_ticks_are_in_range_few_and_differently_labelled(low: float, factor: float, unit: str) -> None:
    low = max(low, 1.0) if unit == "byte" else low
    values, texts = log_ticks(low, low * factor, unit)
    assert all(low <= value <= low * factor for value in values)
    assert values == sorted(set(values))
    assert 2 <= len(values) <= 7
    assert len(set(texts)) == len(texts) == len(values)


def test_ticks_are_round_numbers_of_the_unit() -> None:
    assert log_ticks(40e-6, 6e-4, "second")[1] == ["50 µs", "100 µs", "200 µs", "500 µs"]
    assert log_ticks(30 * 1024, 140 * 1024, "byte")[1] == ["32 KiB", "64 KiB", "128 KiB"]


def _rung(stage: str, value: float, distance: float | None, scale: float = 2.0) -> Rung:
    return Rung(stage, "accuracy", value, 10, distance, distance, scale, None, None, "", "", "")


def test_steps_compare_with_the_rung_before_whatever_stages_a_ladder_has() -> None:
    ladder = Ladder((_rung("train", 0.9, None), _rung("optimize", 0.8, 1.0), _rung("deploy", 0.85, 0.0)))
    names = stages([ladder])
    assert names == ["train", "convert", "optimize", "compile", "deploy"]
    shown = [(rung.stage if rung else None, change) for rung, change in steps(ladder, names)]
    assert shown == [
        ("train", None), (None, None), ("optimize", pytest.approx(-0.1)), (None, None), ("deploy", pytest.approx(0.05)),
    ]  # fmt: skip


def test_distance_is_a_part_of_the_range_and_survives_constant_outputs() -> None:
    assert relative(_rung("convert", 0.9, 0.5)) == 0.25
    assert relative(_rung("convert", 0.9, 0.0, scale=0.0)) == 0.0
    assert relative(_rung("train", 0.9, None)) is None


@pytest.mark.parametrize(
    ("metric", "number", "text"),
    [
        ("accuracy", 0.98776, "98.78 %"),
        ("accuracy_drop", 0.0111, "1.11 points"),
        ("accuracy_drop", -0.0111, "−1.11 points"),
        ("accuracy_drop", -0.000001, "0.00 points"),
        ("latency_ratio_fp32", 0.5689, "0.57×"),
        ("latency_p50_s", 54.8e-6, "54.8 µs"),
        ("size_bytes", 53248, "52 KiB"),
        ("accelerator_cycles", 91000, "91000"),
    ],
)
def test_figures_as_people_read_them(metric: str, number: float, text: str) -> None:
    assert show.value(metric, number) == text


@pytest.mark.parametrize(
    ("metric", "low", "high", "text"),
    [
        ("accuracy", 0.97, 0.99, "97.00 – 99.00 %"),
        ("latency_p50_s", 900e-6, 1.1e-3, "900 µs – 1.1 ms"),
        ("accuracy_drop", -0.01, 0.02, "−1.00 – 2.00 points"),
        ("latency_ratio_fp32", 0.5, 0.6, "0.50× – 0.60×"),
    ],
)
def test_intervals_name_their_unit_once(metric: str, low: float, high: float, text: str) -> None:
    interval = Interval(low, high, 0.9, "any")
    assert show.interval(Measurement(metric, low, "", "host", "d", "", "m", 1, interval)) == text  # type: ignore[arg-type]


def test_what_measurements_share_is_said_once() -> None:
    conditions = [{"threads": 1, "load_average": 0.41234567}, {"threads": 1, "load_average": 2.0, "n": 9}, {}]
    shared = show.common(conditions)
    assert shared == {"threads": 1}
    assert show.listed(shared) == "threads 1"
    assert show.listed(conditions[0], shared) == "load average 0.4123"
    assert show.common([]) == {}


@pytest.mark.parametrize(
    ("metric", "name"),
    [("latency_p50_s", "latency p50"), ("first_inference_s", "first inference"), ("cpu_operators", "cpu operators")],
)
def test_names(metric: str, name: str) -> None:
    assert show.name(metric) == name
