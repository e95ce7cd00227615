"""Execute a program where the device is: predictions, latency, memory. Standard library, numpy and one backend only.

On this host edgeflow imports this file or runs it; on a device with Python 3.10 or newer it is copied there with
identity.py, tensors.py, a backend, the program and the inputs: `python harness.py JOB.json RESULT.json`.

A backend is a file with a class `Session`:
    Session(program: str, threads: int)
    signature() -> {"inputs": [tensor…], "outputs": [tensor…]}, a tensor being {"name", "dtype" (numpy name), "shape"
                   (-1 for a dynamic axis), "scale", "zero_point" (None for floats)}
    encode(x: float32[N, …] in the runtime's layout) -> native[N, …], what the program takes; integers are rounded to
                   nearest and clipped
    invoke(native[1, …]) -> raw[1, K]: set the input, run, fetch the output, which the next run leaves alone. Only this
                   is timed, and what it answers counts as what the program answers
    decode(raw[N, K]) -> float32[N, K]
    predict(x: float32[N, …]) -> float32[N, K]: what N single inferences answer, as the device makes them; a model
                   with a dynamic batch, so no program yet, may be asked in batches where answers stay the same
    arena_bytes() -> int where the runtime knows its working memory exactly, else None
    operators() -> [{"operator", "count", "placement"}…] of the graph that really runs
    versions() -> {"onnxruntime": "1.32.0", …}  (static method)
A program that is sound and that the runtime refuses raises RefusedError, from Session, invoke or predict, with the path
of the program and what the runtime says; ValueError where a file is no program, or none for this harness.
A backend may also have a function operators_in(program: str) -> {name: count}: the operators in the file as it is,
before anything is fused at start-up.

JOB:    backend, program, baseline_program (or null), layout, threads, inputs (a split), outputs (npz to write, array
        `evaluation`; or null: no predictions), times (false: no latency, no process memory), max_runs, max_seconds,
        warmup_runs, block_runs
RESULT: latency_blocks_s, baseline_blocks_s (or null), load_s, first_inference_s, memory_peak_bytes, memory_method,
        signature, operators, versions, conditions (threads, machine: the instruction set, load averages, stopped_by:
        which maximum was reached), identity (of the machine that ran it: see identity.py)
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    Float32: TypeAlias = NDArray[np.float32]

LEAST_BLOCKS = 20  # a slow program gets shorter blocks, so that there are that many for an interval
LEAST_BLOCK_RUNS = 3  # but not shorter than this: a very slow one has fewer blocks, and perhaps no ratio
# The other program's block has emptied the caches: measured, the first run after it takes twice the time. In blocks of
# 50 such runs are 2 % of all, and the 99th percentile would be theirs alone.
REWARM_RUNS = 2
HALF = np.nextafter(np.float32(0.5), np.float32(0))  # half would lift the float32 below a tie over it
REFUSED = 3  # exit code where the runtime refuses the program


class RefusedError(ValueError):
    """A runtime cannot run a program that is sound: it has no kernel for it, or no room."""


def quantize(x: Float32, scale: float, zero_point: int, dtype: Any) -> NDArray[Any]:
    """float32 → integers as TFLite's QUANTIZE: x / scale to nearest, ties away from zero, then the zero point; clipped.

    Source: `AffineQuantize` of tensorflow/lite/kernels/internal/reference/quantize.h.
    """
    steps = x / np.float32(scale)
    limits = np.iinfo(dtype)
    rounded = np.trunc(steps + np.copysign(HALF, steps)) + np.float32(zero_point)
    return np.asarray(np.clip(rounded, limits.min, limits.max), dtype)


def dequantize(integers: NDArray[Any], scale: float, zero_point: int) -> Float32:
    """integers → float32: scale · (integer − zero point)."""
    return np.asarray((integers.astype(np.float32) - zero_point) * np.float32(scale), np.float32)


def load_backend(path: str) -> ModuleType:
    """Import a backend, or another file that stands alone, once."""
    name = f"edgeflow_backend:{Path(path).resolve()}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path}: not a Python file")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def to_layout(x: Float32, layout: str) -> Float32:
    """float32[N, C, H, W] as the runtime wants it; arrays that are not four-dimensional have no layout."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if layout == "NHWC" and x.ndim == 4 else x


