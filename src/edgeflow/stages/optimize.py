"""optimize: apply a scheme to a converted model.

Takes a converted model, and the calibration samples where ranges are needed; makes model.<format>, outputs.npz and the
ladder so far. Quantization is lossy by design: the difference is recorded, the budgets judge it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgeflow import files
from edgeflow.errors import DataError, PluginError
from edgeflow.plugin import OptimizeJob, Runtime, Task
from edgeflow.registry import load_reference
from edgeflow.runners import harness
from edgeflow.stages.checked import Reference, compare
from edgeflow.types import Ladder, Scheme


@dataclass(frozen=True)
class Spec:
    """All that optimize depends on beside its files."""

    model: str
    scheme: Scheme
    profile: str
    runtime: str  # plugin references
    task: str


@dataclass(frozen=True)
class Inputs:
    """A converted model, what it answered, and the data."""

    model: Path
    outputs: Path
    ladder: Path
    golden: Path
    evaluation: Path
    calibration: Path | None = None


@dataclass(frozen=True)
class Outputs:
    """The optimized model."""

    model: Path
    outputs: Path
    ladder: Path


def run(spec: Spec, inputs: Inputs, outputs: Outputs) -> None:
    """Optimize and compare; MismatchError when a scheme that quantizes nothing changes the answers."""
    runtime: Runtime = load_reference(spec.runtime)
    task: Task = load_reference(spec.task)
    if runtime.optimize is None:
        raise PluginError(f"runtime {runtime.id}: has no optimize function and names no other runtime in build_with")
    reference = Reference(inputs.golden, inputs.evaluation, inputs.outputs, files.read_as(Ladder, inputs.ladder))
    reference.check(inputs.model)
    with files.atomic(outputs.model) as model, tempfile.TemporaryDirectory(prefix="edgeflow-") as work:
        calibration = _calibration(spec, inputs, runtime)
        runtime.optimize(OptimizeJob(inputs.model, model, spec.scheme, spec.profile, calibration, Path(work)))
        tolerance = None if spec.scheme.quantized else runtime.optimize_tolerance
        step, answers = compare("optimize", model, runtime, task, reference, tolerance)
    answers.write(outputs.outputs)
    files.write_json(outputs.ladder, reference.ladder.extended(step))


def _calibration(spec: Spec, inputs: Inputs, runtime: Runtime) -> harness.Float32 | None:
    """float32[calibration_samples, …] in the runtime's layout, or None when the scheme needs no ranges."""
    if spec.scheme.mode != "static":
        return None
    if inputs.calibration is None:
        raise DataError(f"{spec.model}/{spec.scheme.id}: static quantization needs --input calibration=FILE")
    (x,) = files.read_npz(inputs.calibration, "x")
    wanted = spec.scheme.calibration_samples
    if len(x) < wanted:
        raise DataError(f"{inputs.calibration}: {len(x)} samples; scheme {spec.scheme.id} calibrates on {wanted}")
    return harness.to_layout(x[:wanted], runtime.layout)
