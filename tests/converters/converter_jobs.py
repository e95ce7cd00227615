"""What the tests of converters do in a toolchain: `PYTHON converter_jobs.py FOLDER TOOLCHAIN`."""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow import files
from edgeflow.plugin import Converted, Converter, ConvertJob, Unsupported
from edgeflow.registry import load_reference
from edgeflow.runners import harness
from edgeflow.types.plain import to_json
from edgeflow.types.signatures import Signature

Arrays = Mapping[str, Any]
RANDOM = np.random.default_rng(7)


def _floats(*shape: int) -> Any:
    return RANDOM.standard_normal(shape, dtype=np.float32)


def _signature(path: Path) -> Signature:
    signature: Signature = load_reference(f"edgeflow.formats.{path.suffix[1:]}:plugin").signature(path)
    return signature


def _convert(name: str, source: Path, given: Arrays, output: Path) -> Converted | Unsupported:
    converter: Converter = load_reference(f"edgeflow.converters.{name}:plugin")
    signature = _signature(source)
    tensors = [to_json(tensor) for tensor in signature.inputs]
    example = harness.encode({name: array[:1] for name, array in given.items()}, tensors)
    with tempfile.TemporaryDirectory() as work:
        return converter.convert(ConvertJob(None, source, signature, example, output, Path(work)))


def _answers(path: Path, given: Arrays, made: Converted | None = None) -> dict[str, Any]:
    backend = load_reference(f"edgeflow.formats.{path.suffix[1:]}:plugin").backend
    return harness.ask(str(backend), str(path), [given], to_json(made.binding) if made else None)


def _apart(expected: Arrays, answers: Arrays) -> float:
    assert expected.keys() == answers.keys()
    return max(float(np.abs(answers[name] - expected[name]).max() / np.ptp(expected[name])) for name in expected)


# --- edge ------------------------------------------------------------------------------------------------------------


