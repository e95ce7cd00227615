"""Quantities with units: people write `15 ms`, `256 KiB`, `1 %`; inside, everything is canonical.

Canonical units are second, byte, hertz, joule, decibel, ratio and count. A metric's unit follows from its name, but for
those of tasks, which say it themselves. Of one output of several a metric has the name behind a slash.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal, DecimalException

# Factors to the canonical unit. Powers of 1024 only under their IEC names (IEC 80000-13); "KB" would be ambiguous.
UNITS: Mapping[str, Mapping[str, float]] = {
    "second": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "min": 60.0},
    "byte": {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30},
    "hertz": {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9},
    "joule": {"J": 1.0, "mJ": 1e-3, "µJ": 1e-6, "uJ": 1e-6},
    "decibel": {"dB": 1.0},
    "ratio": {"": 1.0, "%": 1e-2},
    "count": {"": 1.0},
}
_SUFFIXES = {"_s": "second", "_bytes": "byte", "_hz": "hertz", "_j": "joule", "_db": "decibel", "_ratio": "ratio"}
_QUOTIENTS = {"latency_ratio_fp32", "cosine_similarity"}  # no parts of a whole
_RATIOS = {"accuracy", "accuracy_drop", "agreement", "exact_match", *_QUOTIENTS}
_GREEK_MU = "\u03bc"  # looks like the micro sign, and is what many keyboards give for it
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\d\s]*)\s*")


def unit_of(metric: str) -> str:
    """The canonical unit of a metric, from its name: "latency_p90_s" is in "second", "accuracy" is a "ratio"."""
    metric = metric.partition("/")[0]
    if metric in _RATIOS:
        return "ratio"
    return next((unit for suffix, unit in _SUFFIXES.items() if metric.endswith(suffix)), "count")


def parse(text: str | int | float, unit: str) -> float:
    """A quantity as written by a person, in canonical `unit`.

    Raises ValueError that says which units are known; a bare number is taken only for ratio and count.
    """
    known = UNITS[unit]
    match = _QUANTITY.fullmatch(str(text).replace(_GREEK_MU, "µ")) if not isinstance(text, bool) else None
    if match is None or match[2] not in known:
        raise ValueError(f"{text!r} is not a quantity in {unit}; write a number and one of {_names(known)}")
    # in decimals: 70 % and 0.7 are one number, and not two that differ in their last bit
    try:
        value = float(Decimal(match[1]) * Decimal(str(known[match[2]])))
    except DecimalException:  # an exponent of more digits than decimals have
        value = math.inf
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite quantity")
    return value


def is_fraction(metric: str, unit: str = "") -> bool:
    """True for a metric that is a part of a whole and shown in percent, which a quotient of times is not."""
    metric = metric.partition("/")[0]
    return (unit or unit_of(metric)) == "ratio" and "ratio" not in metric and metric not in _QUOTIENTS


def fraction(text: str | int | float) -> float:
    """A part of a whole as written by a person: a percentage with its sign, or a decimal number below 1, or 0.

    Raises ValueError for anything else, and so for 1: who writes 1 for 1 % would be given 100 %.
    """
    value = parse(text, "ratio")
    if value < 0:
        raise ValueError(f"{text!r} must not be negative")
    signed = "%" in str(text)
    if value > 1:
        raise ValueError(f"{text!r} is more than 100 %" + ("" if signed else f"; write '{text} %' if percent is meant"))
    if value == 1 and not signed:
        raise ValueError(f"{text!r} may mean 1 % or 100 %; write '1 %' or '100 %'")
    return value


def limit(text: str | int | float, metric: str, unit: str = "") -> float:
    """A limit on a metric as written by a person, in its canonical unit; ValueError for what is none."""
    return fraction(text) if is_fraction(metric, unit) else parse(text, unit or unit_of(metric))


def _names(known: Mapping[str, float]) -> str:
    return ", ".join(name or "no unit" for name in known)


def pattern(unit: str) -> str:
    """A regular expression (ECMA 262, as JSON schemas use) for what `parse` takes as text."""
    names = sorted((re.escape(name) for name in UNITS[unit] if name), reverse=True)
    suffix = f" *({'|'.join(names)}){'?' if '' in UNITS[unit] else ''}" if names else ""
    return rf"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?{suffix}$"


# From 0 % to 100 %, or 0, or a decimal number below 1, as `fraction` takes them.
FRACTION_PATTERN = (
    r"^[+]?((0*[0-9]{1,2}(\.[0-9]*)?|0*100(\.0*)?|\.[0-9]+) *%"
    r"|0+\.?|0*\.[0-9]+)$"
)


def show(value: float, unit: str) -> str:
    """A canonical value as people read it: `show(.00013, "second")` is "130 µs"."""
    if unit == "second":
        return _scaled(value, (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)))
    if unit == "byte":
        return _scaled(value, (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10), ("B", 1)))
    if unit == "hertz":
        return _scaled(value, (("GHz", 1e9), ("MHz", 1e6), ("kHz", 1e3), ("Hz", 1.0)))
    if unit == "joule":
        return _scaled(value, (("J", 1.0), ("mJ", 1e-3), ("µJ", 1e-6)))
    if unit == "decibel":
        return f"{value:.1f} dB"
    return f"{value:.4g}" if unit != "count" else f"{value:.0f}"


def _scaled(value: float, steps: tuple[tuple[str, float], ...]) -> str:
    name, factor = next(((n, f) for n, f in steps if abs(value) >= f), steps[-1])
    digits = ".3g" if abs(value / factor) < 999.5 else ".0f"  # ".3g" writes 999.9 as 1e+03
    return f"{value / factor:{digits}} {name}"


def percent(value: float, digits: int = 2) -> str:
    """A ratio as a percentage: `percent(.0123)` is "1.23 %"."""
    return f"{100 * value:.{digits}f} %"
