"""What converters do to ONNX graphs by hand: shapes, axes, names and opsets. No number of a model is changed here."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.converters.silence import first_line
from edgeflow.runtimes import onnxruntime_layers
from edgeflow.types.signatures import Tensor

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

OPSET = 21  # the first with 16-bit QuantizeLinear: the quantizer raises a lower one without being asked
IR_VERSION = 10  # of opset 21
TOLERANCE = 1e-4  # of the range of the answers
REAL = Tensor("", "float32", ())
RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")


def graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """The graph, and those in it: control flow holds graphs in attributes."""
    found = [model.graph]
    for graph in found:  # grows while it is walked
        yield graph
        found += _inner(graph.node)


def _inner(nodes: Iterable[onnx.NodeProto]) -> list[onnx.GraphProto]:
    attributes = [attribute for node in nodes for attribute in node.attribute]
    return [graph for a in attributes for graph in (*([a.g] if a.HasField("g") else []), *a.graphs)]


def drop_notes(model: onnx.ModelProto) -> None:
    """Remove notes on where each node comes from: paths of somebody's machine, a third of a small file."""
    for graph in graphs(model):
        for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
            part.ClearField("doc_string")
            part.ClearField("metadata_props")
    model.ClearField("doc_string")
    model.ClearField("metadata_props")


def save(model: onnx.ModelProto, output: Path) -> None:
    """Write a model with names for its nodes, without notes, and with its weights inside."""
    onnxruntime_layers.name_nodes(model)
    drop_notes(model)
    output.write_bytes(model.SerializeToString(deterministic=True))


def unknown_operator(model: onnx.ModelProto) -> str:
    """An operator that ONNX does not have: what exporters leave where they have no answer. "": there is none."""
    import onnx

    opsets = {entry.domain: entry.version for entry in model.opset_import}
    own = {(function.domain, function.name) for function in model.functions}
    for graph in graphs(model):
        for node in graph.node:
            domain = "" if node.domain == "ai.onnx" else node.domain
            known = (domain, node.op_type) in own or onnx.defs.has(node.op_type, opsets.get(domain, 1), domain)
            if not known:
                return f"{domain}.{node.op_type}" if domain else node.op_type
    return ""


def real_border(model: onnx.ModelProto, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> None:
    """Take and give real numbers where the graph takes and gives quantized ones: nothing in an ONNX file says what its
    integers stand for. Name in the graph → what the tensor of that name is.
    """
    import onnx

    graph = model.graph
    before: list[Any] = []
    after: list[Any] = []
    for name, tensor in (each for side in (inputs, outputs) for each in side.items()):
        if tensor.scale is None:
            continue
        inside, kind = f"{name}/quantized", onnx.TensorProto.DataType.Value(tensor.dtype.upper())
        for node in graph.node:
            node.input[:] = [inside if each == name else each for each in node.input]
            node.output[:] = [inside if each == name else each for each in node.output]
        scale = onnx.helper.make_tensor(f"{name}/scale", onnx.TensorProto.FLOAT, (), [tensor.scale])
        zero = onnx.helper.make_tensor(f"{name}/zero_point", kind, (), [tensor.zero_point or 0])
        graph.initializer.extend((scale, zero))
        operator, ends = ("QuantizeLinear", (name, inside)) if name in inputs else ("DequantizeLinear", (inside, name))
        node = onnx.helper.make_node(operator, [ends[0], scale.name, zero.name], [ends[1]])
        (before if name in inputs else after).append(node)
    nodes = [*before, *graph.node, *after]
    graph.ClearField("node")
    graph.node.extend(nodes)
    for value in (*graph.input, *graph.output):
        if {**inputs, **outputs}.get(value.name, REAL).scale is not None:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT


# --- opset -----------------------------------------------------------------------------------------------------------


def raised(model: onnx.ModelProto, example: Mapping[str, NDArray[Any]]) -> onnx.ModelProto:
    """The model in opset 21, where ONNX's converter can do it and the answers to an example stay; else as it was."""
    import onnx
    from onnx import inliner, version_converter

    version = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), OPSET)
    if version >= OPSET:
        return model
    try:
        plain = inliner.inline_local_functions(model)
        after = version_converter.convert_version(plain, OPSET)
    except (RuntimeError, ValueError, onnx.checker.ValidationError):  # it has no way for one of the operators
        return model
    after.ir_version = max(model.ir_version, IR_VERSION)
    expected, answers = answered(model, example), answered(after, example)
    if isinstance(expected, str) or isinstance(answers, str):
        return model
    return after if deviation(expected, answers) <= TOLERANCE else model