def _onnx(path: Path, nodes: Sequence[Any], inputs: Arrays, outputs: Arrays, constants: Arrays, **more: Any) -> Path:
    """A model; inputs and outputs: name → shape, constants: name → array."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def values(shapes: Arrays) -> list[Any]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    stored = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "net", values(inputs), values(outputs), stored)
    opset = more.get("opset", 13)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=more.get("ir", 8)), path
    )
    return path


def adopted(folder: Path) -> dict[str, Any]:
    """An old file: opset 11, weights among the inputs, notes with a path."""
    import onnx
    from onnx import helper

    weights = {"w": _floats(4, 3, 3, 3), "b": _floats(4)}
    conv = helper.make_node("Conv", ["x", "w", "b"], ["y"], doc_string="/home/somebody/net.py", pads=[1] * 4)
    soft = helper.make_node("Softmax", ["y"], ["z"], axis=1)
    shapes = {"x": ["n", 3, 8, 6], "w": [4, 3, 3, 3], "b": [4]}
    path = _onnx(folder / "old.onnx", [conv, soft], shapes, {"z": ["n", 4, 8, 6]}, weights, opset=11, ir=3)
    given, output = {"x": _floats(3, 3, 8, 6)}, folder / "adopted.onnx"
    made = _convert("onnx_to_onnx", path, given, output)
    assert isinstance(made, Converted)
    model = onnx.load(output)
    return {
        "opset": model.opset_import[0].version,
        "inputs": [value.name for value in model.graph.input],
        "named": all(node.name for node in model.graph.node),
        "noted": b"somebody" in output.read_bytes(),
        "apart": _apart(_answers(path, given), _answers(output, given, made)),
    }


def raised(folder: Path) -> list[dict[str, Any]]:
    """An operator that newer opsets have otherwise: raised, and where what raises it fails or lies."""
    import onnx
    from onnx import helper, version_converter

    # softmax over two axes at once, until opset 12
    nodes = [helper.make_node("Softmax", ["x"], ["y"], axis=1), helper.make_node("Relu", ["y"], ["z"])]
    path = _onnx(folder / "softmax.onnx", nodes, {"x": [1, 2, 3, 4]}, {"z": [1, 2, 3, 4]}, {}, opset=9, ir=4)
    really, given, found = version_converter.convert_version, {"x": _floats(2, 2, 3, 4)}, []

    def failing(model: Any, version: int) -> Any:
        raise RuntimeError("no adapter")

    def lying(model: Any, version: int) -> Any:
        model.opset_import[0].version = version
        return model

    for number, way in enumerate((really, failing, lying)):
        version_converter.convert_version = way
        output = folder / f"softmax.{number}.onnx"
        made = _convert("onnx_to_onnx", path, given, output)
        assert isinstance(made, Converted)
        apart = _apart(_answers(path, given), _answers(output, given, made))
        found.append({"opset": onnx.load(output).opset_import[0].version, "apart": apart})
    version_converter.convert_version = really
    return found


def canonical(folder: Path) -> dict[str, Any]:
    """One graph written twice, with other names and in another order, and with a sum in it twice."""
    import onnx
    from onnx import TensorProto, helper

    from edgeflow.converters import onnx_graphs

    def body(prefix: str, again: bool) -> Any:
        nodes = [
            helper.make_node("Add", [f"{prefix}s", "x"], [f"{prefix}t"]),
            helper.make_node("Identity", [f"{prefix}t"], [f"{prefix}u"]),
            helper.make_node("Identity", [f"{prefix}c"], [f"{prefix}d"]),
        ]
        gives = [f"{prefix}d", f"{prefix}t", f"{prefix}u"] if again else [f"{prefix}d", f"{prefix}u", f"{prefix}t"]
        value = helper.make_tensor_value_info
        takes = [value(f"{prefix}i", TensorProto.INT64, []), value(f"{prefix}c", TensorProto.BOOL, [])]
        takes.append(value(f"{prefix}s", TensorProto.FLOAT, [prefix, 3]))
        outputs = [value(gives[0], TensorProto.BOOL, []), *(value(g, TensorProto.FLOAT, ["n", 3]) for g in gives[1:])]
        return helper.make_graph(nodes, f"{prefix}body", takes, outputs)

    files = []
    for prefix, again in (("a", False), ("zz", True)):
        takes = [f"{prefix}three", "", f"{prefix}double"]
        loop = helper.make_node("Loop", takes, [f"{prefix}l", f"{prefix}m"], body=body(prefix, again))
        nodes = [
            helper.make_node("Mul", ["x", f"{prefix}two"], [f"{prefix}double"], name=f"{prefix}1"),
            helper.make_node("Mul", ["x", f"{prefix}two"], [f"{prefix}same"]),
            loop,
            helper.make_node("Relu", [f"{prefix}same"], [f"{prefix}r"]),
            helper.make_node("Add", [f"{prefix}l", f"{prefix}r"], ["y"]),
        ]
        if again:
            nodes[:2] = nodes[1::-1]
            nodes[2], nodes[3] = nodes[3], nodes[2]
        constants = {f"{prefix}two": np.float32(2) * np.ones(3, np.float32), f"{prefix}three": np.array(3, np.int64)}
        path = _onnx(folder / f"{prefix}.onnx", nodes, {"x": [f"{prefix}_n", 3]}, {"y": [f"{prefix}_n", 3]}, constants)
        model = onnx.load(path)
        onnx_graphs.canonical(model)
        onnx_graphs.save(model, folder / f"{prefix}.canonical.onnx")
        files.append((path, folder / f"{prefix}.canonical.onnx"))
    given = {"x": _floats(4, 3)}
    (first, one), (second, other) = files
    return {
        "equal": one.read_bytes() == other.read_bytes(),
        "equal_before": first.read_bytes() == second.read_bytes(),
        "products": sum(node.op_type == "Mul" for node in onnx.load(one).graph.node),
        "apart": max(_apart(_answers(path, given), _answers(made, given)) for path, made in files),
    }


def swapped(folder: Path) -> dict[str, Any]:
    """Inputs that exchange their names, and one that takes the name of a value inside."""
    import onnx
    from onnx import helper

    from edgeflow.converters import onnx_graphs

    nodes = [helper.make_node("Sub", ["a", "b"], ["inside"]), helper.make_node("Neg", ["inside"], ["y"])]
    path = _onnx(folder / "swapped.onnx", nodes, {"a": [1, 3], "b": [1, 3]}, {"y": [1, 3]}, {})
    model = onnx.load(path)
    onnx_graphs.rename_border(model, {"a": "b", "b": "a", "y": "inside"})
    onnx.save(model, folder / "renamed.onnx")
    a, b = _floats(2, 3), _floats(2, 3)
    answers = _answers(folder / "renamed.onnx", {"b": a, "a": b})
    return {"apart": _apart({"inside": b - a}, answers)}


# --- onnx2tf ---------------------------------------------------------------------------------------------------------


def written(folder: Path) -> None:
    """With the torch toolchain: what the others start from."""
    import nets_torch

    for net in ("grouped", "cube", "lstm"):
        nets_torch.write(net, folder)


def no_image(folder: Path) -> dict[str, Any]:
    """[N, 49, 10, 1] that no spatial operator reads: it is not an image of 49 channels."""
    from onnx import helper

    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    constants = {"shape": np.array([-1, 490], np.int64), "w": _floats(490, 4)}
    path = _onnx(folder / "mfcc.onnx", nodes, {"x": ["n", 49, 10, 1]}, {"y": ["n", 4]}, constants)
    given, output = {"x": _floats(3, 49, 10, 1)}, folder / "mfcc.tflite"
    made = _convert("onnx_to_tflite", path, given, output)
    assert isinstance(made, Converted)
    return {
        "shape": harness.signature(str(_litert()), str(output))["inputs"][0]["shape"],
        "axes": made.binding.inputs["x"].axes,
        "apart": _apart({"y": given["x"].reshape(-1, 490) @ constants["w"]}, _answers(output, given, made)),
    }


def _litert() -> Path:
    backend: Path = load_reference("edgeflow.formats.tflite:plugin").backend
    return backend


def odd_names(folder: Path) -> dict[str, Any]:
    """Names that are no words, and two that differ in case alone."""
    from onnx import helper

    nodes = [helper.make_node("Sub", ["a/b:0", "A"], ["d"]), helper.make_node("Mul", ["d", "a"], ["out:0"])]
    shapes = {"a/b:0": [1, 3], "A": [1, 3], "a": [1, 3]}
    path = _onnx(folder / "odd.onnx", nodes, shapes, {"out:0": [1, 3]}, {})
    given, output = {name: _floats(4, 3) for name in shapes}, folder / "odd.tflite"
    made = _convert("onnx_to_tflite", path, given, output)
    assert isinstance(made, Converted)
    expected = {"out:0": (given["a/b:0"] - given["A"]) * given["a"]}
    return {"apart": _apart(expected, _answers(output, given, made))}


def of_torch(folder: Path) -> dict[str, Any]:
    """Nets that onnx2tf gets wrong if it is let: a free batch, equal axes, an LSTM that remembers."""
    found = {}
    for net in ("grouped", "cube", "lstm"):
        given, expected = _samples(folder, net)
        path, output = folder / f"{net}.onnx", folder / f"{net}.tflite"
        made = _convert("onnx_to_tflite", path, given, output)
        assert isinstance(made, Converted)
        said = harness.signature(str(_litert()), str(output))
        found[net] = {
            "apart": _apart(expected, _answers(output, given, made)),
            "fixed": all(
                isinstance(axis, int) for side in said.values() for tensor in side for axis in tensor["shape"]
            ),
            "operators": harness.operators_in(str(_litert()), str(output)),
        }
    return found


def lied_to(folder: Path) -> dict[str, Any]:
    """A library that reports success for files in which an operator is another one."""
    import onnx
    import onnx2tf

    path, (given, _) = folder / "grouped.onnx", _samples(folder, "grouped")
    really = onnx2tf.convert

    def lying(*, input_onnx_file_path: str, **options: Any) -> Any:
        model = onnx.load(input_onnx_file_path)
        for node in model.graph.node:
            node.op_type = node.op_type.replace("Relu", "Sigmoid")
        onnx.save(model, input_onnx_file_path)
        return really(input_onnx_file_path=input_onnx_file_path, **options)

    onnx2tf.convert = lying
    try:
        made = _convert("onnx_to_tflite", path, given, folder / "lied.tflite")
    finally:
        onnx2tf.convert = really
    return {"refused": made.reason if isinstance(made, Unsupported) else ""}


def halves(folder: Path) -> dict[str, Any]:
    """A model of float16 whose answers are whole numbers, and one whose answers are rounded to float16."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    given = {"x": np.linspace(-4, 4, 33, dtype=np.float16)[None]}
    reasons = {}
    for name, factor in (("exact", 2.0), ("rounded", 0.3)):
        ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT16, [1, 33]) for end in "xy"]
        constant = numpy_helper.from_array(np.full(33, factor, np.float16), "factor")
        graph = helper.make_graph(
            [helper.make_node("Mul", ["x", "factor"], ["y"])], "g", ends[:1], ends[1:], [constant]
        )
        path = folder / f"{name}_half.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        made = _convert("onnx_to_tflite", path, given, folder / f"{name}_half.tflite")
        reasons[name] = made.reason if isinstance(made, Unsupported) else ""
    return reasons


