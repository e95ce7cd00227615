"""TFLite Micro: the interpreter of microcontrollers. Its real interpreter runs here, on the host, as a simulator.

Models come from LiteRT's converter and quantizer. Memory is the real tensor arena; pointers are twice as wide here as
on a 32-bit microcontroller, so the figure is an upper bound. Time on this host says nothing about a Cortex-M.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from edgeflow.errors import StageError
from edgeflow.plugin import CRASHES, Compiled, CompileJob, PackageJob, Runtime, Tolerance, Unsupported
from edgeflow.runtimes import litert_layers
from edgeflow.runtimes.c_array import Arena, sources
from edgeflow.runtimes.litert import beginnings, zero_weights
from edgeflow.types.figures import Evidence
from edgeflow.types.variants import Scheme, Target

BACKEND = Path(__file__).parent.parent / "runners" / "tflite_micro_backend.py"


def supports(scheme: Scheme, target: Target) -> Unsupported | None:
    """Refuse what the interpreter has no kernels for; its words are from conv_common.cc and dequantize_common.cc."""
    if scheme.mode == "dynamic":
        return Unsupported(
            "TFLite Micro has no kernels for ranges found at run time: "
            '"Hybrid models are not supported on TFLite Micro"'
        )
    if "float16" in (scheme.weights, scheme.activations):
        return Unsupported("TFLite Micro has no float16 kernels: it dequantizes int8, uint8 and int16 only")
    if scheme.mode == "weight_only" and scheme.weights == "int4":
        return Unsupported("TFLite Micro dequantizes int8, uint8 and int16 only: int4 weights need static activations")
    if scheme.mode == "weight_only" and scheme.per_channel:
        return Unsupported(
            "TFLite Micro dequantizes with one scale a tensor, so per-channel weights answer wrongly: "
            "set per_channel: false"
        )
    if (scheme.weights, scheme.activations) == ("int4", "int16"):
        return Unsupported(
            "TFLite Micro has no convolution of int16 activations with int4 weights: "
            '"Hybrid models are not supported on TFLite Micro"'
        )
    return None


def compiles_for(scheme: Scheme, target: Target) -> Target:
    """One program for all: nothing of a target is compiled in, and whether it has room is measured."""
    return Target("any", target.runtime, "", "cpu")


def compile_program(job: CompileJob) -> Compiled | Unsupported:
    """The program is the model; refuse it when the interpreter does."""
    if "WHILE" in litert_layers.kinds(
        job.source
    ):  # measured: recurrent layers answer otherwise from the first sample on
        return Unsupported(
            "TFLite Micro cannot run the model: WHILE: loops answer otherwise than in LiteRT; export recurrent layers "
            "unrolled"
        )
    if refusal := _refusal(job.source):
        return Unsupported(f"TFLite Micro cannot run the model: {refusal}")
    content = job.source.read_bytes()
    job.output.write_bytes(content)
    return Compiled(zero_weights_ratio=zero_weights(content))


def _refusal(model: Path) -> str:
    """Why the interpreter cannot run a model, empty when it can; StageError when nothing ran."""
    from edgeflow.runners.harness import REFUSED

    command = [sys.executable, str(BACKEND), str(model)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return ""
    sys.stderr.write(done.stderr)  # all of it, for the log
    if done.returncode == REFUSED:
        return _said(done.stderr)
    if -done.returncode in CRASHES:
        return f"its interpreter dies of {signal.Signals(-done.returncode).name}: {_said(done.stderr)}"
    raise StageError(f"compile: TFLite Micro's interpreter cannot be started: {done.stderr.strip()[-2000:]}")


def _said(printed: str) -> str:
    """The first line that the interpreter printed, with the operator that it names after that."""
    first = next((line.strip() for line in printed.splitlines() if line.strip()), "it says nothing")
    node = re.search(r"^Node (\S+) \(number \d+\) failed", printed, re.MULTILINE)
    return f"{node[1]}: {first}" if node and node[1] not in first else first


def compile_tolerance(scheme: Scheme) -> Tolerance:
    """Reference kernels against XNNPACK."""
    if scheme.activations == "int8":
        return Tolerance(0.03, "int8: reference kernels round ties apart, 4e-3 a step; measured 2 steps of the output")
    if scheme.activations == "int16":
        return Tolerance(1e-3, "int16: kernels round ties apart, 2e-5 a step; measured 1 step of the output")
    if scheme.as_is:
        return Tolerance(0.03, "it may be int8: reference kernels round ties apart, 4e-3 a step; measured 2 steps")
    return Tolerance(1e-4, "float32: another order of additions; measured 3e-7")


def package_files(job: PackageJob) -> Mapping[str, bytes]:
    """C++ source with the arena that was measured."""
    source = f"Tensor arena as measured on a 64-bit host: an upper bound for {job.target.arch}."
    return sources(job, Arena(measured_arena_bytes(job), source), (o.operator for o in job.info.operators))


def measured_arena_bytes(job: PackageJob) -> int:
    """The tensor arena among a program's figures; StageError when it is missing, since the program needs one."""
    for figure in job.measurements:
        if figure.metric == "memory_peak_bytes":
            return int(figure.value)
    variant = f"{job.info.model}/{job.target.id}/{job.info.scheme}"
    raise StageError(f"package: {variant}: no memory_peak_bytes among the measurements; measure the variant again")


plugin = Runtime(
    id="tflite_micro",
    description="TFLite Micro interpreter",
    format="tflite",
    program_suffix="tflite",
    toolchain="edge",
    backend=BACKEND,
    evidence=Evidence.SIMULATOR,
    times=False,
    supports=supports,
    beginnings=beginnings,
    compile=compile_program,
    compiles_for=compiles_for,
    compile_tolerance=compile_tolerance,
    models_from="litert",
    package_files=package_files,
    preload=(
        *("tflite_micro", "tflite_micro.tensorflow.lite.micro.python.schema_py_generated"),
        "ai_edge_litert.tools.flatbuffer_utils",
    ),
)
