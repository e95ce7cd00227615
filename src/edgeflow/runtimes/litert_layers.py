"""Layers of a TFLite model: their names, which can stay in float32, what they answer before and after quantization."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.plugin import Activations, Layer
from edgeflow.runtimes import tflite_files, tflite_names

if TYPE_CHECKING:
    from edgeflow.plugin import Feed, Float32

CASTS = ("QUANTIZE", "DEQUANTIZE")  # what quantization puts between the operators of the model
SHAPE = ("PAD", "PADV2", "RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "STRIDED_SLICE", "SLICE", "SHAPE", "PACK")


def kinds(source: Path) -> list[str]:
    """Every operator of a model in order of execution, as the schema calls it."""
    model, graph = _read(source)
    return [tflite_names.kind_of(model, operator) for operator in graph.operators]


def layers(source: Path) -> tuple[Layer, ...]:
    """The operators that compute, in order of execution, named after what they write."""
    model, graph = _read(source)
    return tuple(_layer(model, graph, operator) for operator in _computing(model, graph))


def _layer(model: Any, graph: Any, operator: Any) -> Layer:
    return Layer(tflite_names.text(graph.tensors[operator.outputs[0]].name), tflite_names.kind_of(model, operator))


def _computing(model: Any, graph: Any) -> list[Any]:
    return [operator for operator in graph.operators if tflite_names.kind_of(model, operator) not in (*CASTS, *SHAPE)]


def activations(source: Path, optimized: Path, feeds: Iterable[Feed]) -> Iterator[Activations]:
    """Of both models with nothing fused; the quantizer keeps operators and their order, and puts casts between them."""
    model, graph = _read(source)
    quantized, other = _read(optimized)
    pairs = zip(_computing(model, graph), _computing(quantized, other), strict=True)
    counterpart = {operator.outputs[0]: match.outputs[0] for operator, match in pairs}
    before, after = _Asked(source), _Asked(optimized)
    producer: dict[int, tuple[str, ...]] = {}  # tensor → the layers that it comes from
    each: list[tuple[Layer, tuple[str, ...], int]] = []
    for operator in graph.operators:
        read = tuple(dict.fromkeys(name for tensor in operator.inputs for name in producer.get(tensor, ())))
        tensor, layer = operator.outputs[0], _layer(model, graph, operator)
        producer.update(dict.fromkeys(operator.outputs, (layer.name,) if tensor in counterpart else read))
        if tensor in counterpart:
            each.append((layer, read, tensor))
    for feed in feeds:
        before.run(feed)
        after.run(feed)
        for layer, read, tensor in each:
            if before.floats(tensor):
                yield Activations(layer, read, before.values(tensor), after.values(counterpart[tensor]))


class _Asked:
    """A model that keeps what its operators write."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that this is for debugging: it is
            self._interpreter = Interpreter(
                model_content=path.read_bytes(),
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,  # they keep theirs
                experimental_preserve_all_tensors=True,
            )
        self._interpreter.allocate_tensors()
        self._inputs = tflite_files.inputs(self._interpreter)
        self._details = {detail["index"]: detail for detail in self._interpreter.get_tensor_details()}

    def run(self, feed: Feed) -> None:
        """Answer to one sample."""
        for name, values in feed.items():
            detail = self._inputs[name]
            self._interpreter.set_tensor(detail["index"], tflite_files.encode(values, detail))
        self._interpreter.invoke()

    def floats(self, tensor: int) -> bool:
        """Whether it stands for real numbers: not for places, lengths, tokens."""
        import numpy as np

        return self._details[tensor]["dtype"] in (np.float32, np.float16)

    def values(self, tensor: int) -> Float32:
        """float32[…] of a tensor that an operator wrote."""
        return tflite_files.decode(self._interpreter.get_tensor(tensor), self._details[tensor])


def _read(path: Path) -> tuple[Any, Any]:
    """A model and its one graph."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(path.read_bytes()))
    tflite_names.distinct_names(model)
    return model, model.subgraphs[0]
