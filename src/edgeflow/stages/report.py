"""report: the decision per target, the whole matrix and every figure behind it.

Takes plan.json, the results folder and what broke in the run, if anything did; makes index.html (one file that opens
offline), summary.csv, decision.json and sources.json, by which `edgeflow summary` tells whether they are old.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgeflow import files
from edgeflow.errors import DataError
from edgeflow.report import imports, page
from edgeflow.report.costs import read as read_costs
from edgeflow.report.decide import TargetInfo, decide
from edgeflow.report.imports import Import
from edgeflow.report.recipes import read as read_recipes
from edgeflow.report.recipes import savings
from edgeflow.report.sensitivity import read as read_rankings
from edgeflow.report.sources import Sources, of_results
from edgeflow.report.summary import csv_text
from edgeflow.report.variants import Variant, read
from edgeflow.types.jobs import Failure


@dataclass(frozen=True)
class Spec:
    """What the report says beside the figures."""

    title: str
    baseline: str  # id of the scheme that the others are compared with
    targets: tuple[TargetInfo, ...]  # in the order of the report
    dense: Mapping[str, str] = field(default_factory=dict)  # scheme with steps → the same without them, in the matrix
    imports: Mapping[str, Import] = field(default_factory=dict)  # by model
    configuration: Mapping[str, str] = field(default_factory=dict)  # what results depend on → digest, for sources.json


@dataclass(frozen=True)
class Inputs:
    """The matrix and the folder in which the stages left their files."""

    plan: Path
    results: Path
    failures: Path | None = None  # failures.json of a run in which jobs broke


@dataclass(frozen=True)
class Outputs:
    """The report for people and for machines."""

    html: Path
    summary: Path
    decision: Path
    sources: Path


def run(spec: Spec, inputs: Inputs, outputs: Outputs) -> None:
    """Write the four files; the same inputs give the same bytes.

    Raises StageError when a planned variant has no files, DataError when a file does not fit.
    """
    failures = files.read_as(tuple[Failure, ...], inputs.failures) if inputs.failures else ()
    variants = read(inputs.plan, inputs.results, failures)
    _check_targets(spec, variants)
    recipes = read_recipes(inputs.plan, inputs.results)
    content = page.Content(
        decisions=decide(variants, spec.targets, spec.baseline),
        variants=variants,
        recipes=recipes,
        savings=savings(recipes, variants, spec.dense, spec.baseline),
        rankings=read_rankings(inputs.plan, inputs.results),
        costs=read_costs(inputs.plan, inputs.results),
        imports=imports.read(inputs.results, spec.imports, variants),
    )
    html = page.render(spec.title, spec.baseline, spec.targets, content)
    files.write_text(outputs.html, html)
    files.write_text(outputs.summary, csv_text(variants))
    files.write_json(outputs.decision, content.decisions)
    read_from = of_results((variant.cell.id for variant in variants), inputs.results, failures)
    files.write_json(outputs.sources, Sources(spec.configuration, read_from))


def _check_targets(spec: Spec, variants: tuple[Variant, ...]) -> None:
    """A target that the spec forgot would vanish from the decisions."""
    known = {target.id for target in spec.targets}
    if unknown := sorted({v.cell.target for v in variants} - known):
        raise DataError(
            f"report: the plan has target {unknown[0]}, the spec has only {', '.join(sorted(known)) or 'none'}; "
            "add it to the spec's targets"
        )
