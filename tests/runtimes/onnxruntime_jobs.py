"""What the tests of the ONNX Runtime plugin do in a toolchain: `PYTHON onnxruntime_jobs.py FOLDER JOB…`.

A job reads <network>.npz and, once there, <network>.onnx from the folder above its own.

The networks are those of the default matrix with random weights and a last layer fitted by least squares, so that there
is an accuracy to lose and nothing to train.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import asking
import numpy as np

from edgeflow.converters import onnx_graphs
from edgeflow.errors import StageError
from edgeflow.plugin import CompileJob, OptimizeJob, Unsupported
from edgeflow.runners import harness
from edgeflow.runtimes import onnxruntime as subject
from edgeflow.techniques import prune
from edgeflow.types.variants import Scheme, Target

SCHEMES = {
    "fp32": Scheme("fp32", "float32", "float32", "float"),
    "fp16": Scheme("fp16", "float16", "float16", "float"),
    "int8_dynamic": Scheme("int8_dynamic", "int8", "int8", "dynamic"),
    "int8_static": Scheme("int8_static", "int8", "int8", "static", calibration_samples=64),
    "int8_static_per_tensor": Scheme("int8_static", "int8", "int8", "static", False, calibration_samples=64),
    "int16x8": Scheme("int16x8", "int8", "int16", "static", calibration_samples=64),
}
WEIGHTS = Scheme("int8_weights", "int8", "float32", "weight_only")
STATIC, WIDE = SCHEMES["int8_static"], SCHEMES["int16x8"]
CORRECTED = {"bias_correction": True, "calibration_samples": 64}
FINER = {
    "mse": replace(STATIC, calibration_method="mse"),
    "percentile": replace(STATIC, calibration_method="percentile", percentile=0.99),
    "wide_percentile": replace(WIDE, calibration_method="percentile", percentile=0.99),
    "wide_per_tensor": replace(WIDE, per_channel=False),
    "static4": replace(STATIC, weights="int4"),
    "static4_corrected": replace(STATIC, weights="int4", **CORRECTED),
    "static8_corrected": replace(STATIC, **CORRECTED),
    "weights8": WEIGHTS,
    "weights8_per_tensor": replace(WEIGHTS, per_channel=False),
    "weights4": replace(WEIGHTS, weights="int4"),
    "weights4_corrected": replace(WEIGHTS, weights="int4", **CORRECTED),
}
ARM_SCHEMES = ("int8_static",)
SHARED = ("fp32", "fp16", "int8_dynamic", "int16x8")
ARCHITECTURES = {"x86": "x86_64", "arm": "aarch64"}


# --- with the torch toolchain ----------------------------------------------------------------------------------------


def convert(folder: Path) -> None:
    """<network>.onnx and <network>.torch.npz for both networks."""
    for name in ("dscnn", "resnet8"):
        _convert(folder, name)


def convert_one(folder: Path) -> None:
    """The same for one network."""
    _convert(folder, "resnet8")


def _convert(folder: Path, name: str) -> None:
    import converting
    import torch

    data = np.load(folder.parent / f"{name}.npz")
    model = _fitted(name, torch.from_numpy(data["train_x"]), torch.from_numpy(data["train_y"]))
    converting.convert("torch_to_onnx", model, data["x"], folder / f"{name}.onnx")
    with torch.no_grad():
        answers = model(torch.from_numpy(data["x"])).numpy()
    np.savez(folder / f"{name}.torch.npz", y=answers, zeros=prune.zeros(model))


def _fitted(name: str, x: Any, y: Any) -> Any:
    import torch

    from edgeflow.zoo import dscnn, resnet8

    torch.set_num_threads(1)
    torch.manual_seed(7)
    model = {"dscnn": dscnn.build, "resnet8": resnet8.build}[name](tuple(x.shape[1:]), 10)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.view(-1)[::3] = 0  # for the zeros to be counted
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0  # statistics of this one pass
        model.train()(x)
        model.eval()
        features: list[Any] = []
        hook = model.classifier.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
        model(x)
        hook.remove()
        known = torch.cat([features[0], torch.ones(len(x), 1)], 1).double()
        wanted = torch.nn.functional.one_hot(y, 10).double()
        fitted = torch.linalg.solve(known.T @ known + 1e-3 * torch.eye(known.shape[1]), known.T @ wanted).float()
        model.classifier.weight.copy_(fitted[:-1].T)
        model.classifier.bias.copy_(fitted[-1])
    return model


def refuse(folder: Path) -> None:
    """What convert says to networks that cannot be exported, and to an exporter that falls back: refused.json."""
    import torch

    class Eigenvalues(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.linalg.eigvals(x).real

    class TwoOutputs(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x, x * 2

    class Convolution(torch.nn.Conv2d):
        def __init__(self) -> None:
            super().__init__(1, 1, 1)

        def forward(self, x: Any) -> Any:
            return super().forward(x).mean((2, 3))

    export = torch.onnx.export

    def fixed_batch(model: Any, example: Any, path: str, **options: Any) -> None:
        export(model, example, path, **{**options, "dynamic_shapes": None})

    said = {"unknown_operator": _refusal(folder, Eigenvalues()), "two_outputs": _refusal(folder, TwoOutputs())}
    with mock.patch("torch.onnx.export", fixed_batch):
        said["fixed_batch"] = _refusal(folder, Convolution())
    with mock.patch.object(onnx_graphs, "OPSET", 17):
        said["opset"] = _refusal(folder, Convolution())
    (folder / "refused.json").write_text(json.dumps(said))


def _refusal(folder: Path, model: Any) -> str:
    import converting

    try:
        x = np.ones((1, 1, 4, 4), np.float32)
        converted = converting.convert("torch_to_onnx", model.eval(), x, folder / "refused.onnx")
    except StageError as error:
        return str(error)
    return converted.reason if isinstance(converted, Unsupported) else "nothing was refused"


# --- with the edge toolchain -----------------------------------------------------------------------------------------


def build(folder: Path) -> None:
    """Optimize and compile every scheme; predictions in <variant>.npz, what the files hold in facts.json."""
    facts = {}
    for name in ("dscnn", "resnet8"):
        data = np.load(folder.parent / f"{name}.npz")
        facts[name] = _facts(folder, folder.parent / f"{name}.onnx", data["x"], f"{name}.convert")
        for profile, architecture in ARCHITECTURES.items():
            for scheme in SCHEMES if profile == "x86" else ARM_SCHEMES:
                model, program = _build(folder, name, scheme, architecture, data["train_x"])
                variant = f"{name}.{scheme}.{profile}"
                facts[f"{variant}.model"] = _facts(folder, model, data["x"], f"{variant}.model")
                facts[f"{variant}.program"] = _facts(folder, program, data["x"], f"{variant}.program")
    (folder / "facts.json").write_text(json.dumps(facts))


def build_again(folder: Path) -> None:
    """The files alone, of one network."""
    calibration = np.load(folder.parent / "resnet8.npz")["train_x"]
    for scheme in SCHEMES:
        _build(folder, "resnet8", scheme, "x86_64", calibration)
    _build(folder, "resnet8", "int8_static", "aarch64", calibration)


def build_unshared(folder: Path) -> None:
    """What is shared by all targets, as it were if each family had its own: <scheme>.<family>.{model,program}.onnx."""
    calibration = np.load(folder.parent / "resnet8.npz")["train_x"]
    for family in ("x86", "arm"):
        with mock.patch.object(subject, "_family", lambda scheme, target, family=family: family):
            for scheme in SHARED:
                _build(folder, "resnet8", scheme, ARCHITECTURES[family], calibration)


def ask(folder: Path) -> None:
    """How often a model is called for 100 samples, and how far its answers are from single ones: ask.json."""
    x = np.load(folder.parent / "resnet8.npz")["x"][:100]
    made = (folder.parent / "resnet8.onnx", *sorted((folder.parent / "built").glob("resnet8.*.onnx")))
    said = {path.stem: _asked(path, x) for path in made}
    with mock.patch.object(harness.load_backend(str(subject.plugin.backend)), "BATCH_BYTES", 3 * x[:1].nbytes):
        said["resnet8 of large samples"] = _asked(made[0], x)
    (folder / "ask.json").write_text(json.dumps(said))


def _asked(path: Path, x: Any) -> dict[str, float]:
    session = harness.load_backend(str(subject.plugin.backend)).Session(str(path), 1)
    alone = np.concatenate([session.invoke({"input": x[i : i + 1]})[0] for i in range(len(x))])
    with mock.patch.object(session, "invoke", wraps=session.invoke) as invoke:
        together = harness.Program(session, None).ask({"input": x})["logits"]
    return {"calls": invoke.call_count, "distance": float(abs(together - alone).max() / np.ptp(alone))}


def finer(folder: Path) -> None:
    """Optimize and compile every finer scheme of resnet8, and what they are finer than: finer.json."""
    import onnx

    calibration = np.load(folder.parent / "resnet8.npz")["train_x"][:64]
    reference = onnx.load(folder.parent / "resnet8.onnx")
    backend = str(subject.plugin.backend)
    said = {}
    for name in (*FINER, "int8_static", "int16x8", "fp32"):
        model, program = _build(folder, "resnet8", name, "x86_64", calibration)
        made = onnx.load(model)
        onnx.checker.check_model(made)
        said[name] = {
            "answers": [asking.predict(backend, str(path), calibration, "NCHW").tolist() for path in (model, program)],
            "shifts": _shifts(reference, made, calibration),
            "kernel_types": _facts(folder, model, calibration[:1], f"{name}.facts")["kernel_types"],
            "input_scale": _scale_of_input(made),
            "sizes": [path.stat().st_size for path in (model, program)],
            "nodes": [node.op_type for node in made.graph.node],
            "operators": harness.operators_in(backend, str(model)),
            "program": harness.operators_in(backend, str(program)),
            "ran": {o["operator"]: o["count"] for o in harness.inspect(backend, str(program), 1)["operators"]},
        }
    (folder / "finer.json").write_text(json.dumps(said))


def _shifts(reference: Any, model: Any, samples: Any) -> list[float]:
    """Of each layer: by how much its mean answers, channel by channel, are off, relative to their spread."""
    from edgeflow.runtimes import onnx_files

    def means(of: Any) -> dict[str, Any]:
        layers = {node.name: node.output[0] for node in of.graph.node if node.op_type in onnx_files.LAYERS}
        means_of = onnx_files._means(of, list(layers.values()), [_fed(of, x) for x in samples])
        return {name: means_of[output] for name, output in layers.items()}

    expected, shifted = means(reference), means(model)
    return [float(abs(shifted[name] - expected[name]).max() / np.ptp(expected[name])) for name in expected]


def _scale_of_input(model: Any) -> float | None:
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    scales = [node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear" and "input" in node.input]
    return float(numpy_helper.to_array(constants[scales[0]])) if scales else None


def correct(folder: Path) -> None:
    """Biases of networks that are made by hand: correct.json.

    Two layers share one bias, one has none, and the bias of one is computed.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from edgeflow.runtimes import onnx_files

    rng = np.random.default_rng(4)
    arrays = {
        **{f"w{i}": rng.standard_normal((6, 6)).astype(np.float32) for i in range(4)},
        "shared": rng.standard_normal(6).astype(np.float32),
        "one": np.ones(6, np.float32),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w0", "shared"], ["a"], "first"),
        helper.make_node("Gemm", ["a", "w1", "shared"], ["b"], "second"),
        helper.make_node("Gemm", ["b", "w2"], ["c"], "without"),
        helper.make_node("Neg", ["one"], ["computed"], "negate"),
        helper.make_node("Gemm", ["c", "w3", "computed"], ["y"], "last"),
    ]
    borders = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 6]) for name in ("x", "y")]
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "g", borders[:1], borders[1:], constants)
    reference = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    model = onnx.ModelProto.FromString(reference.SerializeToString())
    onnx_files.quantize_weights(model, 4, per_channel=False)
    x = (rng.standard_normal((40, 6)) + 1).astype(np.float32)
    before = _shifts(reference, model, x)
    onnx_files.correct_biases(reference, model, [_fed(model, each) for each in x])
    onnx.checker.check_model(model)
    biases = {node.name: node.input[2] for node in model.graph.node if len(node.input) == 3 and node.op_type == "Gemm"}
    said = {"before": before, "after": _shifts(reference, model, x), "biases": biases}
    for node in (*reference.graph.node, *model.graph.node):
        node.ClearField("name")
    unnamed = model.SerializeToString()
    onnx_files.correct_biases(reference, model, [_fed(model, each) for each in x])
    said["unnamed_stay"] = model.SerializeToString() == unnamed
    (folder / "correct.json").write_text(json.dumps(said))


