"""Where a model's own inputs and outputs are in a file, until every converter says it: from the runtime's layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgeflow.plugin import Runtime
from edgeflow.runners.tensors import Split, first
from edgeflow.types.ladder import Ladder
from edgeflow.types.signatures import Binding, Bound

if TYPE_CHECKING:
    from edgeflow.plugin import Float32

OUTPUT = "logits"  # of a model that was trained here: it has one
CHANNELS_LAST = (1, 2, 0)


def of(ladder: Ladder, runtime: Runtime, signature: Mapping[str, Any], split: Split) -> Binding:
    """What the ladder says; else of a file with this signature, one input and one output."""
    if ladder.binding is not None:
        return ladder.binding
    (given,), (output,) = signature["inputs"], signature["outputs"]
    images = len(given["shape"]) == len(CHANNELS_LAST) + 1
    axes = CHANNELS_LAST if images and runtime.layout == "NHWC" else ()
    return Binding({first(split.names): Bound(given["name"], axes)}, {OUTPUT: Bound(output["name"])})


def to_layout(x: Float32, layout: str) -> Float32:
    """float32[N, C, H, W] as the runtime wants it; arrays that are not four-dimensional have no layout."""
    import numpy as np

    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if layout == "NHWC" and x.ndim == 4 else x
