"""compile: an optimized model becomes the program that ships.

Takes an optimized model, or another runtime's program; makes program.bin, program.json, outputs.npz. A
model that the runtime cannot take is a result, not an error: program.bin is then empty and program.json says why.
"""

from __future__ import annotations

import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeflow import files
from edgeflow.errors import UsageError
from edgeflow.plugin import Compiled, CompileJob, Estimate, Runtime, Task, Unsupported
from edgeflow.registry import load_reference
from edgeflow.runners import harness
from edgeflow.stages.checked import Reference, compare, executed, versions
from edgeflow.types import Evidence, Ladder, Measurement, Operators, Program, Scheme, Signature, Target, from_json


@dataclass(frozen=True)
class Spec:
    """All that compile depends on beside its files."""

    model: str
    target: Target  # what the compiler may see of it: `Runtime.compiles_for`
    scheme: Scheme
    runtime: str  # plugin references
    task: str


@dataclass(frozen=True)
class Inputs:
    """A model, what it answered, and the inputs to ask again."""

    model: Path
    outputs: Path
    golden: Path
    evaluation: Path
    ladder: Path | None = None  # of an optimized model
    source_info: Path | None = None  # of another runtime's program: its program.json, which holds the ladder


@dataclass(frozen=True)
class Outputs:
    """The program of all variants that get the same bytes."""

    program: Path
    info: Path
    outputs: Path


def run(spec: Spec, inputs: Inputs, outputs: Outputs) -> None:
    """Compile and compare; MismatchError when the program answers differently from the model."""
    runtime: Runtime = load_reference(spec.runtime)
    reference = _reference(inputs)
    if not inputs.source_info:
        reference.check(inputs.model)
    with files.atomic(outputs.program) as program, tempfile.TemporaryDirectory(prefix="edgeflow-") as work:
        job = CompileJob(inputs.model, program, spec.scheme, spec.target, Path(work))
        compiled = _refused_before(inputs) or runtime.compile(job)
        if isinstance(compiled, Compiled):
            info = _finish(spec, runtime, compiled, program, inputs.model, reference, outputs)
        else:
            program.write_bytes(b"")
            info = _record_infeasible(spec, runtime, compiled, reference.ladder, outputs)
    files.write_json(outputs.info, info)


def _reference(inputs: Inputs) -> Reference:
    """What the stage before left; UsageError when it left no ladder."""
    if inputs.source_info:
        ladder = files.read_as(Program, inputs.source_info).ladder
    elif inputs.ladder:
        ladder = files.read_as(Ladder, inputs.ladder)
    else:
        raise UsageError("edgeflow compile --input ladder=PATH is missing; of another program, source_info=PATH")
    return Reference(inputs.golden, inputs.evaluation, inputs.outputs, ladder)


def _refused_before(inputs: Inputs) -> Unsupported | None:
    """Why the runtime whose program this one compiles made none."""
    reason = files.read_as(Program, inputs.source_info).infeasible if inputs.source_info else ""
    return Unsupported(reason) if reason else None


def _finish(
    spec: Spec,
    runtime: Runtime,
    compiled: Compiled,
    program: Path,
    model: Path,
    reference: Reference,
    outputs: Outputs,
) -> Program:
    runnable = program if runtime.runs == "program" else model
    ladder = _ask(spec, runtime, runnable, reference, outputs)
    seen = harness.inspect(str(runtime.backend), str(runnable), threads=1)
    sha256 = files.sha256_file(program)
    operators = compiled.operators
    if operators is None:
        operators = tuple(from_json(Operators, operator) for operator in seen["operators"])
    return Program(
        *_key(spec),
        infeasible="",
        sha256=sha256,
        size_bytes=program.stat().st_size,
        signature=_signature(seen, runtime),
        operators=operators,
        runs=runtime.runs,
        ladder=ladder,
        estimates=tuple(_measurement(estimate, sha256, compiled) for estimate in compiled.estimates),
        tools={**seen["versions"], **compiled.tools},
        zero_weights_ratio=compiled.zero_weights_ratio,
        compressed_bytes=len(zlib.compress(program.read_bytes(), zlib.Z_BEST_COMPRESSION)),
    )


def _key(spec: Spec) -> tuple[str, str, str, str]:
    return spec.model, spec.target.runtime, spec.target.id, spec.scheme.id


def _ask(spec: Spec, runtime: Runtime, runnable: Path, reference: Reference, outputs: Outputs) -> Ladder:
    """Write the answers of what can run here; returns the ladder with them."""
    last = reference.last
    if last.stage == "compile" and executed(last) == (files.sha256_file(runnable), versions(runtime)):
        # another runtime's program, compiled and asked in this interpreter: there is nothing new to say about it
        files.write_bytes(outputs.outputs, reference.outputs.read_bytes())
        return reference.ladder
    task: Task = load_reference(spec.task)
    step, answers = compare("compile", runnable, runtime, task, reference, runtime.compile_tolerance(spec.scheme))
    answers.write(outputs.outputs)
    return reference.ladder.extended(step)


def _signature(seen: dict[str, Any], runtime: Runtime) -> Signature:
    return from_json(Signature, {**seen["signature"], "layout": runtime.layout})


def _measurement(estimate: Estimate, sha256: str, compiled: Compiled) -> Measurement:
    return Measurement(
        metric=estimate.metric,
        value=estimate.value,
        unit=estimate.unit,
        evidence=Evidence.ESTIMATE,
        device=" ".join(f"{name} {version}" for name, version in sorted(compiled.tools.items())),
        artifact_sha256=sha256,
        method=estimate.method,
        tools=compiled.tools,
    )


def _record_infeasible(spec: Spec, runtime: Runtime, refusal: Unsupported, ladder: Ladder, outputs: Outputs) -> Program:
    """The ladder ends at optimize, and there are no outputs."""
    import numpy as np

    nothing = np.zeros((0, 0), np.float32)
    files.write_npz(outputs.outputs, golden=nothing, evaluation=nothing)
    return Program(
        *_key(spec),
        ladder=ladder,
        infeasible=refusal.reason,
        sha256="",
        size_bytes=0,
        signature=None,
        operators=(),
        runs=runtime.runs,
    )
