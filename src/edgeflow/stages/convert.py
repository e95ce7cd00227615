"""convert: a model becomes another format, by one edge of its route, with nothing lost.

Takes a checkpoint, a file that somebody brings or what the edge before made, and the prepared data; makes
model.<format>, outputs.safetensors and the ladder so far. A model that cannot be converted is a result, not an error:
model.<format> is then empty, and the ladder says why.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow import files
from edgeflow.errors import UsageError
from edgeflow.plugin import (
    Converted,
    Converter,
    ConvertJob,
    Format,
    Framework,
    ModelSpec,
    Task,
    Tolerance,
    Unsupported,
)
from edgeflow.registry import load_reference
from edgeflow.runners import harness
from edgeflow.stages import splits
from edgeflow.stages.checked import Reference, compare, write_no_answers
from edgeflow.stages.isolated import attempt
from edgeflow.stages.ladder import Outputs as Answers
from edgeflow.types.ladder import Ladder, Rung
from edgeflow.types.plain import from_json, to_json
from edgeflow.types.signatures import Binding, Bound, Signature, Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAME = Tolerance(0.0, "the file is taken as it is")


@dataclass(frozen=True)
class Trained:
    """How a checkpoint is loaded."""

    framework: str  # plugin reference
    model: Mapping[str, Any]  # plugin.ModelSpec


@dataclass(frozen=True)
class Brought:
    """A file of a format."""

    format: str  # plugin reference
    path: str = ""  # in the project; "": what the edge before made


@dataclass(frozen=True)
class Spec:
    """All that convert depends on beside its files."""

    model: str
    converter: str  # plugin references; "": the file is in the format already, and taken as it is
    format: str
    task: str
    checkpoint: Trained | None = None  # one of them
    source: Brought | None = None


@dataclass(frozen=True)
class Inputs:
    """The model, what it answered, and the inputs to ask again."""

    outputs: Path
    ladder: Path
    golden: Path
    evaluation: Path
    model: Path | None = None  # checkpoint or file; None: the path that the spec names


@dataclass(frozen=True)
class Outputs:
    """The converted model."""

    model: Path
    outputs: Path
    ladder: Path


def run(spec: Spec, inputs: Inputs, outputs: Outputs) -> None:
    """Convert and compare; MismatchError when the result answers differently from the model that it was made from."""
    reference = Reference(inputs.golden, inputs.evaluation, inputs.outputs, files.read_as(Ladder, inputs.ladder))
    source = inputs.model or Path(spec.source.path if spec.source else "")
    reference.check(source)
    with files.atomic(outputs.model) as model:
        made = _convert(spec, source, reference, model)
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
    spec: Spec, source: Path, reference: Reference, output: Path
) -> tuple[Rung, Answers, Binding] | Unsupported:
    """Write the model and ask it, or say why it cannot be made or executed."""
    if reference.ladder.infeasible:
        return Unsupported(reference.ladder.infeasible)
    converter: Converter | None = load_reference(spec.converter) if spec.converter else None
    target: Format = load_reference(spec.format)
    task: Task = load_reference(spec.task)

    def convert(path: Path) -> Converted | Unsupported:
        if spec.checkpoint:
            return _of_checkpoint(spec.checkpoint, path, converter, reference, output)
        if spec.source:
            return _of_file(spec.source, path, converter, reference, output)
        raise UsageError("edgeflow convert: the spec has neither a checkpoint nor a source")

    # without a probe: there are no beginnings of what is converted to look for the operator in
    doing = f"converting the model with {converter.description}" if converter else "copying the model"
    converted = attempt(target, doing, source, convert)
    if isinstance(converted, Unsupported):
        return converted
    before = reference.ladder.binding
    binding = before.then(converted.binding) if before else converted.binding
    tolerance = converted.tolerance or (converter.tolerance if converter else SAME)
    if spec.source and (before_it := _lost(load_reference(spec.source.format), source, target, output)):
        tolerance = replace(tolerance, reason=f"{tolerance.reason}; made of {before_it}, it is stored as float32")
    compared = compare("convert", output, target, task, reference, tolerance, binding)
    return compared if isinstance(compared, Unsupported) else (*compared, binding)


def _of_checkpoint(
    trained: Trained, checkpoint: Path, converter: Converter | None, reference: Reference, output: Path
) -> Converted | Unsupported:
    if converter is None:
        raise UsageError("edgeflow convert: a checkpoint is no file of a format; the spec needs a converter")
    framework: Framework = load_reference(trained.framework)
    native = framework.load(from_json(ModelSpec, trained.model), checkpoint)
    example = splits.opened(reference.golden).batch(0, 1)
    signature = _signature(example, Answers.read(reference.outputs).golden)
    with tempfile.TemporaryDirectory(prefix="edgeflow-") as work:
        return converter.convert(ConvertJob(native, None, signature, example, output, Path(work)))


def _signature(samples: Mapping[str, NDArray[Any]], answers: Mapping[str, NDArray[Any]]) -> Signature:
    """What a trained model takes and answers with."""
    given, told = (
        tuple(Tensor(name, array.dtype.name, ("batch", *array.shape[1:])) for name, array in side.items())
        for side in (samples, answers)
    )
    return Signature(given, told)


def _of_file(
    brought: Brought, source: Path, converter: Converter | None, reference: Reference, output: Path
) -> Converted | Unsupported:
    signature = load_reference(brought.format).signature(source)
    if converter is None:
        shutil.copyfile(source, output)
        return Converted(_unchanged(signature))
    with tempfile.TemporaryDirectory(prefix="edgeflow-") as work:
        return converter.convert(
            ConvertJob(None, source, signature, _example(signature, reference), output, Path(work))
        )


def _lost(kind: Format, source: Path, target: Format, output: Path) -> str:
    """What a file was quantized to, "int8 weights and activations", where its conversion is not; else "".

    Answers may be the same then, and sizes and times are not.
    """
    before = kind.quantized(source)
    return before if before and not target.quantized(output) else ""


def _unchanged(signature: Signature) -> Binding:
    """Of a file to one with the same inputs and outputs."""
    given, told = (
        {tensor.name: Bound(tensor.name) for tensor in side} for side in (signature.inputs, signature.outputs)
    )
    return Binding(given, told)


def _example(signature: Signature, reference: Reference) -> dict[str, NDArray[Any]]:
    """One golden sample as a file takes it: input → [1, …], or the whole input where axis 0 is no batch."""
    names = harness.Names(to_json(signature), to_json(reference.ladder.binding))
    feed = names.feed(splits.opened(reference.golden).batch(0, 1), 0, 1)
    return harness.encode(feed, to_json(signature)["inputs"])
