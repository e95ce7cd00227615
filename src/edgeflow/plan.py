"""config × plugins → every cell of the matrix: what will be built, what is shared, what is infeasible and why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.config.problem import file_of
from edgeflow.config.project import control_of, recipe_id
from edgeflow.errors import PluginError
from edgeflow.plugin import Runtime, Unsupported
from edgeflow.routes import Routes, Way, format_of
from edgeflow.types.variants import Cell, Scheme, Target

if TYPE_CHECKING:
    from edgeflow.config.project import Project
    from edgeflow.registry import Plugins

PLATFORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # a folder's name

ProgramKey = tuple[str, str, str, str]  # model, runtime, platform, scheme


@dataclass(frozen=True)
class Route:
    """The keys by which one variant shares its earlier stages with others."""

    dataset: str
    origin: str  # id of the framework that the model is trained in, or of the format that it is brought in
    imported: bool
    recipe: str
    trained: tuple[tuple[str, str], ...]  # (model, recipe) of every checkpoint that is needed for its own
    edges: tuple[str, ...]  # ids of the converters on the way; () where a file is taken as it is
    formats: tuple[str, ...]  # what each makes; the last is the runtime's
    profile: str
    mixed: bool  # whether layers are chosen that stay in float32
    platforms: tuple[Target, ...]  # what each compiler on the way sees of the target; the last one's program ships

    @property
    def file_format(self) -> str:
        """Id of the format that is optimized."""
        return self.formats[-1]


@dataclass(frozen=True)
class Plan:
    """The matrix."""

    cells: tuple[Cell, ...]
    routes: Mapping[Cell, Route]  # of the feasible cells, and of those below
    baselines: Mapping[tuple[str, str], Cell] = field(default_factory=dict)  # (model, target) → outside the matrix

    @cached_property
    def feasible(self) -> tuple[Cell, ...]:
        """The cells that will be built."""
        return tuple(cell for cell in self.cells if not cell.reason)

    @cached_property
    def by_id(self) -> Mapping[tuple[str, str, str], Cell]:
        """Cells by (model, target, scheme)."""
        return {(cell.model, cell.target, cell.scheme): cell for cell in self.cells}

    @cached_property
    def programs(self) -> Mapping[ProgramKey, tuple[Route, int]]:
        """Everything that is compiled: the route of one of the cells that share it, and its place in `platforms`."""
        return {
            (cell.model, platform.runtime, platform.id, cell.scheme): (route, i)
            for cell, route in self.routes.items()
            for i, platform in enumerate(route.platforms)
        }

    @cached_property
    def origins(self) -> Mapping[str, str]:
        """Model → the framework or the format that it comes from, of every model that is built."""
        return {cell.model: route.origin for cell, route in self.routes.items()}

    @cached_property
    def conversions(self) -> Mapping[tuple[str, str, str], tuple[str, str]]:
        """(model, recipe, format) → the converter, and the format that it takes.

        "" for a converter: the file is taken as it is; for a format: the model as it was trained or brought.
        """
        made: dict[tuple[str, str, str], tuple[str, str]] = {}
        for cell, route in self.routes.items():
            edges, taken = route.edges or ("",), ("", *route.formats[:-1])
            for converter, before, after in zip(edges, taken, route.formats, strict=True):
                made[cell.model, route.recipe, after] = converter, before
        return made

    @cached_property
    def keys(self) -> Mapping[str, tuple[tuple[str, ...], ...]]:
        """Stage → the keys of its jobs, as layout.py has them."""
        stages = ("prepare", "train", "source", "convert", "sensitivity", "optimize")
        shared: dict[str, dict[tuple[str, ...], None]] = {stage: {} for stage in stages}
        for cell, route in self.routes.items():
            shared["prepare"][route.dataset,] = None
            shared["train"].update(dict.fromkeys(route.trained))
            if route.imported:
                shared["source"][cell.model,] = None
            shared["convert"].update(((cell.model, route.recipe, made), None) for made in route.formats)
            optimized = (cell.model, route.file_format, route.profile, cell.scheme)
            shared["optimize"][optimized] = None
            if route.mixed:
                shared["sensitivity"][optimized] = None
        variants = tuple((cell.model, cell.target, cell.scheme) for cell in self.feasible)
        return {
            **{stage: tuple(keys) for stage, keys in shared.items()},
            "compile": tuple(self.programs),
            **dict.fromkeys(("measure", "judge"), variants),
            "package": tuple((cell.model, cell.target, cell.scheme) for cell in self.cells),
        }

    def jobs(self) -> Mapping[str, tuple[int, int]]:
        """Stage → (jobs, jobs if every cell had its own), up to package; the last is made for infeasible cells too.

        A stage that this matrix does not need is left out.
        """
        alone = dict.fromkeys(self.keys, len(self.routes))
        alone["train"] = sum(not route.imported for route in self.routes.values())
        alone["source"] = sum(route.imported for route in self.routes.values())
        alone["convert"] = sum(len(route.formats) for route in self.routes.values())
        alone["measure"] = alone["judge"] = len(self.feasible)
        alone["compile"] = sum(len(route.platforms) for route in self.routes.values())
        alone["sensitivity"] = sum(route.mixed for route in self.routes.values())
        alone["package"] = len(self.cells)
        return {stage: (len(keys), alone[stage]) for stage, keys in self.keys.items() if keys}

    def to_json(self) -> dict[str, Any]:
        """`{"cells": […], "jobs": [[stage, key, …], …], "recipes": {recipe: [scheme, …]}}`; jobs up to package.

        A cell has "model", "target", "scheme", and "reason" where it is infeasible, else "runtime" and "platform".
        """
        jobs = [[stage, *key] for stage, keys in self.keys.items() for key in keys]
        recipes: dict[str, dict[str, None]] = {}
        for cell in self.feasible:
            recipes.setdefault(self.routes[cell].recipe, {})[cell.scheme] = None
        used = {recipe: list(schemes) for recipe, schemes in recipes.items()}
        return {"cells": [_cell_json(cell) for cell in self.cells], "jobs": jobs, "recipes": used}


def _cell_json(cell: Cell) -> dict[str, str]:
    names = {"model": cell.model, "target": cell.target, "scheme": cell.scheme}
    return (
        {**names, "reason": cell.reason}
        if cell.reason
        else {**names, "runtime": cell.runtime, "platform": cell.platform}
    )


def plan(project: Project, plugins: Plugins) -> Plan:
    """Every cell of the project's matrix, in the order of the configuration.

    Raises PluginError when a runtime would share programs that differ.
    """
    schemes = {name: project.scheme(name) for name in (*project.schemes, project.baseline)}
    targets = {name: project.target(name) for name in project.targets}
    ways = Routes(plugins)
    origins = {model: _origin(project, plugins, model) for model in dict.fromkeys(c[0] for c in project.cells())}
    routes: dict[Cell, Route] = {}

    def planned(model: str, target: str, scheme: str) -> Cell:
        variant = (model, schemes[scheme], targets[target])
        origin = origins[model]
        if isinstance(origin, Unsupported):
            return Cell(model, target, scheme, origin.reason)
        if reason := _refusal(project, plugins, *variant):
            return Cell(model, target, scheme, reason)
        way = ways.find(origin, maker_of(plugins, plugins.runtimes[variant[2].runtime]).format)
        if isinstance(way, Unsupported):
            return Cell(model, target, scheme, way.reason)
        route = _route(project, plugins, *variant, origin, way)
        cell = Cell(model, target, scheme, "", route.platforms[-1].runtime, route.platforms[-1].id)
        routes[cell] = route
        return cell

    names = dict.fromkeys(project.cells())
    cells = tuple(planned(*each) for each in names)
    # what is timed is timed in turn with the baseline, selected or not
    pairs = dict.fromkeys((cell.model, cell.target) for cell in routes)
    missing = [pair for pair in pairs if (*pair, project.baseline) not in names]
    baselines = {pair: planned(*pair, project.baseline) for pair in missing}
    for cell in baselines.values():
        if not plugins.runtimes[targets[cell.target].runtime].times:
            routes.pop(cell, None)  # whether it could be made is all that is asked
    _check_sharing(routes)
    return Plan(cells, routes, baselines)


def _origin(project: Project, plugins: Plugins, model: str) -> str | Unsupported:
    config = project.models[model]
    if config.source is None:
        return config.framework
    found = format_of(plugins, Path(config.source))
    return (
        Unsupported(f"{file_of('model', model)}: source: {found.reason}") if isinstance(found, Unsupported) else found
    )


def maker_of(plugins: Plugins, runtime: Runtime) -> Runtime:
    """The runtime whose optimizer makes the models of `runtime`."""
    return plugins.runtimes[runtime.models_from] if runtime.models_from else runtime


def _refusal(project: Project, plugins: Plugins, model: str, scheme: Scheme, target: Target) -> str:
    runtime = plugins.runtimes[target.runtime]
    maker = maker_of(plugins, runtime)
    if scheme.mixed_precision is not None and maker.layers is None:
        return f"{maker.id} cannot leave layers in float32"
    task = plugins.tasks[project.models[model].task]
    if scheme.mixed_precision is not None and task.drop is None:
        return f"mixed_precision keeps a drop within its limit, and {task.metric} of the task {task.id} has none"
    if scheme.mixed_precision is not None and (reason := _unranked(project, model)):
        return reason
    if reason := _untrainable(project, plugins, model, scheme):
        return reason
    involved = {r.id: r for r in (runtime, maker, *_compilers(plugins, runtime))}
    refusals = (r.supports(scheme, target) for r in involved.values())
    return next((refusal.reason for refusal in refusals if refusal), "")


def _unranked(project: Project, model: str) -> str:
    """Why layers cannot be ranked on a model's samples, which are blended for that; empty when they can."""
    dataset = project.models[model].dataset
    inputs = project.datasets[dataset].declared
    if len(inputs) > 1:
        return f"mixed_precision ranks layers on samples of one input, and dataset {dataset} has {len(inputs)}"
    if whole := [each.dtype for each in inputs.values() if not each.dtype.startswith("float")]:
        return f"mixed_precision ranks layers on blends of samples, and the {whole[0]} of dataset {dataset} have none"
    return ""


