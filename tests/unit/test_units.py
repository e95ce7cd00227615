"""Quantities: what is taken, what is refused, and how figures are shown."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeflow.units import FRACTION_PATTERN, UNITS, fraction, is_fraction, limit, parse, pattern, percent, show, unit_of


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("15 ms", "second", 0.015),
        ("15ms", "second", 0.015),
        (" 15  ms ", "second", 0.015),
        ("1.5e3 us", "second", 0.0015),
        ("130 µs", "second", 0.00013),  # the micro sign, U+00B5
        ("130 \u03bcs", "second", 0.00013),  # the Greek letter, which looks the same
        ("2 min", "second", 120),
        ("-3 ns", "second", -3e-9),
        ("256 KiB", "byte", 262144),
        ("256 kB", "byte", 256000),
        ("1 MiB", "byte", 1048576),
        ("12 B", "byte", 12),
        ("64 MHz", "hertz", 64e6),
        (".5 GHz", "hertz", 5e8),
        ("3 mJ", "joule", 0.003),
        ("1 %", "ratio", 0.01),
        ("1%", "ratio", 0.01),
        ("0.01", "ratio", 0.01),
        (0.01, "ratio", 0.01),
        (1, "ratio", 1),
        (12, "count", 12),
        ("12", "count", 12),
    ],
)
def test_parse(text: str | float, unit: str, value: float) -> None:
    assert parse(text, unit) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        (15, "second", "15 is not a quantity in second; write a number and one of s, ms, us, µs, ns, min"),
        (
            "256 KB",
            "byte",
            "'256 KB' is not a quantity in byte; write a number and one of B, kB, MB, GB, KiB, MiB, GiB",
        ),
        ("5 ms", "hertz", "'5 ms' is not a quantity in hertz; write a number and one of Hz, kHz, MHz, GHz"),
        ("5 x", "ratio", "'5 x' is not a quantity in ratio; write a number and one of no unit, %"),
        ("ms", "second", "'ms' is not a quantity in second; write a number and one of s, ms, us, µs, ns, min"),
        ("1,5 s", "second", "'1,5 s' is not a quantity in second; write a number and one of s, ms, us, µs, ns, min"),
        (
            "1 s 5 ms",
            "second",
            "'1 s 5 ms' is not a quantity in second; write a number and one of s, ms, us, µs, ns, min",
        ),
        ("", "ratio", "'' is not a quantity in ratio; write a number and one of no unit, %"),
        (True, "count", "True is not a quantity in count; write a number and one of no unit"),
        ("nan", "ratio", "'nan' is not a quantity in ratio; write a number and one of no unit, %"),
        (math.inf, "ratio", "inf is not a quantity in ratio; write a number and one of no unit, %"),
        ("1e999 s", "second", "'1e999 s' is not a finite quantity"),
        ("1e999999999 ms", "second", "'1e999999999 ms' is not a finite quantity"),
        ("1e99999999999999999999", "ratio", "'1e99999999999999999999' is not a finite quantity"),
    ],
)
def test_parse_refuses(text: str | float, unit: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        parse(text, unit)


@given(st.data())
def test_what_the_schema_pattern_takes_parse_takes_too(data: st.DataObject) -> None:
    unit = data.draw(st.sampled_from(sorted(UNITS)))
    text = data.draw(st.from_regex(pattern(unit), fullmatch=True).filter(lambda text: "e" not in text.lower()))
    assert math.isfinite(parse(text, unit))


@pytest.mark.parametrize(
    ("unit", "text", "fits"),
    [
        ("second", "15 ms", True),
        ("second", "15", False),
        ("second", "15 minutes", False),
        ("byte", "1.5e3 KiB", True),
        ("byte", "256 KB", False),
        ("ratio", "1 %", True),
        ("ratio", "0.01", True),
        ("count", "12", True),
        ("count", "12 %", False),
    ],
)
def test_pattern(unit: str, text: str, fits: bool) -> None:
    assert bool(re.search(pattern(unit), text)) is fits


# --- parts of a whole ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("1 %", 0.01), ("5%", 0.05), ("100 %", 1.0), ("99.99 %", 0.9999), ("0 %", 0.0), (0, 0.0), ("0", 0.0)),
        *((0.01, 0.01), ("0.01", 0.01), (".5", 0.5), (0.999, 0.999)),
    ],
)
def test_a_fraction_has_its_sign_or_is_a_decimal_number_below_one(text: str | float, value: float) -> None:
    assert fraction(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (1, "1 may mean 1 % or 100 %; write '1 %' or '100 %'"),
        (1.0, "1.0 may mean 1 % or 100 %; write '1 %' or '100 %'"),
        ("1", "'1' may mean 1 % or 100 %; write '1 %' or '100 %'"),
        (5, "5 is more than 100 %; write '5 %' if percent is meant"),
        (1.5, "1.5 is more than 100 %; write '1.5 %' if percent is meant"),
        ("101 %", "'101 %' is more than 100 %"),
        ("-1 %", "'-1 %' must not be negative"),
        (True, "True is not a quantity in ratio; write a number and one of no unit, %"),
    ],
)
def test_a_fraction_that_may_mean_two_things_is_refused(text: str | float, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        fraction(text)


NUMBERS = st.from_regex(r"[+]?([0-9]{1,4}\.?[0-9]{0,3}|\.[0-9]{1,3}) {0,2}%?", fullmatch=True)


@given(NUMBERS)
def test_the_schema_takes_the_fractions_that_are_taken_and_no_others(text: str) -> None:
    try:
        fraction(text)
        taken = True
    except ValueError:
        taken = False
    assert bool(re.search(FRACTION_PATTERN, text.strip())) is taken


@pytest.mark.parametrize(
    ("metric", "text", "value"),
    [("accuracy_drop", "1 %", 0.01), ("latency_ratio_fp32", "1.5", 1.5), ("latency_p50_s", "2 ms", 0.002)],
)
def test_a_limit_is_a_quantity_of_its_metric(metric: str, text: str, value: float) -> None:
    assert limit(text, metric) == value


def test_a_quotient_of_times_is_no_part_of_a_whole() -> None:
    assert [is_fraction(m) for m in ("accuracy", "accuracy_drop", "latency_ratio_fp32", "size_bytes")] == [
        *(True, True),
        *(False, False),
    ]


@pytest.mark.parametrize(
    ("metric", "unit"),
    [
        ("accuracy", "ratio"),
        ("accuracy_drop", "ratio"),
        ("latency_ratio_fp32", "ratio"),
        ("latency_p90_s", "second"),
        ("first_inference_s", "second"),
        ("memory_peak_bytes", "byte"),
        ("size_bytes", "byte"),
        ("clock_hz", "hertz"),
        ("energy_j", "joule"),
        ("cpu_operators", "count"),
        ("accelerator_cycles", "count"),
    ],
)
def test_a_metric_names_its_unit(metric: str, unit: str) -> None:
    assert unit_of(metric) == unit


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00013, "second", "130 µs"),
        (0.0167, "second", "16.7 ms"),
        (2.5, "second", "2.5 s"),
        (4321.0, "second", "4321 s"),
        (3e-8, "second", "30 ns"),
        (0.0009996, "second", "1000 µs"),  # never "1e+03 µs"
        (-0.002, "second", "-2 ms"),
        (262144, "byte", "256 KiB"),
        (1000 * 1024, "byte", "1000 KiB"),
        (12, "byte", "12 B"),
        (0, "byte", "0 B"),
        (64e6, "hertz", "64 MHz"),
        (0.003, "joule", "3 mJ"),
        (1.05, "ratio", "1.05"),
        (12.0, "count", "12"),
    ],
)
def test_show(value: float, unit: str, text: str) -> None:
    assert show(value, unit) == text


@given(st.floats(1e-12, 1e12), st.sampled_from(["second", "byte", "hertz", "joule"]))
def test_what_is_shown_is_a_quantity_near_the_value(value: float, unit: str) -> None:
    assert parse(show(value, unit), unit) == pytest.approx(value, rel=0.006)


def test_percent() -> None:
    assert percent(0.0123) == "1.23 %"
    assert percent(0.9, digits=0) == "90 %"