def _fed(model: Any, x: Any) -> dict[str, Any]:
    return {model.graph.input[0].name: x[None]}


def recalibrate(folder: Path) -> None:
    """int8_static with a calibration of twice the range."""
    calibration = np.load(folder.parent / "dscnn.npz")["train_x"] * 2
    _build(folder, "dscnn", "int8_static", "x86_64", calibration)


def _build(folder: Path, name: str, scheme: str, architecture: str, calibration: Any) -> tuple[Path, Path]:
    chosen = {**SCHEMES, **FINER}[scheme]
    target = Target("device", "onnxruntime", architecture, "cpu")
    variant = f"{name}.{scheme}.{next(k for k, v in ARCHITECTURES.items() if v == architecture)}"
    work = folder / f"{variant}.work"
    work.mkdir()
    model, program = folder / f"{variant}.model.onnx", folder / f"{variant}.program.onnx"
    samples = [{"input": x[None]} for x in calibration[: chosen.calibration_samples]] or None
    profile = subject.profile(chosen, target)
    subject.optimize(OptimizeJob(folder.parent / f"{name}.onnx", model, chosen, profile, samples, work))
    compiled = subject.compile_program(CompileJob(model, program, chosen, subject.compiles_for(chosen, target), work))
    (folder / f"{variant}.zeros.json").write_text(json.dumps(compiled.zero_weights_ratio))
    return model, program


