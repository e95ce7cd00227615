"""What the tests of public bug reports do in a toolchain: `PYTHON reported_jobs.py FOLDER JOB`.

`convert`, with the torch toolchain: <net>.onnx, <net>.tflite and <net>.npz with the inputs x and PyTorch's answers y.
`build`, with the edge toolchain: every net with every runtime and scheme that is asked for, as optimize and compile do
it; answered.npz has the answers by "net runtime scheme", what was refused is in refused.json.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import asking
import numpy as np

from edgeflow.plugin import CompileJob, OptimizeJob, Runtime, Unsupported
from edgeflow.registry import load_reference
from edgeflow.stages.isolated import attempt
from edgeflow.types.variants import Scheme, Target

SCHEMES = {
    "fp32": Scheme("fp32", "float32", "float32", "float"),
    "fp16": Scheme("fp16", "float16", "float16", "float"),
    "int8": Scheme("int8", "int8", "int8", "static", calibration_samples=24),
    "int16": Scheme("int16", "int8", "int16", "static", calibration_samples=24),
    "weights": Scheme("weights", "int8", "float32", "weight_only"),
}
VELA = {"system_config": "Ethos_U55_High_End_Embedded", "memory_mode": "Shared_Sram"}
TARGETS = {
    "x86": Target("x86", "onnxruntime", "x86_64", "cpu"),
    "arm": Target("arm", "onnxruntime", "aarch64", "cpu"),
    "litert": Target("litert", "litert", "aarch64", "cpu"),
    "micro": Target("micro", "tflite_micro", "armv7e-m", "cpu"),
    "ethos": Target("ethos", "ethos_u", "armv8.1-m.main", "ethos-u55-128", options=VELA),
}
SINGLE = 3  # samples that the optimized model is asked one by one too


def _runtime(name: str) -> Runtime:
    runtime: Runtime = load_reference(f"edgeflow.runtimes.{name}:plugin")
    return runtime


# --- with the torch toolchain ----------------------------------------------------------------------------------------


def convert(folder: Path) -> None:
    """All nets; what a converter refuses is in unconverted.json."""
    import converting
    import torch
    from reported_nets import NETS, build

    refused = {}
    for net in NETS:
        for suffix in ("onnx", "tflite"):
            model, x = build(net)
            with torch.no_grad():
                y = model(torch.from_numpy(x)).numpy()
            converted = converting.convert(f"torch_to_{suffix}", model, x, folder / f"{net}.{suffix}")
            if isinstance(converted, Unsupported):
                refused[f"{net}.{suffix}"] = converted.reason
        np.savez(folder / f"{net}.npz", x=x, y=y)
    (folder / "unconverted.json").write_text(json.dumps(refused))


# --- with the edge toolchain -----------------------------------------------------------------------------------------


def build(folder: Path) -> None:
    """Everything in asked.json, a list of [net, runtime, scheme]."""
    answered, refused = {}, {}
    for net, target, scheme in json.loads((folder / "asked.json").read_text()):
        built = _build(folder, net, target, scheme)
        name = f"{net} {target} {scheme}"
        if isinstance(built, Unsupported):
            refused[name] = built.reason
        else:
            answered.update({f"{name} {how}": answers for how, answers in built.items()})
    np.savez(folder / "answered.npz", **answered)
    (folder / "refused.json").write_text(json.dumps(refused))


def _build(folder: Path, net: str, name: str, scheme: str) -> dict[str, Any] | Unsupported:
    """What the optimized model and the program answer, and the model to single samples; or why there is no program."""
    target, asked, x = TARGETS[name], SCHEMES[scheme], np.load(folder / f"{net}.npz")["x"]
    runtime = _runtime(target.runtime)
    if refusal := runtime.supports(asked, target):
        return refusal
    maker = _runtime(runtime.models_from or runtime.id)
    assert maker.profile is not None
    optimized = folder / f"{net}.{scheme}.{maker.profile(asked, target)}.{maker.format}"
    before = attempt(
        maker,
        "optimizing",
        folder / f"{net}.{maker.format}",
        partial(_optimize, maker, asked, maker.profile(asked, target), x, optimized),
    ) or _ask(maker, optimized, x)
    if isinstance(before, Unsupported):
        return before
    source = optimized
    for step in (_runtime(runtime.compiles_from), runtime) if runtime.compiles_from else (runtime,):
        program = optimized.with_suffix(f".{step.id}")
        compiled = attempt(step, "compiling", source, partial(_compile, step, asked, target, program))
        if isinstance(compiled, Unsupported):
            return compiled
        source = program if step.runs == "program" else source
    after = _ask(runtime, source, x)
    if isinstance(after, Unsupported):
        return after
    single = [_ask(maker, optimized, x[i : i + 1]) for i in range(SINGLE)]
    return {"model": before, "program": after, "single": np.concatenate(single)}


def _optimize(maker: Runtime, scheme: Scheme, profile: str, x: Any, output: Path, source: Path) -> Unsupported | None:
    assert maker.optimize is not None
    name = {"onnx": "input", "tflite": "args_0"}[maker.format]
    samples = [{name: each[None]} for each in asking.to_layout(x, asking.LAYOUTS[maker.format])]
    with tempfile.TemporaryDirectory() as work:
        return maker.optimize(OptimizeJob(source, output, scheme, profile, samples, Path(work)))


def _compile(runtime: Runtime, scheme: Scheme, target: Target, output: Path, source: Path) -> Unsupported | None:
    assert runtime.compiles_for is not None
    seen = runtime.compiles_for(scheme, replace(target, runtime=runtime.id))
    with tempfile.TemporaryDirectory() as work:
        compiled = runtime.compile(CompileJob(source, output, scheme, seen, Path(work)))
    return compiled if isinstance(compiled, Unsupported) else None


def _ask(runtime: Runtime, program: Path, x: Any) -> Any:
    def predict(path: Path) -> Any:
        return asking.predict(str(runtime.backend), str(path), x, asking.LAYOUTS[runtime.format])

    return attempt(runtime, "executing", program, predict, probe=predict)


if __name__ == "__main__":
    {"convert": convert, "build": build}[sys.argv[2]](Path(sys.argv[1]))
