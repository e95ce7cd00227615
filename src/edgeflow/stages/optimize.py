"""optimize: apply a scheme to a converted model.

Takes a converted model, and the calibration samples where ranges are needed; makes model.<format>, outputs.npz and the
ladder so far. Quantization is lossy by design: the difference is recorded, the budgets judge it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from edgeflow import files
from edgeflow.errors import PluginError
from edgeflow.plugin import OptimizeJob, Runtime, Task
from edgeflow.registry import load_reference
from edgeflow.runners import harness
from edgeflow.stages import calibration
from edgeflow.stages.checked import Reference, compare
from edgeflow.stages.noise import noisiest
from edgeflow.types import Ladder, LayerNoise, Scheme, Sensitivity


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
    sensitivity: Path | None = None


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
    kept = files.read_as(Sensitivity, inputs.sensitivity).kept if inputs.sensitivity else ()
    with files.atomic(outputs.model) as model, tempfile.TemporaryDirectory(prefix="edgeflow-") as work:
        samples = calibration.read(spec.model, spec.scheme, inputs.calibration, runtime)
        runtime.optimize(OptimizeJob(inputs.model, model, spec.scheme, spec.profile, samples, Path(work), kept))
        tolerance = None if spec.scheme.quantized else runtime.optimize_tolerance
        step, answers = compare("optimize", model, runtime, task, reference, tolerance)
        noise = _noise(spec, inputs, model, runtime)
    answers.write(outputs.outputs)
    files.write_json(outputs.ladder, reference.ladder.extended(replace(step, noisiest=noise, kept=kept)))


def _noise(spec: Spec, inputs: Inputs, model: Path, runtime: Runtime) -> tuple[LayerNoise, ...]:
    """Where a lossy scheme loses, on the golden inputs; nothing where the runtime cannot look into its models."""
    if not spec.scheme.quantized or runtime.activations is None:
        return ()
    (golden,) = files.read_npz(inputs.golden, "x")
    return noisiest(runtime.activations(inputs.model, model, harness.to_layout(golden, runtime.layout)))
