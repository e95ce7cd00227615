"""train: a model is trained, from scratch or in the steps of a recipe, or the trained weights of somebody are taken.

Evaluation and golden are only read to score it.

Takes the prepared splits, and for a recipe the checkpoints that it starts and learns from; makes a checkpoint,
outputs.safetensors, the first rung of the ladder, and train.json. What was killed goes on after its last whole epoch.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow import files
from edgeflow.errors import DataError, UsageError
from edgeflow.plugin import Framework, ModelSpec, Task, Trained, TrainJob, WeightsJob
from edgeflow.registry import load_reference
from edgeflow.stages import ladder, splits
from edgeflow.stages.reference import are_probabilities, comparison, score
from edgeflow.types.ladder import Ladder, Network
from edgeflow.types.plain import from_json, to_json
from edgeflow.types.variants import Step

if TYPE_CHECKING:
    from edgeflow.plugin import Int64

OUTPUT = "logits"  # of a model that is trained here: it has one
_KEPT = re.compile(r"\.[0-9a-f]{16}\.training")


@dataclass(frozen=True)
class Spec:
    """All that train depends on beside its files."""

    model: Mapping[str, Any]  # plugin.ModelSpec
    framework: str  # plugin references
    task: str
    recipe: str
    seed: int
    steps: tuple[Step, ...] = ()  # () trains from scratch
    teachers: tuple[Mapping[str, Any], ...] = ()  # plugin.ModelSpec each, in the order of `Inputs.teachers`
    code: str = ""  # digest of the code behind the job: a killed training goes on only with what it began with


@dataclass(frozen=True)
class Inputs:
    """The prepared splits, and what a recipe starts from."""

    train: Path
    evaluation: Path
    golden: Path
    start: Path | None = None  # checkpoint that the steps start from
    control: Path | None = None  # outputs.safetensors of as many epochs with no technique
    teachers: tuple[Path, ...] = ()  # checkpoints


@dataclass(frozen=True)
class Outputs:
    """The trained model and what it answers."""

    checkpoint: Path
    outputs: Path
    ladder: Path
    info: Path


def run(spec: Spec, inputs: Inputs, outputs: Outputs) -> None:
    """Train, then score what a fresh load of the checkpoint answers, beside what its control answers.

    Raises UsageError when the steps lack a checkpoint that they start or learn from, and what the framework raises.
    """
    framework: Framework = load_reference(spec.framework)
    task: Task = load_reference(spec.task)
    model = from_json(ModelSpec, spec.model)
    if spec.steps and inputs.start is None:
        raise UsageError(f"edgeflow train --input start=PATH is missing: recipe {spec.recipe} starts from a checkpoint")
    if len(spec.teachers) != len(inputs.teachers):
        counts = f"{len(inputs.teachers)} checkpoints for {len(spec.teachers)} teachers"
        raise UsageError(f"edgeflow train --input teachers=PATH…: recipe {spec.recipe} got {counts}")
    teaching = [from_json(ModelSpec, teacher) for teacher in spec.teachers]
    own = {model.id: (model, inputs.start)} if inputs.start else {}
    named = {teacher.id: (teacher, path) for teacher, path in zip(teaching, inputs.teachers, strict=True)}
    x, y = splits.Rows(inputs.train), splits.labels(inputs.train)
    kept = _kept(spec, inputs, outputs)
    with files.atomic(outputs.checkpoint) as checkpoint:
        job = TrainJob(model, x, y, spec.seed, checkpoint, spec.steps, inputs.start, {**own, **named}, kept)
        trained, brought = _taken(framework, job) if model.weights and not spec.steps else (framework.train(job), None)
        native = framework.load(model, checkpoint)
        golden, evaluation = splits.Rows(inputs.golden), splits.Rows(inputs.evaluation)
        labels = splits.labels(inputs.evaluation)
        versions = framework.versions()
        evaluated_on = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
        answers = ladder.Outputs(
            {OUTPUT: framework.predict(native, golden)},
            {OUTPUT: framework.predict(native, evaluation)},
            ladder.Asked.here(checkpoint, evaluated_on, inputs.evaluation),
        )
        step = ladder.rung("train", answers, None, labels, task, None, checkpoint, evaluated_on)
    twice = trained.loss_takes_logits and are_probabilities(answers.evaluation[OUTPUT])
    network = Network(trained.without_gradient, twice)
    answers.write(outputs.outputs)
    files.write_json(outputs.ladder, Ladder((step,)))
    against = _against(inputs.control, answers, labels, task) if inputs.control else None
    said = {
        "figures": trained.figures,
        "curves": trained.curves,
        "against_control": against,
        "weights": brought,
        "network": network,
        "reference": score(task, comparison(answers.evaluation, answers.evaluation, labels)),
    }
    files.write_json(outputs.info, {"model": model.id, **said, "tools": versions, "samples": len(y)})
    kept.unlink(missing_ok=True)


def _taken(framework: Framework, job: TrainJob) -> tuple[Trained, dict[str, str]]:
    """The checkpoint of weights that somebody brings, and where they come from."""
    file = Path(job.model.weights)
    if not file.is_file():
        raise DataError(f"model {job.model.id}: weights: {file}: no such file; paths start at the project folder")
    if framework.take_weights is None:
        raise UsageError(f"model {job.model.id}: weights: the framework {framework.id} takes none")
    brought = {"file": str(file), "sha256": files.sha256_file(file)}
    return framework.take_weights(WeightsJob(job.model, file, job.x[:1], job.checkpoint)), brought


def _against(control: Path, answers: ladder.Outputs, labels: Int64, task: Task) -> dict[str, Any]:
    """Both scores, and how much worse than its control the recipe is on the same samples."""
    compared = comparison(ladder.Outputs.read(control).evaluation, answers.evaluation, labels)
    return {
        "metric": task.metric,
        "control": task.score(compared.swapped),
        "recipe": task.score(compared),
        "drop": task.drop(compared) if task.drop else None,
    }


def _kept(spec: Spec, inputs: Inputs, outputs: Outputs) -> Path:
    """Where this training keeps what it needs to go on; what another spec or other inputs left is removed.

    It is the checkpoint's and no process's: whoever makes the checkpoint next goes on with it, on any host. What a
    process has not written to the end is that process's.
    """
    digest = hashlib.sha256(json.dumps(to_json(spec), sort_keys=True).encode())
    for path in (inputs.train, inputs.start, *inputs.teachers):
        digest.update((files.sha256_file(path) if path else "-").encode())
    folder = outputs.checkpoint.parent
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f".{digest.hexdigest()[:16]}.training"
    for other in folder.glob(".*.training"):
        if files.abandoned(other) or (other != kept and _KEPT.fullmatch(other.name)):
            other.unlink(missing_ok=True)
    return kept
