"""TFLite Micro: the interpreter of microcontrollers. Its real interpreter runs here, on the host, as a simulator.

Models come from LiteRT's converter and quantizer. Memory is the real tensor arena; pointers are twice as wide here as
on a 32-bit microcontroller, so the figure is an upper bound. Time on this host says nothing about a Cortex-M.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.errors import StageError
from edgeflow.plugin import CRASHES, Compiled, CompileJob, PackageJob, Runtime, Tolerance, Unsupported
from edgeflow.runtimes import litert_layers, tflite_files
from edgeflow.runtimes.c_array import Arena, sources
from edgeflow.runtimes.litert import beginnings, zero_weights
from edgeflow.types.figures import Evidence
from edgeflow.types.variants import Scheme, Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeflow.plugin import Feed

STEPS = 1  # measured: XNNPACK's kernels and the reference kernels round ties apart, up to 1.3 % of them, 26 % of MEAN
FLOAT_ROUNDING = 1e-4  # as compile_tolerance has it
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
    refusal = _refusal(job.source)  # before anything else reads a file that may be damaged
    if "WHILE" in litert_layers.kinds(job.source):
        # measured: recurrent layers answer otherwise from the first sample on
        return Unsupported(
            "TFLite Micro cannot run the model: WHILE: loops answer otherwise than in LiteRT; export recurrent layers "
            "unrolled"
        )
    if refusal:
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
    """Reference kernels against XNNPACK; integers that part by more are followed operator by operator."""
    if scheme.activations == "int8":
        reason = "int8: reference kernels round ties apart, 4e-3 a step; measured 2 steps of the output"
        return Tolerance(0.03, reason, rounding)
    if scheme.activations == "int16":
        reason = "int16: kernels round ties apart, 2e-5 a step; measured 1 step of the output"
        return Tolerance(1e-3, reason, rounding)
    if scheme.as_is:
        reason = "it may be int8: reference kernels round ties apart, 4e-3 a step; measured 2 steps"
        return Tolerance(0.03, reason, rounding)
    return Tolerance(1e-4, "float32: another order of additions; measured 3e-7")


def rounding(model: Path, samples: Iterable[Feed]) -> str:
    """The first operator whose answers are not LiteRT's of the same numbers, and by how much; "": all only round.

    Each operator is a model of its own in both interpreters, and is given what LiteRT's operators before it answered:
    nothing that parted before is counted again.
    """
    content = model.read_bytes()
    inputs = tflite_files.first_inputs(content)  # the backend's order too
    values: list[dict[int, Any]] = [dict(zip(inputs, feed.values(), strict=True)) for feed in samples]
    kinds = litert_layers.kinds(model)
    for number, kind in enumerate(kinds):
        alone, where = tflite_files.alone(content, number, values[0]), f"{kind}, operator {number + 1} of {len(kinds)},"
        fed = [[held[tensor] for tensor in alone.inputs] for held in values]
        try:
            theirs, ours = [*_by_litert(alone, fed)], [*_by_micro(alone, fed)]
        except (RuntimeError, ValueError) as error:
            return f"{where} does not run by itself, which would show whether it only rounds: {error}"
        for held, each_expected, each_answered in zip(values, theirs, ours, strict=True):
            for tensor, expected, answered in zip(alone.outputs, each_expected, each_answered, strict=True):
                if far := _beyond_rounding(expected, answered):
                    return f"{where} differs from LiteRT's on the same numbers by {far}"
                held[tensor] = expected
    return ""


def _beyond_rounding(expected: NDArray[Any], answered: NDArray[Any]) -> str:
    """How far answers are apart where it is more than two right kernels are; else ""."""
    far = float(abs(answered.astype("float64") - expected).max(initial=0.0))
    if expected.dtype.kind == "f":
        scale = float(abs(expected).max(initial=0.0))
        return f"{far:.3g} of values up to {scale:.3g}" if far > FLOAT_ROUNDING * scale else ""
    return f"{far:.0f} steps" if far > (0 if expected.dtype.kind == "b" else STEPS) else ""


def _by_litert(alone: tflite_files.Alone, samples: Iterable[list[Any]]) -> Iterator[list[NDArray[Any]]]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # XNNPACK takes no graph that is given nothing: an operator on constants
    kernels = OpResolverType.AUTO if alone.inputs else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=alone.content, num_threads=1, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    for sample in samples:
        for place, array in zip(interpreter.get_input_details(), sample, strict=True):
            interpreter.set_tensor(place["index"], array)
        interpreter.invoke()
        yield [interpreter.get_tensor(place["index"]) for place in interpreter.get_output_details()]


def _by_micro(alone: tflite_files.Alone, samples: Iterable[list[Any]]) -> Iterator[list[NDArray[Any]]]:
    from tflite_micro import runtime

    from edgeflow.runners.tflite_micro_backend import ARENA_BYTES

    interpreter = runtime.Interpreter.from_bytes(alone.content, arena_size=ARENA_BYTES)
    for sample in samples:
        for number, array in enumerate(sample):
            interpreter.set_input(array, number)
        interpreter.invoke()
        yield [interpreter.get_output(number).copy() for number in range(len(alone.outputs))]


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