def _facts(folder: Path, path: Path, x: Any, name: str) -> dict[str, Any]:
    import onnx

    model = onnx.load(path)
    onnx.checker.check_model(model)
    backend = str(subject.plugin.backend)
    np.savez(folder / f"{name}.npz", y=asking.predict(backend, str(path), x, "NCHW"))
    weights = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 4]
    scales = [list(tensor.dims) for tensor in model.graph.initializer if tensor.name.endswith("weight_scale")]
    return {
        "opset": next(entry.version for entry in model.opset_import if not entry.domain),
        "nodes": [node.op_type for node in model.graph.node],
        "kernel_types": sorted({onnx.TensorProto.DataType.Name(tensor.data_type) for tensor in weights}),
        "weight_scales": scales,
        "activation_types": sorted({_type(model, node.input[2]) for node in model.graph.node if _quantizes(node)}),
        "inspected": harness.inspect(backend, str(path), threads=1),
    }


def _quantizes(node: Any) -> bool:
    return bool(node.op_type == "QuantizeLinear" and len(node.input) == 3)


def _type(model: Any, name: str) -> str:
    import onnx

    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    return str(onnx.TensorProto.DataType.Name(tensor.data_type))


def run(folder: Path) -> None:
    """What the backend says to files that it cannot run: run.json."""
    import onnx
    from onnx import TensorProto, helper

    damaged, texts = (folder / f"{name}.onnx" for name in ("damaged", "texts"))
    damaged.write_bytes(b"not a model")
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x0"], ["y"])],
        "g",
        *([helper.make_tensor_value_info(name, TensorProto.STRING, [1, 2])] for name in ("x0", "y")),
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), texts)
    said = {path.stem: _load_error(path) for path in (damaged, texts)}
    (folder / "run.json").write_text(json.dumps(said))


def _load_error(program: Path) -> str:
    try:
        harness.inspect(str(subject.plugin.backend), str(program), threads=1)
    except ValueError as error:
        return str(error)
    return "nothing was refused"


JOBS: dict[str, Callable[[Path], None]] = {
    job.__name__: job
    for job in (convert, convert_one, refuse, build, build_again, build_unshared, ask, finer, correct, recalibrate, run)
}

if __name__ == "__main__":
    for job in sys.argv[2:]:
        JOBS[job](Path(sys.argv[1]))
