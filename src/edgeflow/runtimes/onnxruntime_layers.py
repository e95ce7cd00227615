"""Layers of an ONNX graph: their names, which can stay in float32, what they answer before and after quantization."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.plugin import Activations, Layer
from edgeflow.runtimes import names

if TYPE_CHECKING:
    import onnx

    from edgeflow.plugin import Float32

SCOPES = "pkg.torch.onnx.name_scopes"  # where torch's exporter says which modules a node comes from
# Computed element by element on the range of what feeds them: ONNX Runtime quantizes them with it.
FUSED = ("Relu", "Clip", "LeakyRelu", "HardSwish", "Sigmoid", "Tanh")
COMPUTE = (
    *("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Concat"),
    *("AveragePool", "GlobalAveragePool", "InstanceNormalization", "LayerNormalization", "Softmax"),
)


def name_nodes(model: onnx.ModelProto) -> None:
    """Name nodes after the modules that they come from: "blocks.0.conv1", "blocks.0.add"."""
    weights = {tensor.name for tensor in model.graph.initializer if tensor.name.endswith(".weight")}
    for node, name in zip(
        model.graph.node, names.distinct(_name(node, weights) for node in model.graph.node), strict=True
    ):
        node.name = name


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


def activations(source: Path, optimized: Path, x: Float32) -> Iterator[Activations]:
    """Of both graphs with nothing fused; tensors keep their names in quantization, and are followed by a pair of
    QuantizeLinear and DequantizeLinear where they became integers.
    """
    import onnx

    graph, quantized = onnx.load(source), onnx.load(optimized)
    computing = {layer.name: layer for layer in layers(graph)}
    answering = {  # layer → the tensor that it answers with
        node.name: ([*_fused(graph, node), node])[0].output[0] for node in graph.graph.node if node.name in computing
    }
    wanted = set(answering.values())
    before = _answers(onnx.load(source), x, wanted)
    after = _answers(quantized, x, wanted | {_dequantized(tensor) for tensor in wanted})
    producer: dict[str, tuple[str, ...]] = {}  # tensor → the layers that it comes from
    for node in graph.graph.node:
        read = tuple(dict.fromkeys(name for tensor in node.input for name in producer.get(tensor, ())))
        layer = computing.get(node.name)
        producer.update(dict.fromkeys(node.output, (layer.name,) if layer else read))
        if layer is None:
            continue
        tensor = answering[layer.name]
        answer = after.get(_dequantized(tensor), after.get(tensor))
        if answer is not None and tensor in before:
            yield Activations(layer, read, before[tensor], answer)


def _dequantized(tensor: str) -> str:
    return f"{tensor}_DequantizeLinear_Output"


def _answers(model: onnx.ModelProto, x: Float32, wanted: Collection[str]) -> dict[str, Float32]:
    """Floating-point tensors of these names that nodes write, float32[N, …, C]; samples one by one: programs have no
    batch.
    """
    import numpy as np
    import onnx
    import onnxruntime

    known = {value.name for value in model.graph.output}
    written = [name for node in model.graph.node for name in node.output if name in wanted and name not in known]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in written)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs() if output.type in ("tensor(float)", "tensor(float16)")]
    runs = [session.run(names, {"input": sample[None]}) for sample in x]
    answers = {name: np.concatenate(arrays) for name, *arrays in zip(names, *runs, strict=True) if arrays[0].ndim > 1}
    return {name: np.moveaxis(array.astype("float32"), 1, -1) for name, array in answers.items()}
