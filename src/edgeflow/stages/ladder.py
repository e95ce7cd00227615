"""The ladder: how far each stage's answers are from those of the stage before, and the task metric where that changed.

An exit code proves nothing; these numbers do. A step that should change nothing is held against the stage before on
the golden inputs: one that moves them further than its tolerance is an error, and its output is never written. The
evaluation samples are asked where the answers may have changed, and once: answers are kept with what gave them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow import files
from edgeflow.errors import DataError, DistanceError, MismatchError
from edgeflow.plugin import Task, Tolerance
from edgeflow.runners import identity, tensors
from edgeflow.stages.reference import comparison
from edgeflow.types.ladder import Rung
from edgeflow.types.plain import from_json, to_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeflow.plugin import Answers, Int64

STEPS = 2  # of an output of integers: kernels that are both right round ties apart, measured by as many
LOSSY = "lossy by design: the difference is recorded and the budgets judge it"
ROUNDS = (
    "lossy: on the same numbers no operator is more than rounding away from the stage before's; the network makes more "
    "than {:g} of the range of it, and the budgets judge that"
)
ROUNDING = 1e-3  # of a step: float32 reals that integers stand for
GOLDEN, EVALUATION = "golden/", "evaluation/"
ASKED = "edgeflow.evaluation"  # in the header of the file


@dataclass(frozen=True)
class Asked:
    """What answered the evaluation samples, which those were, and where."""

    artifact_sha256: str
    executor: str  # "onnxruntime 1.32.0"
    split_sha256: str
    machine: str  # its id in identity.py; kernels are chosen by what a machine can do, which no name of a CPU tells

    @classmethod
    def here(cls, artifact: Path, executor: str, split: Path) -> Asked:
        """Of files, executed on this machine."""
        return cls(files.sha256_file(artifact), executor, files.sha256_file(split), identity.here()["machine_id"])

    @classmethod
    def said(cls, outputs: Path) -> Asked | None:
        """Of the answers in an outputs.safetensors; None: it has none. DataError when it is missing or malformed."""
        try:
            said = tensors.Reader(outputs).metadata.get(ASKED)
            return from_json(cls, json.loads(said)) if said else None
        except (OSError, ValueError) as error:
            raise DataError(f"{outputs}: holds no answers: {error}") from error


@dataclass(frozen=True)
class Outputs:
    """What an artifact answers, by the model's own names: output → [N, …]."""

    golden: Answers = field(default_factory=dict)
    # To the evaluation samples: of the last artifact that was asked, which is this one or one that answers as it does.
    evaluation: Answers = field(default_factory=dict)
    asked: Asked | None = None  # that artifact
    # What the model that the ladder begins with answers to them, which distances are counted from; None: the same. It
    # is in a file of its own.
    origin: Answers | None = None
    # What one integer more stands for, by outputs that are quantized integers; not in the file.
    steps: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Outputs:
        """Read an outputs.safetensors; DataError when it is missing or malformed."""
        asked = Asked.said(path)
        try:
            reader = tensors.Reader(path)
            golden, evaluation = (
                {name.removeprefix(side): reader.rows(name) for name in reader.entries if name.startswith(side)}
                for side in (GOLDEN, EVALUATION)
            )
            return cls(golden, evaluation, asked)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: holds no answers: {error}") from error

    def write(self, path: Path) -> None:
        """Write an outputs.safetensors."""
        answers = {
            side + name: values
            for side, named in ((GOLDEN, self.golden), (EVALUATION, self.evaluation))
            for name, values in named.items()
        }
        said = {ASKED: json.dumps(to_json(self.asked), sort_keys=True)} if self.asked else {}
        with files.atomic(path) as temporary:
            tensors.write(temporary, answers, said)


