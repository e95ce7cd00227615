"""What the tests of models of any kind do in a toolchain: `PYTHON any_model_jobs.py FOLDER JOB`.

`convert` makes NET.onnx and NET.tflite with their bindings of networks from tests/models/nets_torch.py; the other jobs
leave what they found in JOB.json.
"""

from __future__ import annotations

import itertools
import json
import math
import signal
import sys
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow import files
from edgeflow.plugin import CompileJob, Converted, Converter, ConvertJob, OptimizeJob, Runtime, Unsupported
from edgeflow.registry import load_reference
from edgeflow.runners import harness
from edgeflow.runtimes import litert, onnxruntime
from edgeflow.stages.noise import noisiest
from edgeflow.types.plain import to_json
from edgeflow.types.signatures import Signature, Tensor
from edgeflow.types.variants import Scheme, Target

NETS = ("two_inputs", "two_outputs", "attention", "shared_weights", "lstm")
SAMPLES = 24
STATIC = Scheme("int8_static", "int8", "int8", "static", calibration_samples=SAMPLES)
SCHEMES = (
    Scheme("fp16", "float16", "float16", "float"),
    Scheme("int8_dynamic", "int8", "int8", "dynamic"),
    STATIC,
    replace(STATIC, id="corrected", bias_correction=True),
    replace(STATIC, id="mse", activations="int16", calibration_method="mse"),
    Scheme("weights", "int8", "float32", "weight_only"),
)
DIES = ("attention", "onnx", "fp16")  # ONNX Runtime ends in SIGSEGV when it fuses this one: docs/guide/quantization.md
RUNTIMES = {"onnx": onnxruntime.plugin, "tflite": litert.plugin}
PROFILES = {"onnx": "onnxruntime-x86", "tflite": "tflite"}
TARGET = Target("device", "", "x86_64", "cpu")


# --- with the torch toolchain ----------------------------------------------------------------------------------------


def convert(folder: Path) -> None:
    """Models, samples, and what PyTorch answers to them."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "models"))
    import nets_torch

    for net in NETS:
        samples = nets_torch.NETS[net].samples(SAMPLES)
        answers = nets_torch.answers(net, samples)
        np.savez(folder / f"{net}.samples.npz", **samples)
        np.savez(folder / f"{net}.answers.npz", **answers)
        signature, example = (
            Signature(_tensors(samples), _tensors(answers)),
            {name: x[:1] for name, x in samples.items()},
        )
        for suffix in RUNTIMES:
            converter: Converter = load_reference(f"edgeflow.converters.torch_to_{suffix}:plugin")
            output = folder / f"{net}.{suffix}"
            made = converter.convert(ConvertJob(nets_torch.build(net), None, signature, example, output, folder))
            assert isinstance(made, Converted), made
            (folder / f"{output.name}.json").write_text(json.dumps(to_json(made.binding)))


def _tensors(arrays: Mapping[str, Any]) -> tuple[Tensor, ...]:
    return tuple(Tensor(name, x.dtype.name, ("batch", *x.shape[1:])) for name, x in arrays.items())


# --- with the edge toolchain -----------------------------------------------------------------------------------------


def build(folder: Path) -> None:
    """Every net in every scheme: build.json."""
    said = {}
    for net in NETS:
        for suffix, runtime in RUNTIMES.items():
            for scheme in SCHEMES:
                if (net, suffix, scheme.id) == DIES:
                    continue
                said[f"{net} {suffix} {scheme.id}"] = _build(folder, net, suffix, runtime, scheme)
    (folder / "build.json").write_text(json.dumps(said))


def _build(folder: Path, net: str, suffix: str, runtime: Runtime, scheme: Scheme) -> dict[str, Any]:
    source = folder / f"{net}.{suffix}"
    output, program = (folder / f"{net}.{scheme.id}.{kind}" for kind in (suffix, f"program.{suffix}"))
    binding = json.loads((folder / f"{source.name}.json").read_text())
    samples, expected = (dict(np.load(folder / f"{net}.{what}.npz")) for what in ("samples", "answers"))
    feeds = feeds_of(runtime, source, binding, samples)
    assert _optimize(runtime, suffix, source, output, scheme, feeds) is None
    with tempfile.TemporaryDirectory() as work:
        compiled = runtime.compile(CompileJob(output, program, scheme, TARGET, Path(work)))
    assert not isinstance(compiled, Unsupported), compiled
    assert runtime.activations
    layers = list(runtime.activations(source, output, feeds[:2]))
    taken = _signature(runtime, program)["inputs"]
    return {
        "distance": _distance(runtime, program, binding, samples, expected),
        "inputs": {tensor["name"]: tensor["dtype"] for tensor in taken},
        "wanted": {tensor["name"]: tensor["dtype"] for tensor in _signature(runtime, source)["inputs"]},
        "batch": [tensor["shape"][0] for tensor in taken],
        "layers": [each.layer.name for each in layers],
        "shapes_differ": [each.layer.name for each in layers if each.before.shape != each.after.shape],
        "noisiest": [[layer.name, layer.after_db] for layer in noisiest(layers)],
        "known": [layer.name for layer in runtime.layers(source)] if runtime.layers else [],
    }


def feeds_of(runtime: Runtime, source: Path, binding: Any, samples: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One sample after the other as a file takes them."""
    signature = _signature(runtime, source)
    names = harness.Names(signature, binding)
    return [harness.encode(names.feed(samples, i, i + 1), signature["inputs"]) for i in range(SAMPLES)]


