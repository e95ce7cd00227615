"""The façade that the Snakefile imports: configuration in, rules' inputs, specs and fingerprints out."""

from __future__ import annotations

import atexit
import contextlib
import gc
import hashlib
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from edgeflow import failures, files, layout, locks
from edgeflow.config import Project, load, plugin_files, read_matrix
from edgeflow.config.fields import ID
from edgeflow.fingerprint import lock_digest
from edgeflow.plan import Plan, plan
from edgeflow.registry import MODULE_FILES, Plugins, discover, foreign_module_files
from edgeflow.stages import STAGES
from edgeflow.toolchains import client
from edgeflow.toolchains.environments import why_not
from edgeflow.types.jobs import Failure, JobCost
from edgeflow.types.plain import to_json
from edgeflow.types.variants import Cell
from edgeflow.wiring import IDENTITY, Inputs, Job, Wiring, claim_identity

Wildcards = Mapping[str, str]
T = TypeVar("T")


def open_with_plugins(matrix: Mapping[str, Any] | None = None) -> tuple[Project, Plugins, Plan]:
    """As `open_project`, and the plugins that the plan is made with."""
    given = matrix if matrix is not None else read_matrix(Path())
    plugins = discover(plugin_files(given, Path()))
    project = load(Path(), given, plugins)
    for warning in project.warnings:
        print(f"warning: {warning} (the matrix does not use this file)", file=sys.stderr)
    plugins = replace(plugins, unavailable=why_not)
    return project, plugins, plan(project, plugins)


def faults(project: Project, plugins: Plugins, planned: Plan) -> Mapping[Cell, str]:
    """Why a cell will fail, of every cell for which that is known before anything runs."""
    return Wiring(project, plugins, planned).faults()


def open_project(matrix: Mapping[str, Any] | None = None) -> tuple[Project, Plan]:
    """The project in the current folder and its plan; `matrix` stands in for config/config.yaml.

    Raises ConfigError with every problem, PluginError for a plugin that cannot be used.
    """
    project, _, planned = open_with_plugins(matrix)
    return project, planned


