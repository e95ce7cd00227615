"""SavedModels as functions of named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeflow.converters import borders
from edgeflow.converters.tf_functions import Call
from edgeflow.formats import saved_model
from edgeflow.plugin import ConvertJob


def load(job: ConvertJob) -> Call:
    """What a SavedModel that has been checked serves."""
    import tensorflow as tf

    source = borders.source(job)
    key = saved_model.key(source)
    model = tf.saved_model.load(str(source))

    def call(given: Mapping[str, Any]) -> Mapping[str, Any]:
        answers: Mapping[str, Any] = model.signatures[key](**given)  # variables live as long as the model does
        return answers

    return call
