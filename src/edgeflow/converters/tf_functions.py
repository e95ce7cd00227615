"""TensorFlow functions of named tensors, as the converters of Keras files and SavedModels share them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from edgeflow.converters import borders, onnx_graphs
from edgeflow.converters.borders import Border
from edgeflow.converters.silence import REFUSALS, first_line
from edgeflow.plugin import Converted, ConvertJob, Unsupported
from edgeflow.runtimes import tflite_files
from edgeflow.types.signatures import Binding

if TYPE_CHECKING:
    import onnx

OPSET = 18  # the newest that tf2onnx writes; ONNX's own converter goes on from there
COMPILED, PLAIN = ("_XlaMustCompile", "_noinline"), "_plain"  # Keras has its grouped convolutions compiled


Call: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, Any]]  # name → tensor [N, …], of inputs and of outputs


@dataclass(frozen=True)
class _Frozen:
    """A model as one graph without variables, which converters lose, or take as they were before they had values."""

    graph: Any  # GraphDef
    inputs: Mapping[str, str]  # name in the file → name in the graph: "image" → "image:0"
    outputs: Mapping[str, str]


def to_tflite(job: ConvertJob, call: Call) -> Converted | Unsupported:
    """Write a TFLite file with a batch of one, whose signature has the model's own names. All axes stay as they are."""
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError

    border = Border.of(job.signature)
    specs = _specs(job, border, {name: array.shape for name, array in job.example.items()})
    folder = str(job.work / "saved_model")
    try:
        frozen = _frozen(call, specs, border)

        def serve(*tensors: Any) -> Mapping[str, Any]:
            given = dict(zip(frozen.inputs.values(), tensors, strict=True))
            answers = tf.graph_util.import_graph_def(frozen.graph, given, list(frozen.outputs.values()), name="")
            return dict(zip(frozen.outputs, answers, strict=True))

        module = tf.Module()
        module.serve = tf.function(serve, input_signature=specs, autograph=False)
        tf.saved_model.save(module, folder, signatures=module.serve.get_concrete_function())
        content = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    except (*REFUSALS, tf.errors.OpError, ConverterError) as error:
        return Unsupported(f"LiteRT: TensorFlow cannot convert the model: {first_line(error)}")
    job.output.write_bytes(tflite_files.compact(content, named=True))
    return Converted(border.binding())


def to_onnx(job: ConvertJob, call: Call) -> Converted | Unsupported:
    """Write an ONNX file whose free axes stay free, images channels first, equal bytes each time."""
    import tensorflow as tf
    import tf2onnx

    border = Border.of(job.signature)
    inputs, outputs = borders.images(job.signature.inputs), borders.images(job.signature.outputs)
    try:
        frozen = _frozen(call, _specs(job, border, {}), border)
        model, _ = tf2onnx.convert.from_graph_def(
            frozen.graph,
            input_names=list(frozen.inputs.values()),
            output_names=list(frozen.outputs.values()),
            opset=OPSET,
            inputs_as_nchw=[frozen.inputs[border.inputs[name]] for name in inputs],
            outputs_as_nchw=[frozen.outputs[border.outputs[name]] for name in outputs],
        )
    except (*REFUSALS, tf.errors.OpError) as error:
        return Unsupported(f"ONNX Runtime: tf2onnx cannot convert the model: {first_line(error)}")
    places = {**frozen.inputs, **frozen.outputs}
    onnx_graphs.rename_border(model, {place: name for name, place in places.items()})
    return written(job, model, border.binding(borders.CHANNELS_FIRST, inputs, outputs))


def _frozen(call: Call, specs: Sequence[Any], border: Border) -> _Frozen:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def named(*tensors: Any) -> Mapping[str, Any]:
        answers = call(dict(zip(border.inputs, tensors, strict=True)))
        # what is given back as it came would lose its name
        return {file: tf.identity(answers[name]) for name, file in border.outputs.items()}

    function = tf.function(named, input_signature=specs, autograph=False).get_concrete_function()
    constant = convert_variables_to_constants_v2(function, lower_control_flow=False, aggressive_inlining=True)
    graph = constant.graph.as_graph_def()
    _inlinable(graph)
    outputs = zip(sorted(border.outputs.values()), constant.outputs, strict=True)  # as TensorFlow takes mappings apart
    return _Frozen(graph, {spec.name: f"{spec.name}:0" for spec in specs}, {name: t.name for name, t in outputs})


def _inlinable(graph: Any) -> None:
    """Have every function of a graph be one that TensorFlow inlines: converters have no operator for a call."""
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    for part in (*nodes, *graph.library.function):
        for name in COMPILED:
            part.attr.pop(name, None)
    for node in nodes:
        for value in node.attr.values():
            for called in (*([value.func] if value.HasField("func") else []), *value.list.func):
                called.name += PLAIN
    for function in graph.library.function:
        function.signature.name += PLAIN  # TensorFlow knows the other one already


def written(job: ConvertJob, model: onnx.ModelProto, binding: Binding) -> Converted | Unsupported:
    """Check and write what tf2onnx made: operators that it has no way for stand there as they were."""
    if unknown := onnx_graphs.unknown_operator(model):
        return Unsupported(f"ONNX Runtime: tf2onnx has no way to write the operator {unknown}")
    example = borders.fed(binding, job.example)
    if isinstance(refusal := onnx_graphs.answered(model, example), str):
        return Unsupported(f"ONNX Runtime cannot run what tf2onnx made of the model: {refusal}")
    made = onnx_graphs.raised(model, example)
    onnx_graphs.canonical(made)
    onnx_graphs.save(made, job.output)
    return Converted(binding)


def _specs(job: ConvertJob, border: Border, shapes: Mapping[str, Sequence[int]]) -> list[Any]:
    """What the function takes, in the order of the signature; `shapes` wins over it."""
    import tensorflow as tf

    free = {t.name: [axis if isinstance(axis, int) else None for axis in t.shape] for t in job.signature.inputs}
    return [
        tf.TensorSpec(shapes.get(t.name, free[t.name]), t.dtype, name=border.inputs[t.name])
        for t in job.signature.inputs
    ]
