"""TFLite → ONNX by tf2onnx, opset 21, images channels first.

Quantized numbers stay what they are, as QDQ. Inputs and outputs become real: in ONNX an integer has no scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow.converters import borders, onnx_graphs, tf_functions
from edgeflow.converters.borders import Border
from edgeflow.converters.silence import REFUSALS, first_line, silenced
from edgeflow.plugin import Converted, Converter, ConvertJob, Tolerance, Unsupported
from edgeflow.runners import harness
from edgeflow.types.plain import to_json
from edgeflow.types.signatures import Tensor

if TYPE_CHECKING:
    import onnx


def convert(job: ConvertJob) -> Converted | Unsupported:
    """Convert; Unsupported names the operator that the library has no way for."""
    import tf2onnx

    source = borders.source(job)
    border, places = Border.of(job.signature), _places(source)
    inputs, outputs = borders.images(job.signature.inputs), borders.images(job.signature.outputs)
    with silenced(job.work / "log.txt"):
        try:
            model, _ = tf2onnx.convert.from_tflite(
                str(source),
                opset=tf_functions.OPSET,
                inputs_as_nchw=[places[name] for name in inputs],
                outputs_as_nchw=[places[name] for name in outputs],
            )
        except REFUSALS as error:
            return Unsupported(f"ONNX Runtime: tf2onnx cannot convert the model: {first_line(error)}")
        names = {**border.inputs, **border.outputs}
        onnx_graphs.rename_border(model, {places[name]: file for name, file in names.items()})
        scales = {border.inputs[t.name]: t for t in job.signature.inputs if t.scale is not None}
        scales |= {border.outputs[t.name]: t for t in job.signature.outputs if t.scale is not None}
        _take_real(model, scales)
        real = {t.name: harness.decoded(job.example[t.name], to_json(t)) for t in job.signature.inputs}
        binding = border.binding(borders.CHANNELS_FIRST, inputs, outputs)
        return tf_functions.written(replace(job, example=real), model, binding)


def _take_real(model: onnx.ModelProto, scales: Mapping[str, Tensor]) -> None:
    """Quantize these inputs inside of the graph, and dequantize these outputs."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    graph = model.graph
    for values, kind in ((graph.input, "QuantizeLinear"), (graph.output, "DequantizeLinear")):
        for value in (value for value in values if value.name in scales):
            tensor, inside = scales[value.name], f"{value.name}__integers"
            onnx_graphs.rename_inside(graph, value.name, inside)
            step = [f"{inside}_scale", f"{inside}_zero_point"]
            graph.initializer.append(numpy_helper.from_array(np.array(tensor.scale, np.float32), step[0]))
            graph.initializer.append(numpy_helper.from_array(np.array(tensor.zero_point or 0, tensor.dtype), step[1]))
            if kind == "QuantizeLinear":
                graph.node.insert(0, helper.make_node(kind, [value.name, *step], [inside]))
            else:
                graph.node.append(helper.make_node(kind, [inside, *step], [value.name]))
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def _places(source: Path) -> dict[str, str]:
    """By the name of an input or output in the signature the name of its tensor, which is the same without one."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(source.read_bytes()))
    graph = model.subgraphs[0]
    names = [tensor.name.decode() for tensor in graph.tensors]
    found = {names[tensor]: names[tensor] for tensor in (*graph.inputs, *graph.outputs)}
    for signature in (s for s in model.signatureDefs or () if s.subgraphIndex == 0):
        found |= {entry.name.decode(): names[entry.tensorIndex] for entry in (*signature.inputs, *signature.outputs)}
    return found


plugin = Converter(
    id="tflite_to_onnx",
    description="tf2onnx",
    source="tflite",
    target="onnx",
    toolchain="tf",
    convert=convert,
    tolerance=Tolerance(1e-4, "float32: another order of additions; measured 7e-6"),
    preload=("tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert.tools.flatbuffer_utils"),
)