def no_way(folder: Path) -> list[str]:
    """An operator that onnx2tf makes something else of, and one that it has no way for."""
    import onnx2tf
    from onnx import helper

    path = _onnx(
        folder / "dft.onnx",
        [helper.make_node("DFT", ["x"], ["y"], axis=1)],
        {"x": [1, 4, 1]},
        {"y": [1, 4, 2]},
        {},
        opset=17,
    )
    really, reasons = onnx2tf.convert, []

    def refusing(**options: Any) -> Any:
        raise SystemExit("op=DFT reason_code=unsupported")

    for way in (really, refusing):
        onnx2tf.convert = way
        made = _convert("onnx_to_tflite", path, {"x": _floats(2, 4, 1)}, folder / "dft.tflite")
        reasons.append(made.reason if isinstance(made, Unsupported) else "")
    onnx2tf.convert = really
    return reasons


# --- tf --------------------------------------------------------------------------------------------------------------


def of_keras(folder: Path) -> dict[str, Any]:
    """Every converter of the toolchain, for two outputs whose order is not that of their names, and for a loop."""
    import nets_keras

    found: dict[str, Any] = {}
    for net in ("two_outputs", "gru"):
        nets_keras.write(net, folder)
        for source, target in itertools.product(("keras", "saved_model", "tflite"), ("tflite", "onnx")):
            path, output = folder / f"{net}.{source}", folder / f"{net}.of_{source}.{target}"
            given, expected = _samples(folder, net)
            made = _convert(f"{source}_to_{target}", path, given, output)
            if isinstance(made, Converted):
                answers = _answers(output, given, made)
                if len(answers) == 1:  # SavedModels and what is made of them have their own names for outputs
                    answers = dict(zip(expected, answers.values(), strict=True))
                found[f"{source} {net} {target}"] = _apart(expected, answers)
            else:
                found[f"{source} {net} {target}"] = made.reason
    return found


