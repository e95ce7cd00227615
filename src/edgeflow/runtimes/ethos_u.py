"""TFLite Micro with an Arm Ethos-U accelerator, compiled by vela.

Nothing here can execute vela's output. Accuracy is that of the integer model it was compiled from, in the TFLite Micro
interpreter, and so of TFLite Micro's own program, which vela takes; cycles, time and SRAM are vela's estimates.
"""

from __future__ import annotations

import csv
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from edgeflow.errors import StageError
from edgeflow.plugin import CRASHES, Compiled, CompileJob, Estimate, Option, PackageJob, Runtime, Unsupported
from edgeflow.runtimes import tflite_micro
from edgeflow.runtimes.c_array import Arena, sources
from edgeflow.runtimes.litert import zero_weights
from edgeflow.types.figures import Evidence
from edgeflow.types.programs import Operators
from edgeflow.types.variants import Scheme, Target
from edgeflow.units import show

INTERPRETER_BYTES = 16 * 1024  # room for what vela does not plan; nobody measured how much of it is needed
CUSTOM = "ethos-u"  # the operator that stands for everything the accelerator does
ACCELERATORS = (
    *("ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256"),
    *("ethos-u65-256", "ethos-u65-512"),
    *("ethos-u85-128", "ethos-u85-256", "ethos-u85-512", "ethos-u85-1024", "ethos-u85-2048"),
)
SYSTEM_CONFIGS = (  # sections of Arm/vela.ini, which comes with vela
    *("Ethos_U55_Deep_Embedded", "Ethos_U55_High_End_Embedded"),
    *("Ethos_U65_Embedded", "Ethos_U65_Mid_End", "Ethos_U65_High_End", "Ethos_U65_Client_Server"),
    *("Ethos_U85_SYS_Flash_Low", "Ethos_U85_SYS_Flash_High"),
    *("Ethos_U85_SYS_DRAM_Low", "Ethos_U85_SYS_DRAM_Mid", "Ethos_U85_SYS_DRAM_High"),
)
MEMORY_MODES = ("Sram_Only", "Shared_Sram")  # the other sections place activations in DRAM, which is not accounted here


def supports(scheme: Scheme, target: Target) -> Unsupported | None:
    """Refuse everything but static integers, and a system configuration of another accelerator."""
    if target.accelerator not in ACCELERATORS:
        return Unsupported(f"{target.accelerator!r} is not an Ethos-U; vela knows {', '.join(ACCELERATORS)}")
    system = target.options["system_config"]
    if _family(target.accelerator) != _family(system):  # vela says nothing and calculates with the wrong memories
        return Unsupported(f"system_config {system} does not describe an {target.accelerator}")
    if scheme.mode != "static" and not scheme.as_is:
        return Unsupported("Ethos-U executes int8 and int16 operators with static ranges only")
    return None


def _family(name: str) -> str:
    """ "u55" of "ethos-u55-128" and of "Ethos_U55_High_End_Embedded"."""
    return re.split("[-_]", name.lower())[1]


def compiles_for(scheme: Scheme, target: Target) -> Target:
    """What vela is told; the clock is that of the system configuration."""
    system, memory = target.options["system_config"], target.options["memory_mode"]
    ram = "any" if target.ram_bytes is None else str(target.ram_bytes)
    name = "-".join((target.accelerator, system.split("_", 2)[2], memory, ram)).lower()
    return Target(name, target.runtime, "", target.accelerator, ram_bytes=target.ram_bytes, options=target.options)


def compile_program(job: CompileJob) -> Compiled | Unsupported:
    """Compile with vela; refuse a model of which any operator stays on the CPU.

    Raises StageError when vela fails and names none of the model's operators. It only warns of operators that it cannot
    place, and of SRAM that is too small:
    then its estimate exceeds what the target has, which measure sees.
    """
    said = _vela(job)
    if isinstance(said, Unsupported):
        return said
    program = (job.work / "model_vela.tflite").read_bytes()
    if left := _left_on_cpu(program, said):
        return Unsupported(f"Ethos-U: {sum(left.values())} operators stay on the CPU: {', '.join(sorted(left))}")
    summary = _summary(job.work)
    job.output.write_bytes(program)
    # vela's own encoding of the weights is not read: they are those of the model
    zeros = zero_weights(job.source.read_bytes())
    return Compiled(_operators(job), _estimates(job.target, summary), {"ethos-u-vela": _version()}, zeros)


