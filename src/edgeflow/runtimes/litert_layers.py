"""Layers of a TFLite model: their names, which can stay in float32, what they answer before and after quantization."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.plugin import Activations, Layer
from edgeflow.runtimes import names

if TYPE_CHECKING:
    from edgeflow.plugin import Float32

CASTS = ("QUANTIZE", "DEQUANTIZE")  # what quantization puts between the operators of the model
SHAPE = ("PAD", "PADV2", "RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "STRIDED_SLICE", "SLICE", "SHAPE", "PACK")
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
# A module in the converter's name of a tensor, "torch.nn.modules.conv.Conv2d_conv1": class, then attribute.
MODULE = re.compile(r"(?:.*\.)?_*[A-Z][A-Za-z0-9]*_(?P<attribute>\w+)")


def tensor_names(model: Any, graph: Any) -> dict[int, str]:
    """Number of a tensor → the module that it comes from, of what operators write: "blocks.0.conv1", "blocks.0.add"."""
    written = [operator.outputs[0] for operator in graph.operators]
    modules = (_name(_text(graph.tensors[op.outputs[0]].name), kind_of(model, op)) for op in graph.operators)
    return dict(zip(written, names.distinct(modules), strict=True))


def _name(text: str, kind: str) -> str:
    """The last of the modules that were folded into an operator owns its weights; other operators are named too."""
    parts = text.rpartition(";;")[2].partition(";")[0].split("/")
    wrapped = next((i for i, part in enumerate(parts) if part.endswith("_wrapped")), 0)
    matches = (MODULE.fullmatch(part) for part in parts[wrapped + 1 :])
    module = ".".join(match["attribute"] for match in matches if match)
    return module if kind in WEIGHTED and module else names.of(module, kind)


def kinds(source: Path) -> list[str]:
    """Every operator of a model in order of execution, as the schema calls it."""
    model, graph = _read(source)
    return [kind_of(model, operator) for operator in graph.operators]


def layers(source: Path) -> tuple[Layer, ...]:
    """The operators that compute, in order of execution, named after what they write."""
    model, graph = _read(source)
    return tuple(_layer(model, graph, operator) for operator in _computing(model, graph))


def _layer(model: Any, graph: Any, operator: Any) -> Layer:
    return Layer(_text(graph.tensors[operator.outputs[0]].name), kind_of(model, operator))


def _computing(model: Any, graph: Any) -> list[Any]:
    return [operator for operator in graph.operators if kind_of(model, operator) not in (*CASTS, *SHAPE)]


def activations(source: Path, optimized: Path, x: Float32) -> Iterator[Activations]:
    """Of both models with nothing fused; the quantizer keeps operators and their order, and puts casts between them."""
    model, graph = _read(source)
    before, after = _answers(source, x), _answers(optimized, x)
    quantized, other = _read(optimized)
    pairs = zip(_computing(model, graph), _computing(quantized, other), strict=True)
    counterpart = {operator.outputs[0]: match.outputs[0] for operator, match in pairs}
    producer: dict[int, tuple[str, ...]] = {}  # tensor → the layers that it comes from
    for operator in graph.operators:
        read = tuple(dict.fromkeys(name for tensor in operator.inputs for name in producer.get(tensor, ())))
        tensor = operator.outputs[0]
        layer = _layer(model, graph, operator)
        producer[tensor] = (layer.name,) if tensor in counterpart else read
        if tensor in counterpart:
            yield Activations(layer, read, before[tensor], after[counterpart[tensor]])


def _answers(model: Path, x: Float32) -> dict[int, Float32]:
    """Number of a tensor → float32[N, …] over all samples, of every tensor that an operator writes."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this is for debugging: it is
        interpreter = Interpreter(
            model_content=model.read_bytes(),
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,  # delegates keep theirs
            experimental_preserve_all_tensors=True,
        )
    interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    _, graph = _read(model)
    written = {operator.outputs[0] for operator in graph.operators}
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    answers: dict[int, list[Float32]] = {tensor: [] for tensor in written}
    for sample in x:
        interpreter.set_tensor(entry["index"], _encode(sample[None], entry))
        interpreter.invoke()
        for tensor in written:
            answers[tensor].append(_decode(interpreter.get_tensor(tensor), details[tensor]))
    return {tensor: np.concatenate(arrays) for tensor, arrays in answers.items()}


def _encode(x: Float32, detail: Any) -> Any:
    import numpy as np

    from edgeflow.runners import harness

    scale, zero_point = detail["quantization"]
    return x if detail["dtype"] is np.float32 else harness.quantize(x, scale, zero_point, detail["dtype"])


def _decode(values: Any, detail: Any) -> Float32:
    from edgeflow.runners import harness

    scale, zero_point = detail["quantization"]
    real: Float32 = harness.dequantize(values, scale, zero_point) if scale else values.astype("float32")
    return real


def _read(path: Path) -> tuple[Any, Any]:
    """A model and its one graph."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(path.read_bytes())
    return model, model.subgraphs[0]


def kind_of(model: Any, operator: Any) -> str:
    """As the schema calls it: "CONV_2D"."""
    from ai_edge_litert import schema_py_generated as schema

    code = model.operatorCodes[operator.opcodeIndex]
    value = max(code.builtinCode, code.deprecatedBuiltinCode)
    return next((name for name, number in vars(schema.BuiltinOperator).items() if number == value), str(value))


def _text(name: bytes | str) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name
