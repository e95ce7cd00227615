"""sensitivity: quantize one layer at a time, rank the layers by what that costs, and choose which stay in float32.

Takes a converted model, calibration samples and the training samples with their labels; makes sensitivity.json. What is
evaluated later has no part in the choice, or its figures would be too good.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeflow import files
from edgeflow.errors import DataError, PluginError
from edgeflow.plugin import Drop, Layer, OptimizeJob, Runtime, Task
from edgeflow.registry import load_reference
from edgeflow.runners import harness
from edgeflow.stages import calibration
from edgeflow.stages.noise import signal_to_noise_db
from edgeflow.types import LayerSensitivity, Scheme, Sensitivity

MOST_SAMPLES = 2000  # every layer costs an evaluation of these


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
    """Rank, choose, write.

    Raises PluginError for a runtime that cannot leave layers out, DataError when the samples cannot prove the limit.
    """
    runtime: Runtime = load_reference(spec.runtime)
    task: Task = load_reference(spec.task)
    if runtime.layers is None or runtime.optimize is None:
        raise PluginError(f"runtime {runtime.id}: scheme {spec.scheme.id} wants mixed precision, and it has no layers")
    limit = spec.scheme.mixed_precision
    if limit is None:
        raise DataError(f"scheme {spec.scheme.id}: sets no mixed_precision, so there is nothing to choose")
    attempt, n = _attempt(spec, inputs, runtime, runtime.optimize, task)
    layers = runtime.layers(inputs.model)
    ranked = _rank(layers, attempt)
    by_name = {layer.name: layer for layer in layers}
    order = [by_name[layer.name] for layer in ranked]
    kept, mixed = fewest(order, attempt, limit)
    quantized = attempt([])
    files.write_json(
        outputs.sensitivity,
        Sensitivity(
            model=spec.model,
            profile=spec.profile,
            scheme=spec.scheme.id,
            metric=task.metric,
            limit=limit,
            n=n,
            drop_quantized=quantized.drop.value,
            interval_quantized=quantized.drop.interval,
            drop_mixed=mixed.drop.value,
            interval_mixed=mixed.drop.interval,
            kept=tuple(layer.name for layer in kept),
            layers=ranked,
        ),
    )


def _rank(layers: Sequence[Layer], attempt: Try) -> tuple[LayerSensitivity, ...]:
    """Each layer quantized alone, the worst first; where equally many samples are lost, by the noise at the output."""
    found = []
    for layer in layers:
        alone = attempt([other for other in layers if other is not layer])
        drop = alone.drop
        found.append(LayerSensitivity(layer.name, layer.operator, drop.value, drop.interval, alone.output_db))
    return tuple(sorted(found, key=lambda layer: (-layer.drop, layer.output_db)))


def fewest(ranked: Sequence[Layer], attempt: Try, limit: float) -> tuple[list[Layer], Trial]:
    """Keep the most sensitive layers, one more at a time until the drop is within its limit; then give back spare ones.

    The upper end of the interval decides, as it does for a budget. Raises DataError when even the float model's own
    interval is wider than the limit.
    """
    kept: list[Layer] = []
    trial = attempt(kept)
    while trial.drop.interval.high > limit:
        if len(kept) == len(ranked):
            raise DataError(
                f"mixed_precision: with every layer in float32 the drop is {trial.drop.value:.2%}, at most "
                f"{trial.drop.interval.high:.2%} of {trial.drop.n} training samples; the limit is {limit:.2%}. "
                "Raise it, or give the dataset more samples to train on"
            )
        kept.append(ranked[len(kept)])
        trial = attempt(kept)
    for layer in reversed(kept[:-1]):  # the last one was needed
        fewer = [other for other in kept if other is not layer]
        without = attempt(fewer)
        if without.drop.interval.high <= limit:
            kept, trial = fewer, without
    return kept, trial


def _attempt(
    spec: Spec, inputs: Inputs, runtime: Runtime, optimize: Callable[[OptimizeJob], None], task: Task
) -> tuple[Try, int]:
    """What quantizing all but some layers costs on the training samples, and how many these are."""
    x, y = (array[:MOST_SAMPLES] for array in files.read_npz(inputs.train, "x", "y"))
    samples = calibration.read(spec.model, spec.scheme, inputs.calibration, runtime)
    backend = str(runtime.backend)
    reference = harness.predict(backend, str(inputs.model), x, runtime.layout)
    known: dict[tuple[str, ...], Trial] = {}

    def attempt(kept: Sequence[Layer]) -> Trial:
        names = tuple(sorted(layer.name for layer in kept))
        if names not in known:
            with tempfile.TemporaryDirectory(prefix="edgeflow-") as folder:
                work, output = Path(folder) / "work", Path(folder) / f"model.{runtime.format}"
                work.mkdir()
                optimize(OptimizeJob(inputs.model, output, spec.scheme, spec.profile, samples, work, names))
                outputs = harness.predict(backend, str(output), x, runtime.layout)
            known[names] = Trial(task.drop(reference, outputs, y), signal_to_noise_db(reference, outputs))
        return known[names]

    return attempt, len(y)
