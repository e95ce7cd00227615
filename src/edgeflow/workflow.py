"""The façade that the Snakefile imports: configuration in, rules' inputs, specs and fingerprints out."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import hashlib
import inspect
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

from edgeflow import layout
from edgeflow.config import Project, load, plugin_files, read_matrix
from edgeflow.fingerprint import lock_digest
from edgeflow.plan import Plan, plan
from edgeflow.registry import MODULE_FILES, Plugins, discover, foreign_module_files
from edgeflow.stages import STAGES
from edgeflow.toolchains import client
from edgeflow.types import to_json
from edgeflow.wiring import IDENTITY, Inputs, Job, Wiring, identity_of_run

Wildcards = Mapping[str, str]
T = TypeVar("T")


def open_with_plugins(matrix: Mapping[str, Any] | None = None) -> tuple[Project, Plugins, Plan]:
    """As `open_project`, and the plugins that the plan is made with."""
    given = matrix if matrix is not None else read_matrix(Path())
    plugins = discover(plugin_files(given, Path()))
    project = load(Path(), given, plugins)
    return project, plugins, plan(project, plugins)


def open_project(matrix: Mapping[str, Any] | None = None) -> tuple[Project, Plan]:
    """The project in the current folder and its plan; `matrix` stands in for config/config.yaml.

    Raises ConfigError with every problem, PluginError for a plugin that cannot be used.
    """
    project, _, planned = open_with_plugins(matrix)
    return project, planned


class Flow:
    """What the rules ask for. One instance a workflow, made when the Snakefile is read."""

    ID = "[a-z][a-z0-9_]*"  # as config.py demands of every id
    NAME = "[^/]+"  # what plugins name: runtimes, profiles, builds
    IDENTITY = IDENTITY

    def __init__(self, config: Mapping[str, Any]) -> None:
        _collect_no_garbage()
        self._alive = _clear_stale_locks(Path(layout.running()))
        # the shell lines say `edgeflow`, also where the environment was not activated
        os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
        project, plugins, self.plan = open_with_plugins(config)
        client.claim_run()
        os.environ[IDENTITY] = json.dumps(identity_of_run())
        os.environ[MODULE_FILES] = json.dumps(foreign_module_files([*plugins.references.values()]))
        self._wiring = Wiring(project, plugins, self.plan)
        self._jobs: dict[tuple[str, ...], Job] = {}
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

        def of(wildcards: Any) -> Mapping[str, str]:
            job = self._job(stage, wildcards)
            return {
                "job": layout.job(stage, *(str(key) for _, key in wildcards.items())),
                "spec": json.dumps(job.spec, sort_keys=True, default=to_json),
                "toolchain": job.toolchain,
                "preload": ",".join(job.preload),  # modules that a warm worker imports before it runs the job
                "fingerprint": job.fingerprint(),
            }

        return _known_signature(of)

    @staticmethod
    def collect_garbage() -> None:
        """For `onstart`: what is made from here on lives as long as a job; the graph stays."""
        gc.freeze()
        gc.enable()

    @staticmethod
    def stop_on_sigterm() -> None:
        """For `onstart`: SIGTERM ends the running jobs, as Ctrl-C does; Snakemake by itself lets them finish."""
        import psutil

        def stop(_number: int, _frame: object) -> None:
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.terminate()
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, stop)

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
        found = {layout.package(cell.model, cell.target, cell.scheme)["record"]: None for cell in self.plan.cells}
        for cell, route in self.plan.routes.items():
            names = (cell.model, cell.target, cell.scheme)
            optimized = (cell.model, route.profile, cell.scheme, route.file_format)
            programs = (layout.compile(cell.model, build.runtime, build.id, cell.scheme) for build in route.builds)
            for made in (
                layout.prepare(route.dataset),
                *(layout.train(*checkpoint) for checkpoint in route.trained),
                layout.convert(cell.model, route.recipe, route.file_format),
                *([layout.sensitivity(*optimized)] if route.mixed else []),
                layout.optimize(*optimized),
                *programs,
                *([layout.measure(*names), layout.judge(*names)] if names in self.plan.by_id else []),
            ):
                found.update(dict.fromkeys(made.values()))
        return [path for path in found if not os.path.exists(path)]


def _known_signature(function: Callable[[Any], T]) -> Callable[[Any], T]:
    """Snakemake asks `inspect` for the parameters of a function before each call, which costs more than the call."""
    function.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return function


def _collect_no_garbage() -> None:
    """Until jobs run: searching a growing graph of thousands of jobs again and again takes time and frees nothing."""
    gc.freeze()
    gc.disable()


def _clear_stale_locks(running: Path) -> IO[str]:
    """Remove Snakemake's folder lock when the run that took it is dead, e.g. after kill -9 or a power cut.

    Every run holds this file shared until it ends, however it ends; who gets it exclusively is alone.
    """
    running.parent.mkdir(exist_ok=True)
    alive = running.open("w")
    try:
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    else:
        for lock in (running.parent / "locks").glob("*.lock"):
            lock.unlink()
    fcntl.flock(alive, fcntl.LOCK_SH)
    return alive