def answered(model: onnx.ModelProto, example: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]] | str:
    """What a model answers, by name; or why ONNX Runtime refuses it."""
    import onnxruntime

    from edgeflow.runners.onnxruntime_backend import REFUSALS

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is raised
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(example)), strict=True))
    except REFUSALS as error:
        return first_line(error)


def deviation(expected: Mapping[str, NDArray[Any]], answers: Mapping[str, NDArray[Any]]) -> float:
    """Greatest difference of any output, as a ratio of that output's range; infinite where they cannot be compared."""
    import numpy as np

    worst = 0.0
    for name, before in expected.items():
        after = answers.get(name)
        if after is None or after.shape != before.shape:
            return float("inf")
        if before.size:
            exact, other = before.astype(np.float64), after.astype(np.float64)
            apart = np.abs(np.where(exact == other, 0, exact - other)).max()  # infinities are equal to themselves
            span = np.ptp(exact) or np.abs(exact).max() or 1.0
            worst = max(worst, float(apart / span) if np.isfinite(apart) else float("inf"))
    return worst


# --- shapes and axes -------------------------------------------------------------------------------------------------


def fix_axes(model: onnx.ModelProto, example: Mapping[str, NDArray[Any]]) -> onnx.ModelProto:
    """The model with every free axis of its inputs as long as it is in the example, and the shapes that follow."""
    import onnx

    for value in model.graph.input:
        if value.name in example:
            _set_shape(value, example[value.name].shape)
    for value in model.graph.output:
        if any(not axis.dim_value for axis in value.type.tensor_type.shape.dim):
            value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def _set_shape(value: onnx.ValueInfoProto, shape: Iterable[int]) -> None:
    value.type.tensor_type.ClearField("shape")
    for length in shape:
        value.type.tensor_type.shape.dim.add().dim_value = length


def shape_of(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """Its lengths; 0 where an axis is free."""
    return tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)


def channels_last(model: onnx.ModelProto, names: Collection[str]) -> None:
    """Have these inputs and outputs, [N, C, H, W], be [N, H, W, C] in the file, by transposing at the border."""
    from onnx import helper

    graph = model.graph
    borders = {"input": list(graph.input), "output": list(graph.output)}
    for side, values in borders.items():
        for value in (value for value in values if value.name in names):
            inside, outside = f"{value.name}__channels_first", value.name
            rename_inside(graph, outside, inside)
            n, c, h, w = shape_of(value)
            _set_shape(value, (n, h, w, c))
            if side == "input":
                graph.node.insert(0, helper.make_node("Transpose", [outside], [inside], inside, perm=[0, 3, 1, 2]))
            else:
                graph.node.append(helper.make_node("Transpose", [inside], [outside], inside, perm=[0, 2, 3, 1]))


def rename_inside(graph: onnx.GraphProto, before: str, after: str) -> None:
    """What nodes call a value, not what the border of the graph calls it."""
    todo = [graph]
    for part in todo:
        for node in part.node:
            node.input[:] = [after if name == before else name for name in node.input]
            node.output[:] = [after if name == before else name for name in node.output]
        todo += _inner(part.node)
        for value in part.output if part is not graph else ():
            value.name = after if value.name == before else value.name


