"""sensitivity: quantize one layer at a time, rank the layers by what that costs, and choose which stay in float32.

Takes a converted model with its ladder, calibration samples and the training samples with their labels; makes
sensitivity.json. Were the layers chosen by what the evaluation samples lose, their figures would be too good. But a
network is surer of what it was trained on: so each training sample is blended with as much of another as brings the
float model's metric down to that on the evaluation samples, and then loses as much to quantization as those do. That
one number, the float model's metric, is all that the evaluation samples say in the choice.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow import files
from edgeflow.errors import DataError, PluginError
from edgeflow.plugin import Drop, Layer, OptimizeJob, Runtime, Task, Unsupported
from edgeflow.registry import load_reference
from edgeflow.runners import harness
from edgeflow.runners.tensors import first
from edgeflow.stages import calibration, splits
from edgeflow.stages.isolated import attempt
from edgeflow.stages.noise import signal_to_noise_db
from edgeflow.stages.reference import comparison
from edgeflow.types.figures import Direction, Interval
from edgeflow.types.ladder import Ladder, LayerSensitivity, Sensitivity
from edgeflow.types.plain import to_json
from edgeflow.types.signatures import Binding
from edgeflow.types.variants import Scheme

if TYPE_CHECKING:
    from edgeflow.plugin import Float32, Int64, Rows

MOST_SAMPLES = 2000  # of the training split; every layer costs an evaluation of these
MOST_BLENDED = 0.5  # from there on it is more of the other sample
HALVINGS = 8  # of the range in which the right part is looked for


@dataclass(frozen=True)
class Spec:
    """All that the ranking depends on beside its files."""

    model: str
    scheme: Scheme
    profile: str
    runtime: str  # plugin references
    task: str


@dataclass(frozen=True)
class Inputs:
    """A converted model and the data."""

    model: Path
    ladder: Path
    train: Path
    calibration: Path | None = None


@dataclass(frozen=True)
class Outputs:
    """Where the ranking goes."""

    sensitivity: Path


@dataclass(frozen=True)
class Trial:
    """The model with some layers in float32 and the others quantized."""

    drop: Drop
    output_db: float


Try = Callable[[Sequence[Layer]], Trial]  # the layers that stay in float32


def run(spec: Spec, inputs: Inputs, outputs: Outputs) -> None:
    """Rank, choose, write; or write why the tools cannot quantize the model, or the runtime not run it.

    Raises PluginError for a runtime that cannot leave layers out, DataError when the samples cannot prove the limit.
    """
    runtime: Runtime = load_reference(spec.runtime)
    task: Task = load_reference(spec.task)
    if runtime.layers is None or runtime.optimize is None:
        raise PluginError(f"runtime {runtime.id}: scheme {spec.scheme.id} wants mixed precision, and it has no layers")
    limit = spec.scheme.mixed_precision
    if limit is None:
        raise DataError(f"scheme {spec.scheme.id}: sets no mixed_precision, so there is nothing to choose")
    ladder = files.read_as(Ladder, inputs.ladder)
    result: Sensitivity | Unsupported
    if ladder.infeasible:
        result = Unsupported(ladder.infeasible)
    else:
        rank = partial(_ranking, spec, inputs, runtime, task, ladder.valued[-1][1], limit)
        doing = f"quantizing single layers with scheme {spec.scheme.id}"
        result = attempt(runtime, doing, inputs.model, rank, probe=partial(_quantize_all, spec, inputs, runtime))
    if isinstance(result, Unsupported):
        result = _nothing(spec, task, limit, result.reason)
    files.write_json(outputs.sensitivity, result)


def _ranking(
    spec: Spec, inputs: Inputs, runtime: Runtime, task: Task, wanted: float, limit: float, model: Path
) -> Sensitivity:
    """Which layers of a model that scores `wanted` stay in float32."""
    predict = _predictor(runtime, inputs)
    x, y = training_samples(inputs.train)

    def score(part: float) -> float:
        answers = predict(str(model), replace(x, part=part))
        return task.score(comparison(answers, answers, y)).value

    blended = as_hard(score, wanted, task.direction)
    x = replace(x, part=blended)
    samples = calibration.read(spec.model, spec.scheme, inputs.calibration, runtime, model, _binding(inputs))
    job = partial(OptimizeJob, model, scheme=spec.scheme, profile=spec.profile, calibration=samples)
    trial = _attempts(partial(_quantized, job, runtime, predict, x), predict(str(model), x), y, task)
    layers = runtime.layers(model) if runtime.layers else ()
    ranked = _rank(layers, trial)
    by_name = {layer.name: layer for layer in layers}
    order = [by_name[layer.name] for layer in ranked]
    kept, mixed = fewest(order, trial, limit)
    quantized = trial([])
    return Sensitivity(
        model=spec.model,
        profile=spec.profile,
        scheme=spec.scheme.id,
        metric=task.metric,
        limit=limit,
        n=len(y),
        blended=blended,
        drop_quantized=quantized.drop.value,
        interval_quantized=quantized.drop.interval,
        drop_mixed=mixed.drop.value,
        interval_mixed=mixed.drop.interval,
        kept=tuple(layer.name for layer in kept),
        layers=ranked,
    )


def _binding(inputs: Inputs) -> Binding | None:
    return files.read_as(Ladder, inputs.ladder).binding


def _nothing(spec: Spec, task: Task, limit: float, reason: str) -> Sensitivity:
    """What is written where nothing could be tried."""
    none = Interval(0.0, 0.0, 0.0, "none")
    return Sensitivity(
        model=spec.model,
        profile=spec.profile,
        scheme=spec.scheme.id,
        metric=task.metric,
        limit=limit,
        n=0,
        blended=0.0,
        drop_quantized=0.0,
        interval_quantized=none,
        drop_mixed=0.0,
        interval_mixed=none,
        kept=(),
        layers=(),
        infeasible=reason,
    )


@dataclass(frozen=True)
class Blended:
    """Samples of a split, each with a part of another in it; a few at a time are in memory."""

    rows: Rows
    chosen: Int64
    others: Int64
    part: float = 0.0

    def batches(self, most: int | None = None) -> Iterator[Float32]:
        """float32[n, …], n a few; of the first `most` samples."""
        import numpy as np

        end = len(self.chosen) if most is None else min(most, len(self.chosen))
        for start in range(0, end, harness.READ):
            batch = slice(start, min(start + harness.READ, end))
            x = self.rows[self.chosen[batch]]
            yield x + np.float32(self.part) * (self.rows[self.others[batch]] - x) if self.part else x


def training_samples(path: Path) -> tuple[Blended, Int64]:
    """At most MOST_SAMPLES of a split, in its order, and y: a random choice, as data often come class by class."""
    import numpy as np

    y = splits.labels(path)
    chosen = np.sort(np.random.default_rng(0).permutation(len(y))[:MOST_SAMPLES])
    others = chosen[np.random.default_rng(0).permutation(len(chosen))]
    return Blended(splits.Rows(path), chosen, others), y[chosen]


def _predictor(runtime: Runtime, inputs: Inputs) -> Callable[..., Float32]:
    """What a model answers to samples of its one input with its one output."""
    name = first(splits.opened(inputs.train).names)
    binding = to_json(_binding(inputs))

    def predict(model: str, x: Blended, most: int | None = None) -> Float32:
        answers = harness.ask(str(runtime.backend), model, ({name: batch} for batch in x.batches(most)), binding)
        (answer,) = answers.values()
        return answer

    return predict


def _quantized(
    job: Callable[..., OptimizeJob],
    runtime: Runtime,
    predict: Callable[..., Float32],
    x: Blended,
    kept: Sequence[str],
    most: int | None = None,
) -> Float32:
    """What the model answers to x with all layers but the kept ones quantized; RefusedError when the tools refuse."""
    optimize = runtime.optimize
    if optimize is None:
        raise PluginError(f"runtime {runtime.id}: has no optimize function")
    with tempfile.TemporaryDirectory(prefix="edgeflow-") as folder:
        work, output = Path(folder) / "work", Path(folder) / "model"
        work.mkdir()
        refusal = optimize(job(output=output, work=work, keep=tuple(sorted(kept))))
        if refusal:
            raise harness.RefusedError(refusal.reason)
        return predict(str(output), x, most)


def _quantize_all(spec: Spec, inputs: Inputs, runtime: Runtime, model: Path) -> None:
    """Quantize every layer and ask the result: shorter than the ranking, and what a tool dies of is in it too."""
    predict = _predictor(runtime, inputs)
    x, _ = training_samples(inputs.train)
    samples = calibration.read(spec.model, spec.scheme, inputs.calibration, runtime, model, _binding(inputs))
    job = partial(OptimizeJob, model, scheme=spec.scheme, profile=spec.profile, calibration=samples)
    _quantized(job, runtime, predict, x, (), most=1)


def _attempts(answers: Callable[[Sequence[str]], Float32], reference: Float32, y: Int64, task: Task) -> Try:
    """Trials against the float model's answers, each made once; PluginError for a task that knows no drop."""
    drop = task.drop
    if drop is None:
        raise PluginError(f"task {task.id}: has no drop of its metric, which mixed_precision keeps within a limit")

    @cache
    def measured(kept: frozenset[str]) -> Trial:
        outputs = answers([*kept])
        return Trial(drop(comparison(reference, outputs, y)), signal_to_noise_db(reference, outputs))

    return lambda kept: measured(frozenset(layer.name for layer in kept))


