"""compile: an optimized model becomes the program that ships.

Takes an optimized model, or another runtime's program; makes program.bin, program.json, outputs.safetensors. A
model that the runtime cannot take is a result, not an error: program.bin is then empty and program.json says why.
"""

from __future__ import annotations

import tempfile
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edgeflow import files
from edgeflow.errors import UsageError
from edgeflow.plugin import Compiled, CompileJob, Estimate, Runtime, Task, Unsupported
from edgeflow.registry import load_reference
from edgeflow.runners import harness
from edgeflow.stages.checked import Reference, compare, executed, versions, write_no_answers
from edgeflow.stages.isolated import attempt
from edgeflow.stages.ladder import Asked
from edgeflow.types.figures import Evidence, Measurement
from edgeflow.types.ladder import Ladder
from edgeflow.types.plain import from_json
from edgeflow.types.programs import Operators, Program
from edgeflow.types.signatures import Signature
from edgeflow.types.variants import Scheme, Target


@dataclass(frozen=True)
class Spec:
    """All that compile depends on beside its files."""

    model: str
    target: Target  # what the compiler may see of it: `Runtime.compiles_for`
    scheme: Scheme
    runtime: str  # plugin references
    task: str
    many: bool = False  # samples, so that asking them all while nothing else may run would take long


@dataclass(frozen=True)
class Inputs:
    """A model, what it answered, and the inputs to ask again."""

    model: Path
    outputs: Path
    golden: Path
    evaluation: Path
    ladder: Path | None = None  # of an optimized model
    source_info: Path | None = None  # of another runtime's program: its program.json, which holds the ladder
    origin: Path | None = None  # what the model answered before any stage


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
    with files.atomic(outputs.program) as program:
        info = _refused_before(inputs, reference) or _compile(spec, inputs, runtime, reference, program, outputs)
        if isinstance(info, Unsupported):
            program.write_bytes(b"")
            info = _record_infeasible(spec, runtime, info, reference.ladder, outputs)
    files.write_json(outputs.info, info)


def _compile(
    spec: Spec, inputs: Inputs, runtime: Runtime, reference: Reference, program: Path, outputs: Outputs
) -> Program | Unsupported:
    """Write the program and ask it, or say why it cannot be made or executed."""

    def make(model: Path) -> Compiled | Unsupported:
        with tempfile.TemporaryDirectory(prefix="edgeflow-") as work:
            return runtime.compile(CompileJob(model, program, spec.scheme, spec.target, Path(work)))

    compiled = attempt(runtime, "compiling the model", inputs.model, make, probe=make)
    if isinstance(compiled, Unsupported):
        return compiled
    return _finish(spec, runtime, compiled, program, inputs.model, reference, outputs)


def _reference(inputs: Inputs) -> Reference:
    """What the stage before left; UsageError when it left no ladder."""
    if inputs.source_info:
        ladder = files.read_as(Program, inputs.source_info).ladder
    elif inputs.ladder:
        ladder = files.read_as(Ladder, inputs.ladder)
    else:
        raise UsageError("edgeflow compile --input ladder=PATH is missing; of another program, source_info=PATH")
    return Reference(inputs.golden, inputs.evaluation, inputs.outputs, ladder, inputs.origin)


def _refused_before(inputs: Inputs, reference: Reference) -> Unsupported | None:
    """Why there is nothing to compile: no optimized model, or no program of `Runtime.compiles_from`."""
    reason = reference.ladder.infeasible
    if inputs.source_info:
        reason = files.read_as(Program, inputs.source_info).infeasible
    return Unsupported(reason) if reason else None


def _finish(
    spec: Spec,
    runtime: Runtime,
    compiled: Compiled,
    program: Path,
    model: Path,
    reference: Reference,
    outputs: Outputs,
) -> Program | Unsupported:
    runnable = program if runtime.runs == "program" else model
    ladder = _ask(spec, runtime, runnable, reference, outputs)
    if isinstance(ladder, Unsupported):
        return ladder
    inspect = partial(_inspect, runtime)
    seen = attempt(runtime, "inspecting the program", runnable, inspect, probe=inspect)
    if isinstance(seen, Unsupported):
        return seen
    sha256 = files.sha256_file(program)
    operators = compiled.operators
    if operators is None:
        operators = tuple(from_json(Operators, operator) for operator in seen["operators"])
    return Program(
        *_key(spec),
        infeasible="",
        sha256=sha256,
        size_bytes=program.stat().st_size,
        signature=from_json(Signature, seen["signature"]),
        operators=operators,
        runs=runtime.runs,
        ladder=ladder,
        estimates=tuple(_measurement(estimate, sha256, compiled) for estimate in compiled.estimates),
        tools={**seen["versions"], **compiled.tools},
        zero_weights_ratio=compiled.zero_weights_ratio,
        compressed_bytes=len(zlib.compress(program.read_bytes(), zlib.Z_BEST_COMPRESSION)),
    )


def _inspect(runtime: Runtime, runnable: Path) -> dict[str, Any]:
    return harness.inspect(str(runtime.backend), str(runnable), threads=1)


def _key(spec: Spec) -> tuple[str, str, str, str]:
    return spec.model, spec.target.runtime, spec.target.id, spec.scheme.id


def _ask(spec: Spec, runtime: Runtime, runnable: Path, reference: Reference, outputs: Outputs) -> Ladder | Unsupported:
    """Write the answers of what can run here; returns the ladder, with a rung for a program that was executed.

    A program that cannot run here gets none: the model that answers in its place has its own.
    """
    last = reference.last
    if last.stage == "compile" and executed(last) == (files.sha256_file(runnable), versions(runtime)):
        # another runtime's program, compiled and asked in this interpreter: there is nothing new to say about it
        files.write_bytes(outputs.outputs, reference.outputs.read_bytes())
        return reference.ladder
    task: Task = load_reference(spec.task)
    # What is timed answers samples when it is: all of them, or enough to show that others need not be asked again.
    timed = runtime.times and runtime.runs == "program"
    evaluate = not timed or (spec.many and not _asked_before(runtime, reference))
    tolerance = runtime.compile_tolerance(spec.scheme)
    compared = compare("compile", runnable, runtime, task, reference, tolerance, evaluate=evaluate)
    if isinstance(compared, Unsupported):
        return compared
    step, answers = compared
    answers.write(outputs.outputs)
    return reference.ladder.extended(step) if runtime.runs == "program" else reference.ladder


def _asked_before(runtime: Runtime, reference: Reference) -> bool:
    """Whether a model that answers alike was asked the evaluation samples in this interpreter, and not the first one:
    its answers are those that the program's are held against.
    """
    asked = Asked.said(reference.outputs)
    first = Asked.said(reference.origin) if reference.origin else None
    return asked is not None and asked != first and asked.executor == versions(runtime)


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
    """The ladder ends at the last output that was executed, and there are no outputs."""
    write_no_answers(outputs.outputs)
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
