"""What is done with TFLite files by hand, because no pinned library does it: values of tensors, and biases."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeflow.errors import StageError
from edgeflow.runtimes import names, tflite_names
from edgeflow.runtimes.tflite_names import text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeflow.plugin import Feed, Float32

LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")  # inputs: x, weights, bias
BIAS = 2
ALIGNMENT_BYTES = 16  # `force_align` of Buffer.data in TFLite's schema
MASK = 3e38  # beyond it the quantizer's calibrator sees no values
MARGIN = 0.1  # a quantized layer may answer a little outside of the float layer's range


def compact(content: bytes, *, named: bool = False) -> bytes:
    """The same model with short tensor names, and weights inside the file at multiples of 16 bytes.

    The converter names a tensor after all modules that went into it: measured, 29 % of a quantized model of 23,000
    weights. `named`: what operators write keeps the name of one module, for people; else names are numbers. The tools'
    writers ignore the schema's alignment, and the quantizer's puts weights of 256 KiB and more behind the model, where
    TFLite Micro does not look: it reads noise and reports success.
    """
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    class Aligned(schema.BufferT):  # type: ignore[misc]  # the library has no types
        def Pack(self, builder: Any) -> Any:  # noqa: N802
            if self.data is not None:
                builder.Prep(ALIGNMENT_BYTES, len(self.data))
            return super().Pack(builder)

    model = flatbuffer_utils.read_model_from_bytearray(content)
    for number, graph in enumerate(model.subgraphs):
        border = {*graph.inputs, *graph.outputs}
        written = tflite_names.tensor_names(model, graph) if named else {}
        for i, tensor in enumerate(graph.tensors):
            if i not in border:
                # the quantizer needs unique names; no argument's begins with a digit
                tensor.name = written.get(i, f"{number}.{i}")
    arrays = (None if b.data is None else np.frombuffer(b.data, np.uint8) for b in model.buffers)
    model.buffers = [Aligned(array) for array in arrays]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def inputs(interpreter: Any) -> dict[str, Any]:
    """What an interpreter says of each input, by the names of the signature where there is one, and of the tensors."""
    details = {tensor["index"]: tensor for tensor in interpreter.get_input_details()}
    named = {tensor["name"]: tensor for tensor in details.values()}
    for signature in interpreter._get_full_signature_list().values():
        named |= {name: details[index] for name, index in signature["inputs"].items() if index in details}
    return named


def prepared(content: bytes) -> bytes:
    """The same model as the quantizer needs it: every tensor has a name of its own, and there is a signature.

    Calibration results and layers go by the names of tensors, of which the format allows any number of one name.
    """
    model = _read(content)
    renamed = tflite_names.distinct_names(model)
    if model.signatureDefs:
        return _write(model) if renamed else content
    model.signatureDefs = [_signature(model.subgraphs[0])]
    return _write(model)


def _signature(graph: Any) -> Any:
    """What goes in and comes out by the names of the tensors, for a model that has no signature."""
    from ai_edge_litert import schema_py_generated as schema

    def entries(tensors: Iterable[int]) -> list[Any]:
        made = []
        for index in tensors:
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = graph.tensors[index].name, index
            made.append(entry)
        return made

    signature = schema.SignatureDefT()
    signature.inputs, signature.outputs = entries(graph.inputs), entries(graph.outputs)
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    return signature


def signature(content: bytes) -> tuple[str, dict[str, str]]:
    """Key of the signature of the model's first graph, and the name in it of each input, by that and by its tensor's.

    StageError where there is none.
    """
    model = _read(content)
    graph = model.subgraphs[0]
    for each in model.signatureDefs or []:
        if each.subgraphIndex == 0:
            given = {text(entry.name): text(entry.name) for entry in each.inputs}
            tensors = {text(graph.tensors[entry.tensorIndex].name): text(entry.name) for entry in each.inputs}
            return text(each.signatureKey), {**tensors, **given}
    raise StageError("optimize: the model's first graph has no signature")


def already(content: bytes) -> str:
    """What a model has been quantized to, in words: "int8 weights and activations", "float16 weights"; "" where it has
    not.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = _read(content)
    kinds = {number: name.lower() for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
    weights: Counter[str] = Counter()  # bytes by type
    activations: Counter[str] = Counter()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            kind, data = kinds[tensor.type], model.buffers[tensor.buffer].data
            scaled = tensor.quantization is not None and tensor.quantization.scale is not None
            if kind not in ("float16", "bfloat16") and (not scaled or not len(tensor.quantization.scale)):
                continue
            if kind in ("int32", "int64", "float32"):  # biases; floats with the ranges of a training
                continue
            if data is None:
                activations[kind] += 1
            else:
                weights[kind] += len(data)
    return names.types(weights, activations)


def values(content: bytes, samples: Iterable[Feed], tensors: tuple[str, ...]) -> Iterator[Mapping[str, Float32]]:
    """What these tensors of a float32 model hold, one sample at a time."""
    kept = _Kept(content)
    for feed in samples:
        kept.run(feed)
        yield {name: kept.values(name) for name in tensors}


def extremes(content: bytes, samples: Iterable[Feed], tensors: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """The least and the greatest value of these tensors over all samples."""
    kept = _Kept(content)
    found: dict[str, tuple[float, float]] = {}
    for feed in samples:
        kept.run(feed)
        for name in tensors:
            low, high = _ends(kept.values(name))
            before = found.get(name, (low, high))
            found[name] = min(low, before[0]), max(high, before[1])
    return found


def _ends(array: NDArray[Any]) -> tuple[float, float]:
    """The least and the greatest value, as the quantizer's calibrator sees them: masks are no values.

    What stands for minus infinity in a mask would make the steps of everything else infinite.
    """
    import numpy as np

    low, high = array.min(), array.max()
    if array.dtype.kind == "f" and not (low > -MASK and high < MASK):
        low = np.min(array, where=array > -MASK, initial=np.inf)
        high = np.max(array, where=array < MASK, initial=-np.inf)
        low, high = (array.min() if low == np.inf else low), (array.max() if high == -np.inf else high)
    return low, high


def reachable(content: bytes, tensors: Iterable[str]) -> bool:
    """Whether these tensors are all in the model's first graph, where `values` and `extremes` look."""
    graph = _read(content).subgraphs[0]
    return {*tensors} <= {text(tensor.name) for tensor in graph.tensors}


class _Kept:
    """A float32 model that keeps what its operators write.

    As the quantizer's calibrator does it: other kernels give extremes that differ in their last bits, and ranges that
    are the extremes must be seen to change nothing.
    """

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=content, num_threads=1, experimental_preserve_all_tensors=True)
        self._interpreter.allocate_tensors()
        self._given = inputs(self._interpreter)
        self._places = {tensor["name"]: tensor["index"] for tensor in self._interpreter.get_tensor_details()}

    def run(self, feed: Feed) -> None:
        """Answer to one sample, whatever came before."""
        self._interpreter.reset_all_variables()
        for name, array in feed.items():
            self._interpreter.set_tensor(self._given[name]["index"], array)
        self._interpreter.invoke()

    def values(self, name: str) -> NDArray[Any]:
        """What a tensor holds now."""
        array: NDArray[Any] = self._interpreter.get_tensor(self._places[name])
        return array


def correct_biases(reference: bytes, model: bytes, samples: Iterable[Feed]) -> bytes:
    """The quantized model with biases that make each layer answer on average as the same layer of `reference`.

    Layer by layer from the input on, each with those before it corrected: Nagel et al., arXiv:1906.04721, section 4.2.
    What is compared comes before the activation that is fused with a layer. A layer without a bias stays as it is.
    Raises StageError when the two have different layers.
    """
    floats, layers = _layers(reference), _layers(model)
    if [name for name, _ in floats] != [name for name, _ in layers]:
        raise StageError("optimize: bias_correction: the quantizer changed the order of layers; remove the key")
    for (_, before), (_, layer) in zip(floats, layers, strict=True):
        if _has_bias(model, layer):
            expected, span = _mean(_cut(reference, before), samples)
            answered, _ = _mean(_cut(model, layer, span), samples)
            model = _moved(model, layer, expected - answered)
    return model


def _layers(content: bytes) -> list[tuple[str, int]]:
    """Kind and position of each layer."""
    from ai_edge_litert import schema_py_generated as schema

    names = {getattr(schema.BuiltinOperator, name): name for name in LAYERS}
    model = _read(content)
    codes = [code.builtinCode for code in model.operatorCodes]
    operators = model.subgraphs[0].operators
    return [(names[codes[o.opcodeIndex]], i) for i, o in enumerate(operators) if codes[o.opcodeIndex] in names]


def _has_bias(content: bytes, layer: int) -> bool:
    inputs = _read(content).subgraphs[0].operators[layer].inputs
    return len(inputs) > BIAS and inputs[BIAS] >= 0


def beginning(content: bytes, last: int) -> bytes:
    """The model up to its operator number `last`, whose outputs are the model's."""
    model = _read(content)
    _cut_after(model, last)
    return _write(model)


@dataclass(frozen=True)
class Alone:
    """One operator of a model's first graph as a model."""

    content: bytes
    inputs: tuple[int, ...]  # tensors of the graph that it is given, in order: `known` ones
    outputs: tuple[int, ...]


def alone(content: bytes, operator: int, known: Container[int]) -> Alone:
    """An operator as a model of its own, which takes those of its inputs that are `known`; the others are constants."""
    model = _read(content)
    graph = model.subgraphs[0]
    only = graph.operators[operator]
    taken = tuple(dict.fromkeys(int(tensor) for tensor in only.inputs if tensor in known))
    given = tuple(int(tensor) for tensor in only.outputs if tensor >= 0)
    graph.operators, graph.inputs, graph.outputs, model.signatureDefs = [only], [*taken], [*given], []
    return Alone(_write(model), taken, given)


def first_inputs(content: bytes) -> tuple[int, ...]:
    """The tensors that the first graph takes, in the file's order."""
    return tuple(int(tensor) for tensor in _read(content).subgraphs[0].inputs)


def _cut_after(model: Any, last: int) -> Any:
    """Remove what comes after an operator; returns the operator. Inputs keep the names that they are fed by."""
    graph = model.subgraphs[0]
    graph.operators = graph.operators[: last + 1]
    graph.outputs = [tensor for tensor in graph.operators[-1].outputs if tensor >= 0]
    for signature in model.signatureDefs or []:
        for given in signature.inputs if signature.subgraphIndex == 0 else []:
            graph.tensors[given.tensorIndex].name = given.name
    model.signatureDefs = []
    return graph.operators[-1]


def _cut(content: bytes, layer: int, span: tuple[float, float] | None = None) -> bytes:
    """The model up to a layer, whose answers before its activation are the output; integers get the range `span`."""
    model = _read(content)
    last = _cut_after(model, layer)
    last.builtinOptions.fusedActivationFunction = 0
    if span:
        _set_range(model.subgraphs[0].tensors[last.outputs[0]], span)
    return _write(model)


def _set_range(tensor: Any, span: tuple[float, float]) -> None:
    """Make an integer tensor represent what lies between two values; floats stay."""
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    low, high = span
    scale, zero = {
        schema.TensorType.INT8: ((high - low) / 255, round(-128 - 255 * low / (high - low))),
        schema.TensorType.INT16: (max(-low, high) / 32767, 0),
    }.get(tensor.type, (None, None))
    if scale is not None:
        tensor.quantization.scale = np.array([scale], np.float32)
        tensor.quantization.zeroPoint = np.array([zero], np.int64)


def _mean(content: bytes, samples: Iterable[Feed]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """What a model answers on average over samples and positions, float64[channels], and a range for its answers."""
    total: Any = 0.0
    count, low, high = 0, 0.0, 1e-6
    for y in _answers(content, samples):
        total = total + y.mean(axis=tuple(range(y.ndim - 1)), dtype="float64")
        count, low, high = count + 1, min(low, float(y.min())), max(high, float(y.max()))
    margin = MARGIN * (high - low)
    return total / count, (low - margin, high + margin)


def _answers(content: bytes, samples: Iterable[Feed]) -> Iterator[Float32]:
    """What a model with one output answers to each sample, as the runner executes it."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    given = inputs(interpreter)
    (output,) = interpreter.get_output_details()
    for feed in samples:
        for name, array in feed.items():
            interpreter.set_tensor(given[name]["index"], encode(array, given[name]))
        interpreter.invoke()
        yield decode(interpreter.get_tensor(output["index"]), output)


def encode(values: NDArray[Any], detail: Any) -> NDArray[Any]:
    """What an input takes of values as the float model takes them: integers of real numbers by its scale."""
    import numpy as np

    from edgeflow.runners import harness

    scale, zero_point = detail["quantization"]
    real = values.dtype == np.float32 and scale
    return harness.quantize(values, scale, zero_point, detail["dtype"]) if real else values.astype(detail["dtype"])


def decode(values: NDArray[Any], detail: Any) -> Float32:
    """float32 that a tensor stands for."""
    from edgeflow.runners import harness

    scale, zero_point = detail["quantization"]
    real: Float32 = harness.dequantize(values, scale, zero_point) if scale else values.astype("float32")
    return real


def _moved(content: bytes, layer: int, by: NDArray[np.float64]) -> bytes:
    """The model with float64[channels] added to the bias of a layer; integers are rounded to nearest."""
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    model = _read(content)
    graph = model.subgraphs[0]
    operator = graph.operators[layer]
    tensor = graph.tensors[operator.inputs[BIAS]]
    kinds = {schema.TensorType.INT32: np.int32, schema.TensorType.INT64: np.int64}
    kind = kinds.get(tensor.type, np.float32)
    before = np.frombuffer(bytes(model.buffers[tensor.buffer].data), kind)
    after = before + by
    if tensor.type in kinds:  # kernels add 32 bits, also where the file has room for 64
        limits = np.iinfo(np.int32)
        after = np.clip(before + np.rint(by / tensor.quantization.scale), limits.min, limits.max)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(after.astype(kind).tobytes(), np.uint8)
    users = [o for o in graph.operators if operator.inputs[BIAS] in o.inputs]
    twins = [t for t in graph.tensors if t.buffer == tensor.buffer]
    if len(users) > 1 or len(twins) > 1:  # another layer's too: this one gets its own
        tensor = copy.copy(tensor)
        tensor.name = f"{tensor.name.decode()}.{layer}".encode()
        tensor.buffer = len(model.buffers)
        operator.inputs[BIAS] = len(graph.tensors)
        graph.tensors.append(tensor)
        model.buffers.append(buffer)
    else:
        model.buffers[tensor.buffer] = buffer
    return _write(model)


def _read(content: bytes) -> Any:
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(bytearray(content))


def _write(model: Any) -> bytes:
    from ai_edge_litert.tools import flatbuffer_utils

    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