def _rank(layers: Sequence[Layer], trial_of: Try) -> tuple[LayerSensitivity, ...]:
    """Each layer quantized alone, the worst first; where equally many samples are lost, by the noise at the output."""
    ranked = []
    for layer in layers:
        alone = trial_of([other for other in layers if other is not layer])
        drop = alone.drop
        ranked.append(LayerSensitivity(layer.name, layer.operator, drop.value, drop.interval, alone.output_db))
    return tuple(sorted(ranked, key=lambda layer: (-layer.drop, layer.output_db)))


def fewest(ranked: Sequence[Layer], trial_of: Try, limit: float) -> tuple[list[Layer], Trial]:
    """Keep the most sensitive layers, one more at a time until the drop is within its limit; then give back spare ones.

    The upper end of the interval decides, as it does for a budget. Raises DataError when even the float model's own
    interval is wider than the limit.
    """
    kept: list[Layer] = []
    trial = trial_of(kept)
    while trial.drop.interval.high > limit:
        if len(kept) == len(ranked):
            raise DataError(
                f"mixed_precision: with every layer in float32 the drop is {trial.drop.value:.2%}, at most "
                f"{trial.drop.interval.high:.2%} of {trial.drop.n} training samples; the limit is {limit:.2%}. "
                "Raise it, or give the dataset more samples to train on"
            )
        kept.append(ranked[len(kept)])
        trial = trial_of(kept)
    for layer in reversed(kept[:-1]):  # the last one was needed
        fewer = [other for other in kept if other is not layer]
        without = trial_of(fewer)
        if without.drop.interval.high <= limit:
            kept, trial = fewer, without
    return kept, trial


def as_hard(score: Callable[[float], float], wanted: float, direction: Direction) -> float:
    """How much of another sample must be in each to bring their score down to what is `wanted`: 0 to MOST_BLENDED.

    `score` is that of samples with such a part. Blends stay inside the ranges that the model was calibrated for, which
    noise does not. 0 where they score no better without.
    """
    sign = 1 if direction is Direction.MAX else -1

    def easy(part: float) -> bool:
        return sign * score(part) > sign * wanted

    if not easy(0.0):
        return 0.0
    low, high = 0.0, MOST_BLENDED
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if easy(middle) else (low, middle)
    return high
