"""convert: a trained model becomes the runtime's file format, with nothing lost.

Takes a checkpoint and the prepared data; makes model.<format>, outputs.npz and the ladder so far. A model that cannot
be converted is a result, not an error: model.<format> is then empty, and the ladder says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeflow import files
from edgeflow.errors import PluginError
from edgeflow.plugin import Converter, ConvertJob, Framework, ModelSpec, Runtime, Task, Unsupported
from edgeflow.registry import load_reference
from edgeflow.stages import splits
from edgeflow.stages.checked import Reference, compare, write_no_answers
from edgeflow.stages.isolated import attempt
from edgeflow.stages.ladder import Outputs as Answers
from edgeflow.types.ladder import Ladder, Rung
from edgeflow.types.plain import from_json


@dataclass(frozen=True)
class Spec:
    """All that convert depends on beside its files."""

    model: Mapping[str, Any]  # plugin.ModelSpec
    framework: str  # plugin references
    runtime: str
    task: str


@dataclass(frozen=True)
class Inputs:
    """A checkpoint, what it answered, and the inputs to ask again."""

    checkpoint: Path
    outputs: Path
    ladder: Path
    golden: Path
    evaluation: Path


@dataclass(frozen=True)
class Outputs:
    """The converted model."""

    model: Path
    outputs: Path
    ladder: Path


def run(spec: Spec, inputs: Inputs, outputs: Outputs) -> None:
    """Convert and compare; MismatchError when the result answers differently from the checkpoint."""
    runtime: Runtime = load_reference(spec.runtime)
    reference = Reference(inputs.golden, inputs.evaluation, inputs.outputs, files.read_as(Ladder, inputs.ladder))
    reference.check(inputs.checkpoint)
    with files.atomic(outputs.model) as model:
        made = _convert(spec, inputs, runtime, reference, model)
        if isinstance(made, Unsupported):
            model.write_bytes(b"")
    if isinstance(made, Unsupported):
        write_no_answers(outputs.outputs)
        files.write_json(outputs.ladder, replace(reference.ladder, infeasible=made.reason))
        return
    step, answers = made
    answers.write(outputs.outputs)
    files.write_json(outputs.ladder, reference.ladder.extended(step))


def _convert(
    spec: Spec, inputs: Inputs, runtime: Runtime, reference: Reference, output: Path
) -> tuple[Rung, Answers] | Unsupported:
    """Write the model and ask it, or say why it cannot be made or executed."""
    framework: Framework = load_reference(spec.framework)
    converter = _converter(runtime, framework)
    golden = splits.whole(inputs.golden)

    def convert(checkpoint: Path) -> Unsupported | None:
        native = framework.load(from_json(ModelSpec, spec.model), checkpoint)
        return converter.convert(ConvertJob(model=native, example=golden[:1], output=output))

    # of a checkpoint there are no beginnings to look for the operator in
    refusal = attempt(runtime, f"converting the {framework.id} model", inputs.checkpoint, convert)
    task: Task = load_reference(spec.task)
    return refusal or compare("convert", output, runtime, task, reference, converter.tolerance)


def _converter(runtime: Runtime, framework: Framework) -> Converter:
    try:
        return runtime.converters[framework.id]
    except KeyError:
        known = ", ".join(runtime.converters) or "none"
        raise PluginError(f"runtime {runtime.id}: no converter for {framework.id} models; it has: {known}") from None
