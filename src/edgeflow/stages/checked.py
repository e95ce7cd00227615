"""What convert, optimize and compile share: run an artifact on the golden and evaluation inputs and compare."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgeflow import files
from edgeflow.errors import MismatchError, StageError
from edgeflow.plugin import Runtime, Task, Tolerance
from edgeflow.runners import harness
from edgeflow.stages.ladder import Outputs, rung
from edgeflow.types import Ladder, Rung


@dataclass(frozen=True)
class Reference:
    """The inputs, the labels, and what the stage before answered."""

    golden: Path  # npz: x
    evaluation: Path  # npz: x, y
    outputs: Path  # outputs.npz of the stage before
    ladder: Ladder  # so far

    @property
    def last(self) -> Rung:
        """What the stage before says of its artifact."""
        return self.ladder.rungs[-1]

    def check(self, artifact: Path) -> None:
        """Raise MismatchError unless this is the artifact that the ladder speaks of: packages name it by that."""
        found, expected = files.sha256_file(artifact), self.last.artifact_sha256
        if found != expected:
            raise MismatchError(
                f"{artifact} has SHA-256 {found}, its ladder speaks of {expected}: it was changed after it was made; "
                "delete it, and it is made again"
            )


def executed(step: Rung) -> tuple[str, str]:
    """SHA-256 of the artifact of a stage, and what executed it."""
    return step.artifact_sha256, step.evaluated_on


def compare(
    stage: str, artifact: Path, runtime: Runtime, task: Task, reference: Reference, tolerance: Tolerance | None
) -> tuple[Rung, Outputs]:
    """Execute `artifact` with the runner of `runtime` and hold it against the stage before.

    Raises MismatchError when a step that should change nothing changed something.
    """
    (golden,) = files.read_npz(reference.golden, "x")
    evaluation, labels = files.read_npz(reference.evaluation, "x", "y")
    previous = Outputs.read(reference.outputs)
    tools = versions(runtime)
    same = executed(reference.last) == (files.sha256_file(artifact), tools)
    # The same bytes in the same interpreter: the golden inputs are asked again, and speak for the others.
    answers = previous.evaluation if same else _predict(runtime, artifact, evaluation)
    outputs = Outputs(_predict(runtime, artifact, golden), answers)
    step = rung(
        stage=stage,
        outputs=outputs,
        previous=previous,
        labels=labels,
        task=task,
        tolerance=tolerance,
        artifact=artifact,
        evaluated_on=tools,
    )
    operators = harness.operators_in(str(runtime.backend), str(artifact))
    return replace(step, operators=operators), outputs


def _predict(runtime: Runtime, artifact: Path, x: harness.Float32) -> harness.Float32:
    try:
        return harness.predict(str(runtime.backend), str(artifact), x, runtime.layout)
    except ValueError as error:  # as the backend's contract has it
        raise StageError(f"{runtime.id} cannot run what the stage made: {error}") from error


def versions(runtime: Runtime) -> str:
    """What executes artifacts of a runtime here, e.g. "onnxruntime 1.32.0"."""
    found = harness.load_backend(str(runtime.backend)).Session.versions()
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items()))
