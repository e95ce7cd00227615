"""summary.csv: a row per cell of the plan, units in the column names, an empty cell where nothing was measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from edgeflow.report.primary import all_of
from edgeflow.report.variants import Variant

_BEFORE = ("model", "target", "scheme", "status", "reason", "failed_stage", "log")  # `log` of the job that broke
_AFTER = (
    "latency_p50_s",
    "latency_p90_s",
    "latency_p99_s",
    "latency_ratio_fp32",
    "first_inference_s",
    "memory_peak_bytes",
    "size_bytes",
    "evidence",  # the weakest among the figures that were judged
)
_LAST = ("evidence_latency", "evidence_memory", "shipped_without", "warnings")
ENDS = ("_low", "_high")


def csv_text(variants: Sequence[Variant]) -> str:
    """The whole table; several reasons or metrics in one cell are joined with "; ".

    What tells whether a model does its task has the columns that the tasks of these models have.
    """
    stream = io.StringIO()
    tasks = _of_tasks(variants)
    columns = (
        *_BEFORE,
        *tasks,
        *_AFTER,
        *(f"evidence_{p.metric}" for p in all_of(v.primary for v in variants)),
        *_LAST,
    )
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: row.get(column) for column in columns} for row in map(_row, variants))
    return stream.getvalue()


def _of_tasks(variants: Sequence[Variant]) -> list[str]:
    """Columns of every task: its metric with both ends, its drop with the upper one, then what else it tells."""
    columns: dict[str, None] = {}
    for primary in all_of(v.primary for v in variants):
        columns |= dict.fromkeys((primary.metric, *(primary.metric + end for end in ENDS)))
        if any(primary.drop in variant.figures for variant in variants):
            columns |= dict.fromkeys((primary.drop, f"{primary.drop}_upper"))
    judged = dict.fromkeys(metric for variant in variants for metric in variant.task if metric in variant.figures)
    for metric in judged:
        if metric not in columns:
            columns |= dict.fromkeys((metric, *(metric + end for end in ENDS)))
    return list(columns)


def _row(variant: Variant) -> dict[str, str | float | None]:
    """Every figure under its metric's name, and what is known beside figures."""
    row: dict[str, str | float | None] = {}
    for metric, figure in variant.figures.items():
        row[metric] = figure.value
        if figure.interval:
            ends = (figure.interval.low, figure.interval.high)
            row |= {f"{metric}_low": ends[0], f"{metric}_high": ends[1], f"{metric}_upper": ends[1]}
    if variant.primary:
        row[f"evidence_{variant.primary.metric}"] = variant.evidence(variant.primary.metric)
    return row | {
        "model": variant.cell.model,
        "target": variant.cell.target,
        "scheme": variant.cell.scheme,
        "status": variant.release.value,
        "reason": "; ".join(variant.reasons),
        "failed_stage": variant.failure.stage if variant.failure else None,
        "log": variant.failure.log if variant.failure else None,
        "evidence": variant.weakest_evidence,
        "evidence_latency": variant.evidence("latency_p50_s"),
        "evidence_memory": variant.evidence("memory_peak_bytes"),
        "shipped_without": "; ".join(variant.shipped_without),
        "warnings": "; ".join(variant.warnings),
    }
