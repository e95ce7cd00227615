"""What convert, optimize and compile share: run an artifact on the golden and evaluation inputs and compare."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from edgeflow import files
from edgeflow.errors import MismatchError, StageError
from edgeflow.plugin import Executor, Task, Tolerance, Unsupported
from edgeflow.runners import harness
from edgeflow.stages import splits
from edgeflow.stages.isolated import attempt
from edgeflow.stages.ladder import Outputs, rung
from edgeflow.types.ladder import Ladder, Rung


@dataclass(frozen=True)
class Reference:
    """The inputs, the labels, and what the stage before answered."""

    golden: Path  # splits
    evaluation: Path
    outputs: Path  # outputs.npz of the stage before
    ladder: Ladder  # so far

    @property
    def last(self) -> Rung:
        """What the stage before says of its artifact."""
        return self.ladder.rungs[-1]

    def check(self, artifact: Path) -> None:
        """Raise MismatchError unless this is the artifact that the ladder speaks of: packages name it by that."""
        if self.ladder.infeasible:
            return
        digest, expected = files.sha256_file(artifact), self.last.artifact_sha256
        if digest != expected:
            raise MismatchError(
                f"{artifact} has SHA-256 {digest}, its ladder speaks of {expected}: it was changed after it was made; "
                "delete it, and it is made again"
            )


def executed(step: Rung) -> tuple[str, str]:
    """SHA-256 of the artifact of a stage, and what executed it."""
    return step.artifact_sha256, step.evaluated_on


def compare(
    stage: str, artifact: Path, runtime: Executor, task: Task, reference: Reference, tolerance: Tolerance | None
) -> tuple[Rung, Outputs] | Unsupported:
    """Execute `artifact` with the runner of `runtime` and hold it against the stage before.

    Unsupported says why the runtime cannot execute it. Raises MismatchError when a step that should change nothing
    changed something, StageError when the artifact is nothing that the runtime can read.
    """
    labels = splits.labels(reference.evaluation)
    previous = Outputs.read(reference.outputs)
    tools = versions(runtime)
    # The same bytes in the same interpreter: the golden inputs are asked again, and speak for the others.
    known = previous.evaluation if executed(reference.last) == (files.sha256_file(artifact), tools) else None
    doing = f"executing the model that {stage} made"
    answered = attempt(
        runtime, doing, artifact, partial(_answers, runtime, reference, known), partial(_probe, runtime, reference)
    )
    if isinstance(answered, Unsupported):
        return answered
    outputs, operators = answered
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
    return replace(step, operators=operators), outputs


def _answers(
    runtime: Executor, reference: Reference, known: harness.Float32 | None, artifact: Path
) -> tuple[Outputs, dict[str, int]]:
    """What an artifact answers to both sets of inputs, and its operators; `known`: what it answers to the second."""
    golden = splits.whole(reference.golden)
    evaluation = splits.whole(reference.evaluation)
    answers = _predict(runtime, artifact, evaluation) if known is None else known
    outputs = Outputs(_predict(runtime, artifact, golden), answers)
    return outputs, harness.operators_in(str(runtime.backend), str(artifact))


def _probe(runtime: Executor, reference: Reference, artifact: Path) -> None:
    golden = splits.whole(reference.golden)
    _predict(runtime, artifact, golden[:1])


def _predict(runtime: Executor, artifact: Path, x: harness.Float32) -> harness.Float32:
    try:
        return harness.predict(str(runtime.backend), str(artifact), x, runtime.layout)
    except harness.RefusedError:
        raise
    except ValueError as error:  # as the backend's contract has it
        raise StageError(f"{runtime.id} cannot run what the stage made: {error}") from error


def write_no_answers(outputs: Path) -> None:
    """The outputs.npz of what answered nothing."""
    import numpy as np

    nothing = np.zeros((0, 0), np.float32)
    files.write_npz(outputs, golden=nothing, evaluation=nothing)


def versions(runtime: Executor) -> str:
    """What executes artifacts of a runtime here, e.g. "onnxruntime 1.32.0"."""
    tools = harness.load_backend(str(runtime.backend)).Session.versions()
    return ", ".join(f"{name} {version}" for name, version in sorted(tools.items()))