class Flow:
    """What the rules ask for. One instance a workflow, made when the Snakefile is read."""

    ID = ID
    NAME = "[^/]+"  # what plugins name: runtimes, profiles, platforms
    IDENTITY = IDENTITY

    def __init__(self, config: Mapping[str, Any]) -> None:
        _collect_no_garbage()
        self._alive = locks.present()
        locks.clear_stale()
        locks.explain()
        locks.spare_others()
        # the shell lines say `edgeflow`, also where the environment was not activated
        os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
        project, plugins, self.plan = open_with_plugins(config)
        client.claim_run()
        claim_identity()
        os.environ[MODULE_FILES] = json.dumps(foreign_module_files([*plugins.references.values()]))
        self._wiring = Wiring(project, plugins, self.plan)
        self._jobs: dict[tuple[str, ...], Job] = {}
        self._interrupted = False
        self._begin_s = time.time()
        self.matrix = json.dumps(to_json(config), sort_keys=True)
        self.cells = hashlib.sha256(json.dumps(self.plan.to_json(), sort_keys=True).encode()).hexdigest()[:16]

    def _job(self, stage: str, wildcards: Any) -> Job:
        keys: dict[str, str] = dict(wildcards.items())
        index = (stage, *keys.values())
        if index not in self._jobs:
            self._jobs[index] = self._wiring.job(stage, keys)
        return self._jobs[index]

    def inputs(self, stage: str) -> Callable[[Any], Inputs]:
        """For `unpack`: the input files of a stage's job, by name."""
        return _known_signature(lambda wildcards: self._job(stage, wildcards).all_inputs())

    def call(self, stage: str) -> Callable[[Any], Mapping[str, str]]:
        """For `params`: what a stage's job is called with, and the digest of the code behind it.

        One param and not many, since Snakemake goes a long way for each, for every job of every run.
        """

        return _known_signature(lambda wildcards: self._call(stage, wildcards))

    def _call(self, stage: str, wildcards: Any) -> Mapping[str, str]:
        job = self._job(stage, wildcards)
        return {
            "job": layout.job(stage, *(str(key) for _, key in wildcards.items())),
            "spec": json.dumps(job.spec, sort_keys=True, default=to_json),
            "toolchain": job.toolchain,
            "preload": ",".join(job.preload),  # modules that a warm worker imports before it runs the job
            "fingerprint": job.fingerprint(),
        }

    @staticmethod
    def collect_garbage() -> None:
        """For `onstart`: what is made from here on lives as long as a job; the graph stays."""
        gc.freeze()
        gc.enable()

    @staticmethod
    def look_only() -> None:
        """For dry runs, which work in a checkout that cannot be written: Snakemake would make folders for its records
        there, and takes what it may not write for an error, although it writes nothing.
        """
        import snakemake.jobs
        from snakemake.persistence import PersistenceBase

        async def allow(_: object) -> None:
            return

        snakemake.jobs.Job.check_protected_output = allow
        records = Path(layout.running()).parent
        if not os.access(records if records.exists() else Path(), os.W_OK):
            make, elsewhere = PersistenceBase.__init__, _seen_elsewhere(records)

            def made(self: Any, **options: Any) -> None:
                make(self, **{**options, "path": elsewhere})

            PersistenceBase.__init__ = made

    @staticmethod
    def claim_locks(workflow: Any) -> None:
        """For `onstart`: if this run is killed, the next one knows which of Snakemake's locks were its own."""
        locks.claim(workflow.persistence)

    def begin(self) -> None:
        """For `onstart`: SIGTERM ends the running jobs, as Ctrl-C does; Snakemake by itself lets them finish."""
        import psutil

        def interrupt(number: int, _frame: object) -> None:
            self._interrupted = True
            if number == signal.SIGTERM:
                for child in psutil.Process().children(recursive=True):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        child.terminate()
            raise KeyboardInterrupt

        self._begin_s = time.time()
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, interrupt)

    def prepare_workers(self, jobs: Iterable[Any], ready: Iterable[Any]) -> None:
        """For `onstart`: workers import what the first jobs of their toolchain need while others compute.

        Not where something could be timed at once: an import beside it would show in the figures.
        """
        at_once = [job for either in ready for job in getattr(either, "jobs", [either])]  # a group has several
        if any(job.rule.name == "measure" and self.device_slots(job.wildcards) for job in at_once):
            return
        first: dict[str, tuple[int, dict[str, None]]] = {}
        for job in jobs:
            if job.rule.name not in STAGES:
                continue
            stage, made = STAGES.index(job.rule.name), self._job(job.rule.name, job.wildcards)
            known, modules = first.get(made.toolchain, (stage, {}))
            if stage <= known:
                first[made.toolchain] = stage, {**(modules if stage == known else {}), **dict.fromkeys(made.preload)}
        for toolchain, (_, modules) in first.items():
            client.prepare_worker(toolchain, ",".join(modules))

    def end(self, workflow: Any) -> None:
        """For `onsuccess` and `onerror`: what broke is put on record, and the report made of all that did not.

        An interrupted run has no failures: what was stopped is tried again, and the last report stays.
        """
        _distrust(workflow)
        if self._interrupted:
            from snakemake.logging import logger

            logger.warning("Interrupted: what was stopped has not failed, and the same command goes on from here.")
            return
        dag = workflow.dag
        broken = [job for either in workflow.scheduler.failed for job in _broken(either, dag)]
        now = [failure for job in broken if (failure := self._failure(job, dag)).cells]
        record = Path(layout.failures())
        if not now and not record.exists():
            return
        whole = any(job.rule.name == "report" for job in dag.jobs)
        known = () if whole else failures.read(record)
        tried = {(job.rule.name, _key(job)) for job in dag.jobs}
        failures.write(record, failures.merged(known, now, tried))
        if now:
            self._say(now, self._report_failures() if whole else "")

    def _failure(self, job: Any, dag: Any) -> Failure:
        """What is known of a job that broke: its log, how it ended, and the cells that need what it makes."""
        key, log = _key(job), next(iter(job.log), "")
        needed_by = (other for other in _dependents(dag, job) if other.rule.name == "package")
        cells = tuple(dict.fromkeys("/".join(_key(other)) for other in needed_by))
        reason = failures.reason(Path(log) if log else None, self._exit_code(job.rule.name, key))
        return Failure(job.rule.name, key, reason, str(log), cells)

    def _exit_code(self, stage: str, key: Iterable[str]) -> int | None:
        """Of the job that this run started; None where it left no record."""
        path = Path(layout.job(stage, *key))
        if not path.is_file() or path.stat().st_mtime < self._begin_s:
            return None
        return files.read_as(JobCost, path).exit_code

    def _report_failures(self) -> str:
        """Make the report, which Snakemake does not where a package is missing; returns where it is."""
        call, paths = self._call("report", {}), layout.report()
        if not Path(layout.plan()["plan"]).is_file():
            return ""
        where = ["--toolchain", call["toolchain"], f"--preload={call['preload']}", "--job", call["job"]]
        given = {**layout.plan(), "results": layout.RESULTS, "failures": layout.failures()}
        command = [sys.executable, "-m", "edgeflow", "report", *where, "--spec", call["spec"]]
        command += ["--input", *(f"{name}={path}" for name, path in given.items())]
        command += ["--output", *(f"{name}={path}" for name, path in paths.items())]
        log = Path(layout.log("report"))
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as stream:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, check=False)
        return paths["html"] if done.returncode == 0 else f"not made: {failures.reason(log, None)} (log: {log})"

    def _say(self, broken: Sequence[Failure], report: str) -> None:
        """The last words of a run in which jobs broke."""
        from snakemake.logging import logger

        cells = {cell for failure in broken for cell in failure.cells}
        lines = [f"{len(cells)} of {len(self.plan.cells)} cells failed:"]
        lines += [f"  {line}" for line in failures.lines(broken)]
        lines += [f"The report has these and all that was built: {report}"] if report else []
        logger.warning("\n".join([*lines, "The next run tries what failed again."]))

    @staticmethod
    def leave_at_once() -> None:
        """For `onsuccess` and `onerror`: Snakemake's limit of jobs a second leaves timers that hold its exit by one."""
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.cancel()

    def lock(self, wildcards: Any) -> str:
        """For `params`: digest of the pinned requirements of a toolchain."""
        return lock_digest(Path(layout.toolchain(wildcards["toolchain"])["lock"]))

    def measure_threads(self, workflow: Any) -> Callable[[Any], int]:
        """For `threads`: all that Snakemake hands out where something is timed on this host, so that no other job runs
        beside it; `--cores` may be more than there are. In a cluster, all that this host has.
        """
        from snakemake.exceptions import WorkflowError

        def of(wildcards: Any) -> int:
            if not self.device_slots(wildcards):
                return 1
            with contextlib.suppress(WorkflowError):  # none were given
                return max(int(workflow.cores), os.cpu_count() or 1)
            return os.cpu_count() or 1

        return _known_signature(of)

    def device_slots(self, wildcards: Any) -> int:
        """For `resources`: 1 where a measurement takes time on the device, 0 where nothing is timed."""
        return int(self._wiring.times(wildcards["target"]))

    def missing(self, wildcards: Any) -> list[str]:
        """Every package, and every file on the way to one, that is not there.

        Snakemake does not miss a deleted file as long as what was made from it is there; a target is always missed.
        What is there need not be a target: each costs as much as an input of a job.
        """
        targets = {layout.package(cell.model, cell.target, cell.scheme)["record"]: None for cell in self.plan.cells}
        for cell, route in self.plan.routes.items():
            names = (cell.model, cell.target, cell.scheme)
            optimized = (cell.model, route.profile, cell.scheme, route.file_format)
            programs = (
                layout.compile(cell.model, platform.runtime, platform.id, cell.scheme) for platform in route.platforms
            )
            for made in (
                layout.prepare(route.dataset),
                *(layout.train(*checkpoint) for checkpoint in route.trained),
                *([layout.source(cell.model)] if route.imported else []),
                *(layout.convert(cell.model, route.recipe, made) for made in route.formats),
                *([layout.sensitivity(*optimized)] if route.mixed else []),
                layout.optimize(*optimized),
                *programs,
                *([layout.measure(*names), layout.judge(*names)] if names in self.plan.by_id else []),
            ):
                targets.update(dict.fromkeys(made.values()))
        return [path for path in targets if not os.path.exists(path)]


