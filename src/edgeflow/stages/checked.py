"""What convert, optimize and compile share: ask an artifact, and compare its answers with those of the stage before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow import files
from edgeflow.errors import DistanceError, MismatchError, StageError
from edgeflow.plugin import Executor, Task, Tolerance, Unsupported
from edgeflow.runners import harness
from edgeflow.stages import splits
from edgeflow.stages.calibration import Feeds
from edgeflow.stages.isolated import attempt
from edgeflow.stages.ladder import ROUNDS, Asked, Outputs, rung
from edgeflow.types.ladder import Ladder, Rung
from edgeflow.types.plain import to_json
from edgeflow.types.signatures import Binding

if TYPE_CHECKING:
    from edgeflow.plugin import Feed

FOLLOWED = 4  # golden samples that are followed through the operators


@dataclass(frozen=True)
class Reference:
    """The samples, and what the stage before answered."""

    golden: Path  # splits
    evaluation: Path
    outputs: Path  # outputs.safetensors of the stage before
    ladder: Ladder  # so far
    origin: Path | None = None  # outputs.safetensors of the first stage; None: of the stage before, nothing differs yet

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
    stage: str,
    artifact: Path,
    runtime: Executor,
    task: Task,
    reference: Reference,
    tolerance: Tolerance | None,
    binding: Binding | None = None,
    *,
    evaluate: bool | None = None,
) -> tuple[Rung, Outputs] | Unsupported:
    """Execute `artifact` with the runner of `runtime` and hold it against the stage before.

    `binding` is where the model's inputs and outputs are in it; None: where they were. Without `evaluate` the golden
    inputs alone are asked; the default is to do so where the step may change nothing. Unsupported says why the runtime
    cannot execute it. Raises MismatchError when a step that should change nothing changed something, StageError when
    the artifact is nothing that the runtime can read. What exceeds its tolerance by rounding alone, as `rounding` of
    that finds, is no error but a loss.
    """
    evaluate = tolerance is None if evaluate is None else evaluate
    previous = Outputs.read(reference.outputs)
    if reference.origin:
        previous = replace(previous, origin=Outputs.read(reference.origin).evaluation)
    executor = versions(runtime)
    asked = Asked.here(artifact, executor, reference.evaluation) if evaluate else None
    known = asked is not None and previous.asked == asked  # the same bytes, in the same interpreter, by whichever stage
    doing, found = f"executing the model that {stage} made", binding or reference.ladder.binding
    evaluation = reference.evaluation if evaluate and not known else None

    def work(path: Path) -> tuple[Outputs, dict[str, int]]:
        may_move = stage == "compile" and tolerance is not None and tolerance.relative > 0  # in other kernels
        told, operators = answers(runtime, found, reference.golden, evaluation, path)
        steps = _steps(runtime, found, path, told.golden) if may_move else {}
        return replace(told, steps=steps), operators

    answered = attempt(runtime, doing, artifact, work, partial(_probe, runtime, found, reference.golden))
    if isinstance(answered, Unsupported):
        return answered
    outputs, operators = answered
    evaluated = (
        replace(outputs, asked=asked)
        if outputs.evaluation
        else replace(previous, golden=outputs.golden, origin=None, steps=outputs.steps)
    )
    held = partial(
        rung,
        stage=stage,
        outputs=evaluated,
        previous=previous,
        targets=splits.targets(reference.evaluation, task),
        task=task,
        artifact=artifact,
        evaluated_on=executor,
    )
    try:
        step = held(tolerance=tolerance)
    except DistanceError as error:
        if tolerance is None or tolerance.rounding is None:
            raise
        if other := _other(tolerance.rounding, runtime, found, artifact, reference.golden):
            raise DistanceError(f"{error}; {other}") from error
        step = replace(held(tolerance=None), tolerance_reason=ROUNDS.format(tolerance.relative))
    return replace(step, operators=operators), evaluated


def _other(
    rounding: Callable[[Path, Iterable[Feed]], str],
    runtime: Executor,
    binding: Binding | None,
    artifact: Path,
    golden: Path,
) -> str:
    """The operator that is another function, or why nothing says that there is none; "" where all only round."""

    def work(path: Path) -> str:
        signature = harness.signature(str(runtime.backend), str(path))
        return rounding(path, Feeds(splits.opened(golden), FOLLOWED, signature, binding))

    found = attempt(runtime, "following it operator by operator", artifact, work)
    return f"it cannot be followed: {found.reason}" if isinstance(found, Unsupported) else found


def answers(
    runtime: Executor, binding: Binding | None, golden: Path, evaluation: Path | None, artifact: Path
) -> tuple[Outputs, dict[str, int]]:
    """What an artifact answers to the golden samples, where asked also to the others, and its operators."""
    told = Outputs(
        _ask(runtime, binding, artifact, golden), _ask(runtime, binding, artifact, evaluation) if evaluation else {}
    )
    return told, harness.operators_in(str(runtime.backend), str(artifact))


def _steps(runtime: Executor, binding: Binding | None, artifact: Path, outputs: Iterable[str]) -> dict[str, float]:
    """Output → what one integer more stands for, of those that the artifact answers with quantized integers."""
    said = harness.signature(str(runtime.backend), str(artifact))["outputs"]
    scales = {tensor["name"]: tensor["scale"] for tensor in said}
    tensors = {name: binding.outputs[name].tensor if binding else name for name in outputs}
    return {name: scale for name, tensor in tensors.items() if (scale := scales.get(tensor)) is not None}


def _probe(runtime: Executor, binding: Binding | None, golden: Path, artifact: Path) -> None:
    _ask(runtime, binding, artifact, golden, most=1)


def _ask(
    runtime: Executor, binding: Binding | None, artifact: Path, path: Path, most: int | None = None
) -> harness.Answers:
    split, backend = splits.opened(path), str(runtime.backend)
    try:
        return harness.ask(backend, str(artifact), split.batches(harness.READ, most), to_json(binding))
    except harness.RefusedError:
        raise
    except ValueError as error:  # as the backend's contract has it
        raise StageError(f"{runtime.id} cannot run {artifact.name}: {error}") from error


def write_no_answers(outputs: Path) -> None:
    """The outputs.safetensors of what answered nothing."""
    Outputs().write(outputs)


def versions(runtime: Executor) -> str:
    """What executes artifacts of a runtime here, e.g. "onnxruntime 1.32.0"."""
    tools = harness.load_backend(str(runtime.backend)).Session.versions()
    return ", ".join(f"{name} {version}" for name, version in sorted(tools.items()))
