"""What to ship per target, as a table for the terminal that fits into 100 columns."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgeflow.errors import DataError
from edgeflow.report import show
from edgeflow.report.decide import Decision
from edgeflow.types.figures import Evidence
from edgeflow.types.plain import from_json
from edgeflow.types.verdicts import Release

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

STYLES = {
    Release.RELEASED: "green",
    Release.HELD: "yellow",
    Release.REJECTED: "red",
    Release.INFEASIBLE: "dim",
    Release.FAILED: "bold red",
}
_MARKS = {Evidence.DEVICE: "", Evidence.SIMULATOR: " ˢ", Evidence.HOST: " ʰ", Evidence.ESTIMATE: " ᵉ"}
_CAPTION = (
    "evidence: ˢ simulator  ʰ host  ᵉ estimate  (no mark: device)   – not measured\n"
    "in parentheses: what comes closest where nothing ships"
)


def table(decision: Sequence[Any]) -> Table:
    """A rich table of decision.json's content: a row per target and model.

    Raises DataError when it is not what the report stage writes.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    try:
        decisions = from_json(tuple[Decision, ...], decision)
    except ValueError as error:
        raise DataError(f"decision.json: {error}; run snakemake to write it again") from None
    result = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        caption=Text("\n".join((_CAPTION, *_of_tasks(decisions), *_warnings(decisions)))),
        caption_justify="left",
    )
    metrics = {entry.task.metric for entry in decisions if entry.task}
    for heading, right in _HEADINGS:
        alone = heading == "task" and len(metrics) == 1
        result.add_column(
            show.name(*metrics) if alone else heading, justify="right" if right else "left", overflow="fold"
        )
    for target, group in itertools.groupby(decisions, key=lambda entry: entry.target):
        result.add_row(Text(target, "bold"))
        for entry in group:
            result.add_row(*_row(entry))
        result.add_section()
    return result


def age(configuration: str, results: str, unknown: str) -> str:
    """What the reader must know of the report's age; empty when it is of the configuration and the results of now.

    `configuration` and `results` say which are others, `unknown` why that of the configuration is not known.
    """
    parts = []
    if configuration:
        parts.append(f"the configuration ({configuration})")
    if results:
        parts.append(f"the results of {results}")
    lines = [f"This report is older than {' and '.join(parts)}: run snakemake, which makes it again."] if parts else []
    if unknown:
        lines.append(f"Whether this report is of the configuration as it is now cannot be told: {unknown}")
    return "\n".join(lines)


def _of_tasks(decisions: Sequence[Decision]) -> list[str]:
    """What stands in the column of the task, where that is not of one kind, and what the asterisk means."""
    tasks = [entry.task for entry in decisions if entry.task]
    names = dict.fromkeys(show.name(task.metric) for task in tasks)
    declared = dict.fromkeys(f"* on declared {task.declared} inputs" for task in tasks if task.declared)
    return ([f"task: {' or '.join(names)}, as the model has it"] if len(names) > 1 else []) + [*declared]


def _warnings(decisions: Sequence[Decision]) -> list[str]:
    """What makes figures mean little: a line per model and warning, whatever the target."""
    lines = (f"warning: {entry.model}: {warning}" for entry in decisions for warning in entry.warnings)
    return list(dict.fromkeys(lines))


_HEADINGS = (
    ("target, model", False),
    ("ship", False),
    ("task", True),
    ("latency p50", True),
    ("size", True),
    ("memory", True),
    ("verdict", False),
)


def _row(entry: Decision) -> tuple[Text, ...]:
    """One decision; Text, not str, so that a name with brackets is not taken for markup.

    Where nothing ships, what comes closest stands in parentheses, with its figures dimmed.
    """
    from rich.text import Text

    figures = (
        _task(entry),
        figure("latency_p50_s", entry.latency_p50_s, entry.evidence_latency),
        figure("size_bytes", entry.size_bytes, entry.evidence_size),
        figure("memory_peak_bytes", entry.memory_peak_bytes, entry.evidence_memory),
    )
    ship = Text(entry.ship, "bold") if entry.ship else Text(f"– ({entry.scheme})" if entry.scheme else "–")
    return (
        Text(f"  {entry.model}"),
        ship,
        *(Text(figure, "" if entry.ship else "dim") for figure in figures),
        Text(entry.release.value, STYLES[entry.release]),
    )


def _task(entry: Decision) -> str:
    """The task's figure, with its drop's name where tasks of several kinds stand below each other."""
    task = entry.task
    if task is None:
        return show.optional("", None)
    return show.value(task.metric, task.value, task.unit) + ("*" if task.declared else "") + _MARKS[task.evidence]


def figure(metric: str, value: float | None, evidence: Evidence | None, declared: str = "") -> str:
    """A figure with the marks that the caption of `table` explains; a dash when there is none."""
    if value is None or evidence is None:
        return show.optional(metric, value)
    return show.value(metric, value) + ("*" if declared else "") + _MARKS[evidence]
