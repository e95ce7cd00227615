"""What is done with ONNX files by hand, because no pinned library does it: weights alone as integers, and biases."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edgeflow.runtimes import names

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

    from edgeflow.plugin import Feed, Float32

INTEGERS = (  # operators that compute with integers
    *("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QLinearAdd", "QGemm", "DynamicQuantizeMatMul"),
    *("MatMulIntegerToFloat", "MatMulNBits", "DynamicQuantizeLSTM", "QAttention", "QEmbedLayerNormalization"),
)
SMALL = ("int8", "uint8", "int4", "uint4")
LAYERS = ("Conv", "ConvTranspose", "Gemm")  # inputs: x, weights, bias


def already(model: onnx.ModelProto) -> str:
    """What a model has been quantized to, in words: "int8 weights and activations", "float16 weights"; "" where it has
    not.
    """
    import onnx

    kinds = {number: name.lower() for name, number in onnx.TensorProto.DataType.items()}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    weights: Counter[str] = Counter()  # values by type
    activations: Counter[str] = Counter()
    for tensor in constants.values():
        if kinds[tensor.data_type] in ("float16", "bfloat16"):
            weights[kinds[tensor.data_type]] += math.prod(tensor.dims)
    for value in model.graph.input:
        if kinds[value.type.tensor_type.elem_type] in ("float16", "bfloat16"):
            activations[kinds[value.type.tensor_type.elem_type]] += 1
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear"):
            zero = constants.get(node.input[2]) if len(node.input) > 2 else None
            activations[kinds[zero.data_type] if zero is not None else "uint8"] += 1
        if node.op_type == "DequantizeLinear" or node.op_type in INTEGERS:
            stored = (constants[name] for name in node.input if name in constants)
            kept = [tensor for tensor in stored if kinds[tensor.data_type] in SMALL and len(tensor.dims) > 1]
            for tensor in kept:
                weights[kinds[tensor.data_type]] += math.prod(tensor.dims)
            if node.op_type in INTEGERS and not kept:
                activations["int8"] += 1
    return names.types(weights, activations)


def quantize_weights(model: onnx.ModelProto, bits: int, per_channel: bool) -> onnx.ModelProto:
    """The same model with constant weights as symmetric integers of 8 or 4 bits, each behind a DequantizeLinear.

    Kernels compute in float32 on what comes out of it; ONNX Runtime keeps these nodes when it folds constants.
    """
    from onnx import helper, numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for name, axis in _weights(model, constants).items():
        values = numpy_helper.to_array(constants[name])
        scales, integers = _quantized(values, bits, axis if per_channel else None)
        stored = numpy_helper.from_array(integers, f"{name}_quantized")
        scale = numpy_helper.from_array(scales, f"{name}_scale")
        model.graph.initializer.remove(constants[name])
        model.graph.initializer.extend([stored, scale])
        along = {"axis": axis} if per_channel else {}
        node = helper.make_node("DequantizeLinear", [stored.name, scale.name], [name], f"{name}_dequantize", **along)
        nodes.append(node)
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    return model


def _weights(model: onnx.ModelProto, constants: Mapping[str, Any]) -> dict[str, int]:
    """Constant float32 weights of layers and matrix products → the axis of their output channels."""
    import onnx

    axes = {}
    for node in model.graph.node:
        if node.op_type not in (*LAYERS, "MatMul") or node.input[1] not in constants:
            continue
        weights = constants[node.input[1]]
        if weights.data_type == onnx.TensorProto.FLOAT:
            transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
            first = node.op_type == "Conv" or (node.op_type == "Gemm" and transposed)
            axes[weights.name] = 0 if first else 1 if node.op_type != "MatMul" else len(weights.dims) - 1
    return axes


def _quantized(values: Float32, bits: int, axis: int | None) -> tuple[Float32, NDArray[Any]]:
    """Scales float32[channels], or of shape () where axis is None, and the integers, int8 or int4."""
    import ml_dtypes
    import numpy as np

    greatest = 2 ** (bits - 1) - 1
    others = None if axis is None else tuple(i for i in range(values.ndim) if i != axis)
    magnitudes = np.max(abs(values), axis=others, keepdims=axis is not None)
    scales = np.where(magnitudes > 0, magnitudes / greatest, 1).astype(np.float32)  # zeros have no scale of their own
    integers = np.clip(np.rint(values / scales), -greatest, greatest).astype(np.int8)
    return (scales if axis is None else scales.reshape(-1)), integers.astype(np.int8 if bits == 8 else ml_dtypes.int4)


def pad_average_pools(model: onnx.ModelProto) -> bool:
    """Write average pooling with `ceil_mode` as the same with padding; False where there is none.

    Of a window that reaches over the border only what is inside counts. ONNX Runtime's integer kernel divides by the
    size of the whole window (measured: 23 % of the output's range). Shapes must have been inferred; where one is free,
    and where padding is worked out by `auto_pad`, which rounds up by itself, the node stays.
    """
    from onnx import helper

    shapes = {value.name: value.type.tensor_type.shape.dim for value in (*model.graph.input, *model.graph.value_info)}
    shapes.update({value.name: value.type.tensor_type.shape.dim for value in model.graph.output})
    changed = False
    for at, node in reversed(list(enumerate(model.graph.node))):
        given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if not _rounds_up(node.op_type, given):
            continue
        known = (shapes.get(name, ()) for name in (node.input[0], node.output[0]))
        sizes, windows = ([axis.dim_value for axis in axes[2:]] for axes in known)
        if not sizes or 0 in (*sizes, *windows):
            continue
        pads = list(given.get("pads", [0] * 2 * len(sizes)))
        counted = bool(given.get("count_include_pad")) and any(pads)
        if counted:  # zeros that count are zeros of the input: then those beyond them are the only padding
            model.graph.node.insert(at, _pad(model, node, pads))
            node.input[0] = model.graph.node[at].output[0]
            sizes = [size + low + high for size, low, high in zip(sizes, pads, pads[len(sizes) :], strict=False)]
            pads = [0] * len(pads)
        _count_nothing_beyond(node, given, sizes, windows, pads)
        changed = True
    return changed


def pools_that_round_up(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that `pad_average_pools` could not write otherwise."""
    from onnx import helper

    given = {node.name: {a.name: helper.get_attribute_value(a) for a in node.attribute} for node in model.graph.node}
    return [node.name for node in model.graph.node if _rounds_up(node.op_type, given[node.name])]


def _rounds_up(operator: str, given: Mapping[str, Any]) -> bool:
    by_itself = given.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"")
    return operator == "AveragePool" and bool(given.get("ceil_mode")) and not by_itself


