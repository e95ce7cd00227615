"""prepare: a dataset becomes four splits in the shape and range that models take.

train, evaluation and golden share no sample; calibration is drawn from train. The draw is stratified and depends on the
seed alone. dataset.json says what was done to a sample, exactly, and golden_raw.safetensors has golden samples as they
were before, so that who writes an app can prove that theirs does the same.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow import files, preprocessing
from edgeflow.errors import DataError, PluginError
from edgeflow.plugin import DatasetLoader, LoadJob, Samples
from edgeflow.preprocessing import COLOUR, GREY, Preprocessing
from edgeflow.registry import load_reference
from edgeflow.runners import tensors
from edgeflow.runners.tensors import INPUTS, LABELS, How

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
CHUNK = 256  # samples at a time, fewer where they would take more than
CHUNK_BYTES = 32 * 2**20
INPUT = "input"  # the name of the only input
NORMALIZATION_BYTES = 64  # that the mean and the standard deviation of a channel take in the header of a split
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
    """Splits as `runners.tensors` has them, and what there is to know about them."""

    train: Path
    calibration: Path
    evaluation: Path
    golden: Path
    golden_raw: Path  # tensors [1, …] named "<row in golden>/<input>", as the loader gave them
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
    with _written(splits, outputs) as paths:
        store = Store(paths, splits, samples.y, spec.shape)
        raw, how = _read(spec, samples, store)
        how = _normalized(spec, how, store)
        tensors.write(paths["golden_raw"], {f"{row}/{INPUT}": sample[None] for row, sample in raw.items()})
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


class Store:
    """The splits as they are written, a sample at a time: stored as they are while they are integers of one type."""

    def __init__(
        self, paths: Mapping[str, Path], splits: Mapping[str, NDArray[np.int64]], y: Int64, shape: tuple[int, ...]
    ) -> None:
        self._paths, self._splits, self._y, self._shape = paths, splits, y, shape
        self._places: dict[int, list[tuple[str, int]]] = {}
        for name, chosen in splits.items():
            for row, index in enumerate(chosen.tolist()):
                self._places.setdefault(index, []).append((name, row))
        self._writers: dict[str, tensors.Writer] = {}
        self._types: tuple[str, str] | None = None  # of raw samples and of stored ones
        self.how = How()
        self.mixed = False

    def places(self, index: int) -> list[tuple[str, int]]:
        """Split and row of a sample; a sample of train may be in calibration too."""
        return self._places[index]

    def write(self, index: int, sample: NDArray[Any], kind: str, how: Preprocessing) -> None:
        """Put a sample, whose raw values were of type `kind`, where it belongs."""
        if self._types is None:
            self._types = (kind, str(sample.dtype))
            self.how = preprocessing.stored_how(how, kind, str(sample.dtype))
            self._writers = {name: self._writer(name, str(sample.dtype)) for name in self._splits}
        elif not self.mixed and (kind, str(sample.dtype)) != self._types:
            self._scale()
        rows = sample[None]
        if self.mixed:
            rows = preprocessing.stored_how(how, kind, str(sample.dtype)).applied(rows)
        for name, row in self._places[index]:
            self._writers[name].write(INPUTS + INPUT, row, rows)

    def normalize(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """Say in every split how its values are normalised."""
        if set(mean) != {0.0} or set(std) != {1.0}:
            self.how = replace(self.how, mean=mean, std=std)
        for writer in self._writers.values():
            writer.describe(tensors.described({INPUT: self.how}))

    def scaled(self, name: str) -> Iterator[Float32]:
        """The samples of a split before they are normalised, some at a time: float32[n, …]."""
        import numpy as np

        how = replace(self.how, mean=None, std=None)
        reader = tensors.Reader(self._paths[name])
        for start, stop in _chunks(len(self._splits[name]), self._shape):
            yield np.asarray(how.applied(reader.rows(INPUTS + INPUT, start, stop)), np.float32)

    def _writer(self, name: str, dtype: str) -> tensors.Writer:
        chosen = self._splits[name]
        inputs = {INPUT: (dtype, (len(chosen), *self._shape))}
        room = NORMALIZATION_BYTES * (1 + self._shape[0])
        writer = tensors.split_writer(self._paths[name], inputs, {INPUT: self.how}, labelled=True, room_bytes=room)
        writer.write(LABELS, 0, self._y[chosen])
        return writer

    def _scale(self) -> None:
        """Samples of several types have in common only what they are scaled to: so is what was written already."""
        how, self.how, self.mixed = self.how, How(), True
        for name, path in self._paths.items():
            if name not in self._splits:
                continue
            as_they_were = path.rename(path.with_suffix(f".mixed{path.suffix}"))
            reader = tensors.Reader(as_they_were)
            self._writers[name] = self._writer(name, "float32")
            for start, stop in _chunks(len(self._splits[name]), self._shape):
                rows = how.applied(reader.rows(INPUTS + INPUT, start, stop))
                self._writers[name].write(INPUTS + INPUT, start, rows)
            as_they_were.unlink()


@contextmanager
def _written(splits: Mapping[str, Any], outputs: Outputs) -> Iterator[dict[str, Path]]:
    """Temporary files that become the splits and the raw samples when all of them are whole."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(files.atomic(getattr(outputs, name))) for name in (*splits, "golden_raw")}


