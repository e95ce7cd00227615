"""What the tests of the ONNX Runtime plugin do in a toolchain: `PYTHON onnxruntime_jobs.py FOLDER JOB…`.

A job reads <network>.npz and, once there, <network>.onnx from the folder above its own.

The networks are those of the default matrix with random weights and a last layer fitted by least squares, so that there
is an accuracy to lose and nothing to train.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from edgeflow.errors import StageError
from edgeflow.plugin import CompileJob, ConvertJob, OptimizeJob
from edgeflow.runners import harness
from edgeflow.runtimes import onnxruntime as subject
from edgeflow.techniques import prune
from edgeflow.types import Scheme, Target

SCHEMES = {
    "fp32": Scheme("fp32", "float32", "float32", "float"),
    "fp16": Scheme("fp16", "float16", "float16", "float"),
    "int8_dynamic": Scheme("int8_dynamic", "int8", "int8", "dynamic"),
    "int8_static": Scheme("int8_static", "int8", "int8", "static", calibration_samples=64),
    "int8_static_per_tensor": Scheme("int8_static", "int8", "int8", "static", False, calibration_samples=64),
    "int16x8": Scheme("int16x8", "int8", "int16", "static", calibration_samples=64),
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
    import torch

    data = np.load(folder.parent / f"{name}.npz")
    model = _fitted(name, torch.from_numpy(data["train_x"]), torch.from_numpy(data["train_y"]))
    subject.convert(ConvertJob(model, data["x"][:1], folder / f"{name}.onnx"))
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
    with mock.patch.object(subject, "OPSET", 17):
        said["opset"] = _refusal(folder, Convolution())
    (folder / "refused.json").write_text(json.dumps(said))


def _refusal(folder: Path, model: Any) -> str:
    try:
        subject.convert(ConvertJob(model.eval(), np.ones((1, 1, 4, 4), np.float32), folder / "refused.onnx"))
    except StageError as error:
        return str(error)
    return "nothing was refused"


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
    said = {}
    x = np.load(folder.parent / "resnet8.npz")["x"][:100]
    for path in (folder.parent / "resnet8.onnx", *sorted((folder.parent / "built").glob("resnet8.*.onnx"))):
        session = harness.load_backend(str(subject.plugin.backend)).Session(str(path), 1)
        alone = np.concatenate([session.invoke(x[i : i + 1]) for i in range(len(x))])
        with mock.patch.object(session, "invoke", wraps=session.invoke) as invoke:
            found = session.predict(x)
        said[path.stem] = {"calls": invoke.call_count, "distance": float(abs(found - alone).max() / np.ptp(alone))}
    (folder / "ask.json").write_text(json.dumps(said))


def recalibrate(folder: Path) -> None:
    """int8_static with a calibration of twice the range."""
    calibration = np.load(folder.parent / "dscnn.npz")["train_x"] * 2
    _build(folder, "dscnn", "int8_static", "x86_64", calibration)


def _build(folder: Path, name: str, scheme: str, architecture: str, calibration: Any) -> tuple[Path, Path]:
    chosen = SCHEMES[scheme]
    target = Target("device", "onnxruntime", architecture, "cpu")
    variant = f"{name}.{scheme}.{next(k for k, v in ARCHITECTURES.items() if v == architecture)}"
    work = folder / f"{variant}.work"
    work.mkdir()
    model, program = folder / f"{variant}.model.onnx", folder / f"{variant}.program.onnx"
    samples = calibration[: chosen.calibration_samples] if chosen.mode == "static" else None
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
    np.savez(folder / f"{name}.npz", y=harness.predict(backend, str(path), x, "NCHW"))
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

    def network(kind: int, inputs: int) -> Any:
        tensors = [helper.make_tensor_value_info(f"x{i}", kind, [1, 2]) for i in range(inputs)]
        outputs = [helper.make_tensor_value_info("y", kind, [1, 2])]
        graph = helper.make_graph([helper.make_node("Sum", [t.name for t in tensors], ["y"])], "g", tensors, outputs)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)

    damaged, two_inputs, double = (folder / f"{name}.onnx" for name in ("damaged", "two_inputs", "double"))
    damaged.write_bytes(b"not a model")
    onnx.save(network(TensorProto.FLOAT, 2), two_inputs)
    onnx.save(network(TensorProto.DOUBLE, 1), double)
    said = {path.stem: _load_error(path) for path in (damaged, two_inputs, double)}
    (folder / "run.json").write_text(json.dumps(said))


def _load_error(program: Path) -> str:
    try:
        harness.inspect(str(subject.plugin.backend), str(program), threads=1)
    except ValueError as error:
        return str(error)
    return "nothing was refused"


JOBS: dict[str, Callable[[Path], None]] = {
    job.__name__: job
    for job in (convert, convert_one, refuse, build, build_again, build_unshared, ask, recalibrate, run)
}

if __name__ == "__main__":
    for job in sys.argv[2:]:
        JOBS[job](Path(sys.argv[1]))
