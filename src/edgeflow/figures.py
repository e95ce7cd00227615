"""Which of several figures counts, and what a figure may be used for: one place for all who ask."""

from __future__ import annotations

from collections.abc import Iterable

from edgeflow.types.figures import DROP, Direction, Evidence, Interval, Measurement

RATIO = "latency_ratio_fp32"  # median time as a multiple of the baseline's, taken in turn
# Conditions of a figure: what it is held against is nearly the same for all samples, or is so in some outputs.
ALIKE, ALIKE_IN_PART = "source_alike", "source_alike_in_part"
ELSEWHERE = "elsewhere"  # condition of a figure: why it is not of the device


def strongest(measurements: Iterable[Measurement]) -> dict[str, Measurement]:
    """One measurement by metric: where a device and a compiler both speak, the device; of equals the first."""
    best: dict[str, Measurement] = {}
    for measurement in measurements:
        known = best.get(measurement.metric)
        if known is None or measurement.evidence.strength > known.evidence.strength:
            best[measurement.metric] = measurement
    return best


# What a machine shows by running: another machine shows something else. Answers, files and operators are the same.
_OF_THE_MACHINE = ("latency_", "first_inference_", "memory_", "energy_")
_OF_THE_FILE = "size_bytes"
_OF_THE_COMPILER = ("accelerator_", "cpu_operators", "flash_", "arena_")


def may_choose(metric: str, evidence: Evidence, demanded: Evidence | None) -> bool:
    """Whether a figure may choose between variants, or be called a gain: where it would decide a budget on its metric.

    `demanded` is the weakest evidence which that budget accepts. Without a budget (None), a time or an amount of memory
    of a machine that is not the target may not; the length of a file always may, it is the same everywhere.
    """
    if metric == _OF_THE_FILE:
        return True
    if demanded is not None:
        return evidence.satisfies(demanded)
    return evidence is not Evidence.HOST or not metric.startswith(_OF_THE_MACHINE)


def of_a_machine(metric: str, evidence: Evidence) -> bool:
    """Whether a figure is of the machine that it was taken on, and cannot be compared with that of another one."""
    return metric.startswith(_OF_THE_MACHINE) and evidence in (Evidence.DEVICE, Evidence.HOST)


def of_the_machine(metric: str) -> bool:
    """Whether a metric says what a program costs, and nothing of what it answers."""
    return metric.startswith((*_OF_THE_MACHINE, _OF_THE_FILE, *_OF_THE_COMPILER))


def task_metrics(names: Iterable[str]) -> set[str]:
    """The metrics that say whether the model does its task: accuracy, and whatever has a drop."""
    drops = {name for name in names if name.endswith(DROP)} | {f"accuracy{DROP}"}
    return drops | {name.removesuffix(DROP) for name in drops}


def bad_end(interval: Interval | None, direction: Direction) -> float | None:
    """The end of an interval that a limit is held against; None without an interval."""
    if interval is None:
        return None
    return interval.high if direction == Direction.MAX else interval.low
