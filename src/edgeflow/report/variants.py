"""What the stages left for every cell of the plan, read into one value per cell.

A planned variant without its files is lost, which is an error: the report never has a hole. A variant of which a job
broke is a result like any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeflow import files, layout
from edgeflow.errors import DataError, StageError
from edgeflow.failures import by_cell
from edgeflow.figures import may_choose, of_a_machine, strongest
from edgeflow.paths import problem
from edgeflow.report.primary import Primary, of_measured
from edgeflow.runners import identity
from edgeflow.types.figures import Evidence, Measurement
from edgeflow.types.jobs import Failure
from edgeflow.types.ladder import Ladder
from edgeflow.types.programs import Measured, Operators, Program
from edgeflow.types.signatures import Signature
from edgeflow.types.variants import Cell
from edgeflow.types.verdicts import Check, Release, Verdict


@dataclass(frozen=True)
class Variant:
    """One cell of the plan with all that is known about it."""

    cell: Cell
    verdict: Verdict | None = None  # None where the plan already says that there is no such variant, or a job broke
    failure: Failure | None = None  # the job that broke
    program: Program | None = None
    ladder: Ladder = field(default_factory=lambda: Ladder(rungs=()))
    figures: Mapping[str, Measurement] = field(default_factory=dict)  # metric → its best proven measurement
    operators: tuple[Operators, ...] = ()
    signature: Signature | None = None
    primary: Primary | None = None  # None where nothing tells what its task is
    declared: str = ""  # what was asked where nobody recorded samples: "random"

    @property
    def release(self) -> Release:
        """What becomes of it."""
        if self.failure:
            return Release.FAILED
        return self.verdict.release if self.verdict else Release.INFEASIBLE

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not simply released."""
        if self.failure:
            return (f"{self.failure.sentence} (log: {self.failure.log or 'none'})",)
        return self.verdict.reasons if self.verdict else (self.cell.reason,)

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every budget held against its figure."""
        return self.verdict.checks if self.verdict else ()

    @property
    def shipped_without(self) -> tuple[str, ...]:
        """Metrics that its target accepts to ship without, and that nobody measured."""
        return self.verdict.shipped_without if self.verdict else ()

    @property
    def task(self) -> tuple[str, ...]:
        """The metrics that say whether it does its task."""
        return self.verdict.task if self.verdict else ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes its figures mean little, however good they are."""
        return self.verdict.warnings if self.verdict else ()

    def value(self, metric: str) -> float | None:
        """A figure in its canonical unit; None when it was not measured."""
        figure = self.figures.get(metric)
        return figure.value if figure else None

    def evidence(self, metric: str) -> Evidence | None:
        """How a figure was obtained; None when it was not measured."""
        figure = self.figures.get(metric)
        return figure.evidence if figure else None

    def chooses(self, metric: str) -> bool:
        """Whether it has a figure that may choose between variants on its target: see `figures.may_choose`."""
        figure = self.figures.get(metric)
        demanded = next((check.evidence_required for check in self.checks if check.metric == metric), None)
        return figure is not None and may_choose(metric, figure.evidence, demanded)

    def machine(self, metric: str) -> str:
        """Which machine, in which state, a figure is of: see runners/identity.py; "" where it is the same on all."""
        figure = self.figures.get(metric)
        if figure is None or not of_a_machine(metric, figure.evidence):
            return ""
        said = {part: str(figure.conditions.get(part, "")) for part in identity.PARTS}  # as in `Measurement.device`
        return identity.short(said) if any(said.values()) else ""

    @property
    def weakest_evidence(self) -> Evidence | None:
        """The weakest evidence among the figures that were judged; None when none was."""
        judged = [check.evidence for check in self.checks if check.evidence is not None]
        return min(judged, key=lambda evidence: evidence.strength, default=None)


def machines(variants: Iterable[Variant], metric: str) -> list[str]:
    """The machines that the figures which may choose were taken on: those of two cannot be compared."""
    return sorted({machine for v in variants if v.chooses(metric) and (machine := v.machine(metric))})


def read(plan: Path, results: Path, failures: Sequence[Failure] = ()) -> tuple[Variant, ...]:
    """One variant per cell of the plan, in the plan's order. What an earlier run left of a cell of which a job broke
    is not read: it may be of another model, data or code.

    Raises StageError that names every planned variant whose files are not there, DataError for a file that does not
    fit its cell.
    """
    cells = _cells(plan)
    broken = by_cell(failures)
    expected = (cell for cell in cells if not cell.reason and cell.id not in broken)
    if lost := [gap for cell in expected if (gap := _missing(cell, results))]:
        raise StageError(
            f"report: {len(lost)} of {len(cells)} planned cells are lost: {'; '.join(lost)}. "
            "Every stage up to judge leaves its files even for what fails: run snakemake again and read results/logs"
        )
    return tuple(_variant(cell, results, broken) for cell in cells)


