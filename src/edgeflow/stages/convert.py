"""convert: a model becomes another format, by one edge of its route, with nothing lost.

Takes a checkpoint and the prepared data; makes model.<format>, outputs.safetensors and the ladder so far. A model that
cannot be converted is a result, not an error: model.<format> is then empty, and the ladder says why.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow import files
from edgeflow.plugin import Converted, Converter, ConvertJob, Format, Framework, ModelSpec, Task, Unsupported
from edgeflow.registry import load_reference
from edgeflow.stages import splits
from edgeflow.stages.checked import Reference, compare, write_no_answers
from edgeflow.stages.isolated import attempt
from edgeflow.stages.ladder import Outputs as Answers
from edgeflow.types.ladder import Ladder, Rung
from edgeflow.types.plain import from_json
from edgeflow.types.signatures import Binding, Signature, Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Spec:
    """All that convert depends on beside its files."""

    model: Mapping[str, Any]  # plugin.ModelSpec
    framework: str  # plugin references
    converter: str
    format: str
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
    reference = Reference(inputs.golden, inputs.evaluation, inputs.outputs, files.read_as(Ladder, inputs.ladder))
    reference.check(inputs.checkpoint)
    with files.atomic(outputs.model) as model:
        made = _convert(spec, inputs, reference, model)
        if isinstance(made, Unsupported):
            model.write_bytes(b"")
    if isinstance(made, Unsupported):
        write_no_answers(outputs.outputs)
        files.write_json(outputs.ladder, replace(reference.ladder, infeasible=made.reason))
        return
    step, answers, binding = made
    answers.write(outputs.outputs)
    files.write_json(outputs.ladder, replace(reference.ladder.extended(step), binding=binding))


def _convert(
    spec: Spec, inputs: Inputs, reference: Reference, output: Path
) -> tuple[Rung, Answers, Binding] | Unsupported:
    """Write the model and ask it, or say why it cannot be made or executed."""
    framework: Framework = load_reference(spec.framework)
    converter: Converter = load_reference(spec.converter)
    target: Format = load_reference(spec.format)
    task: Task = load_reference(spec.task)
    example = splits.opened(inputs.golden).batch(0, 1)
    signature = _signature(example, Answers.read(inputs.outputs).golden)

    def convert(checkpoint: Path) -> Converted | Unsupported:
        native = framework.load(from_json(ModelSpec, spec.model), checkpoint)
        with tempfile.TemporaryDirectory(prefix="edgeflow-") as work:
            return converter.convert(ConvertJob(native, None, signature, example, output, Path(work)))

    # of a checkpoint there are no beginnings to look for the operator in
    converted = attempt(target, f"converting the {framework.id} model", inputs.checkpoint, convert)
    if isinstance(converted, Unsupported):
        return converted
    before = reference.ladder.binding
    binding = before.then(converted.binding) if before else converted.binding
    compared = compare("convert", output, target, task, reference, converter.tolerance, binding)
    return compared if isinstance(compared, Unsupported) else (*compared, binding)


def _signature(samples: Mapping[str, NDArray[Any]], answers: Mapping[str, NDArray[Any]]) -> Signature:
    """What a trained model takes and answers with."""
    given, told = (
        tuple(Tensor(name, array.dtype.name, ("batch", *array.shape[1:])) for name, array in side.items())
        for side in (samples, answers)
    )
    return Signature(given, told)
