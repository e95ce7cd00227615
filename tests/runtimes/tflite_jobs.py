"""What the tests of the LiteRT family do in a toolchain: `PYTHON tflite_jobs.py OUTPUT JOB…`.

A job is a JSON list: a function of this file and its arguments. OUTPUT gets a JSON list of what they return; an error
of edgeflow is an answer too.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import asking
import numpy as np

from edgeflow.errors import EdgeflowError
from edgeflow.plugin import Compiled, CompileJob, OptimizeJob, Runtime, Unsupported
from edgeflow.registry import load_reference
from edgeflow.runners import harness
from edgeflow.runtimes import litert, tflite_files
from edgeflow.types.plain import from_json, to_json
from edgeflow.types.signatures import Binding, Bound
from edgeflow.types.variants import Scheme, Target

# --- with the torch toolchain ----------------------------------------------------------------------------------------


def convert(net: str, inputs: str, output: str) -> str | None:
    """A network as .tflite, and what PyTorch answers beside it; or why it cannot be converted."""
    import converting
    import torch
    from tflite_nets import build

    x, model = np.load(inputs), build(net)
    converted = converting.convert("torch_to_tflite", model, x, Path(output))
    if isinstance(converted, Unsupported):
        return converted.reason
    with torch.no_grad():
        np.save(Path(output).with_suffix(".npy"), model(torch.from_numpy(x)).numpy())
    return None


def convert_and_keep_raw(net: str, inputs: str, output: str, raw: str) -> None:
    """The same, and what the converter itself wrote to `raw`."""
    compact = tflite_files.compact

    def keep(content: bytes, *, named: bool) -> bytes:
        Path(raw).write_bytes(content)
        return compact(content, named=named)

    with mock.patch.object(tflite_files, "compact", keep):
        convert(net, inputs, output)


# --- with the edge toolchain -----------------------------------------------------------------------------------------


def optimize(source: str, scheme: Any, calibration: str | None, output: str) -> int:
    """Apply a scheme; the size of the result in bytes."""
    x = () if calibration is None else asking.to_layout(np.load(calibration), "NHWC")
    samples = [{"args_0": each[None]} for each in x] or None
    with tempfile.TemporaryDirectory() as work:
        asked = from_json(Scheme, scheme)
        refusal = litert.optimize(OptimizeJob(Path(source), Path(output), asked, "tflite", samples, Path(work)))
    assert refusal is None, refusal
    return Path(output).stat().st_size


def predict(runtime: str, program: str, inputs: str) -> list[list[float]]:
    """What a program answers in the runner of a runtime."""
    answers: list[list[float]] = asking.predict(_backend(runtime), program, np.load(inputs), "NHWC").tolist()
    return answers


def inspect(runtime: str, program: str) -> dict[str, Any]:
    """Signature, operators and arena of a program."""
    session = harness.load_backend(_backend(runtime)).Session(program, 1)
    asking.run_once(session)
    return {"signature": session.signature(), "operators": session.operators(), "arena_bytes": session.arena_bytes()}


def refusal(runtime: str, program: str) -> str:
    """What the runner of a runtime says of a program that it cannot run."""
    try:
        harness.load_backend(_backend(runtime)).Session(program, 1)
    except ValueError as error:
        return str(error)
    return ""


def compile_program(runtime: str, source: str, scheme: Any, target: Any, output: str) -> Any:
    """What a runtime's compiler says of a model."""
    with tempfile.TemporaryDirectory() as work:
        asked = from_json(Scheme, scheme), from_json(Target, target)
        compiled = _runtime(runtime).compile(CompileJob(Path(source), Path(output), *asked, Path(work)))
    return to_json(compiled) if isinstance(compiled, Compiled) else {"unsupported": compiled.reason}


def ties(program: str) -> dict[str, list[int]]:
    """Values at and beside half steps of an integer program's input: as its runners and its layers are given them."""
    from ai_edge_litert.interpreter import Interpreter

    from edgeflow.runners.litert_backend import Session as Lite
    from edgeflow.runners.tflite_micro_backend import Session as Micro

    (detail,) = Interpreter(program).get_input_details()
    scale, zero_point = detail["quantization"]
    x = _half_steps(detail["shape"], scale)
    lite, micro = Lite(program, 1), Micro(program, 1)
    feeds = [{session.signature()["inputs"][0]["name"]: x} for session in (lite, micro)]
    ((_, by_lite),), (by_micro,) = lite.encode(feeds[0]), micro.encode(feeds[1])
    return {
        "litert": by_lite.ravel().tolist(),
        "tflite_micro": by_micro.ravel().tolist(),
        "layers": tflite_files.encode(x, detail).ravel().tolist(),
        "kernel": _quantized_by_the_kernel(x, scale, zero_point).ravel().tolist(),
    }


