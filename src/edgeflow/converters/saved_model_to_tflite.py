"""SavedModel → TFLite by tf.lite.TFLiteConverter, batch one, images channels last as Keras has them."""

from __future__ import annotations

from edgeflow.converters import saved_models, tf_functions
from edgeflow.converters.silence import silenced
from edgeflow.plugin import Converted, Converter, ConvertJob, Tolerance, Unsupported


def convert(job: ConvertJob) -> Converted | Unsupported:
    """Convert; Unsupported names the operator that the library has no way for."""
    with silenced(job.work / "log.txt"):
        return tf_functions.to_tflite(job, saved_models.load(job))


plugin = Converter(
    id="saved_model_to_tflite",
    description="tf.lite.TFLiteConverter",
    source="saved_model",
    target="tflite",
    toolchain="tf",
    convert=convert,
    tolerance=Tolerance(1e-4, "float32: another order of additions; measured 7e-6"),
    preload=("tensorflow", "ai_edge_litert.interpreter"),
)
