"""optimize: apply a scheme to a converted model.

Takes a converted model, and the calibration samples where ranges are needed; makes model.<format>,
outputs.safetensors and the ladder so far. Quantization is lossy by design: the difference is recorded, the budgets
judge it. A scheme that the tools cannot apply, or a model that the runtime cannot run, is a result: model.<format> is
empty, the ladder says why.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from edgeflow import files
from edgeflow.errors import PluginError, StageError
from edgeflow.plugin import OptimizeJob, Runtime, Task, Unsupported
from edgeflow.registry import load_reference
from edgeflow.stages import calibration, splits
from edgeflow.stages.checked import Reference, compare, write_no_answers
from edgeflow.stages.isolated import attempt
from edgeflow.stages.ladder import Outputs as Answers
from edgeflow.stages.noise import noisiest
from edgeflow.types.ladder import Ladder, LayerNoise, Rung, Sensitivity
from edgeflow.types.signatures import Binding
from edgeflow.types.variants import Scheme


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
    """Optimize and compare; MismatchError when a scheme that quantizes nothing changes the answers.

    Raises StageError when a setting of the scheme changes nothing.
    """
    runtime: Runtime = load_reference(spec.runtime)
    reference = Reference(inputs.golden, inputs.evaluation, inputs.outputs, files.read_as(Ladder, inputs.ladder))
    reference.check(inputs.model)
    with files.atomic(outputs.model) as model:
        made = _refused_before(inputs, reference) or _optimize(spec, inputs, runtime, reference, model)
        if isinstance(made, Unsupported):
            model.write_bytes(b"")
    if isinstance(made, Unsupported):
        write_no_answers(outputs.outputs)
        files.write_json(outputs.ladder, replace(reference.ladder, infeasible=made.reason))
        return
    step, answers = made
    answers.write(outputs.outputs)
    files.write_json(outputs.ladder, reference.ladder.extended(step))


def _refused_before(inputs: Inputs, reference: Reference) -> Unsupported | None:
    """Why there is no converted model, or why its layers could not be ranked."""
    reason = reference.ladder.infeasible
    if inputs.sensitivity and not reason:
        reason = files.read_as(Sensitivity, inputs.sensitivity).infeasible
    return Unsupported(reason) if reason else None


def _optimize(
    spec: Spec, inputs: Inputs, runtime: Runtime, reference: Reference, output: Path
) -> tuple[Rung, Answers] | Unsupported:
    """Write the model and ask it, or say why it cannot be made or executed."""
    optimize = runtime.optimize
    if optimize is None:
        raise PluginError(f"runtime {runtime.id}: has no optimize function and names no other runtime in models_from")
    task: Task = load_reference(spec.task)
    kept = files.read_as(Sensitivity, inputs.sensitivity).kept if inputs.sensitivity else ()
    binding = reference.ladder.binding

    def make(source: Path) -> Unsupported | None:
        if spec.scheme.as_is:
            output.write_bytes(source.read_bytes())
            return None
        samples = calibration.read(spec.model, spec.scheme, inputs.calibration, runtime, source, binding)
        with tempfile.TemporaryDirectory(prefix="edgeflow-") as work:
            job = OptimizeJob(source, output, spec.scheme, spec.profile, samples, Path(work), kept)
            refusal = optimize(job)
            if refusal is None:
                _refuse_what_changes_nothing(optimize, job)
            return refusal

    refusal = attempt(runtime, f"applying scheme {spec.scheme.id}", inputs.model, make, probe=make)
    if refusal:
        return refusal
    tolerance = None if spec.scheme.quantized else runtime.optimize_tolerance
    compared = compare("optimize", output, runtime, task, reference, tolerance)
    if isinstance(compared, Unsupported):
        return compared
    step, answers = compared
    noise = attempt(runtime, "comparing layers", output, partial(_noise, spec, inputs, runtime, binding))
    # It is a look inside with other kernels: where they fail, the model still answers.
    return replace(step, noisiest=() if isinstance(noise, Unsupported) else noise, kept=kept), answers


def _refuse_what_changes_nothing(optimize: Callable[[OptimizeJob], Unsupported | None], job: OptimizeJob) -> None:
    """Raise StageError when the model has the same bytes without one of the scheme's settings.

    Settings are taken away one after the other, and what is left is made again: a tenth of a second to a second, for
    schemes with such settings only. A table of what each tool can do would be wrong for the next model. Where the tool
    cannot do what is left, the setting is what makes the difference.
    """
    made, scheme = job.output.read_bytes(), job.scheme
    for key, plainer in _without_settings(scheme):
        output = job.work / "plainer"
        with tempfile.TemporaryDirectory(dir=job.work) as work:
            if optimize(replace(job, output=output, scheme=plainer, work=Path(work))):
                return
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


def _noise(
    spec: Spec, inputs: Inputs, runtime: Runtime, binding: Binding | None, model: Path
) -> tuple[LayerNoise, ...]:
    """Where a lossy scheme loses, on the golden inputs; nothing where the runtime cannot look into its models."""
    if not spec.scheme.quantized or runtime.activations is None:
        return ()
    golden = calibration.feeds(splits.opened(inputs.golden), runtime, inputs.model, binding)
    return noisiest(runtime.activations(inputs.model, model, golden))