def rounding(program: str, inputs: str) -> str:
    """Which operator TFLite Micro answers otherwise than LiteRT; "" where both only round."""
    from edgeflow.runtimes import tflite_micro

    (given,) = harness.signature(_backend("tflite_micro"), program)["inputs"]
    samples = asking.to_layout(np.load(inputs)[:4], "NHWC")
    feeds = [harness.encode({given["name"]: each[None]}, [given]) for each in samples]
    return tflite_micro.rounding(Path(program), feeds)


def rung_of_tflite_micro(model: str, inputs: str) -> dict[str, Any]:
    """What the stage compile says of an integer model that LiteRT answered with, and how far those answers reach."""
    from edgeflow import files
    from edgeflow.runners import tensors
    from edgeflow.stages import compile as stage
    from edgeflow.stages.ladder import Outputs
    from edgeflow.types.ladder import Ladder, Rung
    from edgeflow.types.programs import Program

    x = np.load(inputs)
    said = harness.signature(_backend("litert"), model)
    names = [said[side][0]["name"] for side in ("inputs", "outputs")]
    binding = Binding({"input": Bound(names[0], (1, 2, 0))}, {"logits": Bound(names[1])})
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        split, ladder, answers = work / "split", work / "ladder", work / "answers"
        writer = tensors.split_writer(
            split, {"input": (x.dtype.name, x.shape)}, {"input": tensors.How()}, labelled=False
        )
        writer.write("inputs/input", 0, x)
        told = harness.ask(_backend("litert"), model, tensors.Split(split).batches(16), to_json(binding))
        Outputs(told, told).write(answers)
        step = Rung("optimize", "", None, 0, 0.0, 0.0, 1.0, None, None, "", files.sha256_file(Path(model)), "LiteRT")
        files.write_json(ladder, Ladder((step,), binding=binding))
        spec = stage.Spec(
            model="faint",
            target=Target("any", "tflite_micro", "", "cpu"),
            scheme=Scheme("int8_static", "int8", "int8", "static", calibration_samples=1),
            runtime="edgeflow.runtimes.tflite_micro:plugin",
            task="edgeflow.tasks.fidelity:plugin",
        )
        made = stage.Outputs(work / "program", work / "info", work / "outputs")
        stage.run(spec, stage.Inputs(Path(model), answers, split, split, ladder), made)
        (*_, last) = files.read_as(Program, made.info).ladder.rungs
    return {
        "scale": said["outputs"][0]["scale"],
        "range": float(np.ptp(told["logits"])),
        "moved": last.golden_max_abs,
        "stage": last.stage,
    }


