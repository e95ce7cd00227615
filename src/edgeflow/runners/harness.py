"""Execute a program where the device is: answers, latency, memory. Standard library, numpy and one backend only.

On this host edgeflow imports this file or runs it; on a device with Python 3.10 or newer it is copied there with
identity.py, tensors.py, a backend, the program and the samples: `python harness.py JOB.json RESULT.json`.

A backend is a file with a class `Session`:
    Session(program: str, threads: int)
    signature() -> {"inputs": [tensor…], "outputs": [tensor…]}, a tensor being {"name", "dtype" (numpy name), "shape" (a
                   text names an axis of any length, "?" where the file has no name for it), "scale", "zero_point" (of
                   quantized integers; None for floats, and for integers that are what they say, such as token ids)}
    batch: int, how many samples may be asked at once with the same answers; without it one by one. It counts only where
                   axis 0 of every input and output is free
    encode(feed: name -> real values as the file has its axes) -> native, what `invoke` takes: see `encode` below
    invoke(native) -> raw: set the inputs, run, fetch the outputs, which the next run leaves alone. Only this is timed,
                   and what it answers counts as what the program answers
    decode(raw) -> name -> real values: see `decode` below
    arena_bytes() -> int where the runtime knows its working memory exactly, else None
    operators() -> [{"operator", "count", "placement"}…] of the graph that really runs
    versions() -> {"onnxruntime": "1.32.0", …}  (static method)
A program that is sound and that the runtime refuses raises RefusedError, from all of these, with the path of the
program and what the runtime says; ValueError where a file is no program, or none for this harness.
A backend may also have a function operators_in(program: str) -> {name: count}: the operators in the file as it is,
before anything is fused at start-up.

A *binding* says where what a model itself calls its inputs and outputs is in a file that was made of it:
{"inputs": {name: {"tensor": name in the file, "axes": order of a sample's axes in it, [] as they are}}, "outputs": …};
None: the file's own names. Axis 0 of a tensor is the batch where it is free or 1, and a sample has the others; any
other tensor is a sample as a whole.

JOB:    backend, program, binding, baseline (null, or its program and binding), threads, split (samples: see
        tensors.py), outputs (safetensors to write, "evaluation/<name>"; or null: no answers), known (null, or answers:
        such a file, which counts for samples without a turn where as many `samples` or more were timed, all answered
        with its bits, and as many answers or more were `different` from each other; if it is of this `executor`,
        "onnxruntime 1.32.0", and `machine`: see identity.py), times (false: no latency, no process memory), max_runs,
        max_seconds, enough (runs and seconds: timing is over where there are both), warmup_runs, block_runs
RESULT: latency_blocks_s, baseline_blocks_s (or null), asked (how many samples the program answered), load_s,
        first_inference_s, memory_peak_bytes, memory_method,
        signature, operators, versions, conditions (threads, machine: the instruction set, load averages, stopped_by:
        "max_runs", "max_seconds" or "enough"), identity (of the machine that ran it: see identity.py)
"""

from __future__ import annotations

import gc
import importlib.util
import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Float32: TypeAlias = NDArray[np.float32]
    Answers: TypeAlias = dict[str, NDArray[Any]]  # output -> [N, …]

LEAST_BLOCKS = 20  # a slow program gets shorter blocks, so that there are that many for an interval
LEAST_BLOCK_RUNS = 3  # but not shorter than this: a very slow one has fewer blocks, and perhaps no ratio
# The other program's block has emptied the caches: measured, the first run after it takes twice the time. In blocks of
# 50 such runs are 2 % of all, and the 99th percentile would be theirs alone.
REWARM_RUNS = 2
HALF = np.nextafter(np.float32(0.5), np.float32(0))  # half would lift the float32 below a tie over it
REFUSED = 3  # exit code where the runtime refuses the program
READ = 16  # samples that are in memory at once while a program is asked for its answers
# Of encoded samples that are kept while a program is timed. Where all fit, each is encoded once.
KEPT_BYTES = 32 * 2**20


