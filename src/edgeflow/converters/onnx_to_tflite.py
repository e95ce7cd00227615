"""ONNX → TFLite by onnx2tf's direct writer, batch one, images channels last.

onnx2tf guesses which axis holds the channels, and takes [1, 49, 10, 1] for an image of 49 channels. Nothing is left to
guess here: every input keeps its shape, and those that are images are transposed inside the ONNX file before.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.converters import borders, onnx_graphs
from edgeflow.converters.borders import Border
from edgeflow.converters.silence import REFUSALS, first_line, silenced
from edgeflow.plugin import Converted, Converter, ConvertJob, Tolerance, Unsupported
from edgeflow.runtimes import onnx_files, tflite_files

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

SPATIAL = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize")
HALVES = "; it computes in float32 what the model rounds to float16: bring the model as it was in float32"
ELEMENTWISE = (  # what may be between an image and a spatial operator, element by element
    *("Add", "Sub", "Mul", "Div", "Clip", "Cast", "Concat", "Pad", "BatchNormalization", "QuantizeLinear"),
    *("DequantizeLinear", "Relu", "PRelu", "LeakyRelu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Softplus"),
)


def convert(job: ConvertJob) -> Converted | Unsupported:
    """Convert with images channels last, or with all axes as they are where that answers otherwise.

    onnx2tf reports success for wrong files, too, so what it writes is asked before it is taken.
    """
    import onnx

    border = Border.of(job.signature)
    with silenced(job.work / "log.txt"):
        fixed = onnx_graphs.fix_axes(onnx.load(borders.source(job)), job.example)
        onnx_graphs.rename_border(fixed, {**border.inputs, **border.outputs})
        made = _right(fixed, {border.inputs[name]: array for name, array in job.example.items()}, job.work)
    if isinstance(made, str):
        return Unsupported(f"LiteRT: {made}")
    content, channels_last = made
    job.output.write_bytes(content)
    inputs, outputs = (
        [name for name, file in side.items() if file in channels_last] for side in (border.inputs, border.outputs)
    )
    return Converted(border.binding(borders.CHANNELS_LAST, inputs, outputs))


def _right(fixed: onnx.ModelProto, example: Mapping[str, NDArray[Any]], work: Path) -> tuple[bytes, set[str]] | str:
    """A file that answers as the model does, and its inputs and outputs with channels last; or why there is none."""
    if isinstance(refusal := onnx_graphs.answered(fixed, example), str):
        return f"the ONNX Runtime of onnx2tf cannot run the model, so nothing could be compared: {refusal}"
    simple = _simplified(fixed)
    images = _images(simple)
    refusal, apart = "", math.inf
    for channels_last in (images, set[str]()) if images else (images,):
        written = _written(simple, channels_last, work)
        if isinstance(written, str):
            refusal = written
            continue
        by = _apart(fixed, written, channels_last, example)
        if by <= onnx_graphs.TOLERANCE:
            return written, channels_last
        apart = min(apart, by)
    if refusal:
        return f"onnx2tf cannot convert the model: {refusal}"
    where = _first_wrong(fixed, example, work)
    return (
        f"what onnx2tf makes of the model answers otherwise{f', at operator {where}' if where else ''}"
        + (f": {apart:.1e} of their range apart, and {onnx_graphs.TOLERANCE:g} is allowed" if apart < math.inf else "")
        + (HALVES if _is_float16(fixed) else "")
    )


def _is_float16(model: onnx.ModelProto) -> bool:
    """Whether it rounds what it computes, or its answers, to float16."""
    from onnx import TensorProto

    return any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer)


def _simplified(fixed: onnx.ModelProto) -> onnx.ModelProto:
    """The model with what is computed of shapes alone computed: microcontrollers have no operators for that."""
    import onnxsim

    try:
        simple, _ = onnxsim.simplify(_copy(fixed))
    except REFUSALS:
        return fixed
    return simple


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = type(model)()
    copy.CopyFrom(model)
    return copy


def _images(model: onnx.ModelProto) -> set[str]:
    """Inputs and outputs [N, C, H, W] of spatial operators."""
    graph = model.graph
    found = set()
    for values, forward in ((graph.input, True), (graph.output, False)):
        for value in values:
            if len(onnx_graphs.shape_of(value)) == 4 and _is_spatial(graph, value.name, forward):
                found.add(value.name)
    return found


def _is_spatial(graph: onnx.GraphProto, name: str, forward: bool) -> bool:
    """Whether a spatial operator reads a value (or wrote it), itself or after others that work element by element."""
    todo, seen = [name], {name}
    while todo:
        at = todo.pop()
        for node in graph.node:
            near, far = (node.input, node.output) if forward else (node.output, node.input)
            if at not in near:
                continue
            if node.op_type in SPATIAL:
                return True
            if node.op_type in ELEMENTWISE:
                todo += [other for other in far if other not in seen]
                seen.update(far)
    return False


def _written(model: onnx.ModelProto, channels_last: Collection[str], work: Path) -> bytes | str:
    """A TFLite file, or what onnx2tf has no way for."""
    import onnx
    import onnx2tf

    given = _copy(model)
    onnx_graphs.channels_last(given, channels_last)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        source = Path(folder) / "model.onnx"
        onnx.save(given, source)
        try:
            onnx2tf.convert(
                input_onnx_file_path=str(source),
                output_folder_path=folder,
                copy_onnx_input_output_names_to_tflite=True,
                keep_shape_absolutely_input_names=[value.name for value in given.graph.input],
                enable_rnn_unroll=True,  # else an LSTM remembers what it was asked before
                non_verbose=True,
                verbosity="error",
            )
        except REFUSALS as error:
            return first_line(error)
        written = Path(folder) / "model_float32.tflite"
        return tflite_files.compact(written.read_bytes(), named=True) if written.exists() else "it wrote no file"


def _apart(
    model: onnx.ModelProto, file: bytes, channels_last: Collection[str], example: Mapping[str, NDArray[Any]]
) -> float:
    """How far the answers of a TFLite file are from those of a model, as a ratio of their range.

    It is asked three times, the second time for another sample: operators may remember what they answered before.
    """
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    other = {name: np.flip(array).copy() for name, array in example.items()}
    try:
        interpreter = Interpreter(model_content=file, num_threads=1)
        interpreter.allocate_tensors()
        asked = [(given, _answers(interpreter, channels_last, given)) for given in (example, other, example)]
    except (RuntimeError, ValueError):  # it refuses the file, or the file takes something else
        return math.inf
    pairs = [(onnx_graphs.answered(model, given), answers) for given, answers in asked]
    return max(math.inf if isinstance(b, str) else onnx_graphs.deviation(b, answers) for b, answers in pairs)


def _answers(
    interpreter: Any, channels_last: Collection[str], given: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    inputs = {detail["name"]: detail for detail in interpreter.get_input_details()}
    outputs = {detail["name"]: detail for detail in interpreter.get_output_details()}
    if inputs.keys() != given.keys():
        raise ValueError(f"the file takes {', '.join(inputs)}")
    for name, array in given.items():
        fed = array.transpose(0, 2, 3, 1) if name in channels_last else array
        if fed.dtype.kind == "f":  # onnx2tf makes float32 of float16
            fed = fed.astype(inputs[name]["dtype"])
        interpreter.set_tensor(inputs[name]["index"], fed)
    interpreter.invoke()
    answers = {name: interpreter.get_tensor(detail["index"]) for name, detail in outputs.items()}
    return {name: array.transpose(0, 3, 1, 2) if name in channels_last else array for name, array in answers.items()}


def _first_wrong(model: onnx.ModelProto, example: Mapping[str, NDArray[Any]], work: Path) -> str:
    """The last operator of the shortest beginning of a model that comes out wrong, by bisection."""
    import onnx

    def wrong(last: int) -> bool:
        cut = onnx.load_from_string(onnx_files.beginning(model, last))
        takes = {name for node in cut.graph.node for name in node.input}
        unused = [value for value in cut.graph.input if value.name not in takes]
        for value in unused:
            cut.graph.input.remove(value)
        given = {value.name: example[value.name] for value in cut.graph.input}
        written = _written(_simplified(onnx_graphs.fix_axes(cut, given)), (), work)
        return isinstance(written, str) or _apart(cut, written, (), given) > onnx_graphs.TOLERANCE

    good, bad = -1, len(model.graph.node) - 1
    if not wrong(bad):
        return ""
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (good, middle) if wrong(middle) else (middle, bad)
    node = model.graph.node[bad]
    return f"{node.op_type} ({node.name})" if node.name else str(node.op_type)


plugin = Converter(
    id="onnx_to_tflite",
    description="onnx2tf",
    source="onnx",
    target="tflite",
    toolchain="onnx2tf",
    convert=convert,
    tolerance=Tolerance(1e-4, "float32: another order of additions; measured 4e-7"),
    preload=("onnx", "onnx2tf", "onnxsim", "onnxruntime", "ai_edge_litert.interpreter"),
)
