"""A TFLite file that somebody brings, as the tools want it: short distinct names, weights inside, aligned."""

from __future__ import annotations

from edgeflow.converters import borders
from edgeflow.plugin import Converted, Converter, ConvertJob, Tolerance
from edgeflow.runtimes import tflite_files
from edgeflow.types.signatures import Binding, Bound


def convert(job: ConvertJob) -> Converted:
    """Write the model again: not an operator, and not a number of it, is another one."""
    job.output.write_bytes(tflite_files.compact(borders.source(job).read_bytes(), named=True))
    inputs = {tensor.name: Bound(tensor.name) for tensor in job.signature.inputs}
    return Converted(Binding(inputs, {tensor.name: Bound(tensor.name) for tensor in job.signature.outputs}))


plugin = Converter(
    id="tflite_to_tflite",
    description="flatbuffer_utils",
    source="tflite",
    target="tflite",
    toolchain="edge",
    convert=convert,
    tolerance=Tolerance(0.0, "the same operators on the same numbers"),
    preload=("ai_edge_litert.interpreter", "ai_edge_litert.tools.flatbuffer_utils"),
)
