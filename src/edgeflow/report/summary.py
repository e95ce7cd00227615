"""summary.csv: a row per cell of the plan, units in the column names, an empty cell where nothing was measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from edgeflow.report import show
from edgeflow.report.variants import Variant

COLUMNS = (
    "model",
    "target",
    "scheme",
    "status",
    "reason",
    "failed_stage",  # of the job that broke
    "log",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "accuracy_drop",
    "accuracy_drop_upper",
    "latency_p50_s",
    "latency_p90_s",
    "latency_p99_s",
    "latency_ratio_fp32",
    "first_inference_s",
    "memory_peak_bytes",
    "size_bytes",
    "evidence",  # the weakest among the figures that were judged
    "evidence_accuracy",
    "evidence_latency",
    "evidence_memory",
    "shipped_without",
    "warnings",
)


def csv_text(variants: Sequence[Variant]) -> str:
    """The whole table; several reasons or metrics in one cell are joined with "; "."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_row(variant) for variant in variants)
    return stream.getvalue()


def _row(variant: Variant) -> dict[str, str | float | None]:
    """One row; a metric's column has the metric's name, so most of it needs no table of its own."""
    accuracy = variant.figures.get("accuracy")
    interval = accuracy.interval if accuracy else None
    special: dict[str, str | float | None] = {
        "model": variant.cell.model,
        "target": variant.cell.target,
        "scheme": variant.cell.scheme,
        "status": variant.release.value,
        "reason": "; ".join(variant.reasons),
        "failed_stage": variant.failure.stage if variant.failure else None,
        "log": variant.failure.log if variant.failure else None,
        "accuracy_low": interval.low if interval else None,
        "accuracy_high": interval.high if interval else None,
        "accuracy_drop_upper": show.upper(variant.figures.get("accuracy_drop")),
        "evidence": variant.weakest_evidence,
        "evidence_accuracy": variant.evidence("accuracy"),
        "evidence_latency": variant.evidence("latency_p50_s"),
        "evidence_memory": variant.evidence("memory_peak_bytes"),
        "shipped_without": "; ".join(variant.shipped_without),
        "warnings": "; ".join(variant.warnings),
    }
    return {column: special[column] if column in special else variant.value(column) for column in COLUMNS}