class RefusedError(ValueError):
    """A runtime cannot run a program that is sound: it has no kernel for it, or no room."""


# --- values ----------------------------------------------------------------------------------------------------------


def quantize(x: Float32, scale: float, zero_point: int, dtype: Any) -> Array:
    """float32 → integers as TFLite's QUANTIZE: x / scale to nearest, ties away from zero, then the zero point; clipped.

    Source: `AffineQuantize` of tensorflow/lite/kernels/internal/reference/quantize.h.
    """
    steps = x / np.float32(scale)
    limits = np.iinfo(dtype)
    rounded = np.trunc(steps + np.copysign(HALF, steps)) + np.float32(zero_point)
    return np.asarray(np.clip(rounded, limits.min, limits.max), dtype)


def dequantize(integers: Array, scale: float, zero_point: int) -> Float32:
    """integers → float32: scale · (integer − zero point)."""
    return np.asarray((integers.astype(np.float32) - zero_point) * np.float32(scale), np.float32)


def encode(feed: Mapping[str, Array], tensors: Iterable[Mapping[str, Any]]) -> dict[str, Array]:
    """Real values as the tensors of a file hold them; ValueError names what does not fit."""
    return {tensor["name"]: encoded(feed[tensor["name"]], tensor) for tensor in tensors}


def decode(raw: Mapping[str, Array], tensors: Iterable[Mapping[str, Any]]) -> Answers:
    """What tensors of a file hold as real values: quantized integers and float16 as float32, all else as it is."""
    return {tensor["name"]: decoded(raw[tensor["name"]], tensor) for tensor in tensors}


def encoded(real: Array, tensor: Mapping[str, Any]) -> Array:
    """Real values in the type of one tensor, in C order.

    Quantized ones are rounded to nearest and clipped, floats rounded. Plain integers stay what they are: ValueError
    where they do not fit into the type, or are no whole numbers.
    """
    dtype = np.dtype(tensor["dtype"])
    if tensor["scale"] is not None:
        values = np.asarray(real, np.float32)
        return np.ascontiguousarray(quantize(values, tensor["scale"], tensor["zero_point"] or 0, dtype))
    if real.dtype == dtype:
        return np.ascontiguousarray(real)
    with np.errstate(over="ignore", invalid="ignore"):
        cast = np.ascontiguousarray(real, dtype)
        if dtype.kind == "f" and real.dtype.kind == "f":  # of the same values as nearly as the type has them
            same = bool((np.isfinite(cast) | ~np.isfinite(real)).all())
        else:
            # in a third type both would be rounded alike: 2**24 + 1 has no float32
            wide = real.dtype if dtype.kind == "f" else np.result_type(real.dtype, dtype)
            same = np.array_equal(cast.astype(wide), real.astype(wide))
    if not same:
        low, high = real.min(), real.max()
        raise ValueError(f"input {tensor['name']} is {dtype.name}: {real.dtype.name} from {low} to {high} does not fit")
    return cast


def decoded(stored: Array, tensor: Mapping[str, Any]) -> Array:
    """What one tensor holds as real values."""
    if tensor["scale"] is not None:
        return dequantize(stored, tensor["scale"], tensor["zero_point"] or 0)
    return stored.astype(np.float32) if stored.dtype == np.float16 else stored


def distinct(names: Sequence[str]) -> list[str]:
    """Names of tensors as they are told apart: where a file has one twice, or none, the place follows the name."""
    counts = Counter(names)
    return [name if name and counts[name] == 1 else f"{name}:{i}" for i, name in enumerate(names)]


# --- names -----------------------------------------------------------------------------------------------------------