def _signature(runtime: Runtime, program: Path) -> dict[str, Any]:
    return harness.signature(str(runtime.backend), str(program))


def _distance(runtime: Runtime, program: Path, binding: Any, samples: Mapping[str, Any], expected: Any) -> float:
    """Of the farthest answer, relative to the range of its output."""
    session = harness.load_backend(str(runtime.backend)).Session(str(program), 1)
    answers = harness.Program(session, binding).ask(samples)
    return max(float(abs(answers[name] - y).max() / np.ptp(y)) for name, y in expected.items())


def _optimize(
    runtime: Runtime, suffix: str, source: Path, output: Path, scheme: Scheme, feeds: Any, keep: tuple[str, ...] = ()
) -> Unsupported | None:
    assert runtime.optimize
    samples = feeds if scheme.calibration_samples else None
    with tempfile.TemporaryDirectory() as work:
        job = OptimizeJob(source, output, scheme, PROFILES[suffix], samples, Path(work), keep)
        return runtime.optimize(job)


def refuse(folder: Path) -> None:
    """What each scheme says of models that are quantized already, and of one with nothing to quantize: refuse.json."""
    said: dict[str, Any] = {}
    for suffix, runtime in RUNTIMES.items():
        for before in (*(scheme.id for scheme in SCHEMES), ""):
            source = folder / ".".join(part for part in ("two_inputs", before, suffix) if part)
            binding = json.loads((folder / f"two_inputs.{suffix}.json").read_text())
            feeds = feeds_of(runtime, source, binding, dict(np.load(folder / "two_inputs.samples.npz")))
            for scheme in (*SCHEMES, Scheme("fp32", "float32", "float32", "float")):
                output = folder / f"again.{suffix}"
                output.unlink(missing_ok=True)
                refused = _optimize(runtime, suffix, source, output, scheme, feeds)
                same = output.is_file() and output.read_bytes() == source.read_bytes()
                said[f"{suffix} {before} {scheme.id}"] = refused.reason if refused else "same" if same else "changed"
    said["nothing"] = [_of_nothing(folder, suffix) for suffix in RUNTIMES]
    (folder / "refuse.json").write_text(json.dumps(said))


def _of_nothing(folder: Path, suffix: str) -> str:
    """What is said of a model with no weights."""
    source, runtime = folder / f"negate.{suffix}", RUNTIMES[suffix]
    source.write_bytes(_negate_onnx() if suffix == "onnx" else _negate_tflite())
    refused = _optimize(runtime, suffix, source, folder / f"nothing.{suffix}", SCHEMES[-1], None)
    return refused.reason if refused else ""


def _negate_onnx() -> bytes:
    from onnx import TensorProto, helper

    borders = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", borders[:1], borders[1:])
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    ).SerializeToString()
    return content


