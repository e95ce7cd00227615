"""convert: a trained model becomes the runtime's file format, with nothing lost.

Takes a checkpoint and the prepared data; makes model.<format>, outputs.npz and the ladder so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeflow import files
from edgeflow.errors import PluginError
from edgeflow.plugin import Converter, ConvertJob, Framework, ModelSpec, Runtime, Task
from edgeflow.registry import load_reference
from edgeflow.stages.checked import Reference, compare
from edgeflow.types import Ladder, from_json


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
    framework: Framework = load_reference(spec.framework)
    runtime: Runtime = load_reference(spec.runtime)
    task: Task = load_reference(spec.task)
    converter = _converter(runtime, framework)
    reference = Reference(inputs.golden, inputs.evaluation, inputs.outputs, files.read_as(Ladder, inputs.ladder))
    reference.check(inputs.checkpoint)
    (golden,) = files.read_npz(inputs.golden, "x")
    native = framework.load(from_json(ModelSpec, spec.model), inputs.checkpoint)
    with files.atomic(outputs.model) as model:
        converter.convert(ConvertJob(model=native, example=golden[:1], output=model))
        step, answers = compare("convert", model, runtime, task, reference, converter.tolerance)
    answers.write(outputs.outputs)
    files.write_json(outputs.ladder, reference.ladder.extended(step))


def _converter(runtime: Runtime, framework: Framework) -> Converter:
    try:
        return runtime.converters[framework.id]
    except KeyError:
        known = ", ".join(runtime.converters) or "none"
        raise PluginError(f"runtime {runtime.id}: no converter for {framework.id} models; it has: {known}") from None
