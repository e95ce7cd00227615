"""Execute a program where the device is: predictions, latency, memory. Standard library, numpy and one backend only.

On this host edgeflow imports this file or runs it; on a device it is copied there with a backend, the program and the
inputs: `python harness.py JOB.json RESULT.json`.

A backend is a file with a class `Session`:
    Session(program: str, threads: int)
    signature() -> {"inputs": [tensor…], "outputs": [tensor…]}, a tensor being
                   {"name", "dtype" (numpy name), "shape" (-1 for a dynamic axis), "scale", "zero_point" (None for floats)}
    encode(x: float32[N, …] in the runtime's layout) -> what the program takes, [N, …]; quantized by rounding and clipping
    invoke(native[1, …]) -> raw[1, K]: set the input, run, fetch the output. Only this is timed
    decode(raw[N, K]) -> float32[N, K]
    predict(x: float32[N, …]) -> float32[N, K]
    arena_bytes() -> int where the runtime knows its working memory exactly, else None
    operators() -> [{"operator", "count", "placement"}…] of the graph that really runs
    versions() -> {"onnxruntime": "1.32.0", …}  (static method)

JOB:    backend, program, baseline_program (or null), layout, threads, inputs (npz with x), outputs (npz to write, array
        `evaluation`), times (false: no latency, no process memory), max_runs, max_seconds, warmup_runs, block_runs
RESULT: latency_blocks_s, baseline_blocks_s (or null), load_s, first_inference_s, memory_peak_bytes, memory_method,
        signature, operators, versions, conditions
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    Float32: TypeAlias = NDArray[np.float32]

TIMED_INPUTS = 16  # latency may depend on the data: rotate through that many samples


def load_backend(path: str) -> ModuleType:
    """Import a backend from its file, once."""
    name = f"edgeflow_backend_{Path(path).stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path}: not a Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


def to_layout(x: Float32, layout: str) -> Float32:
    """float32[N, C, H, W] as the runtime wants it; arrays that are not four-dimensional have no layout."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if layout == "NHWC" and x.ndim == 4 else x


def predict(backend: str, program: str, x: Float32, layout: str, threads: int = 1) -> Float32:
    """float32[N, K] that `program` answers to x float32[N, C, H, W]."""
    session = load_backend(backend).Session(program, threads)
    found: Float32 = session.predict(to_layout(x, layout))
    return found


def inspect(backend: str, program: str, threads: int) -> dict[str, Any]:
    """Signature, operators and versions of a program."""
    return _describe(load_backend(backend).Session(program, threads))


def _describe(session: Any) -> dict[str, Any]:
    return {"signature": session.signature(), "operators": session.operators(), "versions": session.versions()}


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Do what a JOB says; call it in a fresh process, since it measures that process's memory."""
    backend = load_backend(job["backend"])
    with np.load(job["inputs"], allow_pickle=False) as archive:
        x = to_layout(archive["x"], job["layout"])
    conditions = _conditions(job["threads"])
    session, result = _start(backend, job, x[:1])
    if job["times"]:
        result |= _latency(backend, session, job, x[:TIMED_INPUTS])
    _write_npz(Path(job["outputs"]), session.predict(x))
    conditions["load_average_end"] = _load_average()
    return {**result, **_describe(session), "conditions": conditions}