def rung(
    stage: str,
    outputs: Outputs,
    previous: Outputs | None,
    targets: Int64 | None,
    task: Task,
    tolerance: Tolerance | None,
    artifact: Path,
    evaluated_on: str,
) -> Rung:
    """Compare a stage's outputs with those of the stage before it; `tolerance` None: the step is lossy by design.

    It has a value where the artifact itself was asked the evaluation samples. Raises MismatchError when the outputs
    have other names or shapes or are not finite, DistanceError when they exceed the tolerance.
    """
    _check(stage, outputs, previous, artifact)
    before, digest = previous or outputs, files.sha256_file(artifact)
    value, n, metric, agreement = None, 0, task.metric, None
    if outputs.asked and (outputs.asked.artifact_sha256, outputs.asked.executor) == (digest, evaluated_on):
        compared = comparison(before.evaluation, outputs.evaluation, targets)
        score = task.score(replace(compared, reference=before.origin or before.evaluation))
        value, n, metric = score.value, score.n, score.metric or metric
    else:
        compared = comparison(before.golden, outputs.golden, None)
    distances = [_distance(name, before.golden[name], outputs.golden[name]) for name in outputs.golden]
    worst = max(distances, key=lambda each: each.relative)
    if previous is not None:
        agreement = task.agreement(compared)
        if tolerance is not None and (far := _beyond(distances, tolerance, outputs.steps)):
            several = f" '{far.output}'" if len(outputs.golden) > 1 else ""
            said = "" if value is None else f"{metric} is {value:.4f}. "
            raise DistanceError(
                f"{stage}: {artifact.name} does not match the stage before it: golden outputs{several} differ by "
                f"{far.greatest:.3g}, allowed are {tolerance.relative:g} of their range {far.scale:.3g} "
                f"({tolerance.reason}); {said}The tool reported success; its output is wrong. Nothing was written"
            )
    return Rung(
        stage=stage,
        metric=metric,
        value=value,
        n=n,
        golden_n=len(next(iter(outputs.golden.values()))),
        golden_output=worst.output,
        golden_max_abs=worst.greatest if previous else None,
        golden_mean_abs=worst.mean if previous else None,
        golden_range=worst.scale,
        agreement=agreement,
        tolerance=tolerance.relative if tolerance else None,
        tolerance_reason=tolerance.reason if tolerance else LOSSY if previous else "",
        artifact_sha256=digest,
        evaluated_on=evaluated_on,
    )


@dataclass(frozen=True)
class _Distance:
    output: str
    greatest: float
    mean: float
    scale: float  # range of the output before; of one that never changes its greatest absolute value

    @property
    def relative(self) -> float:
        return self.greatest / self.scale if self.scale else float(self.greatest > 0)


def _beyond(distances: Sequence[_Distance], tolerance: Tolerance, steps: Mapping[str, float]) -> _Distance | None:
    """The output that is farthest from what it was, of those that moved by more than they may.

    Integers may always move by STEPS: probabilities near 0 use few of theirs, or one, and a part of that range is none.
    """
    moved = [
        each
        for each in distances
        if each.greatest > max(tolerance.relative * each.scale, (STEPS + ROUNDING) * steps.get(each.output, 0.0))
    ]
    return max(moved, key=lambda each: each.relative, default=None)


def _distance(name: str, before: NDArray[Any], after: NDArray[Any]) -> _Distance:
    difference = abs(after.astype("float64") - before)
    scale = float(before.max()) - float(before.min()) or float(abs(before).max())
    return _Distance(name, float(difference.max()), float(difference.mean()), scale)


def _check(stage: str, outputs: Outputs, previous: Outputs | None, artifact: Path) -> None:
    import numpy as np

    where = f"{stage}: {artifact.name}"
    for side in ("golden", "evaluation"):
        answers: Answers = getattr(outputs, side)
        before: Answers = getattr(previous or outputs, side)
        if {*answers} != {*before}:
            raise MismatchError(f"{where}: {side} outputs are {_listed(answers)}, expected {_listed(before)}")
        for name, array in answers.items():
            several = f" '{name}'" if len(answers) > 1 else ""
            if array.shape != before[name].shape:
                raise MismatchError(
                    f"{where}: {side} outputs{several} have shape {array.shape}, expected {before[name].shape}"
                )
            if not np.isfinite(array).all():
                raise MismatchError(f"{where}: {side} outputs{several} contain NaN or infinity")


def _listed(answers: Answers) -> str:
    return ", ".join(sorted(answers)) or "none"
