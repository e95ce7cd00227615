"""An ONNX file that somebody brings, as the tools want it: opset 21, weights inside, nodes with names, no notes."""

from __future__ import annotations

from edgeflow.converters import borders, onnx_graphs
from edgeflow.converters.silence import silenced
from edgeflow.plugin import Converted, Converter, ConvertJob, Tolerance
from edgeflow.types.signatures import Binding, Bound, Signature


def convert(job: ConvertJob) -> Converted:
    """Write the model again; the opset stays where ONNX's converter has no way to a newer one that answers alike.

    Axes stay as they are: programs have a batch of one whatever the model has.
    """
    import onnx

    model = onnx.load(borders.source(job))
    with silenced(job.work / "log.txt"):
        model = onnx_graphs.raised(model, job.example)
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]  # until IR 4 weights were, too
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    onnx_graphs.save(model, job.output)
    return Converted(_same(job.signature))


def _same(signature: Signature) -> Binding:
    inputs, outputs = ({t.name: Bound(t.name) for t in side} for side in (signature.inputs, signature.outputs))
    return Binding(inputs, outputs)


plugin = Converter(
    id="onnx_to_onnx",
    description="onnx.version_converter",
    source="onnx",
    target="onnx",
    toolchain="edge",
    convert=convert,
    tolerance=Tolerance(1e-4, "float32: newer operators may add in another order; measured 0"),
    preload=("onnx", "onnxruntime"),
)
