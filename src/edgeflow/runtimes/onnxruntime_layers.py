"""Layers of an ONNX graph: their names, which can stay in float32, what they answer before and after quantization."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.plugin import Activations, Layer
from edgeflow.runtimes import names

if TYPE_CHECKING:
    import onnx

    from edgeflow.plugin import Feed, Float32

SCOPES = "pkg.torch.onnx.name_scopes"  # where torch's exporter says which modules a node comes from
# Computed element by element on the range of what feeds them: ONNX Runtime quantizes them with it.
FUSED = ("Relu", "Clip", "LeakyRelu", "HardSwish", "Sigmoid", "Tanh")
COMPUTE = (
    *("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Concat"),
    *("AveragePool", "GlobalAveragePool", "InstanceNormalization", "LayerNormalization", "Softmax"),
)
# Of what they answer, the axis of the channels; others answer with those that they read.
CHANNELS_FIRST = ("Conv", "ConvTranspose", "AveragePool", "GlobalAveragePool", "MaxPool", "InstanceNormalization")
CHANNELS_LAST = ("Gemm", "MatMul", "LayerNormalization", "Softmax", "LSTM", "GRU", "Gather", "Flatten")


def name_nodes(model: onnx.ModelProto) -> None:
    """Name nodes after the modules that they come from: "blocks.0.conv1", "blocks.0.add"."""
    weights = {tensor.name for tensor in model.graph.initializer if tensor.name.endswith(".weight")}
    for node, name in zip(
        model.graph.node, names.distinct(_name(node, weights) for node in model.graph.node), strict=True
    ):
        node.name = name


def name_the_nameless(model: onnx.ModelProto) -> bool:
    """Name nodes that have no name after what they write; False where there are none.

    Layers and what a quantizer leaves out go by the names of nodes, which the format does not ask for.
    """
    known = [node.name for node in model.graph.node if node.name]
    nameless = [node for node in model.graph.node if not node.name]
    written = (next((name for name in node.output if name), node.op_type) for node in nameless)
    for node, name in zip(nameless, names.distinct([*known, *written])[len(known) :], strict=True):
        node.name = name
    return bool(nameless)


def _name(node: onnx.NodeProto, weights: set[str]) -> str:
    """The owner of the weights, which batch normalisation was folded into; else the innermost module and operator."""
    if owned := weights.intersection(node.input):
        return owned.pop().removesuffix(".weight")
    scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "['']")
    modules = ast.literal_eval(scopes)[:-1]  # the last is the operator
    return names.of(modules[-1] if modules else "", node.op_type)


def layers(model: onnx.ModelProto) -> tuple[Layer, ...]:
    """The nodes that compute, in order of execution."""
    return tuple(Layer(node.name, node.op_type) for node in model.graph.node if node.op_type in COMPUTE)


def nodes_of(model: onnx.ModelProto, kept: tuple[str, ...]) -> list[str]:
    """The nodes of layers: each with the activation function that alone reads it."""
    nodes = [node for node in model.graph.node if node.name in kept]
    return [part.name for node in nodes for part in (node, *_fused(model, node))]


def _fused(model: onnx.ModelProto, node: onnx.NodeProto) -> list[Any]:
    readers = [reader for reader in model.graph.node if node.output[0] in reader.input]
    return readers if len(readers) == 1 and readers[0].op_type in FUSED else []


def activations(source: Path, optimized: Path, feeds: Iterable[Feed]) -> Iterator[Activations]:
    """Of both graphs with nothing fused; tensors keep their names in quantization, and are followed by a pair of
    QuantizeLinear and DequantizeLinear where they became integers.
    """
    import onnx

    graph, quantized = onnx.load(source), onnx.load(optimized)
    answering = _answering(graph)
    reads = _reads(graph)
    channels = _channels(graph)
    wanted = set(answering.values())
    before = _asked(graph, wanted)
    after = _asked(quantized, wanted | {_dequantized(tensor) for tensor in wanted})
    for feed in feeds:
        expected, answered = before(feed), after(feed)
        for layer in layers(graph):
            tensor = answering[layer.name]
            answer = answered.get(_dequantized(tensor), answered.get(tensor))
            if answer is not None and tensor in expected:
                last = (_channels_last(each, channels[tensor]) for each in (expected[tensor], answer))
                yield Activations(layer, reads[layer.name], *last)


def _answering(model: onnx.ModelProto) -> dict[str, str]:
    """Layer → the tensor that it answers with."""
    computing = {layer.name for layer in layers(model)}
    nodes = [node for node in model.graph.node if node.name in computing]
    return {node.name: ([*_fused(model, node), node])[0].output[0] for node in nodes}


def _reads(model: onnx.ModelProto) -> dict[str, tuple[str, ...]]:
    """Layer → the layers whose answers it reads."""
    computing = {layer.name for layer in layers(model)}
    producers: dict[str, tuple[str, ...]] = {}  # tensor → the layers that it comes from
    found = {}
    for node in model.graph.node:
        read = tuple(dict.fromkeys(name for tensor in node.input for name in producers.get(tensor, ())))
        if node.name in computing:
            found[node.name] = read
        producers.update(dict.fromkeys(node.output, (node.name,) if node.name in computing else read))
    return found


def _channels(model: onnx.ModelProto) -> dict[str, int]:
    """Tensor → the axis of its channels: that of the layer which wrote it, or of what it was computed from."""
    axes: dict[str, int] = {}
    for node in model.graph.node:
        read = next((axes[tensor] for tensor in node.input if tensor in axes), 1)
        axis = 1 if node.op_type in CHANNELS_FIRST else -1 if node.op_type in CHANNELS_LAST else read
        axes.update(dict.fromkeys(node.output, axis))
    return axes


def _channels_last(answer: Float32, axis: int) -> Float32:
    return answer.swapaxes(axis, -1) if answer.ndim > abs(axis) else answer


def _dequantized(tensor: str) -> str:
    return f"{tensor}_DequantizeLinear_Output"


def _asked(model: onnx.ModelProto, wanted: Collection[str]) -> Callable[[Feed], dict[str, Float32]]:
    """What nodes write to floating-point tensors of these names, for one sample: programs have no batch.

    Changes the model's outputs.
    """
    import onnx
    import onnxruntime

    known = {value.name for value in model.graph.output}
    written = [name for node in model.graph.node for name in node.output if name in wanted and name not in known]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in written)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    floats = ("tensor(float)", "tensor(float16)")
    names = [output.name for output in session.get_outputs() if output.type in floats and output.name in wanted]

    def answers(feed: Feed) -> dict[str, Float32]:
        arrays = session.run(names, dict(feed))
        return {name: array.astype("float32", copy=False) for name, array in zip(names, arrays, strict=True)}

    return answers
