"""`edgeflow plan` for people: the matrix, why cells are infeasible, and what sharing saves."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from edgeflow.config import Project
from edgeflow.plan import Plan


def show(project: Project, plan: Plan) -> None:
    """Print the plan."""
    console = Console()
    numbers = {reason: i for i, reason in enumerate(dict.fromkeys(c.reason for c in plan.cells if c.reason), 1)}
    console.print(_matrix(plan, numbers))
    for reason, number in numbers.items():
        console.print(f"  [bold]{number}[/] infeasible: {reason}", highlight=False)
    infeasible = len(plan.cells) - len(plan.feasible)
    console.print(
        f"\n{len(plan.cells)} cells: {len(plan.feasible)} to build, {infeasible} infeasible.", highlight=False
    )
    console.print(_sharing(plan), highlight=False)
    devices = {target: project.device_of(target) for target in dict.fromkeys(c.target for c in plan.cells)}
    without = [target for target, device in devices.items() if device is None]
    if without:
        console.print(f"No device attached for: {', '.join(without)}; their figures are not device figures.")


def _matrix(plan: Plan, numbers: dict[str, int]) -> Table:
    targets = list(dict.fromkeys(cell.target for cell in plan.cells))
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("model", "scheme", *targets):
        table.add_column(name)
    for model, scheme in dict.fromkeys((cell.model, cell.scheme) for cell in plan.cells):
        cells = [plan.by_id.get((model, target, scheme)) for target in targets]
        table.add_row(
            model,
            scheme,
            *("" if c is None else f"[dim]infeasible {numbers[c.reason]}[/]" if c.reason else "build" for c in cells),
        )
    return table


def _sharing(plan: Plan) -> str:
    jobs = plan.jobs()
    parts = ", ".join(f"{shared} {stage}" for stage, (shared, _) in jobs.items())
    total, alone = (sum(pair[i] for pair in jobs.values()) for i in (0, 1))
    return f"Jobs: {parts}. Sharing saves {alone - total} of {alone}."