class Names:
    """Where what a model calls its inputs and outputs is in a file with this signature.

    Raises ValueError where the binding and the file do not belong together.
    """

    def __init__(self, signature: Mapping[str, Any], binding: Mapping[str, Any] | None) -> None:
        said = binding or {side: _own(signature[side]) for side in ("inputs", "outputs")}
        self._inputs = _sides(signature["inputs"], said["inputs"], "input")
        self._outputs = _sides(signature["outputs"], said["outputs"], "output")
        fed = {side.tensor["name"] for side in self._inputs.values()}
        if missing := [tensor["name"] for tensor in signature["inputs"] if tensor["name"] not in fed]:
            raise ValueError(f"the file wants inputs that the model does not have: {', '.join(missing)}")
        # whether samples may be asked together
        self.free = all(side.free for side in (*self._inputs.values(), *self._outputs.values()))

    def feed(self, samples: Mapping[str, Array], start: int, stop: int) -> dict[str, Array]:
        """Samples [start, stop) of name → [n, …]: tensor → real values with the axes as in the file."""
        if missing := sorted({*self._inputs} - {*samples}):
            raise ValueError(f"no samples of input {missing[0]!r}; there are {', '.join(sorted(samples))}")
        return {side.tensor["name"]: side.fed(samples[name][start:stop]) for name, side in self._inputs.items()}

    def answers(self, real: Mapping[str, Array], count: int) -> Answers:
        """What the tensors of the file held after `count` samples: name → [count, …]."""
        return {name: side.told(real[side.tensor["name"]], count) for name, side in self._outputs.items()}


class Program:
    """A session that takes samples and gives answers by the names of the model that its program was made of."""

    def __init__(self, session: Any, binding: Mapping[str, Any] | None) -> None:
        self.session = session
        self._names = Names(session.signature(), binding)
        self.batch: int = getattr(session, "batch", 1) if self._names.free else 1  # samples at once

    def native(self, samples: Mapping[str, Array], start: int, stop: int) -> Any:
        """Samples [start, stop) of name → [n, …] as `Session.invoke` takes them."""
        return self.session.encode(self._names.feed(samples, start, stop))

    def answers(self, raw: Any, count: int) -> Answers:
        """What `Session.invoke` gave to `count` samples: name → [count, …]."""
        return self._names.answers(self.session.decode(raw), count)

    def ask(self, samples: Mapping[str, Array]) -> Answers:
        """Name → [n, …] to samples name → [n, …]."""
        count = len(next(iter(samples.values())))
        parts = []
        for start in range(0, count, self.batch):
            stop = min(start + self.batch, count)
            parts.append(self.answers(self.session.invoke(self.native(samples, start, stop)), stop - start))
        return joined(parts)


def has_batch(tensor: Mapping[str, Any]) -> bool:
    """Whether axis 0 of a tensor is the batch: it is free or 1. Else the tensor is a sample as a whole."""
    shape = tensor["shape"]
    return bool(shape) and (isinstance(shape[0], str) or shape[0] == 1)


class _Side:
    """One input or output of a model, and the tensor of the file that it is in."""

    def __init__(self, name: str, tensor: Mapping[str, Any], axes: Sequence[int]) -> None:
        self.name, self.tensor = name, tensor
        shape = tensor["shape"]
        self.batched = has_batch(tensor)
        self.free = bool(shape) and isinstance(shape[0], str)
        own = len(shape) - self.batched
        self._axes = (0, *(axis + 1 for axis in (axes or range(own))))
        if sorted(self._axes) != list(range(own + 1)):
            raise ValueError(f"{name}: axes {list(axes)} are not those of {tensor['name']}, which is {_shown(tensor)}")

    def fed(self, samples: Array) -> Array:
        """Samples [n, …] with their axes as in the file; ValueError when they have another shape."""
        given = samples.transpose(self._axes) if samples.ndim == len(self._axes) else samples
        feed = given if self.batched else given[0]
        wanted = self.tensor["shape"][1:] if self.batched else self.tensor["shape"]
        has = given.shape[1:]
        if len(has) != len(wanted) or any(a != b for a, b in zip(has, wanted, strict=True) if not isinstance(b, str)):
            raise ValueError(f"input {self.name}: samples have shape {list(has)}, the file wants {_shown(self.tensor)}")
        return feed

    def told(self, values: Array, count: int) -> Array:
        """Answers [count, …] with their axes as in the model."""
        answers = values if self.batched else values[None]
        if answers.shape[:1] != (count,) or answers.ndim != len(self._axes):
            raise ValueError(
                f"output {self.name}: {count} samples were answered with {list(values.shape)}, which the file calls "
                f"{_shown(self.tensor)}: its axis 0 is no batch"
            )
        return np.ascontiguousarray(answers.transpose(np.argsort(self._axes)))


