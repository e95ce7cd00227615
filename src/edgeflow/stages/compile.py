"""compile: an optimized model becomes the program that ships to one target.

Takes an optimized model; makes program.<suffix>, program.json, outputs.npz and the variant's ladder. A model that the
target cannot take is a result, not an error: the program is then an empty file and program.json says why.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeflow import files
from edgeflow.plugin import Compiled, CompileJob, Estimate, Runtime, Task, Unsupported
from edgeflow.registry import load_reference
from edgeflow.runners import harness
from edgeflow.stages.checked import Reference, compare
from edgeflow.stages.ladder import extend
from edgeflow.types import Evidence, Ladder, Measurement, Operators, Program, Scheme, Signature, Target, from_json


@dataclass(frozen=True)
class Spec:
    """All that compile depends on beside its files."""

    model: str
    target: Target
    scheme: Scheme
    runtime: str  # plugin references
    task: str


@dataclass(frozen=True)
class Inputs:
    """An optimized model, what it answered, and the inputs to ask again."""

    model: Path
    outputs: Path
    ladder: Path
    golden: Path
    evaluation: Path


@dataclass(frozen=True)
class Outputs:
    """The program of one variant."""

    program: Path
    info: Path
    outputs: Path
    ladder: Path


def run(spec: Spec, inputs: Inputs, outputs: Outputs) -> None:
    """Compile and compare; MismatchError when the program answers differently from the model."""
    runtime: Runtime = load_reference(spec.runtime)
    with files.atomic(outputs.program) as program, tempfile.TemporaryDirectory(prefix="edgeflow-") as work:
        compiled = runtime.compile(CompileJob(inputs.model, program, spec.scheme, spec.target, Path(work)))
        if isinstance(compiled, Compiled):
            info = _finish(spec, runtime, compiled, program, inputs, outputs)
        else:
            program.write_bytes(b"")
            info = _record_infeasible(spec, runtime, compiled, inputs, outputs)
    files.write_json(outputs.info, info)


def _finish(
    spec: Spec, runtime: Runtime, compiled: Compiled, program: Path, inputs: Inputs, outputs: Outputs
) -> Program:
    runnable = program if runtime.runs == "program" else inputs.model
    reference = Reference(inputs.golden, inputs.evaluation, inputs.outputs, inputs.ladder)
    task: Task = load_reference(spec.task)
    step, answers = compare("compile", runnable, runtime, task, reference, runtime.compile_tolerance(spec.scheme))
    answers.write(outputs.outputs)
    extend(outputs.ladder, inputs.ladder, step)
    seen = harness.inspect(str(runtime.backend), str(runnable), threads=spec.target.threads)
    sha256 = files.sha256_file(program)
    operators = compiled.operators
    if operators is None:
        operators = tuple(from_json(Operators, operator) for operator in seen["operators"])
    return Program(
        model=spec.model,
        target=spec.target.id,
        scheme=spec.scheme.id,
        infeasible="",
        sha256=sha256,
        size_bytes=program.stat().st_size,
        signature=_signature(seen, runtime),
        operators=operators,
        runs=runtime.runs,
        estimates=tuple(_measurement(estimate, sha256, compiled) for estimate in compiled.estimates),
        tools={**seen["versions"], **compiled.tools},
    )


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


def _record_infeasible(spec: Spec, runtime: Runtime, refusal: Unsupported, inputs: Inputs, outputs: Outputs) -> Program:
    """The ladder ends at optimize, and there are no outputs."""
    import numpy as np

    nothing = np.zeros((0, 0), np.float32)
    files.write_npz(outputs.outputs, golden=nothing, evaluation=nothing)
    files.write_json(outputs.ladder, files.read_as(Ladder, inputs.ladder))
    return Program(
        model=spec.model,
        target=spec.target.id,
        scheme=spec.scheme.id,
        infeasible=refusal.reason,
        sha256="",
        size_bytes=0,
        signature=None,
        operators=(),
        runs=runtime.runs,
    )