def _pad(model: onnx.ModelProto, node: onnx.NodeProto, pads: list[int]) -> onnx.NodeProto:
    """A node that writes zeros around the input of `node`."""
    import numpy as np
    from onnx import helper, numpy_helper

    dims = len(pads) // 2
    amounts = np.array([0, 0, *pads[:dims], 0, 0, *pads[dims:]], np.int64)
    constant = numpy_helper.from_array(amounts, f"{node.output[0]}_pads")
    model.graph.initializer.append(constant)
    padded = f"{node.output[0]}_padded"
    return helper.make_node("Pad", [node.input[0], constant.name], [padded], f"{node.name}_pad", mode="constant")


def _count_nothing_beyond(
    node: onnx.NodeProto, given: Mapping[str, Any], sizes: list[int], windows: list[int], pads: list[int]
) -> None:
    """Replace `ceil_mode` by padding that does not count, up to the end of the last window."""
    from onnx import helper

    for i, (size, count, kernel) in enumerate(zip(sizes, windows, given["kernel_shape"], strict=True)):
        stride = given.get("strides", [1] * len(sizes))[i]
        dilation = given.get("dilations", [1] * len(sizes))[i]
        covered = (count - 1) * stride + (kernel - 1) * dilation + 1
        pads[len(sizes) + i] += max(0, covered - size - pads[i] - pads[len(sizes) + i])
    kept = [a for a in node.attribute if a.name not in ("ceil_mode", "count_include_pad", "pads", "auto_pad")]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("pads", pads), helper.make_attribute("count_include_pad", 0)])


def fix_batch(model: onnx.ModelProto) -> None:
    """Make every free first axis of an input one, and every axis that has its name; other free axes stay free."""
    from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed

    constants = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        axes = value.type.tensor_type.shape.dim
        if value.name in constants or not axes or axes[0].HasField("dim_value"):
            continue
        if axes[0].dim_param:
            make_dim_param_fixed(model.graph, axes[0].dim_param, 1)
        else:
            axes[0].dim_value = 1


