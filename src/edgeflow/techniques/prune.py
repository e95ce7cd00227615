"""Unstructured magnitude pruning, gradual: Zhu and Gupta, "To prune, or not to prune", arXiv:1710.01878."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

RAMP = 0.5  # share of the epochs in which zeros are added; the others are for what is left


class Held:
    """Keeps the weights that are zero at zero. `names` are parameters of `network`, an nn.Module."""

    def __init__(self, network: Any, names: Sequence[str]) -> None:
        parameters = dict(network.named_parameters(remove_duplicate=False))
        self._weights = list({id(parameters[name]): parameters[name] for name in names}.values())  # tied ones once
        self._masks: list[Any] = []

    def before_epoch(self, _: int) -> None:
        """Find out what is zero."""
        self._masks = [(weight != 0).to(weight.dtype) for weight in self._weights]

    def after_step(self) -> None:
        """The optimizer's momentum and decay move weights without a gradient too."""
        import torch

        with torch.no_grad():
            for weight, mask in zip(self._weights, self._masks, strict=True):
                weight.mul_(mask)


class Pruner(Held):
    """Sets the smallest weights to zero, of all layers together, more of them epoch by epoch.

    It begins with the zeros that there are, also where they are more than `sparsity`: those of a step before stay zero.
    """

    def __init__(self, network: Any, names: Sequence[str], sparsity: float, epochs: int) -> None:
        super().__init__(network, names)
        self._begun = _zeros(self._weights)
        self._sparsity = max(sparsity, self._begun)
        self._ramp = max(1, round(epochs * RAMP))

    def before_epoch(self, epoch: int) -> None:
        """Choose what is zero in this epoch (from 0). What was zero before has the smallest magnitude, so it stays."""
        import torch

        left = 1 - min(1.0, (epoch + 1) / self._ramp)
        sparsity = self._sparsity + (self._begun - self._sparsity) * left**3
        count = round(sparsity * sum(w.numel() for w in self._weights))
        magnitudes = torch.cat([w.detach().abs().flatten() for w in self._weights])
        mask = torch.ones_like(magnitudes)
        mask[magnitudes.argsort(stable=True)[:count]] = 0  # exactly so many, also among equals
        parts = mask.split([w.numel() for w in self._weights])
        self._masks = [part.view_as(w) for part, w in zip(parts, self._weights, strict=True)]
        self.after_step()


def prunable(model: Any) -> list[str]:
    """Names of the weights of a model's convolutions and linear layers."""
    from torch import nn

    layers = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
    return [f"{name}.weight".lstrip(".") for name, module in model.named_modules() if isinstance(module, layers)]


def zeros(model: Any) -> float:
    """Ratio of zeros among a model's prunable weights."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return _zeros([parameters[name] for name in prunable(model)])


def _zeros(weights: Sequence[Any]) -> float:
    total = sum(w.numel() for w in weights)
    return float(sum(int((w == 0).sum()) for w in weights) / total) if total else 0.0
