"""How the inputs and outputs of an nn.Module are found by name: what its exporters share."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from edgeflow.errors import DataError
from edgeflow.plugin import ConvertJob


def inputs(job: ConvertJob) -> dict[str, Any]:
    """Name → example tensor, in the order of the arguments of `forward`; a single one may have any name there.

    Raises DataError when `forward` takes other arguments.
    """
    import torch

    tensors = {name: torch.from_numpy(array) for name, array in job.example.items()}
    if len(tensors) == 1:
        return tensors
    takes = list(inspect.signature(job.model.forward).parameters)
    if unknown := [name for name in tensors if name not in takes]:
        raise DataError(
            f"the model's forward takes {', '.join(takes)}, and the dataset has {', '.join(unknown)}; "
            "name the arguments as the inputs of the dataset"
        )
    return {name: tensors[name] for name in takes if name in tensors}


def outputs(job: ConvertJob, tensors: Mapping[str, Any]) -> list[str]:
    """The names of the outputs in the order in which exporters see them."""
    import torch

    names = [tensor.name for tensor in job.signature.outputs]
    if len(names) == 1:
        return names
    with torch.no_grad():
        answer = job.model(*tensors.values())
    return list(answer) if isinstance(answer, Mapping) else names
