"""The ladder: after each stage, the task metric on the evaluation split and the distance to the stage before.

An exit code proves nothing; these numbers do. A step that should change nothing and moves the golden outputs further
than its tolerance is an error, and its output is never written.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow import files
from edgeflow.errors import MismatchError
from edgeflow.plugin import Task, Tolerance
from edgeflow.stages.reference import comparison
from edgeflow.types.ladder import Rung

if TYPE_CHECKING:
    from edgeflow.plugin import Float32, Int64

LOSSY = "lossy by design: the difference is recorded and the budgets judge it"


@dataclass(frozen=True)
class Outputs:
    """What an artifact answers: golden float32[G, K] and evaluation float32[N, K]."""

    golden: Float32
    evaluation: Float32

    @classmethod
    def read(cls, path: Path) -> Outputs:
        """Read an outputs.npz; DataError when it is missing or malformed."""
        return cls(*files.read_npz(path, "golden", "evaluation"))

    def write(self, path: Path) -> None:
        """Write an outputs.npz."""
        files.write_npz(path, golden=self.golden, evaluation=self.evaluation)


def rung(
    stage: str,
    outputs: Outputs,
    previous: Outputs | None,
    labels: Int64,
    task: Task,
    tolerance: Tolerance | None,
    artifact: Path,
    evaluated_on: str,
) -> Rung:
    """Compare a stage's outputs with those of the stage before it; `tolerance` None: the step is lossy by design.

    Raises MismatchError when the outputs have another shape, are not finite, or exceed the tolerance.
    """
    _check_shape_and_finiteness(stage, outputs, previous, artifact)
    compared = comparison((previous or outputs).evaluation, outputs.evaluation, labels)
    score = task.score(compared)
    scale = _range(previous.golden if previous else outputs.golden)
    greatest = mean = agreement = None
    if previous is not None:
        difference = abs(outputs.golden.astype("float64") - previous.golden)
        greatest, mean = float(difference.max()), float(difference.mean())
        agreement = task.agreement(compared)
        if tolerance is not None and greatest > tolerance.relative * scale:
            raise MismatchError(
                f"{stage}: {artifact.name} does not match the stage before it: golden outputs differ by "
                f"{greatest:.3g}, allowed are {tolerance.relative:g} of their range {scale:.3g} ({tolerance.reason}); "
                f"{task.metric} is {score.value:.4f}. The tool reported success; its output is wrong. "
                "Nothing was written"
            )
    return Rung(
        stage=stage,
        metric=score.metric or task.metric,
        value=score.value,
        n=score.n,
        golden_max_abs=greatest,
        golden_mean_abs=mean,
        golden_range=scale,
        agreement=agreement,
        tolerance=tolerance.relative if tolerance else None,
        tolerance_reason=tolerance.reason if tolerance else LOSSY if previous else "",
        artifact_sha256=files.sha256_file(artifact),
        evaluated_on=evaluated_on,
    )


def _check_shape_and_finiteness(stage: str, outputs: Outputs, previous: Outputs | None, artifact: Path) -> None:
    import numpy as np

    for name in ("golden", "evaluation"):
        array = getattr(outputs, name)
        if previous is not None and array.shape != getattr(previous, name).shape:
            expected = getattr(previous, name).shape
            raise MismatchError(
                f"{stage}: {artifact.name}: {name} outputs have shape {array.shape}, expected {expected}"
            )
        if not np.isfinite(array).all():
            raise MismatchError(f"{stage}: {artifact.name}: {name} outputs contain NaN or infinity")


def _range(array: Float32) -> float:
    return float(array.max() - array.min())
