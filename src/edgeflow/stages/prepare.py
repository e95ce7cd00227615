"""prepare: a dataset becomes four splits in the shape and range that models take.

train, evaluation and golden share no sample; calibration is drawn from train. The draw is stratified and depends on the
seed alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow import files
from edgeflow.errors import DataError
from edgeflow.plugin import DatasetLoader, LoadJob, Samples
from edgeflow.registry import load_reference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeflow.plugin import Float32, Int64


@dataclass(frozen=True)
class Spec:
    """All that prepare depends on beside its files."""

    toolchain: str
    dataset: str
    loader: str  # plugin reference
    options: Mapping[str, Any]
    shape: tuple[int, ...]  # channels, height, width
    mean: tuple[float, ...]  # one, or one per channel; subtracted after scaling to [0, 1]
    std: tuple[float, ...]
    classes: int
    seed: int
    calibration: int  # samples per split
    evaluation: int
    golden: int
    source: str


@dataclass(frozen=True)
class Inputs:
    """The files that the loader reads, so that an edit of one prepares again."""

    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Outputs:
    """Splits with x float32[N, C, H, W] and y int64[N], and what there is to know about them."""

    train: Path
    calibration: Path
    evaluation: Path
    golden: Path
    info: Path


def run(spec: Spec, inputs: Inputs, outputs: Outputs) -> None:
    """Load, scale, split and write; DataError when the data do not fit the configuration."""
    loader: DatasetLoader = load_reference(spec.loader)
    samples = loader.load(LoadJob(spec.dataset, spec.options, Path()))
    _check(spec, samples)
    x = _normalize(_resize(samples.x, spec.shape), spec.mean, spec.std)
    splits = split(samples.y, spec)
    for name, chosen in splits.items():
        files.write_npz(getattr(outputs, name), x=x[chosen], y=samples.y[chosen])
    files.write_json(outputs.info, _describe(spec, samples.labels, splits, outputs))


def _check(spec: Spec, samples: Samples) -> None:
    where = f"dataset {spec.dataset}"
    if len(samples.labels) != spec.classes:
        names = ", ".join(samples.labels[:5])
        raise DataError(f"{where}: {len(samples.labels)} classes in the data ({names}, …); 'classes' says {spec.classes}")
    held_out = spec.evaluation + spec.golden
    if held_out + spec.calibration > len(samples.y):
        raise DataError(
            f"{where}: {len(samples.y)} samples; splits want {spec.evaluation} for evaluation, {spec.golden} golden and "
            f"at least {spec.calibration} in train for calibration; lower a count in 'splits'"
        )


def split(y: Int64, spec: Spec) -> dict[str, NDArray[np.int64]]:
    """Indices per split, sorted; each class is represented as in the whole, up to one sample.

    Raises DataError when a class has no sample left for training.
    """
    import numpy as np

    generator = np.random.Generator(np.random.PCG64(spec.seed))
    # Interleave the shuffled classes by their relative position: any cut through this order is stratified.
    order = [generator.permutation(np.flatnonzero(y == label)) for label in range(spec.classes)]
    position = np.concatenate([(np.arange(len(indices)) + 0.5) / max(len(indices), 1) for indices in order])
    mixed = np.concatenate(order)[np.argsort(position, kind="stable")]
    golden, evaluation, train = np.split(mixed, [spec.golden, spec.golden + spec.evaluation])
    absent = sorted(set(range(spec.classes)) - set(y[train].tolist()))
    if absent:
        raise DataError(f"dataset {spec.dataset}: class {absent[0]} has no sample left for training; lower 'evaluation'")
    chosen = {"train": train, "calibration": train[: spec.calibration], "evaluation": evaluation, "golden": golden}
    return {name: np.sort(indices) for name, indices in chosen.items()}


def _resize(images: Any, shape: Sequence[int]) -> Float32:
    """float32[N, C, H, W] of the wanted shape: bilinear, grey repeated over channels, colours averaged to grey."""
    import numpy as np
    from PIL import Image

    channels, height, width = shape
    found = np.empty((len(images), channels, height, width), np.float32)
    for target, image in zip(found, images, strict=True):
        planes = [np.asarray(Image.fromarray(p).resize((width, height), Image.Resampling.BILINEAR)) for p in image]
        target[:] = planes if len(planes) == channels else np.mean(planes, axis=0)
    return found


def _normalize(x: Float32, mean: Sequence[float], std: Sequence[float]) -> Float32:
    import numpy as np

    shaped = [np.asarray(values, np.float32).reshape(-1, 1, 1) for values in (mean, std)]
    return np.asarray((x - shaped[0]) / shaped[1], np.float32)


def _describe(
    spec: Spec, labels: Sequence[str], splits: Mapping[str, NDArray[np.int64]], outputs: Outputs
) -> dict[str, Any]:
    return {
        "id": spec.dataset,
        "source": spec.source,
        "labels": list(labels),
        "shape": list(spec.shape),
        "preprocessing": {
            "scale": "[0, 1]",
            "resize": "bilinear",
            "mean": list(spec.mean),
            "std": list(spec.std),
        },
        "splits": {
            name: {"samples": len(chosen), "sha256": files.sha256_file(getattr(outputs, name))}
            for name, chosen in splits.items()
        },
    }