AGAIN = (("keras", "onnx"), ("keras", "tflite"), ("saved_model", "onnx"))


def again(folder: Path) -> dict[str, str]:
    """What becomes of the loop in this process, which has other hashes."""
    digests = {}
    for source, target in AGAIN:
        output = folder / f"again.{source}.{target}"
        _convert(f"{source}_to_{target}", folder / f"gru.{source}", _samples(folder, "gru")[0], output)
        digests[f"{source} {target}"] = files.sha256_file(output)
    return digests


def first(folder: Path) -> dict[str, str]:
    """The same of the first process."""
    return {f"{source} {target}": files.sha256_file(folder / f"gru.of_{source}.{target}") for source, target in AGAIN}


def quantized(folder: Path) -> dict[str, Any]:
    """An int8 TFLite file as ONNX: its numbers are those of the file, real ones at the border."""
    import onnx
    import tensorflow as tf

    given, expected = _samples(folder, "two_outputs")
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "two_outputs.fixed"))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([array[i : i + 1] for array in given.values()] for i in range(8))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    path, output = folder / "int8.tflite", folder / "int8.onnx"
    path.write_bytes(converter.convert())
    made = _convert("tflite_to_onnx", path, given, output)
    assert isinstance(made, Converted)
    operators = Counter(node.op_type for node in onnx.load(output).graph.node)
    return {
        "apart": _apart(_answers(path, given), _answers(output, given, made)),
        "lost": _apart(expected, _answers(path, given)),
        "integers": operators["QuantizeLinear"] > 0 and operators["DequantizeLinear"] > 0,
        "types": [value.type.tensor_type.elem_type for value in onnx.load(output).graph.input],
    }


def no_operator(folder: Path) -> dict[str, str]:
    """Functions of TensorFlow that TFLite, and that ONNX, has no operator for."""
    import tensorflow as tf

    reasons, given = {}, {"x": _floats(2, 3, 3)}
    for target, function in (("tflite", tf.linalg.det), ("onnx", tf.math.lgamma)):
        path = folder / f"{target}.saved_model"
        module, spec = tf.Module(), tf.TensorSpec((None, 3, 3), tf.float32, name="x")
        module.serve = tf.function(partial(_asked, function), input_signature=[spec])
        tf.saved_model.save(module, str(path), signatures=module.serve.get_concrete_function())
        made = _convert(f"saved_model_to_{target}", path, given, folder / f"none.{target}")
        reasons[target] = made.reason if isinstance(made, Unsupported) else ""
    return reasons


def _asked(function: Callable[[Any], Any], x: Any) -> dict[str, Any]:
    return {"y": function(x)}


def _samples(folder: Path, net: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return dict(np.load(folder / f"{net}.inputs.npz")), dict(np.load(folder / f"{net}.answers.npz"))


JOBS: Mapping[str, Sequence[Callable[[Path], Any]]] = {
    "torch": (written,),
    "edge": (adopted, raised, canonical, swapped),
    "onnx2tf": (no_image, odd_names, of_torch, lied_to, halves, no_way),
    "tf": (of_keras, first, quantized, no_operator),
    "again": (again,),
}


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parent.parent / "models"))
    folder, name = Path(sys.argv[1]), sys.argv[2]
    (folder / f"{name}.json").write_text(json.dumps({job.__name__: job(folder) for job in JOBS[name]}))
