"""What the model itself's answers say before anything is compared with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgeflow.errors import DataError
from edgeflow.plugin import Comparison, Task
from edgeflow.types.figures import Reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeflow.plugin import Answers, Float32, Int64

    Given = Answers | NDArray[Any]

_ROUNDING = 1e-3  # of a sum of probabilities, also in float16


def comparison(reference: Given, answers: Given, targets: Int64 | None, output: str = "") -> Comparison:
    """What a task is given. `output`: the one that the model's configuration names.

    Raises DataError for an output that the model does not have.
    """
    named = _named(answers)
    if output and output not in named:
        raise DataError(f"output: the model has no output {output!r}; it has {', '.join(named)}")
    return Comparison(_named(reference), named, targets, output)


def _named(answers: Given) -> Answers:
    return answers if isinstance(answers, Mapping) else {"output": answers}


def score(task: Task, compared: Comparison) -> Reference:
    """The reference's metric on the evaluation samples, beside that of who looks at none of them."""
    scored = task.score(compared.swapped)
    targets = compared.targets
    chance = task.chance(targets) if task.chance and targets is not None else None
    metric = scored.metric or task.metric
    known = task.metrics[metric]
    return Reference(metric, scored.value, scored.n, scored.interval, known.direction, chance, known.unit)


def missing(task: Task, compared: Comparison) -> Mapping[str, str]:
    """Metrics of the task that these outputs have no figure of, and why."""
    found = task.further(compared) if task.further else {}
    return {metric: why for metric, why in found.items() if isinstance(why, str)}


def are_probabilities(outputs: Float32) -> bool:
    """True when all answers of float32[N, K] are at least 0 and sum to one: a softmax was taken already."""
    if outputs.ndim != 2 or outputs.shape[1] < 2 or outputs.min() < 0:
        return False
    return bool((abs(outputs.sum(axis=1, dtype="float64") - 1) <= _ROUNDING).all())
