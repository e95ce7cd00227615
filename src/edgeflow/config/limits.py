"""What a model on a target is held against: the target's budgets, and those of the model on what its task tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeflow import units
from edgeflow.config.problem import file_of
from edgeflow.config.project import Project
from edgeflow.plugin import Task
from edgeflow.types.figures import Budget, Direction, Evidence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeflow.registry import Plugins


@dataclass(frozen=True)
class Limits:
    """Everything that decides over the variants of one model on one target."""

    budgets: tuple[Budget, ...]
    task: tuple[str, ...]  # metrics that say whether the model does its task
    not_applicable: Mapping[str, str]  # metric of a budget of the target → why this model has none


def limits(project: Project, plugins: Plugins, model: str, target: str) -> Limits:
    """The model's own budget on a metric stands in for that of the target; without any on the task, the task's own.

    A target says what its models must keep to, whatever they are for: a budget on a metric of another task than the
    model's does not apply.
    """
    task = plugins.tasks[project.models[model].task]
    others = {metric: each.id for each in plugins.tasks.values() for metric in each.metrics}
    own = {budget.metric: budget for budget in _of_model(project, model, task)}
    of_target = [budget for budget in project.budgets(target) if budget.metric not in own]
    foreign = {b.metric for b in of_target if b.metric in others and b.metric not in task.metrics}
    decided = own.keys() | {budget.metric for budget in of_target} - foreign
    defaults = () if decided & task.metrics.keys() else tuple(_defaults(task, model))
    return Limits(
        (*of_target, *own.values(), *defaults),
        tuple(task.metrics),
        {metric: f"it is of the task {others[metric]}, and {model} has the task {task.id}" for metric in foreign},
    )


def _of_model(project: Project, model: str, task: Task) -> Iterator[Budget]:
    for metric, limit in project.models[model].budgets.items():
        known = task.metrics[metric]
        direction = Direction.MIN if limit.max is None else Direction.MAX
        value = units.limit(next(v for v in (limit.min, limit.max) if v is not None), metric, known.unit)
        yield Budget(metric, value, known.unit, direction, limit.evidence)


def _defaults(task: Task, model: str) -> Iterator[Budget]:
    """What the task itself finds enough for who says nothing."""
    where = f"default of the task {task.id}, as {file_of('model', model)} has no budgets"
    for metric, known in task.metrics.items():
        if known.default_limit is not None:
            least = known.direction == Direction.MAX
            limit = (metric, known.default_limit, known.unit, Direction.MIN if least else Direction.MAX)
            yield Budget(*limit, Evidence.HOST, f"{where}: {known.default_reason}")