def predict(backend: str, program: str, x: Float32, layout: str, threads: int = 1) -> Float32:
    """float32[N, K] that `program` answers to x float32[N, C, H, W]."""
    session = load_backend(backend).Session(program, threads)
    answers: Float32 = session.predict(to_layout(x, layout))
    return answers


def inspect(backend: str, program: str, threads: int) -> dict[str, Any]:
    """Signature, operators and versions of a program."""
    return _describe(load_backend(backend).Session(program, threads))


def operators_in(backend: str, program: str) -> dict[str, int]:
    """Operators in a file, by name; empty where the backend does not tell."""
    counting = getattr(load_backend(backend), "operators_in", None)
    return dict(sorted(counting(program).items())) if counting else {}


def _describe(session: Any) -> dict[str, Any]:
    return {"signature": session.signature(), "operators": session.operators(), "versions": session.versions()}


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Do what a JOB says; call it in a fresh process, since it measures that process's memory."""
    backend = load_backend(job["backend"])
    split = load_backend(str(Path(__file__).with_name("tensors.py"))).Split(job["inputs"])
    x = to_layout(split.batch()[split.names[0]], job["layout"])
    identity = load_backend(str(Path(__file__).with_name("identity.py")))
    conditions = {**_conditions(job["threads"], identity.arch()), **_load_average("load_average_start")}
    session, result = _start(backend, job, x[:1])
    answers = []
    if job["times"]:
        timed = _latency(backend, session, job, x)
        answers = timed[0].answers
        blocks = [each.blocks for each in timed]
        result["latency_blocks_s"], result["baseline_blocks_s"] = blocks if len(blocks) > 1 else (blocks[0], None)
        conditions["stopped_by"] = "max_runs" if min(map(_runs, blocks)) >= job["max_runs"] else "max_seconds"
    if job["outputs"] is not None:
        with _replacing(Path(job["outputs"])) as temporary, temporary.open("wb") as stream:
            np.savez(stream, evaluation=_evaluation(session, answers, x))
    conditions |= _load_average("load_average_end")
    return {**result, **_describe(session), "conditions": conditions, "identity": identity.here()}


def _start(backend: ModuleType, job: dict[str, Any], sample: Float32) -> tuple[Any, dict[str, Any]]:
    """Load the program and run it for the first time, watching the process's memory."""
    exact = _reset_peak()
    before = _memory("VmRSS") if exact else _peak_of_process()
    start = time.perf_counter_ns()
    session = backend.Session(job["program"], job["threads"])
    load = time.perf_counter_ns() - start
    native = session.encode(sample)
    start = time.perf_counter_ns()
    session.invoke(native)
    first = time.perf_counter_ns() - start
    for _ in range(3):
        session.invoke(native)
    after = _memory("VmHWM") if exact else _peak_of_process()
    result = {
        "latency_blocks_s": [],
        "baseline_blocks_s": None,
        "load_s": load * 1e-9,
        "first_inference_s": (load + first) * 1e-9,
        **_working_memory(session.arena_bytes(), after - before if job["times"] else None, exact),
    }
    return session, result


def _working_memory(arena: int | None, growth: int | None, exact: bool) -> dict[str, Any]:
    """What the runtime says wins over what the process shows; `exact`: the process's peak could be reset."""
    if arena is not None:
        return {"memory_peak_bytes": arena, "memory_method": "tensor arena as the runtime reports it"}
    if growth is None:
        return {"memory_peak_bytes": None, "memory_method": "not measured"}
    method = (
        "peak resident memory of the process while it loads the program and runs it four times, less resident memory "
        "before; code of the runtime that is used for the first time counts"
    )
    if not exact:
        method = "growth of the process's peak resident memory; an earlier peak of the imports may hide part of it"
    return {"memory_peak_bytes": max(growth, 0), "memory_method": method}


