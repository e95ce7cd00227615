"""train: a model is trained from scratch; evaluation and golden are only read to score it.

Takes the prepared splits; makes a checkpoint, outputs.npz, the first rung of the ladder, and train.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeflow import files
from edgeflow.plugin import Framework, ModelSpec, Task, TrainJob
from edgeflow.registry import load_reference
from edgeflow.stages import ladder
from edgeflow.types import Ladder, from_json


@dataclass(frozen=True)
class Spec:
    """All that train depends on beside its files."""

    model: Mapping[str, Any]  # plugin.ModelSpec
    framework: str  # plugin references
    task: str
    recipe: str
    seed: int


@dataclass(frozen=True)
class Inputs:
    """The prepared splits."""

    train: Path
    evaluation: Path
    golden: Path


@dataclass(frozen=True)
class Outputs:
    """The trained model and what it answers."""

    checkpoint: Path
    outputs: Path
    ladder: Path
    info: Path


def run(spec: Spec, inputs: Inputs, outputs: Outputs) -> None:
    """Train, then score what a fresh load of the checkpoint answers."""
    framework: Framework = load_reference(spec.framework)
    task: Task = load_reference(spec.task)
    model = from_json(ModelSpec, spec.model)
    x, y = files.read_npz(inputs.train, "x", "y")
    with files.atomic(outputs.checkpoint) as checkpoint:
        trained = framework.train(TrainJob(model, x, y, spec.seed, checkpoint))
        native = framework.load(model, checkpoint)
        (golden,) = files.read_npz(inputs.golden, "x")
        evaluation, labels = files.read_npz(inputs.evaluation, "x", "y")
        answers = ladder.Outputs(framework.predict(native, golden), framework.predict(native, evaluation))
        versions = framework.versions()
        evaluated_on = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
        step = ladder.rung("train", answers, None, labels, task, None, checkpoint, evaluated_on)
    answers.write(outputs.outputs)
    files.write_json(outputs.ladder, Ladder((step,)))
    said = {"figures": trained.figures, "curves": trained.curves}
    files.write_json(outputs.info, {"model": model.id, **said, "tools": versions, "samples": len(y)})
