"""TFLite Micro: the interpreter of microcontrollers. Its real interpreter runs here, on the host, as a simulator.

Models come from LiteRT's converter and quantizer. Memory is the real tensor arena; pointers are twice as wide here as
on a 32-bit microcontroller, so the figure is an upper bound. Time on this host says nothing about a Cortex-M.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from edgeflow.plugin import Compiled, CompileJob, PackageJob, Runtime, Tolerance, Unsupported
from edgeflow.runtimes.c_array import identifier, sources
from edgeflow.types import Evidence, Scheme, Target
from edgeflow.units import show

# Loads a model in an arena of a given size and runs it once. A process of its own: TFLite Micro may abort.
_PROBE = """
import sys
import numpy as np
from tflite_micro import runtime
model = runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2]))
details = model.get_input_details(0)
model.set_input(np.zeros(details["shape"], details["dtype"]), 0)
model.invoke()
"""


def supports(scheme: Scheme, target: Target) -> Unsupported | None:
    """Refuse what the interpreter has no kernels for."""
    if scheme.mode == "dynamic":
        return Unsupported("TFLite Micro has no dynamic-range kernels: hybrid models are refused when they are loaded")
    if "float16" in (scheme.weights, scheme.activations):
        return Unsupported("TFLite Micro runs float32 or integer models; it has no float16 kernels")
    return None


def compile_program(job: CompileJob) -> Compiled | Unsupported:
    """The program is the model; refuse it when the target's memories cannot hold it."""
    size, flash, ram = job.source.stat().st_size, job.target.flash_bytes, job.target.ram_bytes
    if flash is not None and size > flash:
        return Unsupported(f"the model takes {show(size, 'byte')} of flash, {job.target.id} has {show(flash, 'byte')}")
    if ram is not None and (refusal := _does_not_start(job.source, ram)):
        return Unsupported(f"the tensor arena does not fit the {show(ram, 'byte')} of {job.target.id}: {refusal}")
    job.output.write_bytes(job.source.read_bytes())
    return Compiled()


def _does_not_start(model: Path, arena_bytes: int) -> str:
    """Why the interpreter cannot run a model in an arena of this size; empty when it can."""
    command = [sys.executable, "-c", _PROBE, str(model), str(arena_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    telling = [line for line in said if "alloc" in line.lower() or "arena" in line.lower()]
    return (telling or said or [f"the interpreter ended with code {done.returncode}"])[0]


def compile_tolerance(scheme: Scheme) -> Tolerance:
    """Reference kernels against XNNPACK."""
    if scheme.mode == "static":
        return Tolerance(0.03, "reference kernels round differently from XNNPACK: one to two steps of 1/256")
    return Tolerance(1e-4, "float32: another order of additions; measured 1e-6")


def package_files(job: PackageJob) -> Mapping[str, bytes]:
    """C array and header with the arena that was measured."""
    arena = next((m.value for m in job.measurements if m.metric == "memory_peak_bytes"), 0)
    name = identifier(job.info.model, job.info.scheme)
    return sources(name, job.program.read_bytes(), int(arena), job.info.operators)


plugin = Runtime(
    id="tflite_micro",
    description="TFLite Micro interpreter",
    format="tflite",
    program_suffix="tflite",
    layout="NHWC",
    toolchain="edge",
    backend=Path(__file__).parent.parent / "runners" / "tflite_micro_backend.py",
    evidence=Evidence.SIMULATOR,
    times=False,
    supports=supports,
    compile=compile_program,
    compile_tolerance=compile_tolerance,
    build_with="litert",
    package_files=package_files,
)
