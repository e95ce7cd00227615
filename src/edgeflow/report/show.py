"""Figures as people read them: one place for the names, numbers and words of the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from edgeflow import units
from edgeflow.types.figures import DROP, Evidence, Measurement
from edgeflow.types.verdicts import Release

NOT_MEASURED = "not measured"

EVIDENCE: Mapping[str, str] = {
    Evidence.DEVICE: "the program ran on a physical device of its target",
    Evidence.SIMULATOR: "the target's real interpreter, or an instruction-level model of it, ran the program",
    Evidence.HOST: "the same program or its equivalent ran on a machine that is not the target",
    Evidence.ESTIMATE: "nothing ran: a compiler or a formula says so",
    NOT_MEASURED: "no figure; a budget on it is never passed",
}

RELEASE: Mapping[Release, str] = {
    Release.RELEASED: "every budget is met; a package exists",
    Release.HELD: "no budget failed, but a figure is missing, too weak, or from too few samples",
    Release.REJECTED: "a budget failed",
    Release.INFEASIBLE: "no such program exists",
    Release.FAILED: "a job on the way to it broke: nothing is known of it, and the next run tries again",
}

_NAMES: Mapping[str, str] = {
    "signal_to_noise_db": "signal-to-noise",
    "latency_p50_s": "latency p50",
    "latency_p90_s": "latency p90",
    "latency_p99_s": "latency p99",
    "latency_ratio_fp32": "latency vs fp32",
    "memory_peak_bytes": "peak memory",
    "size_bytes": "size",
}


def name(metric: str) -> str:
    """A metric as a label: "latency_p50_s" is "latency p50"; with the output that it is of, where it says one."""
    metric, _, output = metric.partition("/")
    if output:
        return f"{name(metric)} of {output}"
    if metric in _NAMES:
        return _NAMES[metric]
    unit = units.unit_of(metric)
    suffix = {"second": "_s", "byte": "_bytes", "hertz": "_hz", "joule": "_j", "decibel": "_db"}.get(unit, "")
    return metric.removesuffix(suffix).replace("_", " ")


def value(metric: str, number: float, unit: str = "") -> str:
    """A canonical value with its unit; a drop is in points of the metric that drops."""
    text = _value(metric, number, unit or units.unit_of(metric))
    if text.startswith("-"):  # with a minus sign, and none before a zero
        return f"−{text[1:]}" if any(digit in text for digit in "123456789") else text[1:]
    return text


def _value(metric: str, number: float, unit: str) -> str:
    if metric.endswith(DROP) and unit == "ratio":
        return units.percent(number).replace(" %", " points")
    if metric.partition("/")[0] == "cosine_similarity":
        return f"{number:.5f}"
    if metric.startswith("latency_ratio"):
        return times(number)
    return units.percent(number) if unit == "ratio" else units.show(number, unit)


def times(ratio: float) -> str:
    """A ratio of two like figures: "0.57×"."""
    return f"{ratio:.2f}×"


def optional(metric: str, number: float | None, unit: str = "") -> str:
    """`value`, or a dash when there is none."""
    return "–" if number is None else value(metric, number, unit)


def interval(measurement: Measurement | None) -> str:
    """Both ends, as "97.30 – 98.90 %"; empty when there is no interval."""
    if measurement is None or measurement.interval is None:
        return ""
    return between(measurement.metric, measurement.interval.low, measurement.interval.high, measurement.unit)


def between(metric: str, low: float, high: float, unit: str = "") -> str:
    """Two ends, with their unit once where it is the same."""
    first, last = value(metric, low, unit), value(metric, high, unit)
    number, _, own = first.partition(" ")
    return f"{number if own == last.partition(' ')[2] else first} – {last}"


def upper(measurement: Measurement | None) -> float | None:
    """The upper end of a measurement's interval."""
    return measurement.interval.high if measurement and measurement.interval else None


def evidence(kind: Evidence | None) -> str:
    """The word on the badge."""
    return kind.value if kind else NOT_MEASURED


def common(mappings: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What all of the mappings that hold anything agree on, so that it is said once."""
    filled = [mapping for mapping in mappings if mapping]
    return {k: v for k, v in filled[0].items() if all(m.get(k) == v for m in filled)} if filled else {}


def listed(mapping: Mapping[str, Any], said: Mapping[str, Any] | None = None) -> str:
    """Conditions or versions, as "load average 0.42, threads 1", without those that were `said` already."""
    left = sorted((k, v) for k, v in mapping.items() if k not in (said or {}))
    return ", ".join(f"{k.replace('_', ' ')} {f'{v:.4g}' if isinstance(v, float) else v}" for k, v in left)
