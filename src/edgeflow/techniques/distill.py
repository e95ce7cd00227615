"""Distillation from the answers of a teacher: Hinton et al., "Distilling the Knowledge", arXiv:1503.02531."""

from __future__ import annotations

from typing import Any

from edgeflow.techniques.training import Loss


def loss(teacher: Any, temperature: float, soft_weight: float, hard: Loss) -> Loss:
    """`soft_weight` of the distance to the teacher's softened answers, and the rest of the loss against the labels.

    The teacher (an nn.Module in inference mode) sees the student's inputs, noise and all. The distance is scaled by
    temperature², so that its gradients keep their size whatever the temperature.
    """
    import torch
    from torch.nn.functional import kl_div, log_softmax

    def both(x: Any, outputs: Any, labels: Any) -> Any:
        with torch.no_grad():
            wanted = log_softmax(teacher(x) / temperature, dim=1)
        given = log_softmax(outputs / temperature, dim=1)
        soft = kl_div(given, wanted, reduction="batchmean", log_target=True) * temperature**2
        return soft_weight * soft + (1 - soft_weight) * hard(x, outputs, labels)

    return both