def finished(plan: Path, results: Path, failures: Sequence[Failure] = ()) -> tuple[Variant, ...]:
    """As `read`, of those cells only whose files are there or of which a job broke: while a run is going on."""
    broken = by_cell(failures)
    cells = (cell for cell in _cells(plan) if cell.reason or cell.id in broken or not _missing(cell, results))
    return tuple(_variant(cell, results, broken) for cell in cells)


def _variant(cell: Cell, results: Path, broken: Mapping[str, Failure]) -> Variant:
    if cell.reason:
        return Variant(cell)
    failure = broken.get(cell.id)
    return Variant(cell, failure=failure) if failure else _read_variant(cell, results)


def _cells(plan: Path) -> tuple[Cell, ...]:
    content = files.read_json(plan)
    try:
        cells = tuple(map(_cell, content["cells"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f'{plan}: expected {{"cells": [{{model, target, scheme, runtime, platform}}, …]}} as '
            f"'edgeflow plan --output' writes it; found {type(error).__name__}: {error}"
        ) from None
    for cell in cells:
        for name in filter(None, (cell.model, cell.target, cell.scheme, cell.runtime, cell.platform)):
            if "/" in name or problem(name):
                raise DataError(f"{plan}: {name!a} is no name of a part of {cell.id!a}; make the plan again")
    if twice := sorted(name for name, count in Counter(cell.id for cell in cells).items() if count > 1):
        raise DataError(f"{plan}: {twice[0]} is there twice")
    return cells


def _cell(planned: Mapping[str, Any]) -> Cell:
    """A cell of plan.json: infeasible with a reason, or with the key of its program."""
    names = (str(planned["model"]), str(planned["target"]), str(planned["scheme"]))
    if reason := planned.get("reason"):
        return Cell(*names, str(reason))
    return Cell(*names, "", str(planned["runtime"]), str(planned["platform"]))


def _paths(cell: Cell, results: Path) -> Mapping[str, Path]:
    """Where the stages leave what the report reads about one cell."""
    key = (cell.model, cell.target, cell.scheme)
    compiled = layout.compile(cell.model, cell.runtime, cell.platform, cell.scheme)
    paths = {
        "program": compiled["info"],
        "measurement": layout.measure(*key)["measurement"],
        "verdict": layout.judge(*key)["verdict"],
    }
    return {name: results / Path(path).relative_to(layout.RESULTS) for name, path in paths.items()}


def _missing(cell: Cell, results: Path) -> str:
    """What is missing, as "model/target/scheme (no verdict.json)"; empty when all files are there."""
    names = [path.name for path in _paths(cell, results).values() if not path.is_file()]
    return f"{cell.id} (no {', no '.join(names)})" if names else ""


def _read_variant(cell: Cell, results: Path) -> Variant:
    paths = _paths(cell, results)
    verdict = _read_own(Verdict, paths["verdict"], cell)
    measured = _read_own(Measured, paths["measurement"], cell)
    program = _read_own(Program, paths["program"], cell)
    return Variant(
        cell=cell,
        verdict=verdict,
        program=program,
        ladder=_completed(program.ladder, measured.measurements),
        figures=strongest(measured.measurements),
        operators=measured.operators or program.operators,
        signature=measured.signature or program.signature,
        primary=of_measured(measured.reference, program.ladder),
        declared=measured.declared,
    )


def _completed(ladder: Ladder, measurements: Iterable[Measurement]) -> Ladder:
    """With the value of what was asked the evaluation samples when it was measured, not when it was compiled."""
    if not ladder.rungs or ladder.rungs[-1].value is not None:
        return ladder
    last = ladder.rungs[-1]
    of = (m for m in measurements if (m.metric, m.artifact_sha256) == (last.metric, last.artifact_sha256))
    figure = next(of, None)
    if figure is None:
        return ladder
    return replace(ladder, rungs=(*ladder.rungs[:-1], replace(last, value=figure.value, n=figure.n or 0)))


def _read_own(cls: type[Any], path: Path, cell: Cell) -> Any:
    """Read a file that says what it is about; DataError when that is another variant or program."""
    content = files.read_as(cls, path)
    is_program = isinstance(content, Program)
    name = content.id if is_program else f"{content.model}/{content.target}/{content.scheme}"
    expected = cell.program if is_program else cell.id
    if name != expected:
        raise DataError(f"{path}: is about {name}, expected {expected}")
    return content
