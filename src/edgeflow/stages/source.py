"""source: a model that somebody brings is checked and described, and asked what it answers.

Takes the prepared data, and the file or folder that the spec names; makes outputs.safetensors, the first rung of the
ladder, and source.json: what the model takes and gives, which file it was, what it is quantized to already, and its
metric. What the file is is learned without executing it; then the runner of its format asks it, in a child. Its
answer to a sample must be the same whatever else is asked, else nothing could be compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from edgeflow import files
from edgeflow.errors import DataError
from edgeflow.plugin import Format, Task, Unsupported
from edgeflow.registry import load_reference
from edgeflow.runners import harness
from edgeflow.stages import ladder, splits
from edgeflow.stages.checked import answers, versions
from edgeflow.stages.fitting import Given, check_values, fit
from edgeflow.stages.isolated import attempt
from edgeflow.stages.reference import comparison, score
from edgeflow.types.ladder import Ladder
from edgeflow.types.plain import to_json
from edgeflow.types.signatures import Binding, Signature

if TYPE_CHECKING:
    from edgeflow.plugin import Answers

T = TypeVar("T")
AGAIN = 4  # golden samples that are asked for a second time
MOST_APART = 0.02  # of the range of an output's answers: what batches round otherwise is far below
ROUNDING = 1e-3  # of the greatest answer, where answers have hardly a range


@dataclass(frozen=True)
class Spec:
    """All that source depends on beside its files."""

    model: str
    source: str  # file or folder, relative to the project
    format: str  # plugin references
    task: str
    layouts: Mapping[str, str] = field(default_factory=dict)  # input → order of its axes, where the user says it
    output: str = ""  # the only one that is looked at; "": all of them


@dataclass(frozen=True)
class Inputs:
    """The prepared splits."""

    golden: Path
    evaluation: Path


@dataclass(frozen=True)
class Outputs:
    """What the model answers, and what it is."""

    outputs: Path
    ladder: Path
    info: Path


def run(spec: Spec, inputs: Inputs, outputs: Outputs) -> None:
    """Describe and ask the model.

    Raises DataError where the file is missing, damaged or hostile, or does not fit the dataset, and where its own
    runner cannot run it: nothing could be held against it then.
    """
    kind: Format = load_reference(spec.format)
    task: Task = load_reference(spec.task)
    path, where = Path(spec.source), f"config/models/{spec.model}.yaml: source: {spec.source}"
    if not path.exists():
        raise DataError(f"{where}: no such file; paths start at the project folder")
    if kind.backend is None:
        raise DataError(f"{where}: nothing here can run {kind.description} files, so nothing could be compared with it")
    signature, quantized = _done(attempt(kind, f"reading {path}", path, partial(_read, kind)), where)
    split = splits.opened(inputs.golden)
    golden = split.batch(0, harness.READ)
    given = {name: Given(array.dtype.name, array.shape[1:]) for name, array in golden.items()}
    binding = fit(spec.model, signature, given, spec.layouts, spec.output, recorded=not split.declared)
    check_values(spec.model, signature, binding, golden)
    ask = partial(_asked, kind, binding, inputs)
    told, operators, changed = _done(attempt(kind, f"executing {path}", path, ask), where)
    if changed:
        raise DataError(
            f"{where}: what it answers to a sample in {changed!r} depends on what else it is asked: it was exported in "
            "training mode (batch normalization, dropout), draws by chance, or keeps a state; export it for inference"
        )
    tools = versions(kind)
    asked = ladder.Asked.here(path, tools, inputs.evaluation)
    told = replace(told, asked=asked)
    labels = splits.targets(inputs.evaluation, task)
    step = ladder.rung("source", told, None, labels, task, None, path, tools)
    said = {
        "model": spec.model,
        "file": spec.source,
        "format": kind.id,
        "sha256": asked.artifact_sha256,
        "quantized": quantized,
        "signature": signature,
        "reference": score(task, comparison(told.evaluation, told.evaluation, labels)),
        "tools": tools,
        "samples": len(splits.opened(inputs.evaluation)),
    }
    told.write(outputs.outputs)
    files.write_json(outputs.ladder, Ladder((replace(step, operators=operators),), binding=binding))
    files.write_json(outputs.info, said)


def _read(kind: Format, path: Path) -> tuple[Signature, str]:
    """What goes into a file and comes out, and what it is quantized to; DataError for one that is not to be trusted."""
    return kind.signature(path), kind.quantized(path)


def _asked(kind: Format, binding: Binding, inputs: Inputs, path: Path) -> tuple[ladder.Outputs, dict[str, int], str]:
    """All answers, operators, and the output that answers otherwise to samples that come alone and in another order."""
    told, operators = answers(kind, binding, inputs.golden, inputs.evaluation, path)
    some = splits.opened(inputs.golden).batch(0, AGAIN)
    count = len(next(iter(some.values())))
    alone = [{name: array[i : i + 1] for name, array in some.items()} for i in reversed(range(count))]
    again = harness.ask(str(kind.backend), str(path), alone, to_json(binding))
    return told, operators, _changed(told.golden, {name: answer[::-1] for name, answer in again.items()})


def _changed(before: Answers, again: Answers) -> str:
    """The first output whose real values are others now; "" where none is. Indices may be others by rounding."""
    for name, answer in again.items():
        if answer.dtype.kind != "f":
            continue
        every = before[name].astype(np.float64)
        with np.errstate(invalid="ignore"):  # what is not finite is said elsewhere
            apart = np.abs(every[: len(answer)] - answer)
            most = MOST_APART * np.ptp(every) + ROUNDING * np.abs(every).max()
        if (apart > most).any():
            return name
    return ""


def _done(answer: T | Unsupported, where: str) -> T:
    if isinstance(answer, Unsupported):
        raise DataError(f"{where}: {answer.reason}; without its own answers nothing could be compared with it")
    return answer