def _chunks(count: int, shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Where samples of float32 begin and end that are few enough to be in memory at once."""
    size = max(1, min(CHUNK, CHUNK_BYTES // (4 * math.prod(shape))))
    return ((start, min(start + size, count)) for start in range(0, count, size))


def _read(spec: Spec, samples: Samples, store: Store) -> tuple[dict[int, NDArray[Any]], Preprocessing]:
    """Every sample into its splits; golden samples by row as they were, and what was done to all.

    One sample at a time is in memory in its own size. Raises DataError with every sample that cannot be used.
    """
    how = _how(spec, samples)
    raw: dict[int, NDArray[Any]] = {}
    problems, types = list[str](), set[str]()
    for index in range(len(samples.y)):
        try:
            sample = _sample(spec, samples, index)
        except DataError as error:  # all are reported at once
            problems.append(str(error))
            continue
        kind = str(sample.dtype)
        if not problems:
            store.write(index, preprocessing.shaped(how, sample), kind, how)
        types.add(kind)
        name, row = store.places(index)[0]
        if name == "golden" and (not raw or sum(kept.nbytes for kept in raw.values()) + sample.nbytes <= RAW_BYTES):
            raw[row] = sample.copy()  # it may be a view of the loader's whole array, or of what it reads into
    if problems:
        raise DataError.of_all(
            f"dataset {spec.dataset}: {len(problems)} of {len(samples.y)} samples cannot be used", problems
        )
    scale = how.scale and {name: limits for name, limits in how.scale.items() if name in types}
    return raw, replace(how, scale=scale)


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


def _normalized(spec: Spec, how: Preprocessing, store: Store) -> Preprocessing:
    """With the mean and the standard deviation that were given, and of train what was not."""
    mean, std = spec.mean, spec.std
    if mean is None or std is None:
        measured_mean, measured_std, constant = _moments(store)
        mean, std = mean or measured_mean, std or measured_std
        if constant:
            print(
                f"dataset {spec.dataset}: the same value in all of train, not divided: channels or features {constant}"
            )
    store.normalize(mean, std)
    return replace(how, mean=mean, std=std)


def _moments(store: Store) -> tuple[tuple[float, ...], tuple[float, ...], list[int]]:
    """Mean and standard deviation of train per channel; 1 for channels that never change, and which."""
    import numpy as np

    sums, least, most, count = [], [], [], 0.0
    for x in store.scaled("train"):
        axes = tuple(axis for axis in range(x.ndim) if axis != 1)
        sums.append(x.sum(axes, np.float64))
        least.append(x.min(axes))
        most.append(x.max(axes))
        count += x.size / x.shape[1]
    mean = np.sum(sums, axis=0) / count
    squares = [
        ((x - mean.reshape(-1, *(1 for _ in x.shape[2:]))) ** 2).sum(axis=tuple(a for a in range(x.ndim) if a != 1))
        for x in store.scaled("train")
    ]
    std = np.sqrt(np.sum(squares, axis=0) / count)
    constant = (np.min(least, axis=0) == np.max(most, axis=0)) | (std.astype(np.float32) == 0)
    std[constant] = 1
    # as float32, in which they are used: what is recorded is what was done
    numbers = [tuple(map(float, values.astype(np.float32))) for values in (mean, std)]
    return numbers[0], numbers[1], np.flatnonzero(constant).tolist()


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
