"""optimize: apply a scheme to a converted model.

Takes a converted model, and the calibration samples where ranges are needed; makes model.<format>, outputs.npz and the
ladder so far. Quantization is lossy by design: the difference is recorded, the budgets judge it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edgeflow import files
from edgeflow.errors import DataError, PluginError, StageError
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
    """Optimize and compare; MismatchError when a scheme that quantizes nothing changes the answers.

    Raises StageError when a setting of the scheme changes nothing.
    """
    runtime: Runtime = load_reference(spec.runtime)
    task: Task = load_reference(spec.task)
    if runtime.optimize is None:
        raise PluginError(f"runtime {runtime.id}: has no optimize function and names no other runtime in build_with")
    reference = Reference(inputs.golden, inputs.evaluation, inputs.outputs, files.read_as(Ladder, inputs.ladder))
    reference.check(inputs.model)
    with files.atomic(outputs.model) as model, tempfile.TemporaryDirectory(prefix="edgeflow-") as work:
        calibration = _calibration(spec, inputs, runtime)
        job = OptimizeJob(inputs.model, model, spec.scheme, spec.profile, calibration, Path(work))
        runtime.optimize(job)
        _refuse_what_changes_nothing(runtime.optimize, job)
        tolerance = None if spec.scheme.quantized else runtime.optimize_tolerance
        step, answers = compare("optimize", model, runtime, task, reference, tolerance)
    answers.write(outputs.outputs)
    files.write_json(outputs.ladder, reference.ladder.extended(step))


def _refuse_what_changes_nothing(optimize: Callable[[OptimizeJob], None], job: OptimizeJob) -> None:
    """Raise StageError when the model has the same bytes without one of the scheme's settings.

    Settings are taken away one after the other, and what is left is made again: a tenth of a second to a second, for
    schemes with such settings only. A table of what each tool can do would be wrong for the next model.
    """
    made, scheme = job.output.read_bytes(), job.scheme
    for key, plainer in _without_settings(scheme):
        output = job.work / "plainer"
        with tempfile.TemporaryDirectory(dir=job.work) as work:
            optimize(replace(job, output=output, scheme=plainer, work=Path(work)))
        before, made = made, output.read_bytes()
        if made == before:
            raise StageError(
                f"optimize: scheme {scheme.id}: {key} changes nothing: the model has the same bytes without it. "
                f"Remove the key, or take the model or the target out of the scheme's cells with 'exclude'"
            )


def _without_settings(scheme: Scheme) -> Iterator[tuple[str, Scheme]]:
    """Key, and the scheme without that setting and those before it."""
    if scheme.bias_correction:
        scheme = replace(scheme, bias_correction=False)
        yield "bias_correction", scheme
    if scheme.calibration_method != "minmax":
        key = f"calibration.method {scheme.calibration_method}"
        scheme = replace(scheme, calibration_method="minmax", percentile=None)
        yield key, scheme
    if scheme.weights == "int4":
        scheme = replace(scheme, weights="int8")
        yield "weights int4 (in place of int8)", scheme
    if scheme.mode == "weight_only":
        yield "mode weight_only", replace(scheme, mode="float", weights="float32")


def _calibration(spec: Spec, inputs: Inputs, runtime: Runtime) -> harness.Float32 | None:
    """float32[calibration_samples, …] in the runtime's layout, or None when the scheme needs none."""
    if not spec.scheme.calibration_samples:
        return None
    if inputs.calibration is None:
        raise DataError(f"{spec.model}/{spec.scheme.id}: the scheme calibrates, which needs --input calibration=FILE")
    (x,) = files.read_npz(inputs.calibration, "x")
    wanted = spec.scheme.calibration_samples
    if len(x) < wanted:
        raise DataError(f"{inputs.calibration}: {len(x)} samples; scheme {spec.scheme.id} calibrates on {wanted}")
    return harness.to_layout(x[:wanted], runtime.layout)
