"""Keras files as functions of named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeflow.converters import borders
from edgeflow.converters.tf_functions import Call
from edgeflow.plugin import ConvertJob


def load(job: ConvertJob) -> Call:
    """The model of a .keras or .h5 file that has been checked; code in it is not loaded."""
    import keras

    from edgeflow.runners import keras_backend

    model = keras_backend.load(str(borders.source(job)))
    described = keras_backend.describe(model)
    inputs, outputs = ([tensor["name"] for tensor in described[side]] for side in ("inputs", "outputs"))

    def call(given: Mapping[str, Any]) -> Mapping[str, Any]:
        # packed as the model has them: a mapping would be taken apart in the order of its keys
        packed = keras_backend.packed(model, [given[name] for name in inputs])
        return dict(zip(outputs, keras.tree.flatten(model(packed, training=False)), strict=True))

    return call
