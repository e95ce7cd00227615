"""prepare: a dataset becomes four splits in the shape and range that models take.

train, evaluation and golden share no sample; calibration is drawn from train. The draw is stratified and depends on the
seed alone. dataset.json says what was done to a sample, exactly, and golden_raw.npz has golden samples as they were
before, so that who writes an app can prove that theirs does the same.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow import files, preprocessing
from edgeflow.errors import DataError, PluginError
from edgeflow.plugin import DatasetLoader, LoadJob, Samples
from edgeflow.preprocessing import COLOUR, GREY, Preprocessing
from edgeflow.registry import load_reference
from edgeflow.runners import tensors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeflow.plugin import Float32, Int64

# What 0 and 1 are where the dataset declares no range: types with one of their own, and floats that are scaled already.
RANGES: Mapping[str, tuple[float, float]] = {
    **{"uint8": (0, 2**8 - 1), "uint16": (0, 2**16 - 1)},
    **dict.fromkeys(("float16", "float32", "float64"), (0, 1)),
}
NUMBERS = (*RANGES, "int8", "int16", "int32", "int64", "uint32", "uint64")
# Golden samples are kept as they were while they fit: one photo of 12 megapixels is 34 MiB, and one is always there.
RAW_BYTES = 64 * 2**20
INPUT = "input"  # what a dataset with one input calls it
CHUNK = 256  # samples at a time where float64 would double the memory
AXES = {1: "(features)", 2: "(channels, length)", 3: "(channels, height, width)"}


@dataclass(frozen=True)
class Spec:
    """All that prepare depends on beside its files."""

    dataset: str
    loader: str  # plugin reference
    options: Mapping[str, Any]
    shape: tuple[int, ...]  # channels, height, width; channels, length; or features
    mean: tuple[float, ...] | None  # one, or one per channel; subtracted after scaling. None: measured in train
    std: tuple[float, ...] | None
    classes: int
    seed: int
    calibration: int  # samples per split
    evaluation: int
    golden: int
    source: str
    range: tuple[float, ...] | None = None  # values that become 0 and 1; () leaves all as they are; None: RANGES


@dataclass(frozen=True)
class Inputs:
    """The files that the loader reads: it finds them itself, the workflow watches them for edits."""

    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Outputs:
    """Splits with x float32[N, …] and y int64[N], and what there is to know about them."""

    train: Path
    calibration: Path
    evaluation: Path
    golden: Path
    golden_raw: Path  # arrays named by their row in golden, as the loader gave them
    samples: Path  # split, row, index, name and class of every sample
    info: Path


def run(spec: Spec, inputs: Inputs, outputs: Outputs) -> None:
    """Load, split, resize, scale, normalise and write.

    Raises DataError when the data do not fit the configuration, with all samples that are wrong, and PluginError when
    the loader breaks its contract.
    """
    loader: DatasetLoader = load_reference(spec.loader)
    samples = loader.load(LoadJob(spec.dataset, spec.options, Path()))
    _check_contract(spec, samples)
    _check_counts(spec, samples)
    splits = split(samples.y, spec)
    x, raw, how = _read(spec, samples, splits)
    how = _normalized(spec, how, x)
    x["calibration"] = x["train"][_places(splits["calibration"], splits["train"])]
    for name, chosen in splits.items():
        with files.atomic(getattr(outputs, name)) as path:
            tensors.write(path, {f"{tensors.INPUTS}{INPUT}": x[name], tensors.LABELS: samples.y[chosen]})
    with files.atomic(outputs.golden_raw) as path:
        tensors.write(path, {f"{row}/{INPUT}": sample[None] for row, sample in raw.items()})
    files.write_text(outputs.samples, _listed(samples, splits))
    files.write_json(outputs.info, _describe(spec, samples, splits, how, list(raw), outputs))
    if samples.skipped:
        print(f"skipped {len(samples.skipped)} files of the operating system:", *samples.skipped, sep="\n  ")


def _check_contract(spec: Spec, samples: Samples) -> None:
    """What every loader promises of the classes; a sample of no known class would be in no split."""
    y, where = samples.y, f"dataset {spec.dataset}: loader {spec.loader}"
    if y.ndim != 1 or y.dtype != "int64":
        raise PluginError(f"{where}: y is {y.dtype}{list(y.shape)}; a loader gives int64[N]")
    if len(samples.x) != len(y):
        raise PluginError(f"{where}: gave {len(samples.x)} samples and {len(y)} classes; expected one class per sample")
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


def _read(
    spec: Spec, samples: Samples, splits: Mapping[str, NDArray[np.int64]]
) -> tuple[dict[str, Float32], dict[int, NDArray[Any]], Preprocessing]:
    """x scaled per split that shares no sample with another, golden samples by row as they were, and what was done.

    One sample at a time is in memory in its own size. Raises DataError with every sample that cannot be used.
    """
    import numpy as np

    how = _how(spec, samples)
    apart = {name: chosen for name, chosen in splits.items() if name != "calibration"}
    x = {name: np.empty((len(chosen), *spec.shape), np.float32) for name, chosen in apart.items()}
    place = {int(index): (name, row) for name, chosen in apart.items() for row, index in enumerate(chosen)}
    raw: dict[int, NDArray[Any]] = {}
    problems, types = list[str](), set[str]()
    for index in range(len(samples.y)):
        try:
            sample = _sample(spec, samples, index)
        except DataError as error:  # all are reported at once
            problems.append(str(error))
            continue
        name, row = place[index]
        x[name][row] = preprocessing.scaled(how, sample)
        types.add(str(sample.dtype))
        if name == "golden" and (not raw or sum(kept.nbytes for kept in raw.values()) + sample.nbytes <= RAW_BYTES):
            raw[row] = sample.copy()  # it may be a view of the loader's whole array, or of what it reads into
    if problems:
        raise DataError.of_all(
            f"dataset {spec.dataset}: {len(problems)} of {len(samples.y)} samples cannot be used", problems
        )
    scale = how.scale and {name: limits for name, limits in how.scale.items() if name in types}
    return x, raw, replace(how, scale=scale)


def _how(spec: Spec, samples: Samples) -> Preprocessing:
    """What is done to every sample, but for the normalisation and for any type of values."""
    scale = RANGES if spec.range is None else dict.fromkeys(NUMBERS, spec.range) if spec.range else None
    images = len(spec.shape) == 3
    return Preprocessing(
        order=preprocessing.ORDER,
        decode=samples.decode,
        channels=preprocessing.CHANNELS if images else None,
        resize=preprocessing.bilinear() if images else None,
        scale=scale,
        shape=spec.shape,
        mean=(0.0,),
        std=(1.0,),
    )


def _sample(spec: Spec, samples: Samples, index: int) -> NDArray[Any]:
    """One sample as the loader gives it, with an axis for the channel where it has but one; DataError names it."""
    import numpy as np

    given = np.asarray(samples.x[index])
    where = f"sample {index}" + (f" ({samples.names[index]})" if samples.names else "")
    bare = given.ndim == len(spec.shape) - 1 > 0
    sample = np.ascontiguousarray(given[None] if bare else given, given.dtype.newbyteorder("="))
    if problem := _misshapen(sample, spec.shape) or _out_of_range(sample, spec.range):
        raise DataError(f"{where}: {problem}")
    return sample


def _misshapen(sample: NDArray[Any], shape: tuple[int, ...]) -> str:
    """What is wrong with the shape of a sample; "" when nothing is."""
    has_shape, expected = f"has shape {list(sample.shape)}", f"{list(shape)} {AXES[len(shape)]}"
    if sample.ndim != len(shape) or not sample.size:
        return f"{has_shape}; 'shape' says {expected}"
    if len(shape) < 3:
        turned = sample.shape == shape[::-1] and len(shape) == 2
        hint = "; are its axes [length, channels]? The npz loader turns them with 'layout: NLC'" if turned else ""
        return "" if sample.shape == shape else f"{has_shape}; 'shape' says {expected}{hint}"
    given, wanted = len(sample), shape[0]
    if given in (GREY, wanted) or (given, wanted) == (COLOUR, GREY):
        return ""
    last = sample.shape[-1] in (GREY, COLOUR, wanted)
    hint = "; are its axes [height, width, channels]? The npz loader turns them with 'layout: NHWC'" if last else ""
    return (
        f"{has_shape}, and 'shape' says {expected}: {given} channels cannot become {wanted}; only grey (1) becomes any "
        f"number, and colour (3) grey{hint}"
    )


def _out_of_range(sample: NDArray[Any], declared: tuple[float, ...] | None) -> str:
    """What is wrong with the values of a sample; "" when nothing is."""
    import numpy as np

    kind = str(sample.dtype)
    if kind not in NUMBERS:
        return f"is {kind}; expected numbers"
    if kind not in RANGES and declared is None:
        return f"is {kind}, of no known range; give it in 'range: [low, high]', or 'range: any' if there is none"
    low, high = sample.min(), sample.max()
    values = f"has values from {low:.8g} to {high:.8g}"
    if not np.isfinite(low) or not np.isfinite(high):
        return f"{values}; expected finite numbers"
    least, most = (declared or (low, high)) if declared is not None else RANGES[kind]
    if least <= low and high <= most:
        return ""
    if declared:
        return f"{values}; 'range' says [{least:.8g}, {most:.8g}]"
    return f"{values}; expected floats in [0, 1]: give their own 'range: [low, high]', or 'range: any' if there is none"


def _normalized(spec: Spec, how: Preprocessing, x: Mapping[str, Float32]) -> Preprocessing:
    """Normalise in place; with the mean and the standard deviation that were given, and of train what was not."""
    mean, std = spec.mean, spec.std
    if mean is None or std is None:
        measured_mean, measured_std, constant = _moments(x["train"])
        mean, std = mean or measured_mean, std or measured_std
        if constant:
            print(
                f"dataset {spec.dataset}: the same value in all of train, not divided: channels or features {constant}"
            )
    how = replace(how, mean=mean, std=std)
    for part in x.values():
        preprocessing.normalize(how, part)
    return how


def _moments(x: Float32) -> tuple[tuple[float, ...], tuple[float, ...], list[int]]:
    """Mean and standard deviation of x float32[N, C, …] per channel; 1 for channels that never change, and which."""
    import numpy as np

    axes = tuple(axis for axis in range(x.ndim) if axis != 1)
    chunks = [slice(start, start + CHUNK) for start in range(0, len(x), CHUNK)]
    count = x.size / x.shape[1]
    mean = np.sum([x[chunk].sum(axes, np.float64) for chunk in chunks], axis=0) / count
    shifted = mean.reshape(-1, *(1 for _ in x.shape[2:]))
    std = np.sqrt(np.sum([((x[chunk] - shifted) ** 2).sum(axes) for chunk in chunks], axis=0) / count)
    constant = (x.min(axes) == x.max(axes)) | (std.astype(np.float32) == 0)
    std[constant] = 1
    # as float32, in which they are used: what is recorded is what was done
    numbers = [tuple(map(float, values.astype(np.float32))) for values in (mean, std)]
    return numbers[0], numbers[1], np.flatnonzero(constant).tolist()


def _places(chosen: NDArray[np.int64], within: NDArray[np.int64]) -> NDArray[np.int64]:
    """The position of each of `chosen` in `within`, which is sorted."""
    import numpy as np

    return np.searchsorted(within, chosen)


# --- what there is to know -------------------------------------------------------------------------------------------


def _listed(samples: Samples, splits: Mapping[str, NDArray[np.int64]]) -> str:
    """One line of CSV a sample of a split."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("split", "row", "index", "name", "label"))
    for name, chosen in splits.items():
        for row, index in enumerate(chosen.tolist()):
            label = samples.labels[samples.y[index]]
            lines.writerow((name, row, index, samples.names[index] if samples.names else "", label))
    return text.getvalue()


def _describe(
    spec: Spec,
    samples: Samples,
    splits: Mapping[str, NDArray[np.int64]],
    how: Preprocessing,
    raw: Sequence[int],
    outputs: Outputs,
) -> dict[str, Any]:
    return {
        "id": spec.dataset,
        "source": spec.source,
        "labels": list(samples.labels),
        "preprocessing": how,
        "skipped_files": len(samples.skipped),
        "splits": {
            name: {"samples": len(chosen), "sha256": files.sha256_file(getattr(outputs, name))}
            for name, chosen in splits.items()
        },
        "golden_raw": {"rows": list(raw), "sha256": files.sha256_file(outputs.golden_raw)},
        "samples": {"sha256": files.sha256_file(outputs.samples)},
    }