def _negate_tflite() -> bytes:
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model, graph, code, operator = schema.ModelT(), schema.SubGraphT(), schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.NEG
    code.version = 1
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0], [1]
    graph.tensors = []
    for name in (b"x", b"y"):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, [1, 3], schema.TensorType.FLOAT32, 0
        graph.tensors.append(tensor)
    graph.inputs, graph.outputs, graph.operators = [0], [1], [operator]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT()]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def anonymous(folder: Path) -> None:
    """Files that say less than those of our converters: anonymous.json.

    An ONNX graph whose nodes have no names; a TFLite file without a signature, with all tensors called
    alike.
    """
    import onnx
    from ai_edge_litert.tools import flatbuffer_utils

    said = {}
    samples, expected = (dict(np.load(folder / f"two_inputs.{what}.npz")) for what in ("samples", "answers"))
    model = onnx.load(folder / "two_inputs.onnx")
    for node in model.graph.node:
        node.name = ""
    onnx.save(model, folder / "anonymous.onnx")
    packed = flatbuffer_utils.read_model(str(folder / "two_inputs.tflite"))
    packed.signatureDefs = []
    (graph,) = packed.subgraphs
    given = {index: f"args_{i}" for i, index in enumerate(sorted(graph.inputs, key=lambda i: graph.tensors[i].name))}
    for i, tensor in enumerate(graph.tensors):
        tensor.name = given.get(i, "output_0" if i in graph.outputs else "tensor").encode()
    (folder / "anonymous.tflite").write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(packed)))
    for suffix, runtime in RUNTIMES.items():
        source, output = folder / f"anonymous.{suffix}", folder / f"anonymous.out.{suffix}"
        binding = json.loads((folder / f"two_inputs.{suffix}.json").read_text())
        feeds = feeds_of(runtime, source, binding, samples)
        assert runtime.layers
        assert runtime.activations
        names = [layer.name for layer in runtime.layers(source)]
        float_model = _distance(runtime, source, binding, samples, expected)
        assert _optimize(runtime, suffix, source, output, STATIC, feeds) is None
        said[suffix] = {"float": float_model, "distance": _distance(runtime, output, binding, samples, expected)}
        assert _optimize(runtime, suffix, source, output, STATIC, feeds, tuple(names)) is None
        said[suffix] |= {"kept": _distance(runtime, output, binding, samples, expected), "layers": names}
        said[suffix]["compared"] = [each.layer.name for each in runtime.activations(source, output, feeds[:1])]
    (folder / "anonymous.json").write_text(json.dumps(said))


