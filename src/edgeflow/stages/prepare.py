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
from edgeflow.errors import DataError, PluginError
from edgeflow.plugin import DatasetLoader, LoadJob, Samples
from edgeflow.registry import load_reference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeflow.plugin import Float32, Int64

GREY, COLOUR = 1, 3  # channels


@dataclass(frozen=True)
class Spec:
    """All that prepare depends on beside its files."""

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
    """The files that the loader reads: it finds them itself, the workflow watches them for edits."""

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
    """Load, split, resize, normalise and write.

    Raises DataError when the data do not fit the configuration, PluginError when the loader breaks its contract.
    """
    loader: DatasetLoader = load_reference(spec.loader)
    samples = loader.load(LoadJob(spec.dataset, spec.options, Path()))
    _check_contract(spec, samples)
    _check_counts(spec, samples)
    splits = split(samples.y, spec)
    x = _images(spec, samples.x)
    for name, chosen in splits.items():
        files.write_npz(getattr(outputs, name), x=x[chosen], y=samples.y[chosen])
    files.write_json(outputs.info, _describe(spec, samples.labels, splits, outputs))


def _check_contract(spec: Spec, samples: Samples) -> None:
    """What every loader promises of the classes; a sample of no known class would be in no split."""
    y, where = samples.y, f"dataset {spec.dataset}: loader {spec.loader}"
    if y.ndim != 1 or y.dtype != "int64":
        raise PluginError(f"{where}: y is {y.dtype}{list(y.shape)}; a loader gives int64[N]")
    if len(samples.x) != len(y):
        raise PluginError(f"{where}: gave {len(samples.x)} images and {len(y)} classes; expected one class per image")
    if len(y) and not 0 <= y.min() <= y.max() < len(samples.labels):
        known = len(samples.labels)
        raise PluginError(
            f"{where}: gave classes from {y.min()} to {y.max()} and {known} names; expected a name for each"
        )


def _check_counts(spec: Spec, samples: Samples) -> None:
    """Enough classes and samples for what the configuration wants of them."""
    where = f"dataset {spec.dataset}"
    if len(samples.labels) != spec.classes:
        names = ", ".join(samples.labels[:5]) + (", …" if len(samples.labels) > 5 else "")
        raise DataError(f"{where}: {len(samples.labels)} classes in the data ({names}); 'classes' says {spec.classes}")
    if missing := sorted(set(range(spec.classes)) - set(samples.y.tolist())):
        raise DataError(f"{where}: class {missing[0]} ({samples.labels[missing[0]]}) has no samples")
    held_out = spec.evaluation + spec.golden
    if held_out + spec.calibration > len(samples.y):
        raise DataError(
            f"{where}: {len(samples.y)} samples; splits want {spec.evaluation} for evaluation, {spec.golden} golden "
            f"and at least {spec.calibration} in train for calibration; lower a count in 'splits'"
        )


def split(y: Int64, spec: Spec) -> dict[str, NDArray[np.int64]]:
    """Indices per split; a split takes the same share of every class, up to one sample of each.

    So does any prefix of calibration: a scheme may use fewer samples than there are. The other splits are sorted.
    Raises DataError when a class has no sample left for training.
    """
    import numpy as np

    generator = np.random.Generator(np.random.PCG64(spec.seed))
    # Interleave the shuffled classes by their relative position: any cut through this order is stratified.
    order = [generator.permutation(np.flatnonzero(y == label)) for label in range(spec.classes)]
    position = np.concatenate([(np.arange(len(indices)) + 0.5) / len(indices) for indices in order])
    mixed = np.concatenate(order)[np.argsort(position, kind="stable")]
    golden, evaluation, train = np.split(mixed, [spec.golden, spec.golden + spec.evaluation])
    absent = sorted(set(range(spec.classes)) - set(y[train].tolist()))
    if absent:
        raise DataError(
            f"dataset {spec.dataset}: class {absent[0]} has no sample left for training; lower 'evaluation' or 'golden'"
        )
    return {
        "train": np.sort(train),
        "calibration": train[: spec.calibration],  # not sorted: data often come class by class
        "evaluation": np.sort(evaluation),
        "golden": np.sort(golden),
    }


def _images(spec: Spec, images: Any) -> Float32:
    """float32[N, C, H, W] as models take them, of N images of any sizes in [0, 1]."""
    import numpy as np

    mean, std = (np.asarray(values, np.float32).reshape(-1, 1, 1) for values in (spec.mean, spec.std))
    found = np.empty((len(images), *spec.shape), np.float32)
    for index, image in enumerate(images):
        planes = np.asarray(image, np.float32)
        _check_image(spec, index, planes)
        found[index] = (_resize(planes, spec.shape) - mean) / std
    return found


def _check_image(spec: Spec, index: int, image: Float32) -> None:
    import numpy as np

    where, channels = f"dataset {spec.dataset}: sample {index}", spec.shape[0]
    if image.ndim != 3 or not image.size:
        raise DataError(f"{where} has shape {list(image.shape)}; expected [channels, height, width]")
    if not np.isfinite(image).all() or image.min() < 0 or image.max() > 1:
        raise DataError(f"{where} has values from {image.min():.8g} to {image.max():.8g}; expected values in [0, 1]")
    if len(image) not in (GREY, channels) and (len(image), channels) != (COLOUR, GREY):
        raise DataError(
            f"{where} has shape {list(image.shape)}, and 'shape' says {list(spec.shape)}: {len(image)} channels cannot "
            f"become {channels}; only grey (1) becomes any number, and colour (3) grey"
        )


def _resize(image: Float32, shape: Sequence[int]) -> Float32:
    """float32[C, H, W] of the wanted shape: bilinear, grey repeated over channels, colours averaged to grey."""
    import numpy as np
    from PIL import Image

    channels, height, width = shape
    planes = image if len(image) in (GREY, channels) else image.mean(axis=0, keepdims=True)
    resized = [np.asarray(Image.fromarray(p).resize((width, height), Image.Resampling.BILINEAR)) for p in planes]
    return np.broadcast_to(np.stack(resized), (channels, height, width))


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