def _seen_elsewhere(folder: Path) -> Path:
    """A folder of this process in which Snakemake's records can be read, and others can be made beside them."""
    elsewhere = Path(tempfile.mkdtemp(prefix="edgeflow-"))
    atexit.register(shutil.rmtree, elsewhere, ignore_errors=True)
    for name in ("metadata", "incomplete", "locks"):
        if (path := folder / name).is_dir():
            (elsewhere / name).symlink_to(path.absolute())
    return elsewhere


def _key(job: Any) -> tuple[str, ...]:
    """The wildcards of one of Snakemake's jobs, in the order of its rule: the key that layout.py has."""
    return tuple(str(value) for _, value in job.wildcards.items())


def _distrust(workflow: Any) -> None:
    """Have made again what a job that broke left: told to keep it by `--keep-incomplete`, Snakemake records it as
    finished.
    """
    if not workflow.execution_settings.keep_incomplete:
        return
    for either in workflow.scheduler.failed:
        for job in getattr(either, "jobs", [either]):  # of a group, who knows which
            workflow.persistence.cleanup(job)
            workflow.persistence.started(job)


def _broken(failed: Any, dag: Any) -> list[Any]:
    """The jobs that broke: of a group those without their files that waited for no other of them."""
    missing = [job for job in getattr(failed, "jobs", ()) if not all(os.path.exists(path) for path in job.output)]
    roots = [job for job in missing if not any(other in missing for other in dag.dependencies.get(job, ()))]
    return roots if failed.is_group() else [failed]


def _dependents(dag: Any, job: Any) -> Iterator[Any]:
    """A job and all that need what it makes, as far as Snakemake's graph goes."""
    seen, todo = {job}, [job]
    while todo:
        yield (current := todo.pop())
        following = [other for other in dag.depending.get(current, ()) if other not in seen]
        seen.update(following)
        todo.extend(following)


def _known_signature(function: Callable[[Any], T]) -> Callable[[Any], T]:
    """Snakemake asks `inspect` for the parameters of a function before each call, which costs more than the call."""
    function.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return function


def _collect_no_garbage() -> None:
    """Until jobs run: searching a growing graph of thousands of jobs again and again takes time and frees nothing."""
    gc.freeze()
    gc.disable()
