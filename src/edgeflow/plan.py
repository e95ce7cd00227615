"""config × plugins → every cell of the matrix: what will be built, what is shared, what is infeasible and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edgeflow.plugin import Runtime
from edgeflow.types import Cell, Scheme, Target

if TYPE_CHECKING:
    from edgeflow.config import Project
    from edgeflow.registry import Plugins


@dataclass(frozen=True)
class Route:
    """The keys by which one variant shares its earlier stages with others."""

    dataset: str
    recipe: str
    file_format: str
    profile: str


@dataclass(frozen=True)
class Plan:
    """The matrix."""

    cells: tuple[Cell, ...]
    routes: Mapping[Cell, Route]  # of the feasible cells

    @cached_property
    def feasible(self) -> tuple[Cell, ...]:
        """The cells that will be built."""
        return tuple(cell for cell in self.cells if not cell.reason)

    @cached_property
    def by_id(self) -> Mapping[tuple[str, str, str], Cell]:
        """Cells by (model, target, scheme)."""
        return {(cell.model, cell.target, cell.scheme): cell for cell in self.cells}

    def jobs(self) -> Mapping[str, tuple[int, int]]:
        """Stage → (jobs, jobs if nothing were shared), up to judge, for the feasible cells."""
        keys: dict[str, set[tuple[str, ...]]] = {s: set() for s in ("prepare", "train", "convert", "optimize")}
        for cell in self.feasible:
            route = self.routes[cell]
            keys["prepare"].add((route.dataset,))
            keys["train"].add((cell.model, route.recipe))
            keys["convert"].add((cell.model, route.recipe, route.file_format))
            keys["optimize"].add((cell.model, route.profile, cell.scheme))
        count = len(self.feasible)
        own = dict.fromkeys(("compile", "measure", "judge"), (count, count))
        return {**{stage: (len(found), count) for stage, found in keys.items()}, **own}

    def to_json(self) -> dict[str, Any]:
        """`{"cells": [{"model", "target", "scheme"} and, where infeasible, "reason"]}`."""
        return {"cells": [_cell_json(cell) for cell in self.cells]}


def _cell_json(cell: Cell) -> dict[str, str]:
    found = {"model": cell.model, "target": cell.target, "scheme": cell.scheme}
    return {**found, "reason": cell.reason} if cell.reason else found


def plan(project: Project, plugins: Plugins) -> Plan:
    """Every cell of the project's matrix, in the order of the configuration."""
    schemes = {name: project.scheme(name) for name in project.schemes}
    targets = {name: project.target(name) for name in project.targets}
    cells: list[Cell] = []
    routes: dict[Cell, Route] = {}
    for model, target, scheme in _names(project):
        reason = _refusal(project, plugins, model, schemes[scheme], targets[target])
        cell = Cell(model, target, scheme, reason)
        cells.append(cell)
        if not reason:
            routes[cell] = _route(project, plugins, model, schemes[scheme], targets[target])
    return Plan(tuple(cells), routes)


def _names(project: Project) -> Iterator[tuple[str, str, str]]:
    yield from dict.fromkeys(project.cells())


def builder_of(plugins: Plugins, runtime: Runtime) -> Runtime:
    """The runtime whose converters and optimizer make the models of `runtime`."""
    return plugins.runtimes[runtime.build_with] if runtime.build_with else runtime


def _refusal(project: Project, plugins: Plugins, model: str, scheme: Scheme, target: Target) -> str:
    runtime = plugins.runtimes[target.runtime]
    framework = project.models[model].framework
    builder = builder_of(plugins, runtime)
    if framework not in builder.converters:
        return f"{builder.id} has no converter for {framework} models"
    refusal = runtime.supports(scheme, target) or (builder is not runtime and builder.supports(scheme, target)) or None
    return refusal.reason if refusal else ""


def _route(project: Project, plugins: Plugins, model: str, scheme: Scheme, target: Target) -> Route:
    builder = builder_of(plugins, plugins.runtimes[target.runtime])
    profile = builder.profile(scheme, target) if builder.profile else builder.id
    return Route(project.models[model].dataset, scheme.recipe, builder.format, profile)
