"""Builds schemes with Snakemake, as anyone would: packages are asked for, and what they need is made or found."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import yaml

from edgeflow import files, layout
from edgeflow.config.project import recipe_id
from edgeflow.errors import StageError, UsageError
from edgeflow.failures import reason
from edgeflow.figures import RATIO
from edgeflow.plugin import Comparison, Drop, Score, Task
from edgeflow.search.candidates import Candidate, Candidates, write
from edgeflow.search.tried import Figure
from edgeflow.stages import splits
from edgeflow.stages.ladder import Outputs
from edgeflow.stages.reference import comparison
from edgeflow.toolchains import client
from edgeflow.types.plain import to_json
from edgeflow.types.programs import Measured
from edgeflow.types.variants import Cell
from edgeflow.wiring import Job, Wiring
from snakemake_logger_plugin_edgeflow import events
from snakemake_logger_plugin_edgeflow.events import FailedJob, Failures

if TYPE_CHECKING:
    from edgeflow.plan import Plan

PATIENCE_S = 20  # for jobs that are told to end
LOCKED = "LockException"  # Snakemake's, where another one builds in this folder


def lost(task: Task, compared: Comparison) -> Drop | Score | str:
    """What answers lose against the model itself, or why there is no figure of what is searched for: a limit in one
    unit decides nothing of a figure in another.
    """
    if task.drop:
        return task.drop(compared)
    score = task.score(compared)
    if score.metric in ("", task.metric):
        return score
    return f"its outputs have no {task.metric}, which is searched for, but {score.metric}: there is nothing to search"


class OutOfTimeError(Exception):
    """The time of the search is over; what was being built goes on where it was cut off, the next time."""


class Evaluator(Protocol):
    """What a search asks for; a text in place of a result says why a build failed."""

    def drops(self, schemes: Sequence[Candidate]) -> Mapping[str, Drop | Score | str]:
        """What optimized models lose against the model itself, by scheme: nothing is compiled or timed."""

    def measured(self, schemes: Sequence[Candidate]) -> Mapping[str, Measured | str]:
        """The figures of whole packages, by scheme."""

    def compare(self, scheme: Candidate, other: Candidate) -> Figure | None:
        """Median time of a scheme as a multiple of another one's, in turn in one process; None: too few runs."""


