"""Which files and which spec each job gets: the edges of the graph, one method a stage.

A spec has only the fields that its stage reads, so that a change elsewhere in the configuration reruns nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from edgeflow import layout, pointers, reach
from edgeflow.config.digests import digests
from edgeflow.config.limits import limits
from edgeflow.config.project import control_of, recipe_id
from edgeflow.errors import EdgeflowError, PluginError, UsageError
from edgeflow.fingerprint import fingerprint
from edgeflow.plan import Plan, Route
from edgeflow.plugin import DatasetLoader, Framework, LoadJob, Runtime
from edgeflow.pointers import Pointer
from edgeflow.registry import Plugins, reason
from edgeflow.runners import identity
from edgeflow.toolchains import CORE, system
from edgeflow.types.plain import to_json
from edgeflow.types.variants import Cell

if TYPE_CHECKING:
    from edgeflow.config import Project

TEMPLATES = Path(__file__).parent / "report" / "templates"  # not Python, but what the report looks like
EXAMPLES = tuple(sorted(Path(__file__).with_name("runtimes").joinpath("examples").glob("*.*")))  # of packages
REPORT = (  # what the report is drawn with
    *("jinja2", "html.entities", "plotly.graph_objects", "plotly.io", "plotly.io._json"),
    *("plotly.graph_objs._figure", "plotly.graph_objs.layout._xaxis", "plotly.graph_objs.layout._yaxis"),
    *("plotly.graph_objs._scatter", "plotly.graph_objs.scatter._line", "plotly.graph_objs.scatter._marker"),
)
PREPARE_LIBRARIES = ("numpy", "pillow", "scikit-learn")  # decode, resize and choose samples
# A distribution-free interval of the 99th percentile wants 300 runs, one of the ratio to the baseline a few blocks; the
# machine is to be watched for a second at least, and a slow program is not waited for.
MAX_RUNS = 1000
MAX_SECONDS = 3.0
ENOUGH: Mapping[str, float] = {"runs": 400, "seconds": 1.0}

IDENTITY = "EDGEFLOW_IDENTITY"  # of the machine that started the run, as JSON with %20 for a space

Inputs = Mapping[str, str | list[str]]
NONE: list[str] = []  # an input that this job does not have; Snakemake drops it and the shell line says `name=`


@dataclass(frozen=True)
class Job:
    """One job of a stage: what it reads and what it depends on."""

    stage: str
    spec: Mapping[str, Any]
    inputs: Inputs
    references: tuple[str, ...] = ()  # plugins and builders whose source the result depends on
    files: tuple[Path, ...] = field(default=())  # further sources
    content: str = ""  # digest of inputs that count whatever their times are
    libraries: tuple[str, ...] = ()  # of the core environment, that the result depends on
    toolchain: str = CORE  # that the stage runs in
    preload: tuple[str, ...] = ()  # modules that the toolchain's warm worker imports before
    fault: str = ""  # why it will fail, where that is known before it runs

    def all_inputs(self) -> Inputs:
        """The stage's inputs and the stamp of its toolchain."""
        if self.toolchain == CORE or system():
            return self.inputs
        return {**self.inputs, "toolchain": layout.toolchain(self.toolchain)["stamp"]}

    def fingerprint(self) -> str:
        """Digest of the code behind this job; changes when an edit may change the result."""
        code = _fingerprint(self.stage, self.references, self.files, self.toolchain, self.libraries, system())
        return f"{code}-{self.content}" if self.content else code


@cache  # many jobs have the same
def _fingerprint(
    stage: str,
    references: tuple[str, ...],
    files: tuple[Path, ...],
    toolchain: str,
    libraries: tuple[str, ...],
    installed: bool,
) -> str:
    core = toolchain == CORE
    lock = None if core and not libraries else Path(layout.toolchain(toolchain)["lock"])
    return fingerprint(stage, references, files, lock, libraries if core else (), installed=installed)


def identity_of_run() -> Mapping[str, str]:
    """Identity of the machine that started the run: a node of a cluster, to which it is handed on, has another."""
    said = os.environ.get(IDENTITY)
    return dict(json.loads(unquote(said))) if said else identity.here()


def claim_identity() -> None:
    """Have this machine be the one that starts the run, unless another has done so."""
    # executors write it into command lines, with the quotes of Python
    os.environ[IDENTITY] = quote(json.dumps(dict(identity_of_run())))


