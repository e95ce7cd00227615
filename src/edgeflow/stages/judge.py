"""judge: the measurements of one variant are held against the budgets of its target.

Takes measurement.json; makes verdict.json. Over budget is a verdict, not an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeflow import files
from edgeflow.errors import MismatchError
from edgeflow.judge import judge
from edgeflow.types import Budget, Cell, Measured


@dataclass(frozen=True)
class Spec:
    """All that judge depends on beside its files."""

    model: str
    target: str
    scheme: str
    budgets: tuple[Budget, ...]
    release_without: tuple[str, ...]


@dataclass(frozen=True)
class Inputs:
    """What was measured."""

    measurement: Path


@dataclass(frozen=True)
class Outputs:
    """What follows from it."""

    verdict: Path


def run(spec: Spec, inputs: Inputs, outputs: Outputs) -> None:
    """Judge one variant; MismatchError when the measurements are of another one."""
    found = files.read_as(Measured, inputs.measurement)
    cell = Cell(spec.model, spec.target, spec.scheme)
    measured = Cell(found.model, found.target, found.scheme)
    if measured != cell:
        raise MismatchError(f"judge: {inputs.measurement} is about {measured.id}, expected {cell.id}; measure it again")
    verdict = judge(
        cell, spec.budgets, found.measurements, found.infeasible, spec.release_without, found.not_applicable
    )
    files.write_json(outputs.verdict, verdict)