def rename_border(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Give inputs and outputs other names; values inside that have one of these names already get out of the way."""
    graph = model.graph
    border = {value.name for value in (*graph.input, *graph.output)}
    inside = {name for part in graphs(model) for node in part.node for name in node.output} - border
    for name in inside.intersection(names.values()):
        rename_inside(graph, name, f"{name}__inside")
    moved = {before: f"{after}__moved" for before, after in names.items()}
    for step in (moved, {moved[before]: after for before, after in names.items()}):  # two of them may swap names
        for before, after in step.items():
            rename_inside(graph, before, after)
        for value in (*graph.input, *graph.output):
            value.name = step.get(value.name, value.name)
    del graph.value_info[:]


# --- equal bytes -----------------------------------------------------------------------------------------------------


def canonical(model: onnx.ModelProto) -> None:
    """Name and order everything inside the graph by what it computes, so that equal models are equal bytes.

    Exporters number names and order nodes by hashes that differ from run to run. What is computed twice is so once.
    Inputs and outputs keep their names.
    """
    model.producer_name = model.producer_version = ""
    name_axes(model)
    names = {value.name: value.name for value in model.graph.input}
    _order(model.graph, names, frozenset(value.name for value in model.graph.output), 0)


def name_axes(model: onnx.ModelProto) -> None:
    """Free axes are called after the first input that has them: exporters count them up within a process."""
    known: dict[str, str] = {}
    for value in (*model.graph.input, *model.graph.output):
        for place, axis in enumerate(value.type.tensor_type.shape.dim):
            if axis.dim_param:
                known.setdefault(axis.dim_param, f"{value.name}_{place}" if place else "batch")
                axis.dim_param = known[axis.dim_param]
    used = {node.domain for graph in graphs(model) for node in graph.node}
    kept = [_copy(entry) for entry in model.opset_import if not entry.domain or entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _order(graph: onnx.GraphProto, names: dict[str, str], kept: frozenset[str], depth: int) -> None:
    """`names`: what is known outside of the nodes, before → after; it learns what is inside. Those in `kept` stay."""
    graph.name = "graph"
    del graph.value_info[:]
    constants = {}
    for tensor in graph.initializer:
        names[tensor.name] = tensor.name if tensor.name in kept else f"constant_{_digest(*_content(tensor))}"
        tensor.name = names[tensor.name]
        constants[tensor.name] = _copy(tensor)
    todo, done, seen = [_copy(node) for node in graph.node], [], set()
    while todo:
        ready = [node for node in todo if all(name in names for name in _reads(node))]
        if not ready:
            raise ValueError("the graph reads a value that nothing writes")
        waiting = {id(node) for node in ready}
        todo = [node for node in todo if id(node) not in waiting]
        for digest, node in sorted(((_settled(node, names, depth), node) for node in ready), key=lambda pair: pair[0]):
            inside = kept.isdisjoint(node.output)
            copies = inside and node.op_type == "Identity"
            again = inside and digest in seen and node.op_type not in RANDOM
            seen.add(digest)
            for place, name in enumerate(node.output):
                made = node.input[0] if copies else f"{node.op_type}_{digest}_{place}"
                names[name] = name if name in kept or not name else made
            node.output[:] = [names[name] for name in node.output]
            if not again and not copies:
                done.append(node)
    del graph.initializer[:]
    del graph.node[:]
    graph.initializer.extend(constants[name] for name in sorted(constants))
    graph.node.extend(done)
    if depth:
        _name_answers(graph, names)


def _name_answers(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """What an inner graph gives: names as they are inside; of one that it gives twice, the second is a copy."""
    from onnx import helper

    given: set[str] = set()
    for place, value in enumerate(graph.output):
        name = names.get(value.name, value.name)
        if name in given:
            copy = f"{name}_{place}"
            graph.node.append(helper.make_node("Identity", [name], [copy]))
            name = copy
        given.add(name)
        value.name = name
        for axis in value.type.tensor_type.shape.dim:
            axis.ClearField("dim_param")


def _settled(node: onnx.NodeProto, names: Mapping[str, str], depth: int) -> str:
    """Digest of what a node computes, whose inputs and inner graphs get their names here."""
    node.input[:] = [names[name] if name else "" for name in node.input]
    node.name = ""
    for number, graph in enumerate(_inner([node])):
        inner = dict(names)
        for place, value in enumerate(graph.input):
            for axis in value.type.tensor_type.shape.dim:
                axis.ClearField("dim_param")
            inner[value.name] = f"input_{depth}_{number}_{place}_{_digest(*node.input)}"
            value.name = inner[value.name]
        _order(graph, inner, frozenset(), depth + 1)
    attributes = sorted(attribute.SerializeToString(deterministic=True).hex() for attribute in node.attribute)
    return _digest(node.domain, node.op_type, *node.input, *attributes)


def _reads(node: onnx.NodeProto) -> set[str]:
    """The values that a node needs, those that its inner graphs take from outside too."""
    needed = set(node.input)
    for graph in _inner([node]):
        made = {value.name for value in (*graph.input, *graph.initializer)}
        made |= {name for other in graph.node for name in other.output}
        needed |= {name for other in graph.node for name in _reads(other)} - made
        needed |= {value.name for value in graph.output} - made
    return needed - {""}


def _content(tensor: onnx.TensorProto) -> tuple[str, str]:
    from onnx import numpy_helper

    array = numpy_helper.to_array(tensor)
    return f"{tensor.data_type} {array.shape}", hashlib.sha256(array.tobytes()).hexdigest()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _copy(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