def _untrainable(project: Project, plugins: Plugins, model: str, scheme: Scheme) -> str:
    """Why the training-time steps of a scheme cannot be taken with a model; empty when they can."""
    config = project.models[model]
    for step in project.steps(scheme.id):
        if config.imported:
            return f"{model} is imported: it can be quantized, not trained ({step.kind})"
        if step.kind not in plugins.frameworks[config.framework].steps:
            return f"{config.framework} has no training-time step {step.kind!r}"
        teacher = project.models[str(step.options.get("teacher", model))]
        if teacher.imported:
            return f"its teacher {step.options['teacher']} is imported, and only what is trained here teaches"
        if (teacher.dataset, teacher.framework) != (config.dataset, config.framework):
            return (
                f"its teacher {step.options['teacher']} is a {teacher.framework} model of {teacher.dataset}; "
                f"{model} is a {config.framework} model of {config.dataset}"
            )
    return ""


def _route(
    project: Project, plugins: Plugins, model: str, scheme: Scheme, target: Target, origin: str, way: Way
) -> Route:
    maker = maker_of(plugins, plugins.runtimes[target.runtime])
    profile = maker.profile(scheme, target) if maker.profile else maker.id
    platforms = tuple(_platform(r, scheme, target) for r in _compilers(plugins, plugins.runtimes[target.runtime]))
    config, mixed = project.models[model], scheme.mixed_precision is not None
    trained = () if config.imported else tuple(checkpoints(project, model, scheme.recipe))
    return Route(
        dataset=config.dataset,
        origin=origin,
        imported=config.imported,
        recipe=scheme.recipe,
        trained=trained,
        edges=way.edges,
        formats=way.formats,
        profile=profile,
        mixed=mixed,
        platforms=platforms,
    )


