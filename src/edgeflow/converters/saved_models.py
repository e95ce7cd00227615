"""SavedModels as functions of named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeflow.converters import borders
from edgeflow.converters.tf_functions import Call
from edgeflow.errors import DataError
from edgeflow.plugin import ConvertJob

SERVING = "serving_default"


def load(job: ConvertJob) -> Call:
    """What a SavedModel serves.

    Raises DataError when it serves nothing under the usual name.
    """
    import tensorflow as tf

    source = borders.source(job)
    model = tf.saved_model.load(str(source))
    if SERVING not in model.signatures:
        known = ", ".join(model.signatures) or "none"
        raise DataError(f"{source}: no signature {SERVING!r}; it has: {known}")

    def call(given: Mapping[str, Any]) -> Mapping[str, Any]:
        answers: Mapping[str, Any] = model.signatures[SERVING](**given)  # variables live as long as the model does
        return answers

    return call