def _own(tensors: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {tensor["name"]: {"tensor": tensor["name"], "axes": []} for tensor in tensors}


def _sides(tensors: Iterable[Mapping[str, Any]], bound: Mapping[str, Any], kind: str) -> dict[str, _Side]:
    by_name = {tensor["name"]: tensor for tensor in tensors}
    if missing := [f"{name} ({place['tensor']})" for name, place in bound.items() if place["tensor"] not in by_name]:
        raise ValueError(f"the file has no {kind} {', '.join(missing)}; it has {', '.join(by_name) or 'none'}")
    return {name: _Side(name, by_name[place["tensor"]], place["axes"]) for name, place in bound.items()}


def _shown(tensor: Mapping[str, Any]) -> str:
    return f"{tensor['dtype']}[{', '.join(map(str, tensor['shape']))}]"


def joined(parts: Sequence[Answers]) -> Answers:
    """Answers to one batch after the other; ValueError where an output changes its shape on the way."""
    for name in parts[0]:
        if len(shapes := {part[name].shape[1:] for part in parts}) > 1:
            raise ValueError(f"output {name}: answers have different shapes: {', '.join(map(str, sorted(shapes)))}")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


# --- programs --------------------------------------------------------------------------------------------------------


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


def ask(
    backend: str,
    program: str,
    batches: Iterable[Mapping[str, Array]],
    binding: Mapping[str, Any] | None = None,
    threads: int = 1,
) -> Answers:
    """What `program` answers to samples that come in batches, name → [n, …]; there is at least one."""
    asked = Program(load_backend(backend).Session(program, threads), binding)
    return joined([asked.ask(samples) for samples in batches])


def inspect(backend: str, program: str, threads: int = 1) -> dict[str, Any]:
    """Signature, operators and versions of a program."""
    return _describe(load_backend(backend).Session(program, threads))


def signature(backend: str, program: str) -> dict[str, Any]:
    """What goes into a program and what comes out, by the names in the file."""
    said: dict[str, Any] = load_backend(backend).Session(program, 1).signature()
    return said


def operators_in(backend: str, program: str) -> dict[str, int]:
    """Operators in a file, by name; empty where the backend does not tell."""
    counting = getattr(load_backend(backend), "operators_in", None)
    return dict(sorted(counting(program).items())) if counting else {}


def _describe(session: Any) -> dict[str, Any]:
    return {"signature": session.signature(), "operators": session.operators(), "versions": session.versions()}


def _beside(name: str) -> ModuleType:
    return load_backend(str(Path(__file__).with_name(name)))


# --- measuring -------------------------------------------------------------------------------------------------------


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Do what a JOB says; call it in a fresh process, since it measures that process's memory."""
    backend, tensors, identity = load_backend(job["backend"]), _beside("tensors.py"), _beside("identity.py")
    split = tensors.Split(job["split"])
    conditions = {**_conditions(job["threads"], identity.arch()), **_load_average("load_average_start")}
    program, result = _start(backend, job, split.batch(0, 1))
    answered: list[Any] = []
    if job["times"]:
        timed = _latency(backend, program, job, split)
        answered = timed[0].answers
        blocks = [each.blocks for each in timed]
        result["latency_blocks_s"], result["baseline_blocks_s"] = blocks if len(blocks) > 1 else (blocks[0], None)
        conditions["stopped_by"] = _stopped_by(job, blocks)
    if job["outputs"] is not None:
        with _replacing(Path(job["outputs"])) as temporary:
            known = job["known"] if job["known"] and _same(job["known"], program.session, identity) else None
            reader = tensors.Reader(known["answers"]) if known else None
            answers, result["asked"] = _evaluation(program, answered, split, known, reader)
            tensors.write(temporary, {f"evaluation/{name}": values for name, values in answers.items()})
    conditions |= _load_average("load_average_end")
    return {**result, **_describe(program.session), "conditions": conditions, "identity": identity.here()}


def _start(backend: ModuleType, job: dict[str, Any], sample: Mapping[str, Array]) -> tuple[Program, dict[str, Any]]:
    """Load the program and run it for the first time, watching the process's memory."""
    exact = _reset_peak()
    before = _memory("VmRSS") if exact else _peak_of_process()
    start = time.perf_counter_ns()
    session = backend.Session(job["program"], job["threads"])
    load = time.perf_counter_ns() - start
    program = Program(session, job["binding"])
    native = program.native(sample, 0, 1)
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
    return program, result


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

    def __init__(self, program: Program, sample: Callable[[int], Mapping[str, Array]], count: int, room: int) -> None:
        self.blocks: Blocks = []
        self.answers: list[Any] = []  # raw, to the samples as they stand, each asked for the first time
        self._program, self._sample, self._count, self._room = program, sample, count, room
        self._at = 0
        self._natives: dict[int, Any] = {}  # encoded samples, by row

    def warm_up(self, runs: int, seconds: float) -> None:
        """Up to `runs` that do not count, of samples whose turn was before: those to come are not in the caches."""
        before = self._rows(-min(runs, self._room), 0)
        self._encode(before)
        self._run(before, seconds)

    def _run(self, rows: Sequence[int], seconds: float) -> None:
        end = time.perf_counter() + seconds
        for row in rows:
            self._program.session.invoke(self._natives[row])
            if time.perf_counter() > end:
                return

    def block(self, runs: int, seconds: float, *, rewarm: bool) -> None:
        """Up to `runs` latencies in seconds, within about `seconds` unless that is too short for a median.

        `rewarm`: something else ran meanwhile. Samples are encoded before, not in between; that too empties the caches.
        """
        before, coming = self._rows(-REWARM_RUNS, 0), self._rows(0, min(runs, self._room))
        if self._encode([*before, *coming]) or rewarm:
            self._run(before, seconds)
        latencies: list[float] = []
        spent = 0
        for row in coming:
            native = self._natives[row]
            start = time.perf_counter_ns()
            answer = self._program.session.invoke(native)
            spent += (taken := time.perf_counter_ns() - start)
            latencies.append(taken * 1e-9)
            if len(self.answers) < self._count:
                self.answers.append(answer)
            if spent * 1e-9 > seconds and len(latencies) >= LEAST_BLOCK_RUNS:
                break
        self._at = (self._at + len(latencies)) % self._count
        self.blocks.append(latencies)

    def _rows(self, start: int, stop: int) -> list[int]:
        """Samples of turns that are counted from the next one."""
        return [(self._at + turn) % self._count for turn in range(start, stop)]

    def _encode(self, rows: Sequence[int]) -> bool:
        """Have these samples ready, and as many others as there is room for; False where they were."""
        missing = [row for row in dict.fromkeys(rows) if row not in self._natives]
        if len(self._natives) + len(missing) > self._room:
            self._natives = {row: self._natives[row] for row in rows if row in self._natives}
        for row in missing:
            self._natives[row] = self._program.native(self._sample(row), 0, 1)
        return bool(missing)


def _latency(backend: ModuleType, program: Program, job: dict[str, Any], split: Any) -> list[_Timed]:
    """Time the program, alternating in blocks with the baseline so that drift of the machine hits both alike."""
    programs = [program]
    if baseline := job["baseline"]:
        programs.append(Program(backend.Session(baseline["program"], job["threads"]), baseline["binding"]))
    room = max(LEAST_BLOCK_RUNS, KEPT_BYTES // max(sum(values.nbytes for values in split.batch(0, 1).values()), 1))
    sample = lru_cache(room)(lambda row: split.batch(row, row + 1))  # both take the same, one after the other
    timed = [_Timed(each, sample, len(split), room) for each in programs]
    with _without_garbage_collection():
        for each in timed:
            each.warm_up(job["warmup_runs"], job["max_seconds"] / 10)
        while not _stopped_by(job, [each.blocks for each in timed]):
            runs, seconds = _block(job, [each.blocks for each in timed])
            for each, most in zip(timed, runs, strict=True):
                each.block(most, seconds, rewarm=len(timed) > 1)
    return timed


def _block(job: Mapping[str, Any], timed: Sequence[Blocks]) -> tuple[list[int], float]:
    """Runs of each one's block and its seconds, so that there are LEAST_BLOCKS of them when timing is over, as far as
    runs until now tell.

    Neither gets more runs than the slower one has time for, but a program that would be left without enough.
    """
    enough = job["enough"]
    paces = [sum(map(sum, blocks)) / max(_runs(blocks), 1) for blocks in timed]
    slowest = max(paces)
    seconds = min(job["max_seconds"], max(enough["seconds"], enough["runs"] * slowest)) / LEAST_BLOCKS
    lacks = enough["runs"] * slowest > job["max_seconds"] and _runs(timed[0]) < enough["runs"]
    paces = [paces[0] if lacks else slowest, *(slowest for _ in timed[1:])]
    most = min(job["block_runs"], job["max_runs"] - min(map(_runs, timed)))
    return [min(most, max(math.ceil(seconds / pace), LEAST_BLOCK_RUNS)) if pace else most for pace in paces], seconds


def _stopped_by(job: Mapping[str, Any], timed: Sequence[Blocks]) -> str:
    """Why no more runs are timed; "" while they are."""
    runs, seconds = min(map(_runs, timed)), max(sum(map(sum, blocks)) for blocks in timed)
    if runs >= job["max_runs"]:
        return "max_runs"
    if seconds >= job["max_seconds"]:
        return "max_seconds"
    return "enough" if runs >= job["enough"]["runs"] and seconds >= job["enough"]["seconds"] else ""


def _evaluation(
    program: Program, answered: list[Any], split: Any, known: Mapping[str, Any] | None, reader: Any
) -> tuple[Answers, int]:
    """Answers to all samples, and how many the program was asked: those of the timed runs, and the rest."""
    parts = [program.answers(raw, 1) for raw in answered]
    if known and len(answered) >= known["samples"] and (rest := _rest(joined(parts), reader, known["different"])):
        return joined([*parts, rest]), len(answered)
    for start in range(len(answered), len(split), READ):
        parts.append(program.ask(split.batch(start, min(start + READ, len(split)))))
    return joined(parts), len(split)


def _same(known: Mapping[str, Any], session: Any, identity: ModuleType) -> bool:
    """Whether known answers are from here, as far as bits depend on where a program runs."""
    executor = ", ".join(f"{name} {version}" for name, version in sorted(session.versions().items()))
    return bool(known["machine"]) and (known["executor"], known["machine"]) == (executor, identity.here()["machine_id"])


def _rest(timed: Answers, reader: Any, different: int) -> Answers:
    """Known answers to the samples after those that were timed.

    None where one before has other bits, or fewer are `different`: a class has few values, and is soon alike by chance.
    """
    count, rest = len(next(iter(timed.values()))), {}
    for name, values in timed.items():
        known = reader.rows(f"evaluation/{name}")
        before, rest[name] = known[:count], known[count:]
        if before.dtype != values.dtype or before.shape != values.shape or before.tobytes() != values.tobytes():
            return {}
    told = {tuple(values[row].tobytes() for values in timed.values()) for row in range(count)}
    return rest if len(told) >= different else {}


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