def _half_steps(shape: Any, scale: float) -> Any:
    """float32[shape]: half steps from −30 to 30, and their neighbours."""
    steps = np.resize(np.arange(-30, 30, 0.5, dtype=np.float32), int(np.prod(shape)) // 2)
    x = steps * np.float32(scale)
    return np.concatenate([x, np.nextafter(x, np.float32(np.inf))]).reshape(shape)


def _quantized_by_the_kernel(x: Any, scale: float, zero_point: int) -> Any:
    """What TFLite Micro's QUANTIZE makes of x: a model of that operator alone."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils
    from tflite_micro import runtime

    given, made = schema.TensorT(), schema.TensorT()
    given.name, given.shape, given.type, given.buffer = b"x", list(x.shape), schema.TensorType.FLOAT32, 0
    made.name, made.shape, made.type, made.buffer = b"y", list(x.shape), schema.TensorType.INT8, 0
    made.quantization = schema.QuantizationParametersT()
    made.quantization.scale, made.quantization.zeroPoint = [scale], [zero_point]
    code, operator, graph, model = schema.OperatorCodeT(), schema.OperatorT(), schema.SubGraphT(), schema.ModelT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.QUANTIZE
    code.version = 1
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0], [1]
    graph.tensors, graph.inputs, graph.outputs, graph.operators = [given, made], [0], [1], [operator]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT()]
    content = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    interpreter = runtime.Interpreter.from_bytes(content)
    interpreter.set_input(x, 0)
    interpreter.invoke()
    return interpreter.get_output(0)


def zeros(program: str) -> list[list[int]]:
    """Of the weights of each layer: zeros, and how many there are."""
    return [[int((values == 0).sum()), values.size] for values in litert.stored_weights(Path(program).read_bytes())]


def widened_zeros(program: str) -> list[list[int]]:
    """The same of a weight-only program, whose weights LiteRT's own kernels unpack."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        program,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    interpreter.invoke()
    nodes = [node for node in interpreter._get_ops_details() if node["op_name"] == "DEQUANTIZE"]
    weights = [interpreter.get_tensor(int(node["outputs"][0])) for node in nodes]
    return [[int((values == 0).sum()), values.size] for values in weights]


def operators_of(program: str) -> dict[str, int]:
    """Operator → how many a .tflite file has."""
    from edgeflow.runners import tflite_micro_backend

    return tflite_micro_backend.operators_of(Path(program).read_bytes())


def layout(program: str) -> dict[str, Any]:
    """Tensors of a .tflite file, and where in the file its constants lie."""
    from ai_edge_litert import schema_py_generated as schema

    packed = schema.Model.GetRootAs(Path(program).read_bytes(), 0)
    model = schema.ModelT.InitFromObj(packed)
    (graph,) = model.subgraphs
    border = {*graph.inputs, *graph.outputs}
    dtypes = {number: name for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
    buffers = [packed.Buffers(i) for i in range(packed.BuffersLength())]
    return {
        "tensors": [
            {
                "name": tensor.name.decode(),
                "border": i in border,
                "dtype": dtypes[tensor.type],
                "rank": len(tensor.shape),
                "constant": model.buffers[tensor.buffer].data is not None,
                "scales": _scales(tensor.quantization),
            }
            for i, tensor in enumerate(graph.tensors)
        ],
        "positions": [b._tab.Vector(b._tab.Offset(4)) for b in buffers if b.DataLength()],
        "outside": [b.Offset() for b in buffers if b.Offset()],
    }


def _scales(quantization: Any) -> int:
    return 0 if quantization is None or quantization.scale is None else len(quantization.scale)


def without_values(program: str) -> dict[str, list[bool]]:
    """Operator → whether LiteRT has no values of its outputs after an inference, as inside of what a delegate took."""
    from edgeflow.runners.litert_backend import DELEGATE, Session

    session = Session(program, 1)
    asking.run_once(session)
    by_operator: dict[str, list[bool]] = {}
    for node in session._interpreter._get_ops_details():
        if node["op_name"] != DELEGATE:
            by_operator.setdefault(node["op_name"], []).extend(_has_no_values(session, int(i)) for i in node["outputs"])
    return by_operator


def _has_no_values(session: Any, tensor: int) -> bool:
    try:
        session._interpreter.get_tensor(tensor)
    except ValueError:
        return True
    return False


def shifts(reference: str, program: str, inputs: str) -> list[float]:
    """Of each layer: by how much its mean answers, channel by channel, are off, relative to their spread.

    Answers after the activation, of the program as it stands and not of what the correction cuts out of it.
    """
    x = asking.to_layout(np.load(inputs), "NHWC")
    expected, actual = _means(reference, x), _means(program, x)
    return [float(abs(a - b).max() / np.ptp(b)) for a, b in zip(actual, expected, strict=True)]


def _means(program: str, x: Any) -> list[Any]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from edgeflow.runners.litert_backend import Session
    from edgeflow.runtimes import tflite_files

    session = Session(program, 1)
    session._interpreter = interpreter = Interpreter(
        program,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    nodes = [node for node in interpreter._get_ops_details() if node["op_name"] in tflite_files.LAYERS]
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    sums: list[Any] = [0.0] * len(nodes)
    name = session.signature()["inputs"][0]["name"]
    for sample in x:
        session.invoke(session.encode({name: sample[None]}))
        for i, node in enumerate(nodes):
            output = int(node["outputs"][0])
            y = interpreter.get_tensor(output)
            if y.dtype != np.float32:
                scale, zero_point = details[output]["quantization"]
                y = (y.astype(np.float64) - zero_point) * scale
            sums[i] = sums[i] + y.mean(axis=tuple(range(y.ndim - 1)), dtype=np.float64)
    return [total / len(x) for total in sums]


def operators_in(runtime: str, program: str) -> dict[str, int]:
    """Operators of a file as the runner of a runtime counts them."""
    return harness.operators_in(_backend(runtime), program)


def vela_sections() -> list[str]:
    """Sections of the configuration that comes with vela."""
    import configparser

    import ethosu

    parser = configparser.ConfigParser()
    (folder,) = ethosu.__path__
    assert parser.read(Path(folder, "config_files", "Arm", "vela.ini"))
    return parser.sections()


def _backend(runtime: str) -> str:
    return str(_runtime(runtime).backend)


def _runtime(name: str) -> Runtime:
    runtime: Runtime = load_reference(f"edgeflow.runtimes.{name}:plugin")
    return runtime


def main(output: str, *jobs: str) -> None:
    """Do the jobs one after the other."""
    answers = []
    for function, *arguments in map(json.loads, jobs):
        try:
            answers.append(globals()[function](*arguments))
        except EdgeflowError as error:
            answers.append({"error": type(error).__name__, "message": str(error)})
    Path(output).write_text(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
