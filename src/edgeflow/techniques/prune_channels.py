"""Structured pruning with torch-pruning: whole channels go, with every weight, statistic and input that they had.

Fang et al., "DepGraph: Towards Any Structural Pruning", arXiv:2301.12900. What is left is a network of the same modules
with fewer channels; a checkpoint has its shapes, and `fit` gives a freshly built model those shapes again.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from edgeflow.errors import StageError

STEPS = 12  # of the bisection for a goal: to 1 in 4,000


def shrunk(model: Any, example: Any, classes: int, options: Mapping[str, Any]) -> None:
    """Remove channels in place; `example` is float32[1, …].

    `options`: "channels", the ratio that goes, or "macs", the ratio of multiply-accumulates that stays; "round_to",
    of which the numbers of channels are multiples. Raises StageError when the network cannot be taken apart, or has no
    channels that can go.
    """
    before = cost(model, example)
    try:
        ratio = float(options["channels"]) if "channels" in options else _ratio_for(model, example, classes, options)
        _remove(model, example, classes, ratio, int(options["round_to"]))
    except (RuntimeError, ValueError, AttributeError, AssertionError) as error:
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise StageError(f"train: prune_channels: torch-pruning cannot take the network apart: {why}") from error
    if cost(model, example) == before:
        raise StageError(
            f"train: prune_channels: no channel can go with round_to: {options['round_to']}; lower it, or remove more"
        )


def cost(model: Any, example: Any) -> tuple[int, int]:
    """Multiply-accumulates of one sample, and parameters."""
    import torch_pruning

    training = model.training
    macs, parameters = torch_pruning.utils.count_ops_and_params(model, example)
    model.train(training)
    return int(macs), int(parameters)


def _ratio_for(model: Any, example: Any, classes: int, options: Mapping[str, Any]) -> float:
    """The least ratio of channels whose removal reaches the goal."""
    goal = float(options["macs"]) * cost(model, example)[0]
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        trial = copy.deepcopy(model)
        _remove(trial, example, classes, middle, int(options["round_to"]))
        low, high = (low, middle) if cost(trial, example)[0] <= goal else (middle, high)
    return high


def _remove(model: Any, example: Any, classes: int, ratio: float, round_to: int) -> None:
    import torch_pruning
    from torch import nn

    answers = [module for module in model.modules() if isinstance(module, nn.Linear) and module.out_features == classes]
    twice = example.repeat(2, *(1 for _ in example.shape[1:]))  # normalisation that trains wants more than one sample
    pruner = torch_pruning.pruner.BasePruner(
        model,
        twice,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=ratio,
        round_to=round_to,
        ignored_layers=answers,
    )
    pruner.step()


def fit(model: Any, tensors: Mapping[str, Any]) -> None:
    """Give the modules of a freshly built model the shapes of a pruned checkpoint, in place."""
    from torch import nn

    for name, module in model.named_modules():
        weight = tensors.get(f"{name}.weight")
        if weight is None or not hasattr(module, "weight") or weight.shape == module.weight.shape:
            continue
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            depthwise = module.groups == module.in_channels and module.groups > 1
            module.out_channels = weight.shape[0]
            module.groups = weight.shape[0] if depthwise else module.groups
            module.in_channels = weight.shape[1] * module.groups
        elif isinstance(module, nn.Linear):
            module.out_features, module.in_features = weight.shape
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.num_features = weight.shape[0]
        for part, _ in [*module.named_parameters(recurse=False)]:
            setattr(module, part, nn.Parameter(tensors[f"{name}.{part}"].clone()))
        for part, _ in [*module.named_buffers(recurse=False)]:
            setattr(module, part, tensors[f"{name}.{part}"].clone())