def _start(backend: ModuleType, job: dict[str, Any], sample: Float32) -> tuple[Any, dict[str, Any]]:
    """Load the program and run it for the first time, watching the process's memory."""
    exact = _reset_peak()
    before = _memory("VmRSS") if exact else _peak_of_process()
    start = time.perf_counter_ns()
    session = backend.Session(job["program"], job["threads"])
    loaded = time.perf_counter_ns()
    native = session.encode(sample)
    session.invoke(native)
    first = time.perf_counter_ns()
    for _ in range(3):
        session.invoke(native)
    after = _memory("VmHWM") if exact else _peak_of_process()
    result: dict[str, Any] = {"latency_blocks_s": [], "baseline_blocks_s": None, "load_s": (loaded - start) * 1e-9}
    result |= {"first_inference_s": (first - start) * 1e-9}
    arena = session.arena_bytes()
    if arena is not None:
        return session, {**result, "memory_peak_bytes": arena, "memory_method": "tensor arena as the runtime reports it"}
    if not job["times"]:
        return session, {**result, "memory_peak_bytes": None, "memory_method": "not measured"}
    method = "peak resident memory of the process from loading the program on, less resident memory before"
    if not exact:
        method = "growth of the process's peak resident memory; an earlier peak of the imports may hide part of it"
    return session, {**result, "memory_peak_bytes": max(after - before, 0), "memory_method": method}


def _latency(backend: ModuleType, session: Any, job: dict[str, Any], x: Float32) -> dict[str, Any]:
    """Time the program, alternating in blocks with the baseline so that drift of the machine hits both alike."""
    sessions = [session]
    if job["baseline_program"]:
        sessions.append(backend.Session(job["baseline_program"], job["threads"]))
    natives = [[s.encode(x[i : i + 1]) for i in range(len(x))] for s in sessions]
    for timed, native in zip(sessions, natives, strict=True):
        _warm_up(timed, native, job["warmup_runs"], job["max_seconds"] / 10)
    blocks: list[list[list[float]]] = [[] for _ in sessions]
    spent = [0.0 for _ in sessions]
    runs = 0
    while runs < job["max_runs"] and max(spent) < job["max_seconds"]:
        count = min(job["block_runs"], job["max_runs"] - runs)
        # a slow program gets shorter blocks, so that there are enough of them for an interval
        budget = job["max_seconds"] / 20
        for i, (timed, native) in enumerate(zip(sessions, natives, strict=True)):
            block = _block(timed, native, count, budget)
            blocks[i].append(block)
            spent[i] += sum(block)
        runs += count
    return {"latency_blocks_s": blocks[0], "baseline_blocks_s": blocks[1] if len(blocks) > 1 else None}


def _warm_up(session: Any, native: list[Any], runs: int, seconds: float) -> None:
    end = time.perf_counter() + seconds
    for i in range(runs):
        session.invoke(native[i % len(native)])
        if time.perf_counter() > end:
            return


def _block(session: Any, native: list[Any], runs: int, seconds: float) -> list[float]:
    """Up to `runs` latencies in seconds, at least three, within about `seconds`."""
    found: list[float] = []
    spent = 0
    for i in range(runs):
        start = time.perf_counter_ns()
        session.invoke(native[i % len(native)])
        spent += (taken := time.perf_counter_ns() - start)
        found.append(taken * 1e-9)
        if spent * 1e-9 > seconds and len(found) >= 3:
            break
    return found


def _conditions(threads: int) -> dict[str, Any]:
    return {
        "threads": threads,
        "load_average_start": _load_average(),
        "cpu": _cpu(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _load_average() -> float:
    """Processes that were running or waiting, averaged over a minute."""
    return os.getloadavg()[0]


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _reset_peak() -> bool:
    """Make the kernel forget the process's peak resident memory; False where it cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): reset VmHWM
    except OSError:
        return False
    return True


def _memory(name: str) -> int:
    """VmRSS or VmHWM of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _peak_of_process() -> int:
    import resource

    scale = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes on macOS, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def _write_npz(path: Path, evaluation: Float32) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as stream:
        np.savez(stream, evaluation=evaluation)
    temporary.replace(path)


def main(job: str, result: str) -> None:
    """Read a JOB, write its RESULT, whole or not at all."""
    found = measure(json.loads(Path(job).read_text(encoding="utf-8")))
    temporary = Path(f"{result}.{os.getpid()}")
    temporary.write_text(json.dumps(found), encoding="utf-8")
    temporary.replace(result)


if __name__ == "__main__":
    main(*sys.argv[1:])
