"""Structured pruning with torch-pruning: whole channels go, with every weight, statistic and input that they had.

Fang et al., "DepGraph: Towards Any Structural Pruning", arXiv:2301.12900. What is left is a network of the same modules
with fewer channels; a checkpoint has its shapes, and `fit` gives a freshly built model those shapes again.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from edgeflow.errors import StageError

STEPS = 12  # of the bisection for a goal: to 1 in 4,000
GOALS = ("macs", "parameters")  # in the order of `cost`


def removals(model: Any, example: Any, classes: int, options: Mapping[str, Any]) -> Iterator[None]:
    """Remove channels in place, a part of them before each of the "iterations" that this yields; the model may learn
    in between. `example` is float32[1, …].

    `options`: "channels", the ratio that goes, or "macs" or "parameters", the ratio of them that stays; "round_to", of
    which the numbers of channels are multiples, and so many stay in each layer. What is left does not depend on the
    number of iterations, only which channels these are. Raises StageError when the network cannot be taken apart, an
    iteration has no channels that can go, or the ratio of macs or parameters is out of reach.
    """
    round_to, iterations = int(options["round_to"]), int(options["iterations"])
    try:
        ratio = float(options["channels"]) if "channels" in options else _ratio_for(model, example, classes, options)
        costs = [cost(model, example)]
        trial = copy.deepcopy(model)
        remover = _remover(trial, example, classes, ratio, round_to, iterations)
        for _ in range(iterations):
            remover.step()
            costs.append(cost(trial, example))
        remover = _remover(model, example, classes, ratio, round_to, iterations)
    except (RuntimeError, ValueError, AttributeError, AssertionError) as error:
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise StageError(f"train: prune_channels: torch-pruning cannot take the network apart: {why}") from error
    for number, (before, after) in enumerate(itertools.pairwise(costs), start=1):
        if after == before:
            where = f" in part {number} of {iterations}" if iterations > 1 else ""
            way = "lower it, have fewer iterations," if iterations > 1 else "lower it,"
            raise StageError(
                f"train: prune_channels: no channel can go{where} with round_to: {round_to}; {way} or remove more"
            )
    for _ in range(iterations):
        remover.step()
        yield


def parts(epochs: int, iterations: int) -> list[int]:
    """Epochs after each removal: half of them after the last, and equal shares of the others."""
    share = max(1, epochs // max(1, 2 * (iterations - 1)))
    return [*[share] * (iterations - 1), epochs - share * (iterations - 1)]


def cost(model: Any, example: Any) -> tuple[int, int]:
    """Multiply-accumulates of one sample, and parameters."""
    import torch_pruning

    training = model.training
    macs, parameters = torch_pruning.utils.count_ops_and_params(model, example)
    model.train(training)
    return int(macs), int(parameters)


def _ratio_for(model: Any, example: Any, classes: int, options: Mapping[str, Any]) -> float:
    """The least ratio of channels whose removal reaches the goal; StageError where none does."""
    axis = next(i for i, name in enumerate(GOALS) if name in options)
    name, round_to = GOALS[axis], int(options["round_to"])
    goal, before = float(options[name]), cost(model, example)[axis]
    low, high, left = 0.0, 1.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        trial = copy.deepcopy(model)
        _remover(trial, example, classes, middle, round_to).step()
        left = cost(trial, example)[axis] / before
        low, high = (low, middle) if left <= goal else (middle, high)
    if high == 1.0:  # nothing that was tried
        raise StageError(
            f"train: prune_channels: {name}: {goal:.2%} is out of reach with round_to: {round_to}, which leaves "
            f"{left:.2%}; raise {name} or lower round_to"
        )
    return high


def _remover(model: Any, example: Any, classes: int, ratio: float, round_to: int, iterations: int = 1) -> Any:
    """torch-pruning's pruner: each `step` of the iterations removes as much, of every layer alike."""
    import torch_pruning
    from torch import nn

    class Pruner(torch_pruning.pruner.BasePruner):
        def _round_to(self, removed: int, channels: int, multiple: int) -> int:
            # Rounded down to no channels at all, a layer would silently keep all of them.
            rounded: int = super()._round_to(removed, channels, multiple)
            return max(0, min(rounded, channels - multiple))

    answers = [module for module in model.modules() if isinstance(module, nn.Linear) and module.out_features == classes]
    twice = example.repeat(2, *(1 for _ in example.shape[1:]))  # normalisation that trains wants more than one sample
    return Pruner(
        model,
        twice,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=ratio,
        iterative_steps=iterations,
        round_to=round_to,
        ignored_layers=answers,
    )


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