def beginning(model: onnx.ModelProto, last: int) -> bytes:
    """The model up to its node number `last`, that answers with that node's first output as float32[1, values].

    In that form every runner takes it, whatever the node computes: else no beginning before a float32 would run.
    """
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    del cut.graph.node[last + 1 :]
    del cut.graph.output[:]
    written = next(name for name in cut.graph.node[-1].output if name)
    real, row, shape = (f"{written}_{part}" for part in ("real", "row", "shape"))
    cut.graph.initializer.append(numpy_helper.from_array(np.array([1, -1], np.int64), shape))
    cut.graph.node.append(helper.make_node("Cast", [written], [real], real, to=onnx.TensorProto.FLOAT))
    cut.graph.node.append(helper.make_node("Reshape", [real, shape], [row], row))
    cut.graph.output.append(helper.make_tensor_value_info(row, onnx.TensorProto.FLOAT, [1, None]))
    content: bytes = cut.SerializeToString()
    return content


# --- values inside a model -------------------------------------------------------------------------------------------


def values(model: onnx.ModelProto, feeds: Iterable[Feed]) -> Iterator[Mapping[str, Float32]]:
    """What every float32 tensor of the graph holds, inputs too, one sample at a time."""
    import numpy as np
    import onnx

    graph = model.graph
    known = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}
    names = [name for node in graph.node for name in node.output if known.get(name) == onnx.TensorProto.FLOAT]
    session = _session(model, names)
    for feed in feeds:
        given = {name: array for name, array in feed.items() if array.dtype == np.float32}
        yield {**given, **dict(zip(names, session.run(names, dict(feed)), strict=True))}


def _session(model: onnx.ModelProto, outputs: Iterable[str]) -> Any:
    """A session that gives these tensors, each node computed as it stands in the graph."""
    import onnx
    import onnxruntime

    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    del asked.graph.output[:]
    asked.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in outputs)
    options = onnxruntime.SessionOptions()
    # Nothing is fused, but what no output needs is left out.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(asked.SerializeToString(), options, providers=["CPUExecutionProvider"])


# --- biases ----------------------------------------------------------------------------------------------------------


def correct_biases(reference: onnx.ModelProto, model: onnx.ModelProto, samples: Iterable[Feed]) -> None:
    """Move the biases of a quantized model so that each layer answers on average as the same layer of `reference`.

    Layer by layer from the input on, each with those before it corrected: Nagel et al., arXiv:1906.04721, section 4.2.
    A layer without a bias, or without a name to know it by, stays as it is.
    """
    known = {node.name: node.output[0] for node in reference.graph.node if node.op_type in LAYERS and node.name}
    layers = [node for node in model.graph.node if node.name in known and len(node.input) == 3]
    if not layers:
        return
    expected = _means(reference, [known[node.name] for node in layers], samples)
    for node in layers:
        (answered,) = _means(model, [node.output[0]], samples).values()
        _move(model, node, expected[known[node.name]] - answered)


def _means(model: onnx.ModelProto, names: list[str], samples: Iterable[Feed]) -> dict[str, NDArray[np.float64]]:
    """Tensor → float64[channels], over samples and positions; axis 1 are the channels."""
    session = _session(model, names)
    sums: Any = [0.0] * len(names)
    count = 0
    for feed in samples:
        for j, y in enumerate(session.run(names, dict(feed))):
            places = tuple(range(2, y.ndim))
            sums[j] = sums[j] + y.mean(axis=places, dtype="float64").mean(axis=0)
        count += 1
    return {name: total / count for name, total in zip(names, sums, strict=True)}


def _move(model: onnx.ModelProto, node: onnx.NodeProto, by: NDArray[np.float64]) -> None:
    """Add float64[channels] to the bias of a layer; integers are rounded to nearest and clipped."""
    import numpy as np
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    dequantize = next((other for other in model.graph.node if node.input[2] in other.output), None)
    holder, place = (node, 2) if dequantize is None else (dequantize, 0)
    stored = constants.get(holder.input[place])
    if stored is None or (dequantize is not None and dequantize.op_type != "DequantizeLinear"):
        return  # computed
    if sum(stored.name in other.input for other in model.graph.node) > 1:  # another layer's too: this one gets its own
        stored = model.graph.initializer.add()
        stored.CopyFrom(constants[holder.input[place]])
        stored.name = holder.input[place] = f"{node.name}_bias"
    before = numpy_helper.to_array(stored)
    if dequantize is None:
        after = before + by
    else:
        limits = np.iinfo(before.dtype)
        scales = numpy_helper.to_array(constants[dequantize.input[1]])
        after = np.clip(before + np.rint(by / scales), limits.min, limits.max)
    stored.CopyFrom(numpy_helper.from_array(after.astype(before.dtype), stored.name))