def _vela(job: CompileJob) -> str | Unsupported:
    """Write model_vela.tflite and a summary into the work folder; returns what vela prints, or what it refuses."""
    (job.work / "model.tflite").write_bytes(job.source.read_bytes())
    options = {
        "--accelerator-config": job.target.accelerator,
        "--config": "Arm/vela.ini",
        "--system-config": job.target.options["system_config"],
        "--memory-mode": job.target.options["memory_mode"],
        "--output-dir": ".",
    }
    if job.target.ram_bytes is not None:  # else vela may use 4 MiB of SRAM to save time
        options["--arena-cache-size"] = str(int(job.target.ram_bytes))
    words = [word for option in options.items() for word in option]
    command = [sys.executable, "-m", "ethosu.vela", "model.tflite", *words]
    done = subprocess.run(command, cwd=job.work, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stderr)  # all of it, for the log
    if refused := _refused(done.returncode, done.stderr, job.source.read_bytes()):
        return Unsupported(f"Ethos-U: vela cannot compile the model: {refused}")
    if done.returncode != 0:
        raise StageError(f"compile: vela failed for {job.target.id}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def _refused(code: int, printed: str, model: bytes) -> str:
    """What vela says of one of the model's operators, or which signal it died of; empty where it says nothing of them.

    Vela ends with a traceback whatever is wrong; only what is about an operator is about the model.
    """
    from edgeflow.runners.tflite_micro_backend import operators_of

    operators = operators_of(model)
    if -code in CRASHES:
        return f"it dies of {signal.Signals(-code).name}; the model has {', '.join(sorted(operators))}"
    lines = printed.strip().splitlines()
    about = (i for i, line in enumerate(lines) if set(re.findall(r"\w+", line)) & operators.keys())
    at = next(about, None) if code > 0 else None  # a signal from outside says nothing of the model
    return "" if at is None else " ".join(line.strip() for line in lines[at : at + 2])


def _left_on_cpu(program: bytes, said: str) -> Mapping[str, int]:
    """Operators of the program that are not the accelerator's, by name; StageError when vela denies them."""
    from edgeflow.runners.tflite_micro_backend import operators_of

    left = {name: count for name, count in operators_of(program).items() if name != CUSTOM}
    counted = re.search(r"^CPU operators = (\d+)", said, re.MULTILINE)
    if counted is None or (int(counted[1]) == 0) != (not left):
        says = counted[0] if counted else "nothing about operators on the CPU"
        raise StageError(f"compile: vela says {says!r}, its program has {left or 'none'}")
    return left


def _operators(job: CompileJob) -> tuple[Operators, ...]:
    """The model's operators: none was left on the CPU, so the accelerator's operator does the work of all."""
    from edgeflow.runners.tflite_micro_backend import operators_of

    family = _family(job.target.accelerator).upper()
    counts = sorted(operators_of(job.source.read_bytes()).items())
    return tuple(Operators(name, count, f"Ethos-{family}") for name, count in counts)


def _summary(work: Path) -> Mapping[str, str]:
    """Vela's figures: one row, memory in KiB, time in seconds."""
    (path,) = work.glob("*_summary_*.csv")
    with path.open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    return row


def _estimates(target: Target, summary: Mapping[str, str]) -> tuple[Estimate, ...]:
    clock = show(float(summary["core_clock"]), "hertz")
    system, memory = target.options["system_config"], target.options["memory_mode"]
    how = f"vela's estimate for {target.accelerator} at {clock}, {system}, {memory}"
    one = f"{how}; deterministic: one figure stands for every percentile"
    seconds = float(summary["inference_time"])
    sram = float(summary["sram_memory_used"]) * 1024
    flash = sum(float(summary[f"{where}_flash_memory_used"]) for where in ("on_chip", "off_chip")) * 1024
    return (
        Estimate("latency_p50_s", seconds, "second", one),
        Estimate("latency_p90_s", seconds, "second", one),
        Estimate("memory_peak_bytes", sram, "byte", f"{how}: SRAM for activations and buffered weights"),
        Estimate("flash_bytes", flash, "byte", f"{how}: weights and commands in flash"),
        Estimate("accelerator_cycles", float(summary["cycles_total"]), "count", how),
        Estimate("cpu_operators", 0.0, "count", "operators of vela's program beside the accelerator's"),
    )


def _version() -> str:
    from importlib.metadata import version

    return version("ethos-u-vela")


def package_files(job: PackageJob) -> Mapping[str, bytes]:
    """C++ source with vela's SRAM figure as the arena."""
    arena = Arena(
        tflite_micro.measured_arena_bytes(job),
        "SRAM that vela plans for activations; the interpreter's own structures, a few KiB, come on top.",
        extra_bytes=INTERPRETER_BYTES,
        before="The board must be set up before, and the accelerator: ethosu_init() of Arm's ethos-u-core-driver.",
    )
    return sources(job, arena, (CUSTOM,))


plugin = Runtime(
    id="ethos_u",
    description="TFLite Micro with Arm Ethos-U",
    format="tflite",
    program_suffix="tflite",
    toolchain="edge",
    backend=tflite_micro.BACKEND,
    evidence=Evidence.HOST,
    times=False,
    supports=supports,
    compile=compile_program,
    compiles_for=compiles_for,
    compiles_from=tflite_micro.plugin.id,
    compile_tolerance=tflite_micro.compile_tolerance,
    models_from="litert",
    runs="model",
    package_files=package_files,
    estimates=(
        *("latency_p50_s", "latency_p90_s", "memory_peak_bytes"),
        *("flash_bytes", "accelerator_cycles", "cpu_operators"),
    ),
    preload=tflite_micro.plugin.preload,
    target_options={
        "system_config": Option(
            "clock and memory bandwidths: a section of vela.ini", required=True, choices=SYSTEM_CONFIGS
        ),
        "memory_mode": Option(
            "what lies in SRAM and what in flash: a section of vela.ini", required=True, choices=MEMORY_MODES
        ),
    },
)
