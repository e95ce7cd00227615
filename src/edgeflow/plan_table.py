"""`edgeflow plan` for people: the matrix, why cells are infeasible, and what sharing saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edgeflow.config import Project
from edgeflow.plan import Plan
from edgeflow.runners import identity
from edgeflow.types.variants import Cell

if TYPE_CHECKING:
    from edgeflow.registry import Plugins

NAMED = 3  # models in a row of routes


def show(project: Project, plugins: Plugins, plan: Plan, faults: Mapping[Cell, str], warnings: Sequence[str]) -> None:
    """Print the plan; `faults` says why a cell will fail, `warnings` what will mean little, where that is known now."""
    console = Console()
    refused = {cell: ("infeasible", cell.reason) for cell in plan.cells if cell.reason}
    why = {**refused, **{cell: ("will fail", fault) for cell, fault in faults.items()}}
    numbers = {each: i for i, each in enumerate(dict.fromkeys(why[cell] for cell in plan.cells if cell in why), 1)}
    console.print(_matrix(plan, {cell: (said, numbers[said, text]) for cell, (said, text) in why.items()}))
    for (said, text), number in numbers.items():
        console.print(f"  [bold]{escape(f'[{number}]')}[/] {said}: {escape(text)}", highlight=False)
    if plan.routes:
        console.print()
        console.print(_routes(plugins, plan))
    failing = sum(cell in faults for cell in plan.feasible)
    counts = [f"{len(plan.feasible) - failing} to build", f"{len(plan.cells) - len(plan.feasible)} infeasible"]
    counts += [f"{failing} will fail"] if failing else []
    console.print(f"\n{len(plan.cells)} cells: {', '.join(counts)}.", highlight=False)
    console.print(_sharing(plan), highlight=False)
    devices = {target: project.device_of(target) for target in dict.fromkeys(c.target for c in plan.cells)}
    for device in dict.fromkeys(filter(None, devices.values())):
        arches = {project.targets[target].arch for target, its in devices.items() if its == device}
        console.print(_whether_here(project, device, arches), highlight=False)
    without = [target for target, device in devices.items() if device is None]
    if without:
        console.print(
            f"No device attached for: {', '.join(without)}; their figures are not device figures.", highlight=False
        )
    for warning in warnings:
        console.print(f"Warning: {escape(warning)}.", highlight=False)


def _whether_here(project: Project, device: str, arches: set[str]) -> str:
    """Whether what is measured here is a figure of a device, whose targets have these instruction sets."""
    here, pinned = identity.here(), project.pinned(device)
    difference = identity.difference(pinned, here) if pinned else ""
    if identity.arch() not in arches:
        difference = f"its instruction set is {' or '.join(sorted(arches))}, here it is {identity.arch()}"
    if difference:
        return escape(f"{device} is another machine: {difference}. What is measured here is not of the device.")
    return f"{device} is this machine: its figures are those of {device}@{identity.short(here)}."


def _matrix(plan: Plan, marked: Mapping[Cell, tuple[str, int]]) -> Table:
    """A row per model and target, a column per scheme: what fits into 80 columns."""
    schemes = list(dict.fromkeys(cell.scheme for cell in plan.cells))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("model, target", *schemes):
        table.add_column(name, no_wrap=True)
    for model in dict.fromkeys(cell.model for cell in plan.cells):
        table.add_row(f"[bold]{model}[/]")
        for target in dict.fromkeys(cell.target for cell in plan.cells if cell.model == model):
            cells = (plan.by_id.get((model, target, scheme)) for scheme in schemes)
            table.add_row(f"  {target}", *(_cell(cell, marked) for cell in cells))
    return table


def _cell(cell: Cell | None, marked: Mapping[Cell, tuple[str, int]]) -> str:
    if cell is None:  # excluded by the configuration
        return ""
    if cell not in marked:
        return "build"
    said, number = marked[cell]
    mark = escape(f"[{number}]")
    return f"[dim]no {mark}[/]" if said == "infeasible" else f"[red]fails {mark}[/]"


def _routes(plugins: Plugins, plan: Plan) -> Table:
    """How models become what runtimes take: a row per way, and who goes it."""
    ways: dict[tuple[str, tuple[str, ...], tuple[str, ...]], dict[str, None]] = {}
    for cell, route in plan.routes.items():
        ways.setdefault((route.origin, route.edges, route.formats), {})[cell.model] = None
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("route", "by", "models"):
        table.add_column(name)
    for (origin, edges, formats), models in ways.items():
        named = list(models)
        several = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
        used = [plugins.converters[edge] for edge in edges]
        by = ", ".join(f"{each.description} ({each.toolchain})" for each in used) or "taken as it is"
        way = " → ".join((origin, *formats) if edges else formats)
        table.add_row(escape(way), escape(by), escape(", ".join(named[:NAMED]) + several))
    return table


def _sharing(plan: Plan) -> str:
    jobs = plan.jobs()
    parts = ", ".join(f"{shared} {stage}" for stage, (shared, _) in jobs.items())
    total, alone = (sum(pair[i] for pair in jobs.values()) for i in (0, 1))
    return f"Jobs: {parts}. Sharing saves {alone - total} of {alone}."
