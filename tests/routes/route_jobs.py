"""What the table of routes does in a toolchain: `PYTHON route_jobs.py FOLDER JOB NET…`.

`torch`, `keras` write the nets, and what the converters of their toolchain make of them; `onnx2tf` makes TFLite of the
ONNX files. Each is FOLDER/SOURCE.NET.FORMAT, with what binds it, or why there is none, in SOURCE.NET.FORMAT.json.
`build`, in the edge toolchain, asks every runtime: built.NET.json has by "SOURCE NET RUNTIME" how far the answers are
from those of who wrote the net, as a ratio of their range, or a reason.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow import files
from edgeflow.plugin import CompileJob, Converter, ConvertJob, OptimizeJob, Runtime, Unsupported
from edgeflow.registry import load_reference
from edgeflow.runners import harness
from edgeflow.stages.isolated import attempt
from edgeflow.types.plain import to_json
from edgeflow.types.signatures import Binding, Signature, Tensor
from edgeflow.types.variants import Scheme, Target

CALIBRATION = 8
FP32 = Scheme("fp32", "float32", "float32", "float")
INT8 = Scheme("int8", "int8", "int8", "static", calibration_samples=CALIBRATION)
VELA = {"system_config": "Ethos_U55_High_End_Embedded", "memory_mode": "Shared_Sram"}
RUNTIMES = {
    "onnxruntime": (FP32, Target("x86", "onnxruntime", "x86_64", "cpu")),
    "litert": (FP32, Target("litert", "litert", "aarch64", "cpu")),
    "tflite_micro": (FP32, Target("micro", "tflite_micro", "armv7e-m", "cpu")),
    "ethos_u": (INT8, Target("ethos", "ethos_u", "armv8.1-m.main", "ethos-u55-128", options=VELA)),
}
SOURCES = ("torch", "torch_export", "keras", "onnx", "tflite")
Arrays = Mapping[str, Any]


def _plugin(kind: str, name: str) -> Any:
    return load_reference(f"edgeflow.{kind}.{name}:plugin")


# --- convert ---------------------------------------------------------------------------------------------------------


def torch(folder: Path, nets: list[str]) -> None:
    """Networks of PyTorch, what was exported of them, and ONNX files as they are adopted."""
    import nets_torch

    for net in nets:
        nets_torch.write(net, folder)
        for target in ("onnx", "tflite"):
            _convert(folder, "torch", net, target, model=nets_torch.build(net))
            _convert(folder, "torch_export", net, target, folder / f"{net}.pt2")
        _convert(folder, "onnx", net, "onnx", folder / f"{net}.onnx")


def keras(folder: Path, nets: list[str]) -> None:
    """Networks of Keras, and TFLite files as they are adopted, of which ONNX is made."""
    import nets_keras

    own = folder / "keras"
    own.mkdir()
    for net in nets:
        nets_keras.write(net, own)
        for target in ("onnx", "tflite"):
            _convert(folder, "keras", net, target, own / f"{net}.keras")
        _convert(folder, "tflite", net, "tflite", own / f"{net}.tflite")
        _convert(folder, "tflite", net, "onnx", folder / f"tflite.{net}.tflite")


def onnx2tf(folder: Path, nets: list[str]) -> None:
    """TFLite of ONNX files."""
    for net in nets:
        _convert(folder, "onnx", net, "tflite", folder / f"onnx.{net}.onnx")


def _convert(folder: Path, source: str, net: str, target: str, path: Path | None = None, model: Any = None) -> None:
    converter: Converter = _plugin("converters", f"{source}_to_{target}")
    given, answers = samples(folder, source, net)
    signature = _signature(given, answers) if path is None else _plugin("formats", source).signature(path)
    output = folder / f"{source}.{net}.{target}"
    example = {name: array[:1] for name, array in given.items()}
    with tempfile.TemporaryDirectory() as work:
        made = converter.convert(ConvertJob(model, path, signature, example, output, Path(work)))
    said: Any = made.reason if isinstance(made, Unsupported) else to_json(_by_author(made.binding, signature, answers))
    Path(f"{output}.json").write_text(json.dumps(said))


def _by_author(binding: Binding, signature: Signature, answers: Arrays) -> Binding:
    """By the names that the author gave the outputs: of tuples, and of one, they are not in every kind of file."""
    names = [tensor.name for tensor in signature.outputs]
    authors = names if set(names) == set(answers) else answers
    return Binding(binding.inputs, {one: binding.outputs[name] for one, name in zip(authors, names, strict=True)})


def _signature(given: Arrays, answers: Arrays) -> Signature:
    def tensors(arrays: Arrays) -> tuple[Tensor, ...]:
        return tuple(Tensor(name, str(array.dtype), ("batch", *array.shape[1:])) for name, array in arrays.items())

    return Signature(tensors(given), tensors(answers))


def samples(folder: Path, source: str, net: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs and answers of a net by the names that its author gave them, in that order."""
    own = folder / "keras" if source in ("keras", "tflite") else folder
    return dict(np.load(own / f"{net}.inputs.npz")), dict(np.load(own / f"{net}.answers.npz"))


