"""judge: the measurements of one variant are held against the budgets of its target and of its model.

Takes measurement.json and train.json; makes verdict.json. Over budget is a verdict, not an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgeflow import files
from edgeflow.errors import DataError, MismatchError
from edgeflow.judge import Circumstances, judge
from edgeflow.types.figures import Budget
from edgeflow.types.ladder import Network
from edgeflow.types.plain import from_json
from edgeflow.types.programs import Measured
from edgeflow.types.variants import Cell


@dataclass(frozen=True)
class Spec:
    """All that judge depends on beside its files."""

    model: str
    target: str
    scheme: str
    budgets: tuple[Budget, ...]
    release_without: tuple[str, ...]
    accept_chance_level: bool = False  # the user's word that the model may be no better than chance
    task: tuple[str, ...] = ()  # metrics that say whether the model does its task
    not_applicable: Mapping[str, str] = field(default_factory=dict)  # metric of a budget → why the model has none
    accept_random_inputs: bool = False  # the user's word that no real sample need be asked


@dataclass(frozen=True)
class Inputs:
    """What was measured, and what the training said."""

    measurement: Path
    train: Path | None = None  # train.json of the model without a scheme's steps


@dataclass(frozen=True)
class Outputs:
    """What follows from it."""

    verdict: Path


def run(spec: Spec, inputs: Inputs, outputs: Outputs) -> None:
    """Judge one variant; MismatchError when the measurements are of another one."""
    measured = files.read_as(Measured, inputs.measurement)
    cell = Cell(spec.model, spec.target, spec.scheme)
    about = Cell(measured.model, measured.target, measured.scheme)
    if about != cell:
        raise MismatchError(f"judge: {inputs.measurement} is about {about.id}, expected {cell.id}; measure it again")
    verdict = judge(
        cell,
        spec.budgets,
        measured.measurements,
        measured.infeasible,
        spec.release_without,
        {**spec.not_applicable, **measured.not_applicable},
        Circumstances(
            measured.reference,
            _network(inputs),
            spec.accept_chance_level,
            spec.task,
            measured.missing,
            measured.declared,
            spec.accept_random_inputs,
        ),
    )
    files.write_json(outputs.verdict, verdict)


def _network(inputs: Inputs) -> Network:
    """What a training showed of the network; nothing where there was none."""
    if inputs.train is None:
        return Network()
    said = files.read_json(inputs.train)
    try:
        return from_json(Network, (said.get("network") if isinstance(said, dict) else said) or {})
    except ValueError as error:
        raise DataError(f"{inputs.train}: network: {error}; train again") from None
