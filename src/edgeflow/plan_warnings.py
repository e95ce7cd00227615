"""What is known to go wrong before anything is built: figures that will decide nothing, and models that learn badly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow import files, layout
from edgeflow.config.limits import limits
from edgeflow.config.problem import file_of
from edgeflow.config.project import recipe_id
from edgeflow.errors import DataError
from edgeflow.judge import Circumstances, shown, warnings
from edgeflow.plan import Plan
from edgeflow.types.figures import DROP, Budget, Direction, Reference
from edgeflow.types.ladder import Network
from edgeflow.types.plain import from_json

if TYPE_CHECKING:
    from edgeflow.config import Project
    from edgeflow.registry import Plugins


def of(project: Project, plugins: Plugins, plan: Plan) -> tuple[str, ...]:
    """One sentence each, with the file where something can be done about it."""
    pairs = dict.fromkeys((cell.model, cell.target) for cell in plan.feasible)
    trained = {model: _as_trained(project, model) for model in dict.fromkeys(model for model, _ in pairs)}
    sentences = [s for model, target in pairs for s in _too_few_samples(project, plugins, model, target)]
    for model, target in pairs:
        of_training = warnings(limits(project, plugins, model, target).budgets, trained[model])
        sentences += [f"{file_of('model', model)}: as it was trained last, {sentence}" for sentence in of_training]
    return tuple(dict.fromkeys(sentences))


def _too_few_samples(project: Project, plugins: Plugins, model: str, target: str) -> Iterator[str]:
    """Budgets on the task that the evaluation split cannot decide, even if nothing is lost or all answers are right."""
    config = project.models[model]
    task, has = plugins.tasks[config.task], project.datasets[config.dataset].splits.evaluation
    if task.least_samples is None:
        return
    for budget in limits(project, plugins, model, target).budgets:
        drop = budget.metric == f"{task.metric}{DROP}" and budget.direction == Direction.MAX
        if not drop and (budget.metric not in task.metrics or budget.direction == Direction.MAX):
            continue
        if budget.default and budget.metric != task.metric:
            continue  # which nobody asked for, and most models have no output of that kind
        needed = task.least_samples(budget.metric, budget.limit)
        if needed is not None and needed <= has:
            continue
        alike = "no wrong answer" if task.needs_targets else "no other answer than the source's"
        flawless = "no change of any answer" if drop else alike
        cure = f"{needed} would do" if needed else "no number would do"
        yield (
            f"{file_of('dataset', config.dataset)}: splits.evaluation: {has} samples are too few for {_limit(budget)} "
            f"of {target}: {flawless} on them would not show it; {cure}"
        )


def _limit(budget: Budget) -> str:
    sign = "≤" if budget.direction == Direction.MAX else "≥"
    return f"{budget.metric} {sign} {shown(budget.metric, budget.limit, budget.unit)}"


def _as_trained(project: Project, model: str) -> Circumstances:
    """What the model's last training showed, where there was one."""
    accepted = project.models[model].accept_chance_level
    path = Path(layout.origin(model, recipe_id(()), imported=project.models[model].imported)["info"])
    try:
        said: dict[str, Any] = files.read_json(path) if path.is_file() else {}
        reference = from_json(Reference, said["reference"]) if said.get("reference") else None
        network = from_json(Network, said.get("network") or {})
    except (DataError, ValueError):
        return Circumstances(None, Network(), accepted)  # damaged, or of an older version: it is trained again
    return Circumstances(reference, network, accepted)