Blocks = list[list[float]]  # latencies in seconds, a list a block


def _runs(blocks: Blocks) -> int:
    return sum(len(block) for block in blocks)


class _Timed:
    """A program that is timed: latency may depend on the data, so all samples take their turn, and begin again."""

    def __init__(self, session: Any, x: Float32) -> None:
        self.session = session
        self.blocks: Blocks = []
        self.answers: list[Any] = []  # to the samples as they stand, each asked for the first time
        self._native = session.encode(x)
        self._at = 0

    def warm_up(self, runs: int, seconds: float) -> None:
        """Up to `runs` that do not count, of samples whose turn was before: those to come are not in the caches."""
        end = time.perf_counter() + seconds
        for i in range(self._at - runs, self._at):
            at = i % len(self._native)
            self.session.invoke(self._native[at : at + 1])
            if time.perf_counter() > end:
                return

    def block(self, runs: int, seconds: float) -> None:
        """Up to `runs` latencies in seconds, within about `seconds` unless that is too short for a median."""
        latencies: list[float] = []
        spent = 0
        for _ in range(runs):
            native = self._native[self._at : self._at + 1]
            start = time.perf_counter_ns()
            answer = self.session.invoke(native)
            spent += (taken := time.perf_counter_ns() - start)
            latencies.append(taken * 1e-9)
            if len(self.answers) < len(self._native):
                self.answers.append(answer)
            self._at = (self._at + 1) % len(self._native)
            if spent * 1e-9 > seconds and len(latencies) >= LEAST_BLOCK_RUNS:
                break
        self.blocks.append(latencies)


def _latency(backend: ModuleType, session: Any, job: dict[str, Any], x: Float32) -> list[_Timed]:
    """Time the program, alternating in blocks with the baseline so that drift of the machine hits both alike."""
    timed = [_Timed(session, x)]
    if job["baseline_program"]:
        timed.append(_Timed(backend.Session(job["baseline_program"], job["threads"]), x))
    with _without_garbage_collection():
        for each in timed:
            each.warm_up(job["warmup_runs"], job["max_seconds"] / 10)
        while (missing := job["max_runs"] - min(_runs(each.blocks) for each in timed)) > 0:
            for each in timed:
                if len(timed) > 1:
                    each.warm_up(REWARM_RUNS, job["max_seconds"] / 100)
                each.block(min(job["block_runs"], missing), job["max_seconds"] / LEAST_BLOCKS)
            if max(sum(map(sum, each.blocks)) for each in timed) >= job["max_seconds"]:
                break
    return timed


def _evaluation(session: Any, answers: list[Any], x: Float32) -> Float32:
    """float32[N, K] to all samples: what was answered while it was timed, and the rest."""
    parts = [session.decode(np.concatenate(answers))] if answers else []
    if len(answers) < len(x):
        parts.append(session.predict(x[len(answers) :]))
    return np.concatenate(parts)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Pauses of Python's collector are this file's and not the runtime's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _conditions(threads: int, arch: str) -> dict[str, Any]:
    return {
        "threads": threads,
        "machine": arch,
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _load_average(name: str) -> dict[str, float]:
    """Processes that were running or waiting, averaged over a minute; nothing where the system does not tell."""
    try:
        return {name: os.getloadavg()[0]}
    except OSError:
        return {}


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


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which becomes `path` when the block succeeds and goes away otherwise."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def main(job: str, result: str) -> None:
    """Read a JOB, write its RESULT, whole or not at all."""
    measured = measure(json.loads(Path(job).read_text(encoding="utf-8")))
    with _replacing(Path(result)) as temporary:
        temporary.write_text(json.dumps(measured), encoding="utf-8")


if __name__ == "__main__":
    sys.modules["harness"] = sys.modules["__main__"]  # a backend imports it by that name
    try:
        main(*sys.argv[1:])
    except RefusedError as refusal:
        print(refusal, file=sys.stderr)
        sys.exit(REFUSED)
    os._exit(0)  # all is written; taking interpreter and runtime apart would take as long as a hundred inferences
