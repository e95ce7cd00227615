"""`floor.py JOB`: the library calls of one_model.py in one process of the torch toolchain, without the workflow.

It calls edgeflow's plugins, which are thin around the libraries, and its runner: no stages, no checks of one step
against the last, no files but the models. JOB is JSON, see one_model.py.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

JOB = json.loads(sys.argv[1])
sys.path.insert(0, JOB["source"])
sys.path.append(JOB["edge"])  # for what only the other toolchain has

import numpy as np  # noqa: E402 - after the path

from edgeflow.converters import torch_to_onnx  # noqa: E402
from edgeflow.frameworks import torch as framework  # noqa: E402
from edgeflow.plugin import CompileJob, ConvertJob, ModelSpec, OptimizeJob  # noqa: E402
from edgeflow.runners import harness  # noqa: E402
from edgeflow.runners.tensors import Split  # noqa: E402
from edgeflow.runtimes import onnxruntime  # noqa: E402
from edgeflow.types.plain import from_json  # noqa: E402
from edgeflow.types.signatures import Signature, Tensor  # noqa: E402
from edgeflow.types.variants import Scheme, Target  # noqa: E402


def main() -> None:
    """Convert once; optimize, compile and measure each scheme; ask every model all samples, as the stages do."""
    folder = Path(tempfile.mkdtemp())
    x = {split: _x(JOB["data"][split]) for split in ("golden", "evaluation", "calibration")}
    network = framework.load(from_json(ModelSpec, JOB["model"]), Path(JOB["checkpoint"]))
    converted = folder / "converted.onnx"
    given = Tensor("input", "float32", ("batch", *x["golden"].shape[1:]))
    signature = Signature((given,), (Tensor("logits", "float32", ("batch", "?")),))
    torch_to_onnx.convert(ConvertJob(network, None, signature, {"input": x["golden"][:1]}, converted, folder))
    _ask(converted, x["evaluation"])
    target, first = from_json(Target, JOB["target"]), ""
    for scheme in (from_json(Scheme, scheme) for scheme in JOB["schemes"]):
        program = folder / f"{scheme.id}.onnx"
        _make(converted, program, scheme, target, x)
        baseline = {"program": first, "binding": None} if first else None
        measured = harness.measure({**JOB["runner"], "program": str(program), "baseline": baseline})
        print(scheme.id, np.median(np.concatenate(measured["latency_blocks_s"])))
        first = first or str(program)


def _make(converted: Path, program: Path, scheme: Scheme, target: Target, x: dict[str, harness.Float32]) -> None:
    optimized = program.with_suffix(".optimized.onnx")
    work = Path(tempfile.mkdtemp(dir=program.parent))
    samples = x["calibration"][: scheme.calibration_samples] if scheme.mode == "static" else None
    calibration = None if samples is None else [{"input": sample[None]} for sample in samples]
    onnxruntime.optimize(
        OptimizeJob(converted, optimized, scheme, onnxruntime.profile(scheme, target), calibration, work)
    )
    _ask(optimized, x["evaluation"])
    onnxruntime.compile_program(CompileJob(optimized, program, scheme, target, work))
    _ask(program, x["evaluation"])


def _x(path: str) -> harness.Float32:
    x: harness.Float32 = Split(path).batch()["input"]
    return x


def _ask(model: Path, x: harness.Float32) -> None:
    harness.ask(JOB["runner"]["backend"], str(model), [{"input": x}])


if __name__ == "__main__":
    main()
