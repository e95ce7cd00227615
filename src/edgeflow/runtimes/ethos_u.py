"""TFLite Micro with an Arm Ethos-U accelerator, compiled by vela.

Nothing here can execute vela's output. Accuracy is that of the integer model it was compiled from, in the TFLite Micro
interpreter; cycles, time and SRAM are vela's estimates.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from edgeflow.errors import StageError
from edgeflow.plugin import (
    Compiled,
    CompileJob,
    Estimate,
    Option,
    PackageJob,
    Runtime,
    Tolerance,
    Unsupported,
)
from edgeflow.runtimes.c_array import identifier, sources
from edgeflow.types import Evidence, Operators, Scheme, Target
from edgeflow.units import show

CUSTOM = "ethos-u"  # the operator that stands for everything the accelerator does
ACCELERATORS = re.compile(r"ethos-u(55|65|85)-\d+")


def supports(scheme: Scheme, target: Target) -> Unsupported | None:
    """Refuse everything but static integers: the accelerator computes nothing else."""
    if not ACCELERATORS.fullmatch(target.accelerator):
        return Unsupported(f"{target.accelerator!r} is not an Ethos-U configuration such as ethos-u55-128")
    if scheme.mode != "static":
        return Unsupported("Ethos-U executes int8 and int16 operators with static ranges only")
    return None


def compile_program(job: CompileJob) -> Compiled | Unsupported:
    """Compile with vela; refuse a model of which any operator stays on the CPU, or that the SRAM cannot hold.

    Raises StageError when vela fails. It warns and exits with 0 on operators it cannot place, so they are counted.
    """
    model = job.work / "model.tflite"
    model.write_bytes(job.source.read_bytes())
    said = _vela(model, job.target, job.work)
    on_cpu, on_accelerator = (_count(said, where) for where in ("CPU", "NPU"))
    output = job.work / "model_vela.tflite"
    left = _left_on_cpu(output.read_bytes())
    if on_cpu or left or not on_accelerator:
        names = ", ".join(left) or "vela does not name them"
        return Unsupported(f"{on_cpu} operators stay on the CPU: {names}")
    summary = _summary(job.work)
    sram = float(summary["sram_memory_used"]) * 1024
    if job.target.ram_bytes is not None and sram > job.target.ram_bytes:
        return Unsupported(
            f"needs {show(sram, 'byte')} of SRAM, {job.target.id} has {show(job.target.ram_bytes, 'byte')}"
        )
    job.output.write_bytes(output.read_bytes())
    accelerator = job.target.accelerator.replace("ethos-u", "Ethos-U")
    operators = (
        Operators("all operators of the model", on_accelerator, accelerator),
        Operators("all operators of the model", on_cpu, "CPU"),
    )
    return Compiled(operators, _estimates(summary, sram, on_cpu, job.target), {"ethos-u-vela": _version()})


def _vela(model: Path, target: Target, work: Path) -> str:
    options = {
        "--accelerator-config": target.accelerator,
        "--config": "Arm/vela.ini",
        "--system-config": target.options["system_config"],
        "--memory-mode": target.options["memory_mode"],
        "--output-dir": str(work),
    }
    main = "import sys; from ethosu.vela.vela import main; sys.exit(main())"
    command = [sys.executable, "-c", main, str(model), *(word for pair in options.items() for word in pair)]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StageError(f"compile: vela failed for {target.id}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def _count(said: str, where: str) -> int:
    found = re.search(rf"^{where} operators = (\d+)", said, re.MULTILINE)
    if found is None:
        raise StageError(f"compile: vela does not say how many operators run on the {where}:\n{said[-2000:]}")
    return int(found[1])


def _left_on_cpu(program: bytes) -> list[str]:
    """Operators of the output that are not the accelerator's: what vela says is checked against what it made."""
    from edgeflow.runners.tflite_micro_backend import operators_of

    return sorted(name for name in operators_of(program) if name != CUSTOM)


def _summary(work: Path) -> Mapping[str, str]:
    (path,) = work.glob("*_summary_*.csv")
    with path.open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    return row


def _estimates(summary: Mapping[str, str], sram: float, on_cpu: int, target: Target) -> tuple[Estimate, ...]:
    how = f"vela's model of {target.accelerator}, {target.options['system_config']}, {target.options['memory_mode']}"
    time = float(summary["inference_time"])
    deterministic = f"{how}; deterministic, so one figure stands for every percentile"
    return (
        Estimate("latency_p50_s", time, "second", deterministic),
        Estimate("latency_p90_s", time, "second", deterministic),
        Estimate("latency_p99_s", time, "second", deterministic),
        Estimate("memory_peak_bytes", sram, "byte", f"{how}; SRAM for activations and buffered weights"),
        Estimate("accelerator_cycles", float(summary["cycles_total"]), "count", how),
        Estimate("cpu_operators", on_cpu, "count", how),
    )


def _version() -> str:
    from importlib.metadata import version

    return version("ethos-u-vela")


def compile_tolerance(scheme: Scheme) -> Tolerance:
    """What runs is the model before vela, in another interpreter than the stage before used."""
    return Tolerance(0.03, "TFLite Micro's reference kernels round differently from XNNPACK: one to two steps of 1/256")


def package_files(job: PackageJob) -> Mapping[str, bytes]:
    """C array and header with vela's SRAM figure as the arena."""
    arena = next((m.value for m in job.measurements if m.metric == "memory_peak_bytes"), 0)
    name = identifier(job.info.model, job.info.scheme)
    return sources(name, job.program.read_bytes(), int(arena), (Operators(CUSTOM, 1, job.target.accelerator),))


plugin = Runtime(
    id="ethos_u",
    description="TFLite Micro with Arm Ethos-U",
    format="tflite",
    program_suffix="tflite",
    layout="NHWC",
    toolchain="edge",
    backend=Path(__file__).parent.parent / "runners" / "tflite_micro_backend.py",
    evidence=Evidence.HOST,
    times=False,
    supports=supports,
    compile=compile_program,
    compile_tolerance=compile_tolerance,
    build_with="litert",
    runs="model",
    package_files=package_files,
    target_options={
        "system_config": Option("clock and memory bandwidths, a section of vela.ini", required=True),
        "memory_mode": Option("which memory holds weights and activations, a section of vela.ini", required=True),
    },
)