class Wiring:
    """Jobs by stage and keys."""

    def __init__(self, project: Project, plugins: Plugins, plan: Plan) -> None:
        self.project = project
        self.plugins = plugins
        self.plan = plan
        # the same for thousands of jobs
        self._target_json = cache(lambda target: to_json(project.target(target)))
        self._identity = cache(self._identity_of)
        # what a table says about a scheme changes nothing that is made
        self._scheme_json = cache(lambda scheme: to_json(replace(project.scheme(scheme), description="")))
        self._fault = cache(reach.fault)
        self._named = cache(self._files_named)
        self._limits_json = cache(lambda model, target: to_json(limits(project, plugins, model, target)))

    def job(self, stage: str, keys: Mapping[str, str]) -> Job:
        """The job of a stage for the values of its wildcards.

        Raises UsageError when the configuration has no such thing, or the plan refused it.
        """
        make = getattr(self, f"_{stage}")
        try:
            job: Job = make(**keys)
        except KeyError as missing:
            wanted = "/".join(keys.values())
            raise UsageError(
                f"{stage} {wanted}: nothing that is built needs {missing}; 'edgeflow plan' shows every cell, and why"
            ) from None
        return job

    def _prepare(self, dataset: str) -> Job:
        config = self.project.datasets[dataset]
        loader = self.plugins.loaders[config.loader]
        reference = self.plugins.reference("loader", loader.id)
        data = _data(reach.named(config.options), lambda here: self._files_of(loader, dataset) if here else ())
        spec = {
            "dataset": dataset,
            "loader": reference,
            "options": config.options,
            "inputs": to_json(config.declared),
            "classes": config.classes,
            "labels": config.labels or (),
            "seed": config.splits.seed,
            "calibration": config.splits.calibration,
            "evaluation": config.splits.evaluation,
            "golden": config.splits.golden,
            "duplicates": config.splits.duplicates,
            "source": config.source,
        }
        return Job(
            "prepare",
            spec,
            data.inputs,
            (reference,),
            toolchain=loader.toolchain,
            content=data.content,
            libraries=PREPARE_LIBRARIES,
            fault=data.fault,
        )

    def _files_of(self, loader: DatasetLoader, dataset: str) -> tuple[Path, ...]:
        """The files that a dataset is read from; PluginError where its loader breaks, whosever it is."""
        try:
            config = self.project.datasets[dataset]
            return loader.files(LoadJob(dataset, config.options, Path(), config.declared, config.labels or ()))
        except (EdgeflowError, OSError):
            raise
        except Exception as error:
            reference = self.plugins.reference("loader", loader.id)
            raise PluginError(f"{reference}: cannot list the files of dataset {dataset}: {reason(error)}") from error

    def _train(self, model: str, recipe: str) -> Job:
        spec, references = self._model(model)
        framework = self._framework(model)
        data = layout.prepare(self.project.models[model].dataset)
        steps = self.project.recipes[recipe]
        teachers = dict.fromkeys(str(step.options["teacher"]) for step in steps if "teacher" in step.options)
        control = recipe_id(control_of(steps))
        builders = [self.project.models[teacher].builder for teacher in teachers]
        named = self._named(model, *teachers, weights=not steps)
        job = Job(
            "train",
            {
                **spec,
                "recipe": recipe,
                "seed": self.project.seed,
                "steps": to_json(steps),
                "teachers": [to_json(self.project.model_spec(teacher)) for teacher in teachers],
            },
            {
                **{name: data[name] for name in ("train", "evaluation", "golden")},
                "start": layout.train(model, recipe_id(()))["checkpoint"] if steps else NONE,
                "control": layout.train(model, control)["outputs"] if control != recipe else NONE,
                "teachers": [layout.train(teacher, recipe_id(()))["checkpoint"] for teacher in teachers],
                **named.inputs,
            },
            tuple(dict.fromkeys((*references, *builders))),
            content=named.content,
            toolchain=framework.toolchain,
            preload=framework.preload,
            fault=next(filter(None, map(self._fault, (self.project.models[model].builder, *builders))), named.fault),
        )
        # A training that was killed goes on only with the code that it began with.
        return replace(job, spec={**job.spec, "code": job.fingerprint()})

    def _model(self, model: str) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The part of a spec that says how to build and load a model, and the sources behind it."""
        config = self.project.models[model]
        task = self.plugins.reference("task", config.task)
        reference = self.plugins.reference("framework", config.framework)
        spec = {
            "model": to_json(self.project.model_spec(model)),
            "framework": reference,
            "task": task,
        }
        return spec, (reference, task, config.builder)

    def _origin(self, model: str, recipe: str) -> layout.Files:
        return layout.origin(model, recipe, imported=self.project.models[model].imported)

    def _source(self, model: str) -> Job:
        config = self.project.models[model]
        format_id = self.plan.origins[model]
        made_as = self.plugins.formats[format_id]
        reference, task = self.plugins.reference("format", format_id), self.plugins.reference("task", config.task)
        named = self._named(model, weights=True)
        return Job(
            "source",
            {
                "model": model,
                "source": config.source,
                "format": reference,
                "task": task,
                "layouts": {name: given.layout for name, given in config.inputs.items()},
                "output": config.output or "",
            },
            {**self._asked(model), **named.inputs},
            (reference, task),
            (made_as.backend,) if made_as.backend else (),
            content=named.content,
            toolchain=made_as.toolchain,
            preload=made_as.preload,
            fault=named.fault,
        )

    def _files_named(self, *models: str, weights: bool = False) -> _Data:
        """The files that models' arguments name, which their builders read, and the weights or the file of the first.

        A file that is imported is what every job reads that makes something of it.
        """
        texts = reach.named([self.project.models[model].arguments for model in models])
        config = self.project.models[models[0]]
        brought = config.source or (config.weights if weights else None)
        names = [*texts, *filter(None, [brought]), *self._beside(models[0])]
        data = _data(names, lambda _: reach.data(names))
        there = os.path.exists if config.imported else os.path.isfile
        if brought and not there(brought) and pointers.covering(Path(brought)) is None:
            key = "source" if config.imported else "weights"
            missing = (
                f"config/models/{models[0]}.yaml: {key}: {brought}: no such file; paths start at the project folder"
            )
            return replace(data, fault=data.fault or missing)
        return data

    def _beside(self, model: str) -> list[str]:
        """The files beside the one that is imported which belong to it."""
        source = self.project.models[model].source
        origin = self.plugins.formats.get(self.plan.origins.get(model, ""))
        if source is None or origin is None or origin.files is None or not os.path.exists(source):
            return []
        return [str(path) for path in origin.files(Path(source))[1:]]

    def _framework(self, model: str) -> Framework:
        return self.plugins.frameworks[self.project.models[model].framework]

    def _convert(self, model: str, recipe: str, format: str) -> Job:
        """One edge of a route: from what was trained or brought, or from what the edge before it made."""
        converter_id, before = self.plan.conversions[model, recipe, format]
        config, target = self.project.models[model], self.plugins.formats[format]
        edge = self.plugins.converters.get(converter_id)
        into = self.plugins.reference("format", format)
        spec: dict[str, Any] = {
            "model": model,
            "converter": self.plugins.reference("converter", converter_id) if edge else "",
            "format": into,
            "task": self.plugins.reference("task", config.task),
        }
        made = layout.convert(model, recipe, before) if before else self._origin(model, recipe)
        inputs: dict[str, Any] = {**_pick(made, "outputs", "ladder"), **self._asked(model)}
        named, behind, preload = (
            _Data({"files": NONE, "pointers": NONE}),
            [spec["converter"], into, spec["task"]],
            target.preload,
        )
        if before or config.imported:
            taken = self.plugins.reference("format", before or self.plan.origins[model])
            spec["source"] = {"format": taken, "path": "" if before else config.source}
            behind.append(taken)
            inputs["model"] = made["model"] if before else NONE
            named = named if before else self._named(model)
        else:
            trained, sources = self._model(model)
            spec["checkpoint"] = {"framework": trained["framework"], "model": trained["model"]}
            inputs["model"], named = made["checkpoint"], self._named(model)
            behind, preload = [*behind, *sources], (*self._framework(model).preload, *preload)
        return Job(
            "convert",
            spec,
            {**inputs, **named.inputs},
            tuple(dict.fromkeys(filter(None, behind))),
            (target.backend,) if target.backend else (),
            content=named.content,
            toolchain=edge.toolchain if edge else target.toolchain,
            preload=(*preload, *(edge.preload if edge else ())),
        )

    def _maker(self, file_format: str) -> Runtime:
        """The runtime whose optimizer makes files of a format."""
        return next(r for r in self.plugins.runtimes.values() if r.format == file_format and not r.models_from)

    def _asked(self, model: str) -> dict[str, str]:
        """The inputs that every stage puts to its output."""
        return _pick(layout.prepare(self.project.models[model].dataset), "golden", "evaluation")

    def _optimize(self, model: str, profile: str, scheme: str, format: str) -> Job:
        runtime = self._maker(format)
        asked = self.project.scheme(scheme)
        reference = self.plugins.reference("runtime", runtime.id)
        task = self.plugins.reference("task", self.project.models[model].task)
        dataset = self.project.models[model].dataset
        mixed = asked.mixed_precision is not None
        return Job(
            "optimize",
            {
                "model": model,
                "scheme": self._scheme_json(scheme),
                "profile": profile,
                "runtime": reference,
                "task": task,
            },
            {
                **_pick(layout.convert(model, asked.recipe, format), "model", "outputs", "ladder"),
                **self._asked(model),
                "calibration": layout.prepare(dataset)["calibration"] if asked.calibration_samples else NONE,
                "sensitivity": layout.sensitivity(model, profile, scheme, format)["sensitivity"] if mixed else NONE,
            },
            (reference, task),
            (runtime.backend,),
            toolchain=runtime.toolchain,
            preload=runtime.preload,
        )

    def _sensitivity(self, model: str, profile: str, scheme: str, format: str) -> Job:
        """As optimize, which it does once for every layer and more."""
        optimize = self._optimize(model, profile, scheme, format)
        data = layout.prepare(self.project.models[model].dataset)
        given = {name: optimize.inputs[name] for name in ("model", "ladder", "calibration")}
        inputs: Inputs = {**given, "train": data["train"]}
        return replace(optimize, stage="sensitivity", inputs=inputs)

    def _variant(self, model: str, target: str, scheme: str) -> tuple[Cell, Route, Runtime]:
        cell = self.plan.by_id[model, target, scheme]
        if cell.reason:
            raise UsageError(f"{cell.id} is infeasible: {cell.reason}")
        return cell, self.plan.routes[cell], self.plugins.runtimes[self.project.target(target).runtime]

    def _optimized(self, cell: Cell, route: Route) -> layout.Files:
        return layout.optimize(cell.model, route.profile, cell.scheme, route.file_format)

    def _compiled(self, cell: Cell, at: int = -1) -> layout.Files:
        """What was compiled for a cell; `at` 0: by the first of its compilers."""
        platform = self.plan.routes[cell].platforms[at]
        return layout.compile(cell.model, platform.runtime, platform.id, cell.scheme)

    def _compile(self, model: str, runtime: str, platform: str, scheme: str) -> Job:
        route, at = self.plan.programs[model, runtime, platform, scheme]
        target = route.platforms[at]
        source = layout.optimize(model, route.profile, scheme, route.file_format)
        if at > 0:
            before = route.platforms[at - 1]
            program = layout.compile(model, before.runtime, before.id, scheme)
            source = {**program, "model": program["program"], "source_info": program["info"]}
        made_by = self.plugins.runtimes[runtime]
        reference = self.plugins.reference("runtime", runtime)
        config = self.project.models[model]
        task = self.plugins.reference("task", config.task)
        return Job(
            "compile",
            {
                "model": model,
                "target": to_json(target),
                "scheme": self._scheme_json(scheme),
                "runtime": reference,
                "task": task,
                "many": self.project.datasets[config.dataset].splits.evaluation > ENOUGH["runs"],
            },
            {
                **_pick(source, "model", "outputs"),
                **{name: source.get(name, NONE) for name in ("ladder", "source_info")},
                **self._asked(model),
                "origin": self._origin(model, route.recipe)["outputs"],
            },
            (reference, task),
            (made_by.backend,),
            toolchain=made_by.toolchain,
            preload=made_by.preload,
        )

    def _measure(self, model: str, target: str, scheme: str) -> Job:
        cell, route, runtime = self._variant(model, target, scheme)
        reference = self.plugins.reference("runtime", runtime.id)
        task = self.plugins.reference("task", self.project.models[model].task)
        compiled = self._compiled(cell)
        baseline, without = self._baseline(cell, runtime)
        itself = runtime.runs == "program"
        return Job(
            "measure",
            {
                "model": model,
                "target": self._target_json(target),
                "scheme": scheme,
                "task": task,
                "runtime": reference,
                "device": self.project.device_of(target) or "",
                "identity": self._identity(target) if itself and runtime.times else {},
                "without_baseline": without,
                "output": self.project.models[model].output or "",
                "max_runs": MAX_RUNS,
                "max_seconds": MAX_SECONDS,
                "enough": ENOUGH,
            },
            {
                **_pick(compiled, "program", "info"),
                "source": NONE if itself else self._compiled_from(cell, route),
                "compiled_outputs": compiled["outputs"],
                "baseline": baseline["program"] if baseline else NONE,
                "baseline_info": baseline["info"] if baseline else NONE,
                "evaluation": self._asked(model)["evaluation"],
                "reference": self._origin(model, self.project.scheme(self.project.baseline).recipe)["outputs"],
            },
            (reference, task),
            (runtime.backend,),
            toolchain=runtime.toolchain,
            preload=runtime.preload,
        )

    def _compiled_from(self, cell: Cell, route: Route) -> str:
        """What the program was compiled from."""
        return self._compiled(cell, 0)["program"] if len(route.platforms) > 1 else self._optimized(cell, route)["model"]

    def _baseline(self, cell: Cell, runtime: Runtime) -> tuple[layout.Files | None, str]:
        """The compiled baseline of the same model and target, or why there is nothing to compare with."""
        name = self.project.baseline
        if cell.scheme == name:
            return None, f"{name} is what the others are compared with"
        baseline = self.plan.by_id.get((cell.model, cell.target, name)) or self.plan.baselines[cell.model, cell.target]
        if baseline.reason:
            return None, f"{name} is infeasible on this target: {baseline.reason}"
        return (self._compiled(baseline), "") if runtime.times else (None, "")

    def _identity_of(self, target: str) -> Mapping[str, str]:
        """The machine that times of a target are to come from: figures of another one are measured again."""
        device = self.project.device_of(target)
        return (self.project.pinned(device) if device else {}) or identity_of_run()

    def faults(self) -> Mapping[Cell, str]:
        """Why a cell will fail, of every cell for which that is known before anything runs."""
        routes = self.plan.routes
        datasets = dict.fromkeys(route.dataset for route in routes.values())
        trained = dict.fromkeys(key for route in routes.values() for key in route.trained)
        imported = dict.fromkeys(cell.model for cell, route in routes.items() if route.imported)
        unprepared = {dataset: self.job("prepare", {"dataset": dataset}).fault for dataset in datasets}
        untrained = {(m, recipe): self.job("train", {"model": m, "recipe": recipe}).fault for m, recipe in trained}
        missing = {model: self.job("source", {"model": model}).fault for model in imported}
        by_cell = {
            cell: next(
                filter(
                    None,
                    (
                        unprepared[route.dataset],
                        missing.get(cell.model, ""),
                        *(untrained[key] for key in route.trained),
                    ),
                ),
                "",
            )
            for cell, route in routes.items()
        }
        return {cell: fault for cell, fault in by_cell.items() if fault}

    def times(self, target: str) -> bool:
        """True when measuring this target times something on this machine."""
        return self.plugins.runtimes[self.project.target(target).runtime].times

    def _judge(self, model: str, target: str, scheme: str) -> Job:
        held, config = self._limits_json(model, target), self.project.models[model]
        return Job(
            "judge",
            {
                "model": model,
                "target": target,
                "scheme": scheme,
                "budgets": held["budgets"],
                "release_without": self.project.targets[target].release_without,
                "accept_chance_level": config.accept_chance_level,
                "accept_random_inputs": config.accept_random_inputs,
                "task": held["task"],
                "not_applicable": held["not_applicable"],
            },
            {
                **_pick(layout.measure(model, target, scheme), "measurement"),
                "train": self._origin(model, recipe_id(()))["info"],  # the network itself, without a scheme's steps
            },
        )

    def _package(self, model: str, target: str, scheme: str) -> Job:
        cell = self.plan.by_id[model, target, scheme]
        runtime = self.plugins.runtimes[self.project.target(target).runtime]
        reference = self.plugins.reference("runtime", runtime.id)
        spec = {
            "model": model,
            "target": self._target_json(target),
            "scheme": scheme,
            "runtime": reference,
            "platform": cell.platform,
            "activations": self.project.scheme(scheme).activations,
            "calibrated": self.project.scheme(scheme).calibration_samples > 0,
            "infeasible": cell.reason,
        }
        return Job("package", spec, self._packed(cell), (reference,), EXAMPLES, preload=("rfc8785", "numpy"))

    def _packed(self, cell: Cell) -> Inputs:
        """What a package holds, and what names the rest by digest; nothing for a cell that the plan refused."""
        names = (cell.model, cell.target, cell.scheme)
        data = ("dataset", "golden", "golden_raw")
        if cell.reason:
            return dict.fromkeys(("verdict", "measurement", "program", "info", "answers", *data), NONE)
        prepared = layout.prepare(self.plan.routes[cell].dataset)
        compiled = self._compiled(cell)
        return {
            **layout.judge(*names),
            **_pick(layout.measure(*names), "measurement"),
            **_pick(compiled, "program", "info"),
            "answers": compiled["outputs"],
            "dataset": prepared["info"],
            **_pick(prepared, "golden", "golden_raw"),
        }

    def _report(self) -> Job:
        spec = {
            "title": self.project.title,
            "baseline": self.project.baseline,
            "targets": [
                {"id": name, "description": t.description, "prefer": t.prefer, "runtime": t.runtime}
                for name, t in ((n, self.project.targets[n]) for n in dict.fromkeys(c.target for c in self.plan.cells))
            ],
            "dense": self._dense(),
            "imports": self._imports(),
            "configuration": digests(self.project),
        }
        packages = [layout.package(cell.model, cell.target, cell.scheme)["record"] for cell in self.plan.cells]
        # What it reads is what the packages were made from: an input of each variant is enough.
        inputs: Inputs = {**layout.plan(), "packages": packages}
        return Job("report", spec, inputs, files=tuple(sorted(TEMPLATES.iterdir())), preload=REPORT)

    def _imports(self) -> dict[str, dict[str, Any]]:
        """Model → how it is built, and whether its task asks for labels; of imported models."""
        ways: dict[str, dict[str, None]] = {}
        for cell, route in self.plan.routes.items():
            if route.imported:
                taken = f" ({', '.join(route.edges)})" if route.edges else ", as it is"
                ways.setdefault(cell.model, {})[" → ".join((route.origin, *route.formats)) + taken] = None
        tasks = {model: self.plugins.tasks[self.project.models[model].task] for model in ways}
        return {m: {"routes": list(way), "labelled": tasks[m].needs_targets} for m, way in ways.items()}

    def _dense(self) -> dict[str, str]:
        """Scheme with steps → the first in the matrix that is the same without them."""
        schemes = [self.project.scheme(name) for name in dict.fromkeys(cell.scheme for cell in self.plan.cells)]
        base = recipe_id(())
        plain = {replace(s, id="", description=""): s.id for s in reversed(schemes) if s.recipe == base}
        with_steps = [scheme for scheme in schemes if scheme.recipe != base]
        dense_of = {s.id: plain.get(replace(s, id="", description="", recipe=base)) for s in with_steps}
        return {scheme: dense for scheme, dense in dense_of.items() if dense}


@dataclass(frozen=True)
class _Data:
    """Files that a job reads beside what other jobs make."""

    inputs: Inputs  # "files", and the "pointers" that stand for the rest
    content: str = ""  # digest of them
    fault: str = ""  # why they cannot be read


def _data(names: Iterable[str], read: Callable[[bool], Iterable[Path]]) -> _Data:
    """The data that options or arguments name; `read` gives the files, told whether all that is tracked is here."""
    pointed = _pointers(names)
    inputs: dict[str, list[str]] = {"files": [], "pointers": [str(path) for path in pointed]}
    known: dict[str, str] = {}
    fault = ""
    try:
        kept = _checked(pointed)
        watched = [path for path in read(all(p.out.exists() for p in kept)) if pointers.covering(path) is None]
        # Snakemake takes a brace for a wildcard, and warns of a line end; the digest below watches those files too
        inputs["files"] = [str(path) for path in watched if not {"{", "\n"} & set(str(path))]
        # Snakemake looks into files that are newer than what was made from them: a copy may be older, a clone is
        known = {**(pointers.digests(watched) if watched else {}), **{str(p.file): p.md5 for p in kept}}
    except (EdgeflowError, OSError) as error:  # the job meets it too, and then it is a failure on record
        fault = str(error)
    seen = fault or (json.dumps(known, sort_keys=True) if known else "")
    return _Data(inputs, hashlib.sha256(seen.encode()).hexdigest()[:16] if seen else "", fault)


def _pointers(names: Iterable[str]) -> list[Path]:
    """The DVC pointers of files, which stand for them: data that are not here are brought when needed."""
    covering = dict.fromkeys(pointers.covering(Path(name)) for name in names)
    return [pointer for pointer in covering if pointer is not None]


def _checked(files: Iterable[Path]) -> list[Pointer]:
    """What pointers say; DataError when the data that are here differ from it."""
    kept = [pointers.read(file) for file in files]
    for pointer in kept:
        if pointer.out.exists():
            pointers.check(pointer)
    return kept


def _pick(files: layout.Files, *names: str) -> dict[str, Any]:
    return {name: files[name] for name in names}