# --- build -----------------------------------------------------------------------------------------------------------


def build(folder: Path, nets: list[str]) -> None:
    """Every source and runtime."""
    for net in nets:
        built: dict[str, float | str] = {}
        known: dict[tuple[str, ...], float | str] = {}  # routes meet in the same bytes
        for source, name in itertools.product(SOURCES, RUNTIMES):
            converted = folder / f"{source}.{net}.{_maker(name).format}"
            said = Path(f"{converted}.json").read_text()
            binding = json.loads(said)
            if isinstance(binding, str):
                built[f"{source} {net} {name}"] = binding
                continue
            key = (name, said, files.sha256_file(converted))
            if key not in known:
                answer = _build(folder, source, net, name, converted, binding)
                known[key] = answer.reason if isinstance(answer, Unsupported) else answer
            built[f"{source} {net} {name}"] = known[key]
        (folder / f"built.{net}.json").write_text(json.dumps(built))


def _maker(name: str) -> Runtime:
    runtime: Runtime = _plugin("runtimes", name)
    return _plugin("runtimes", runtime.models_from) if runtime.models_from else runtime


def _build(folder: Path, source: str, net: str, name: str, converted: Path, binding: Any) -> float | Unsupported:
    """How far the program's answers are from the author's; or why there is no program."""
    (scheme, target), runtime, maker = RUNTIMES[name], _plugin("runtimes", name), _maker(name)
    given, expected = samples(folder, source, net)
    if refusal := runtime.supports(scheme, target):
        return refusal
    optimized = folder / f"{source}.{net}.{scheme.id}.{maker.format}"
    refusal = attempt(maker, "optimizing", converted, partial(_optimize, maker, scheme, given, binding, optimized))
    if refusal:
        return refusal
    program = optimized
    for step in (_plugin("runtimes", runtime.compiles_from), runtime) if runtime.compiles_from else (runtime,):
        output = optimized.with_suffix(f".{step.id}")
        compiled = attempt(step, "compiling", program, partial(_compile, step, scheme, target, output))
        if isinstance(compiled, Unsupported):
            return compiled
        program = output if step.runs == "program" else program
    answers = attempt(runtime, "executing", program, lambda path: _ask(runtime, path, given, binding))
    return answers if isinstance(answers, Unsupported) else deviation(expected, answers)


def _optimize(
    maker: Runtime, scheme: Scheme, given: Arrays, binding: Any, output: Path, source: Path
) -> Unsupported | None:
    assert maker.optimize is not None
    takes = harness.signature(str(maker.backend), str(source))
    names = harness.Names(takes, binding)
    feeds = [harness.encode(names.feed(given, i, i + 1), takes["inputs"]) for i in range(scheme.calibration_samples)]
    profile = f"{maker.id}-any"
    with tempfile.TemporaryDirectory() as work:
        return maker.optimize(OptimizeJob(source, output, scheme, profile, feeds or None, Path(work)))


def _compile(runtime: Runtime, scheme: Scheme, target: Target, output: Path, source: Path) -> Unsupported | None:
    assert runtime.compiles_for is not None
    seen = runtime.compiles_for(scheme, replace(target, runtime=runtime.id))
    with tempfile.TemporaryDirectory() as work:
        compiled = runtime.compile(CompileJob(source, output, scheme, seen, Path(work)))
    return compiled if isinstance(compiled, Unsupported) else None


def _ask(runtime: Runtime, program: Path, given: Arrays, binding: Any) -> dict[str, Any]:
    return harness.ask(str(runtime.backend), str(program), [given], binding)


def deviation(expected: Arrays, answers: Arrays) -> float:
    """Greatest difference of any output, as a ratio of that output's range; what is not finite is infinitely far."""
    assert expected.keys() == answers.keys()
    worst = 0.0
    for name, right in expected.items():
        assert answers[name].shape == right.shape, f"{name}: {answers[name].shape} for {right.shape}"
        apart = float(np.abs(answers[name] - right).max() / np.ptp(right))
        worst = max(worst, apart if np.isfinite(apart) else np.inf)
    return worst


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parent.parent / "models"))
    {"torch": torch, "keras": keras, "onnx2tf": onnx2tf, "build": build}[sys.argv[2]](Path(sys.argv[1]), sys.argv[3:])
