"""TFLite → ONNX by tf2onnx, opset 21, images channels first; quantized numbers stay: QDQ, real at the border."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.converters import borders, onnx_graphs, tf_functions
from edgeflow.converters.borders import Border
from edgeflow.converters.silence import REFUSALS, first_line, silenced
from edgeflow.plugin import Converted, Converter, ConvertJob, Tolerance, Unsupported

if TYPE_CHECKING:
    from numpy.typing import NDArray


QUANTIZED = Tolerance(0.03, "int8: kernels round apart, 4e-3 a step; measured 5 steps of the output")


def convert(job: ConvertJob) -> Converted | Unsupported:
    """Convert; Unsupported names the operator that the library has no way for."""
    import tf2onnx

    source = borders.source(job)
    border, places = Border.of(job.signature), _places(source)
    inputs, outputs = borders.images(job.signature.inputs), borders.images(job.signature.outputs)
    with silenced(job.work / "log.txt"):
        _keep_biases()
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
        given, gives = job.signature.inputs, job.signature.outputs
        onnx_graphs.real_border(
            model,
            {border.inputs[tensor.name]: tensor for tensor in given},
            {border.outputs[tensor.name]: tensor for tensor in gives},
        )
        binding = border.binding(borders.CHANNELS_FIRST, inputs, outputs)
        made = tf_functions.written(replace(job, example=_real(job)), model, binding)
    quantized = any(tensor.scale is not None for tensor in (*given, *gives))
    return replace(made, tolerance=QUANTIZED) if quantized and isinstance(made, Converted) else made


def _real(job: ConvertJob) -> dict[str, NDArray[Any]]:
    """The example as the graph takes it, whose border is real."""
    import numpy as np

    scales = {t.name: (t.scale, t.zero_point or 0) for t in job.signature.inputs if t.scale is not None}
    return {
        name: np.float32(scales[name][0]) * (array.astype(np.float32) - scales[name][1]) if name in scales else array
        for name, array in job.example.items()
    }


def _keep_biases() -> None:
    """tf2onnx 1.17 loses the bias of a fully connected layer whose input has more than two axes, as TFLite's converter
    leaves it where a network flattens first. It is given two axes here.
    """
    import numpy as np
    import tf2onnx.tflite_handlers  # noqa: F401 - which is where they are registered
    from tf2onnx.handler import tfl_op

    handlers = tfl_op.create_tfl_to_tf_mapping()
    convert_layer, options = handlers["TFL_FULLY_CONNECTED"]

    def flat(ctx: Any, node: Any, **given: Any) -> None:
        if node.attr["keep_num_dims"].i == 0 and ctx.get_rank(node.input[0]) != 2:
            shape = ctx.make_const(f"{node.name}/rows", np.array([-1, ctx.get_shape(node.input[1])[1]], np.int64))
            rows = ctx.make_node("Reshape", [node.input[0], shape.output[0]])
            rows.skip_conversion = True
            ctx.replace_inputs(node, [rows.output[0], *node.input[1:]])
            node.set_attr("keep_num_dims", 1)  # done
        convert_layer(ctx, node, **given)

    handlers["TFL_FULLY_CONNECTED"] = flat, options


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
