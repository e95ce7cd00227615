"""Keras files as functions of named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeflow.converters import borders
from edgeflow.converters.tf_functions import Call
from edgeflow.errors import DataError
from edgeflow.plugin import ConvertJob


def load(job: ConvertJob) -> Call:
    """The model of a .keras or .h5 file that has been checked; code in it is not loaded.

    Raises DataError when its inputs and outputs are not those of the signature.
    """
    import keras

    source = borders.source(job)
    model = keras.saving.load_model(source, compile=False, safe_mode=True)
    inputs = [tensor.name for tensor in model.inputs]
    outputs = _outputs(model, source, [tensor.name for tensor in job.signature.outputs])
    wanted = {tensor.name for tensor in job.signature.inputs}
    if len(inputs) > 1 and set(inputs) != wanted:
        raise DataError(f"{source}: it takes {', '.join(inputs)}, and its signature says {', '.join(sorted(wanted))}")
    inputs = inputs if len(inputs) > 1 else list(wanted)
    structure = model._inputs_struct if hasattr(model, "_inputs_struct") else model.inputs[0]

    def call(given: Mapping[str, Any]) -> Mapping[str, Any]:
        # packed as the model has them: a mapping would be taken apart in the order of its keys
        packed = keras.tree.pack_sequence_as(structure, [given[name] for name in inputs])
        return dict(zip(outputs, keras.tree.flatten(model(packed, training=False)), strict=True))

    return call


def _outputs(model: Any, source: Path, wanted: list[str]) -> list[str]:
    """Names of the outputs in the order in which Keras takes its answers apart: keys of a mapping, or layers."""
    import keras

    if len(model.outputs) == len(wanted) == 1:
        return wanted
    paths = keras.tree.flatten_with_path(model._outputs_struct)
    keys = [str(path[-1]) for path, _ in paths if path]
    layers = [tensor._keras_history.operation.name for _, tensor in paths]
    for names in (keys, layers):
        if sorted(names) == sorted(wanted):
            return names
    raise DataError(f"{source}: it gives {', '.join(layers)}, and its signature says {', '.join(wanted)}")
