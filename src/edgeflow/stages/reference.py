"""What the trained model's answers say before anything is compared with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.plugin import Task
from edgeflow.types.figures import Reference

if TYPE_CHECKING:
    from edgeflow.plugin import Float32, Int64

_ROUNDING = 1e-3  # of a sum of probabilities, also in float16


def score(task: Task, outputs: Float32, labels: Int64) -> Reference:
    """The trained model's metric on the evaluation samples, beside that of who looks at none of them."""
    scored = task.score(outputs, labels)
    chance = task.chance(labels) if task.chance else None
    return Reference(task.metric, scored.value, scored.n, scored.interval, task.direction, chance)


def are_probabilities(outputs: Float32) -> bool:
    """True when all answers of float32[N, K] are at least 0 and sum to one: a softmax was taken already."""
    if outputs.ndim != 2 or outputs.shape[1] < 2 or outputs.min() < 0:
        return False
    return bool((abs(outputs.sum(axis=1, dtype="float64") - 1) <= _ROUNDING).all())