def old(folder: Path) -> None:
    """What is said of models of older opsets, of pooling that depends on the image: old.json."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.ones((2, 1, 3, 3), np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("AveragePool", ["c"], ["y"], "pool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    ]
    output = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    x = np.random.default_rng(0).standard_normal((SAMPLES, 1, 1, 10, 10), dtype=np.float32)
    int4 = Scheme("int4", "int4", "float32", "weight_only")
    said = {}
    for opset, size, scheme in itertools.product((11, 17, 21), (10, "size"), (STATIC, SCHEMES[-1], int4)):
        given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, size, 10])]
        graph = helper.make_graph(nodes, "g", given, output, [weights])
        source, made = folder / "old.onnx", folder / "old.out.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7), source)
        refused = _optimize(onnxruntime.plugin, "onnx", source, made, scheme, [{"x": each} for each in x])
        said[f"{opset} {size} {scheme.id}"] = refused.reason if refused else ""
        if not refused:
            before, after = (_asked(path, x[0]) for path in (source, made))
            assert abs(before - after).max() < 0.1 * np.ptp(before)
    (folder / "old.json").write_text(json.dumps(said))


def _asked(path: Path, x: Any) -> Any:
    from onnxruntime import InferenceSession

    return InferenceSession(str(path)).run(None, {"x": x})[0]


def typed(folder: Path) -> None:
    """A uint8 image and token ids of any number, three outputs, names that sort against their order: typed.json."""
    source, runtime = folder / "typed.onnx", onnxruntime.plugin
    source.write_bytes(_of_many_types())
    rng = np.random.default_rng(0)
    samples = {
        "zoom": rng.integers(0, 255, (SAMPLES, 3, 8, 8)).astype("uint8"),
        "ids": rng.integers(0, 20, (SAMPLES, 7)),
    }
    session = harness.load_backend(str(runtime.backend)).Session(str(source), 1)
    expected = harness.Program(session, None).ask(samples)
    feeds = feeds_of(runtime, source, None, samples)
    said = {}
    for scheme in SCHEMES:
        output, program = folder / "typed.out.onnx", folder / "typed.program.onnx"
        assert _optimize(runtime, "onnx", source, output, scheme, feeds) is None
        with tempfile.TemporaryDirectory() as work:
            compiled = runtime.compile(CompileJob(output, program, scheme, TARGET, Path(work)))
        assert not isinstance(compiled, Unsupported), compiled
        answers = harness.Program(harness.load_backend(str(runtime.backend)).Session(str(program), 1), None).ask(
            samples
        )
        signature = _signature(runtime, program)
        assert runtime.activations
        said[scheme.id] = {
            "same_labels": float((answers["label"] == expected["label"]).mean()),
            "distance": max(
                float(abs(answers[name] - expected[name]).max() / np.ptp(expected[name])) for name in ("steps", "best")
            ),
            "signature": [
                [each["name"], each["dtype"], list(each["shape"])] for side in signature.values() for each in side
            ],
            "layers": [each.layer.name for each in runtime.activations(source, output, feeds[:1])],
        }
    (folder / "typed.json").write_text(json.dumps(said))


def _of_many_types() -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(1)
    shapes = {"kernel": (4, 3, 3, 3), "table": (20, 8), "matrix": (8, 5), "last": (12, 5)}
    constants = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    constants |= {"grey": np.array(127, np.float32), "places": np.array([2, 3]), "second": np.array([1])}
    nodes = [
        helper.make_node("Cast", ["zoom"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["real", "grey"], ["dark"]),
        helper.make_node("Add", ["dark", "grey"], ["again"]),
        helper.make_node("Conv", ["again", "kernel"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("ReduceMean", ["relu", "places"], ["pooled"], keepdims=0),
        helper.make_node("Gather", ["table", "ids"], ["embedded"]),
        helper.make_node("MatMul", ["embedded", "matrix"], ["steps"]),
        helper.make_node("ReduceMean", ["embedded", "second"], ["mean"], keepdims=0),
        helper.make_node("Concat", ["pooled", "mean"], ["both"], axis=1),
        helper.make_node("Gemm", ["both", "last"], ["best"]),
        helper.make_node("ArgMax", ["best"], ["label"], axis=1, keepdims=0),
    ]
    value = helper.make_tensor_value_info
    inputs = [value("zoom", TensorProto.UINT8, ["n", 3, 8, 8]), value("ids", TensorProto.INT64, ["n", "length"])]
    outputs = [
        value("steps", TensorProto.FLOAT, ["n", "length", 5]),
        value("label", TensorProto.INT64, ["n"]),
        value("best", TensorProto.FLOAT, ["n", 5]),
    ]
    stored = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, stored)
    opsets = [helper.make_opsetid("", 18)]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return content


def calibrate(folder: Path) -> None:
    """Ranges of every tensor, as the library's calibrator finds them in all samples and as we do: calibrate.json."""
    from ai_edge_quantizer import calibrator
    from ai_edge_quantizer.utils import qsv_utils

    from edgeflow.runtimes import tflite_files

    said = {}
    for net in NETS:
        source = folder / f"{net}.tflite"
        content = source.read_bytes()
        binding = json.loads((folder / f"{source.name}.json").read_text())
        feeds = feeds_of(litert.plugin, source, binding, dict(np.load(folder / f"{net}.samples.npz")))
        tool = calibrator.Calibrator(content, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
        tool.calibrate({"serving_default": feeds}, litert._recipe(STATIC, ()))
        theirs = {name: [each["min"].item(), each["max"].item()] for name, each in tool.get_model_qsvs().items()}
        ours = tflite_files.extremes(content, feeds, tuple(theirs))
        said[net] = [theirs, {name: [float(low), float(high)] for name, (low, high) in ours.items()}]
    (folder / "calibrate.json").write_text(json.dumps(said))


class Counted(Sequence[Any]):
    """Calibration samples that know how many of them are held at once."""

    def __init__(self, feeds: Sequence[Mapping[str, Any]]) -> None:
        self._feeds = feeds
        self.held = self.most = 0

    def __len__(self) -> int:
        return len(self._feeds)

    def __getitem__(self, at: Any) -> Any:
        raise NotImplementedError("samples are only gone over")

    def __iter__(self) -> Iterator[Any]:
        for feed in self._feeds:
            given = {name: array.copy() for name, array in feed.items()}
            for array in given.values():
                self.held += 1
                self.most = max(self.most, self.held)
                weakref.finalize(array, self._released)
            yield given
            del given, array

    def _released(self) -> None:
        self.held -= 1


def hold(folder: Path) -> None:
    """How many samples are held at once while ranges are found and layers compared: hold.json."""
    said = {}
    for suffix, runtime in RUNTIMES.items():
        source = folder / f"attention.{suffix}"
        binding = json.loads((folder / f"{source.name}.json").read_text())
        feeds = feeds_of(runtime, source, binding, dict(np.load(folder / "attention.samples.npz")))
        for scheme in (scheme for scheme in SCHEMES if scheme.calibration_samples):
            counted = Counted(feeds)
            assert _optimize(runtime, suffix, source, folder / f"held.{suffix}", scheme, counted) is None
            said[f"{suffix} {scheme.id}"] = counted.most
        counted = Counted(feeds)
        assert runtime.activations
        assert math.isfinite(noisiest(runtime.activations(source, folder / f"held.{suffix}", counted))[0].after_db)
        said[f"{suffix} layers"] = counted.most
    (folder / "hold.json").write_text(json.dumps(said))


def order(folder: Path) -> None:
    """What becomes of the same calibration samples in another order, and of the last of them alone: order.json."""
    said = {}
    for suffix, runtime in RUNTIMES.items():
        source, output = folder / f"two_inputs.{suffix}", folder / f"ordered.{suffix}"
        binding = json.loads((folder / f"{source.name}.json").read_text())
        feeds = feeds_of(runtime, source, binding, dict(np.load(folder / "two_inputs.samples.npz")))
        for name, given in (("all", feeds), ("reversed", feeds[::-1]), ("last", feeds[-1:])):
            assert _optimize(runtime, suffix, source, output, STATIC, given) is None
            said[f"{suffix} {name}"] = files.sha256_file(output)
    (folder / "order.json").write_text(json.dumps(said))


def stays_float32(folder: Path) -> None:
    """float16 of operators that have none, after others and at the border, and in control flow: stays_float32.json.

    It ends with an error where the library does not end.
    """
    from onnx import TensorProto, helper, numpy_helper

    def value(name: str, kind: int = TensorProto.FLOAT, shape: Sequence[Any] = (1, 8)) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    def written(inner: str, name: str) -> Any:
        nodes = [helper.make_node("Cast", [inner], ["whole"], to=TensorProto.INT64)]
        return helper.make_graph(
            [*nodes, helper.make_node("Cast", ["whole"], [name], to=TensorProto.FLOAT)], name, [], [value(name)]
        )

    half, four, top = np.array(0.5, np.float32), np.array(4, np.float32), np.array([3])
    branches = {"then_branch": written("scaled", "yes"), "else_branch": written("x", "no")}
    nodes = {
        "middle": [("Mul", ["x", "four"], ["a"]), ("Max", ["a", "half"], ["b"]), ("Neg", ["b"], ["y"])],
        "first": [("Min", ["x", "half"], ["a"]), ("Mul", ["a", "four"], ["y"])],
        "last": [("Mul", ["x", "four"], ["a"]), ("Max", ["a", "half"], ["y"])],
        "top": [("Mul", ["x", "four"], ["a"]), ("TopK", ["a", "top"], ["v", "i"]), ("Neg", ["v"], ["y"])],
        "cast": [("Mul", ["x", "four"], ["scaled"]), ("Cast", ["scaled"], ["i"]), ("CastLike", ["i", "x"], ["y"])],
        "branch": [("Mul", ["x", "four"], ["scaled"]), ("ReduceMax", ["x"], ["m"]), ("Greater", ["m", "half"], ["is"]),
                   ("If", ["is"], ["y"])],
    }  # fmt: skip
    attributes = {"Cast": {"to": TensorProto.INT64}, "ReduceMax": {"keepdims": 0}, "If": branches}
    x = np.random.default_rng(0).normal(size=(1, 8)).astype(np.float32)
    constants = [numpy_helper.from_array(array, name) for name, array in (("half", half), ("four", four), ("top", top))]
    said = {}
    signal.alarm(60)
    for name, given in nodes.items():
        source, output = folder / f"{name}.onnx", folder / f"{name}.float16.onnx"
        made = [helper.make_node(kind, ins, outs, **attributes.get(kind, {})) for kind, ins, outs in given]
        graph = helper.make_graph(made, "g", [value("x")], [value("y", shape=(1, None))], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        source.write_bytes(model.SerializeToString())
        assert _optimize(onnxruntime.plugin, "onnx", source, output, SCHEMES[0], [{"x": x}]) is None
        said[name] = float(abs(_asked(output, x) - _asked(source, x)).max())
    signal.alarm(0)
    (folder / "stays_float32.json").write_text(json.dumps(said))


if __name__ == "__main__":
    for job in sys.argv[2:]:
        globals()[job](Path(sys.argv[1]))