def checkpoints(project: Project, model: str, recipe: str) -> Iterator[tuple[str, str]]:
    """(model, recipe) of a checkpoint and of all that it takes: where it starts, its control, its teachers."""
    steps = project.recipes[recipe]
    if steps:
        yield model, recipe_id(())
        teachers = (str(step.options["teacher"]) for step in steps if "teacher" in step.options)
        yield from ((teacher, recipe_id(())) for teacher in teachers)
        yield model, recipe_id(control_of(steps))
    yield model, recipe


def _compilers(plugins: Plugins, runtime: Runtime) -> tuple[Runtime, ...]:
    """The runtimes whose compilers make a program, one after the other."""
    return (plugins.runtimes[runtime.compiles_from], runtime) if runtime.compiles_from else (runtime,)


def _platform(runtime: Runtime, scheme: Scheme, target: Target) -> Target:
    seen = runtime.compiles_for(scheme, target) if runtime.compiles_for else target
    if not PLATFORM.fullmatch(seen.id):
        raise PluginError(
            f"runtime {runtime.id}: compiles_for gave {target.id} the id {seen.id!r}, which names no folder; "
            "use letters, digits and '_.-'"
        )
    return replace(seen, runtime=runtime.id)


def _check_sharing(routes: Mapping[Cell, Route]) -> None:
    """What goes by one name is made from one model, and for one reduced target."""
    known: dict[ProgramKey, tuple[Cell, Any]] = {}
    for cell, route in routes.items():
        for i, platform in enumerate(route.platforms):
            made_from = (route.file_format, route.profile, route.platforms[: i + 1])
            first, expected = known.setdefault(
                (cell.model, platform.runtime, platform.id, cell.scheme), (cell, made_from)
            )
            if made_from != expected:
                raise PluginError(
                    f"runtime {platform.runtime}: compiles_for gives {first.target} and {cell.target} the same id "
                    f"{platform.id!r} for {cell.scheme}, but they differ in {_difference(expected, made_from)}; "
                    "make the id say so, or erase it"
                )


def _difference(one: Any, other: Any) -> str:
    """The first field of a target, or else the profile, in which two things that would be shared differ."""
    if one[:2] != other[:2]:
        return f"profile ({one[1]}, {other[1]})"
    for a, b in zip(one[2], other[2], strict=True):
        for name in (f.name for f in fields(a)):
            if getattr(a, name) != getattr(b, name):
                return f"{name} ({getattr(a, name)}, {getattr(b, name)})"
    raise AssertionError("nothing differs")