class Snakemake:
    """Builds in the current folder, with the jobs of one Snakemake at a time."""

    def __init__(
        self, candidates: Candidates, cores: int, until_s: float, overrides: Mapping[str, Any] | None = None
    ) -> None:
        """`until_s`: on the monotonic clock. `overrides`: what comes before the values of config/config.yaml."""
        self._candidates = candidates
        self._model, self._target = candidates.model, candidates.target
        project = candidates.project
        self._dataset = project.models[self._model].dataset
        recipe = project.scheme(project.baseline).recipe
        self._imported = project.models[self._model].imported
        origin = layout.origin(self._model, recipe, imported=self._imported)
        self._reference = origin["outputs"]  # what the model itself answered: drops are counted from there
        # other recipes start from the base
        base = ((model, recipe_id(())) for model in (self._model, *candidates.teachers))
        self._trained = () if self._imported else tuple(dict.fromkeys([(self._model, recipe), *base]))  # model, recipe
        known = [layout.train(*key)["checkpoint"] for key in self._trained]
        self._shared = (layout.prepare(self._dataset)["info"], *known, *([origin["info"]] if self._imported else []))
        self._paths = layout.search(self._model, self._target)
        self._folders = [*project.matrix.scheme_folders, self._paths["schemes"]]
        self._log = Path(layout.log("search", f"{self._model}--{self._target}"))
        self._cores = cores
        self._until_s = until_s
        self._overrides = overrides or {}

    def drops(self, schemes: Sequence[Candidate]) -> Mapping[str, Drop | Score | str]:
        """See `Evaluator`."""
        _, plan = self._candidates.planned(schemes)
        routes = {c.id: plan.routes[self._cell(plan, c.id)] for c in schemes}
        made = {n: layout.optimize(self._model, r.profile, n, r.file_format) for n, r in routes.items()}
        failed = self._run(schemes, {name: paths["ladder"] for name, paths in made.items()})
        answers = {name: Path(paths["outputs"]) for name, paths in made.items() if name not in failed}
        return {**failed, **{name: self._drop(path) for name, path in answers.items()}}

    def _drop(self, outputs: Path) -> Drop | Score | str:
        config = self._candidates.project.models[self._model]
        task, asked = self._candidates.plugins.tasks[config.task], Path(layout.prepare(self._dataset)["evaluation"])
        y = splits.labels(asked) if task.needs_targets else splits.opened(asked).labels()
        before, after = (Outputs.read(path).evaluation for path in (Path(self._reference), outputs))
        compared = comparison(before, after, y, config.output or "")
        return lost(task, compared)

    def measured(self, schemes: Sequence[Candidate]) -> Mapping[str, Measured | str]:
        """See `Evaluator`."""
        keys = {c.id: (self._model, self._target, c.id) for c in schemes}
        failed = self._run(schemes, {name: layout.package(*key)["record"] for name, key in keys.items()})
        records = {n: Path(layout.measure(*key)["measurement"]) for n, key in keys.items() if n not in failed}
        return {**failed, **{name: files.read_as(Measured, path) for name, path in records.items()}}

    def compare(self, scheme: Candidate, other: Candidate) -> Figure | None:
        """See `Evaluator`. This is `measure`, with the other scheme's program in the place of the baseline's.

        It takes place after the time of the search, and finds both packages there.
        """
        self._until_s = math.inf
        for outcome in self.measured((scheme, other)).values():
            if isinstance(outcome, str):
                raise StageError(f"search: {scheme.id} cannot be timed beside {other.id}: {outcome}")
        project, plan = self._candidates.planned((scheme, other))
        job = Wiring(project, self._candidates.plugins, plan).job("measure", self._keys(scheme.id))
        cell = self._cell(plan, other.id)
        program = layout.compile(cell.model, cell.runtime, cell.platform, cell.scheme)
        with tempfile.TemporaryDirectory(prefix="edgeflow-") as folder:
            measurement = Path(folder, "measurement.json")
            inputs = {**job.inputs, "baseline": program["program"], "baseline_info": program["info"]}
            self._stage(job, inputs, {"measurement": str(measurement)})
            measured = files.read_as(Measured, measurement)
        return next((Figure.of(m) for m in measured.measurements if m.metric == RATIO), None)

    def depends_on(self) -> Mapping[str, Any]:
        """What every figure of a search depends on but the scheme: data, checkpoints, settings and code.

        Raises OutOfTimeError and StageError where no scheme was built yet, and what all of them share cannot be made.
        """
        if not self._candidates.hand_written:
            self._run((), {})
        return {
            "jobs": [[job.stage, to_json(job.spec), job.fingerprint()] for job in self._jobs()],
            **{path: files.sha256_file(Path(path)) for path in self._shared},
        }

    def _jobs(self) -> list[Job]:
        """The trainings that schemes share, and the later jobs of the first scheme that can be built here."""
        known = (*self._candidates.hand_written, *self._candidates.corners)
        example = next((c for c in known if not self._candidates.refusal(c)), None)
        project, plan = self._candidates.planned([example] if example else [])
        wiring = Wiring(project, self._candidates.plugins, plan)
        jobs = [wiring.job("train", {"model": model, "recipe": recipe}) for model, recipe in self._trained]
        jobs += [wiring.job("source", {"model": self._model})] if self._imported and example else []
        if example:
            route = plan.routes[self._cell(plan, example.id)]
            made = {"model": self._model, "format": route.file_format}
            optimized = {**made, "profile": route.profile, "scheme": example.id}
            edges = ({"model": self._model, "recipe": route.recipe, "format": each} for each in route.formats)
            jobs += [wiring.job("convert", edge) for edge in edges]
            jobs += [wiring.job(stage, optimized) for stage in ("optimize", "sensitivity")]
            for platform in route.platforms:
                key = {"model": self._model, "runtime": platform.runtime, "platform": platform.id, "scheme": example.id}
                jobs.append(wiring.job("compile", key))
            jobs += [wiring.job(stage, self._keys(example.id)) for stage in ("measure", "judge")]
        return jobs

    @property
    def times(self) -> bool:
        """True when times that are taken here mean something for the target."""
        return self._candidates.plugins.runtimes[self._candidates.project.targets[self._target].runtime].times

    def _keys(self, scheme: str) -> Mapping[str, str]:
        return {"model": self._model, "target": self._target, "scheme": scheme}

    def _cell(self, plan: Plan, scheme: str) -> Cell:
        return plan.by_id[self._model, self._target, scheme]

    # --- Snakemake ---------------------------------------------------------------------------------------------------

    def _run(self, schemes: Sequence[Candidate], made: Mapping[str, str]) -> dict[str, str]:
        """Have Snakemake make the files of `made` (scheme → file); scheme → why its file is not there or out of date.

        Raises OutOfTimeError, and StageError when Snakemake itself fails, or what all schemes share cannot be made.
        """
        self._write_matrix(schemes)
        shared = (*self._shared, self._reference)
        wanted = [*made.values(), *shared]
        code, said, failures = self._build(wanted)
        if any(exception == LOCKED for exception, _ in failures.errors):
            raise UsageError("another Snakemake runs in this folder; wait for it or end it, then search again")
        if code == 0:
            return {}
        pending = self._pending(wanted)
        failed = [name for name, path in made.items() if path in pending]
        if not (failed and failures.jobs) or not pending.isdisjoint(shared):
            why = [_in_a_line(message) for _, message in failures.errors] + [_why(job) for job in failures.jobs]
            told = "; ".join(why) or _last_lines(said)
            raise StageError(f"search: snakemake ended with exit code {code}: {told}; see {self._log}")
        project, _ = self._candidates.planned(schemes)
        return {name: _why(_behind(name, project.scheme(name).recipe, failures.jobs)) for name in failed}

    def _build(self, wanted: Sequence[str]) -> tuple[int, str, Failures]:
        """Exit code, what was said, and what went wrong, as the logger plugin tells it to programs."""
        with tempfile.TemporaryDirectory(prefix="edgeflow-") as folder:
            told = Path(folder, "events.jsonl")
            logger = ("--logger", "edgeflow", "--logger-edgeflow-events", str(told))
            code, said = self._snakemake(wanted, "--cores", str(self._cores), "--keep-going", *logger)
            failures = events.read(told) if told.exists() else Failures((), ())  # not begun: it was called wrongly
        return code, said, failures

    def _pending(self, wanted: Sequence[str]) -> set[str]:
        """Files that are missing or out of date: where a build fails, what an earlier one made from them stays."""
        code, said = self._snakemake(wanted, "--summary")
        if code != 0:
            raise StageError(f"search: snakemake --summary ended with exit code {code}: {_last_lines(said)}")
        rows = (line.split("\t") for line in said.splitlines())
        return {row[0] for row in rows if row[-1] == "update pending"}

    def _snakemake(self, wanted: Sequence[str], *options: str) -> tuple[int, str]:
        matrix = ("--configfile", self._paths["matrix"])
        return self._execute([sys.executable, "-m", "snakemake", *wanted, *options, *matrix])

    def _write_matrix(self, schemes: Sequence[Candidate]) -> None:
        """The matrix of all that this search built: `snakemake --configfile` with it finds everything there."""
        folder = Path(self._paths["schemes"])
        folder.mkdir(parents=True, exist_ok=True)
        for candidate in schemes:
            if not candidate.hand_written:
                write(folder, candidate)
        written = sorted(path.stem for path in folder.glob("*.yaml"))
        own = [candidate.id for candidate in self._candidates.hand_written]
        baseline = self._candidates.project.baseline
        matrix = {
            **self._overrides,
            "models": [self._model],
            "targets": [self._target],
            "schemes": list(dict.fromkeys([baseline, *own, *written])),
            "exclude": [],
            "include": [],
            "scheme_folders": list(dict.fromkeys(self._folders)),
        }
        files.write_text(Path(self._paths["matrix"]), yaml.safe_dump(matrix, sort_keys=False))

    def _execute(self, command: Sequence[str]) -> tuple[int, str]:
        """Exit code and what was said."""
        if time.monotonic() >= self._until_s:
            raise OutOfTimeError
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            begin = log.tell()
            with _child(command, log) as process:
                try:
                    code = process.wait(timeout=self._until_s - time.monotonic())
                except subprocess.TimeoutExpired:
                    raise OutOfTimeError from None
        with self._log.open("rb") as log:
            log.seek(begin)
            return code, log.read().decode(errors="replace")

    # --- one stage ---------------------------------------------------------------------------------------------------

    def _stage(self, job: Job, inputs: Mapping[str, str | list[str]], outputs: Mapping[str, str]) -> None:
        given = [f"{name}={path if isinstance(path, str) else ''}" for name, path in inputs.items()]
        spec = json.dumps(to_json(job.spec))
        where = ["--toolchain", job.toolchain, f"--preload={','.join(job.preload)}"]
        command = [sys.executable, "-m", "edgeflow", job.stage, *where, "--spec", spec, "--input", *given]
        done = subprocess.run(
            [*command, "--output", *(f"{name}={path}" for name, path in outputs.items())],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            raise StageError(f"search: {job.stage} ended with exit code {done.returncode}: {done.stderr.strip()}")


def _behind(scheme: str, recipe: str, failed: Sequence[FailedJob]) -> FailedJob:
    """The job because of which a scheme is not there: one of its own, of its training, or else of what all share."""
    for key, value in (("scheme", scheme), ("recipe", recipe)):
        for job in failed:
            if job.wildcards.get(key) == value:
                return job
    return failed[0]


def _why(job: FailedJob) -> str:
    """Stage, reason and log of a job that failed."""
    log = next(iter(job.logs), "")
    return f"{job.stage}: {reason(Path(log) if log else None, None)}" + (f" (see {log})" if log else "")


def _in_a_line(message: str) -> str:
    return " ".join(message.split())[:300]


@contextmanager
def _child(command: Sequence[str], log: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with this one however this one ends, where the kernel can do that, and with the block."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        preexec_fn=partial(client.end_with, os.getpid()),  # noqa: PLW1509 - this process has no threads
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _last_lines(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return " / ".join(lines[-3:]) or "it said nothing"
