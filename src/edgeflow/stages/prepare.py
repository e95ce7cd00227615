"""prepare: a dataset becomes four splits in the shape and range that models take.

train, evaluation and golden share no sample; calibration is drawn from train. The draw is stratified and depends on the
seed alone. dataset.json says what was done to a sample, exactly, and golden_raw.safetensors has golden samples as they
were before, so that who writes an app can prove that theirs does the same.
"""

from __future__ import annotations

import csv
import io
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgeflow import files, preprocessing
from edgeflow.errors import DataError, PluginError
from edgeflow.plugin import DatasetLoader, Input, LoadJob, Readable, Samples
from edgeflow.preprocessing import COLOUR, FLOAT32, GREY, Preprocessing
from edgeflow.registry import load_reference
from edgeflow.runners import tensors
from edgeflow.stages import data_checks
from edgeflow.stages.data_checks import Fingerprints
from edgeflow.stages.store import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeflow.plugin import Int64

    Sample = Mapping[str, NDArray[Any]]
    Indices = Mapping[str, NDArray[np.int64]]

T = TypeVar("T")

# What 0 and 1 are where the dataset declares no range: types with one of their own, and floats that are scaled already.
RANGES: Mapping[str, tuple[float, float]] = {
    **{"uint8": (0, 2**8 - 1), "uint16": (0, 2**16 - 1)},
    **dict.fromkeys(("float16", "float32", "float64"), (0, 1)),
}
NUMBERS = (*RANGES, "int8", "int16", "int32", "int64", "uint32", "uint64")
# Golden samples are kept as they were while they fit: one photo of 12 megapixels is 34 MiB, and one is always there.
RAW_BYTES = 64 * 2**20
AXES = {1: " (features)", 2: " (channels, length)", 3: " (channels, height, width)"}
IMAGE = 3  # axes
SPLITS = ("train", "calibration", "evaluation", "golden")
MOST_THREADS = 8  # each has a sample in its own size in memory


@dataclass(frozen=True)
class Spec:
    """All that prepare depends on beside its files."""

    dataset: str
    loader: str  # plugin reference
    options: Mapping[str, Any]
    inputs: Mapping[str, Input]
    classes: int | None  # None: the configuration does not say
    seed: int
    calibration: int  # samples per split
    evaluation: int
    golden: int
    source: str
    labels: tuple[str, ...] = ()  # names of classes 0, 1, …; (): as the data have them
    duplicates: str = "copies"  # what train does without as it is held out: copies, alike (those too), keep (nothing)


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
    samples = loader.load(LoadJob(spec.dataset, spec.options, Path(), spec.inputs, spec.labels))
    by_name = _check_contract(spec, samples)
    samples = _named_alike(spec, samples)
    count = len(next(iter(by_name.values())))
    _check_counts(spec, samples, count)
    splits = split(samples.y, spec, count)
    with _written(outputs) as paths:
        how = {name: _how(declared, samples) for name, declared in spec.inputs.items()}
        apart = {name: splits[name] for name in ("train", "evaluation", "golden")}
        store = Store(paths, apart, samples.y, how, samples.declared)
        raw, prints = _read(spec, samples, by_name, how, store)
        found, duplicates = _without_duplicates(spec, samples, splits, prints)
        if len(found["train"]) < len(splits["train"]):
            store.select("train", "train", found["train"])
        store.select("train", "calibration", found["calibration"])
        splits = {name: found[name] for name in SPLITS}
        how = {name: _normalized(spec, name, each, store) for name, each in how.items()}
        named = {f"{row}/{name}": array[None] for row, sample in raw.items() for name, array in sample.items()}
        tensors.write(paths["golden_raw"], named)
    files.write_text(outputs.samples, _listed(samples, splits))
    files.write_json(outputs.info, _describe(spec, samples, splits, how, list(raw), duplicates, outputs))
    if samples.skipped:
        print(f"skipped {len(samples.skipped)} files of the operating system:", *samples.skipped, sep="\n  ")


@contextmanager
def _written(outputs: Outputs) -> Iterator[dict[str, Path]]:
    """Temporary files that become the splits and the raw samples when all of them are whole."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(files.atomic(getattr(outputs, name))) for name in (*SPLITS, "golden_raw")}


def _check_contract(spec: Spec, samples: Samples) -> Mapping[str, Readable]:
    """The samples by input, once they are as every loader promises; one of no known class would be in no split."""
    y, where = samples.y, f"dataset {spec.dataset}: loader {spec.loader}"
    given = samples.inputs
    by_name = given if isinstance(given, Mapping) else dict.fromkeys(list(spec.inputs)[:1], given)
    if set(by_name) != set(spec.inputs):
        names = ", ".join(by_name) if isinstance(given, Mapping) else "one without a name"
        raise PluginError(f"{where}: gave inputs {names}; the dataset has {', '.join(spec.inputs)}")
    counts = {name: len(each) for name, each in by_name.items()}
    if len(set(counts.values())) != 1:
        told = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise PluginError(f"{where}: gave {told}; expected as many of each")
    if y is None:
        return by_name
    if y.ndim != 1 or y.dtype != "int64":
        raise PluginError(f"{where}: y is {y.dtype}{list(y.shape)}; a loader gives int64[N]")
    count = next(iter(counts.values()))
    if count != len(y):
        raise PluginError(f"{where}: gave {count} samples and {len(y)} classes; expected one class per sample")
    if len(y) and not 0 <= y.min() <= y.max() < len(samples.labels):
        known = len(samples.labels)
        raise PluginError(
            f"{where}: gave classes from {y.min()} to {y.max()} and {known} names; expected a name for each"
        )
    return by_name


def _named_alike(spec: Spec, samples: Samples) -> Samples:
    """With classes in the order that the configuration names them in; DataError for classes that it does not name."""
    import numpy as np

    if not spec.labels or samples.y is None:
        return samples
    if unknown := [label for label in samples.labels if label not in spec.labels]:
        raise DataError(
            f"dataset {spec.dataset}: 'labels' has no {_several(unknown)}, which the data have; it has "
            f"{_several(spec.labels)}"
        )
    places = np.array([spec.labels.index(label) for label in samples.labels], np.int64)
    return replace(samples, y=places[samples.y], labels=spec.labels)


def _several(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _check_counts(spec: Spec, samples: Samples, count: int) -> None:
    """Enough classes and samples for what the configuration wants of them."""
    where = f"dataset {spec.dataset}"
    if samples.y is not None:
        _check_classes(spec, samples.y, samples.labels)
    elif spec.classes or spec.labels:
        key = "labels" if spec.labels else "classes"
        raise DataError(f"{where}: no labels in the data; remove '{key}' if nobody knows the classes of the samples")
    held_out = spec.evaluation + spec.golden
    if held_out + spec.calibration > count:
        raise DataError(
            f"{where}: {count} samples; splits want {spec.evaluation} for evaluation, {spec.golden} golden "
            f"and at least {spec.calibration} in train for calibration; lower a count in 'splits'"
        )


def _check_classes(spec: Spec, y: Int64, labels: Sequence[str]) -> None:
    where = f"dataset {spec.dataset}"
    if spec.classes not in (None, len(labels)):
        raise DataError(
            f"{where}: {len(labels)} classes in the data ({_several(labels)}); 'classes' says {spec.classes}"
        )
    present = set(y.tolist())
    missing = sorted(set(range(len(labels))) - present)
    if missing and not spec.labels:  # where they are named, the samples may be of some of them only
        raise DataError(f"{where}: class {missing[0]} ({labels[missing[0]]}) has no samples")
    if len(present) == 1:
        raise DataError(
            f"{where}: all {len(y)} samples are of one class, {labels[min(present)]}: no answer could be told from a "
            "constant; add samples of another, or leave the classes out"
        )


def split(y: Int64 | None, spec: Spec, count: int) -> dict[str, NDArray[np.int64]]:
    """Indices per split of `count` samples; a split takes the same share of every class, up to one sample of each.

    So does any prefix of calibration: a scheme may use fewer samples than there are. The other splits are sorted.
    Raises DataError when a class has no sample left for training.
    """
    import numpy as np

    generator = np.random.Generator(np.random.PCG64(spec.seed))
    strata = np.zeros(count, np.int64) if y is None else y
    present = np.unique(strata).tolist()
    # Interleave the shuffled classes by their relative position: any cut through this order is stratified.
    order = [generator.permutation(np.flatnonzero(strata == label)) for label in present]
    position = np.concatenate([(np.arange(len(indices)) + 0.5) / len(indices) for indices in order])
    mixed = np.concatenate(order)[np.argsort(position, kind="stable")]
    golden, evaluation, train = np.split(mixed, [spec.golden, spec.golden + spec.evaluation])
    absent = sorted(set(present) - set(strata[train].tolist()))
    if absent:
        raise DataError(
            f"dataset {spec.dataset}: class {absent[0]} has no sample left for training; lower 'evaluation' or 'golden'"
        )
    return {
        "train": np.sort(train),
        "drawn": train,  # train in the order of the draw: not sorted, as data often come class by class
        "calibration": train[: spec.calibration],
        "evaluation": np.sort(evaluation),
        "golden": np.sort(golden),
    }


def _read(
    spec: Spec,
    samples: Samples,
    by_name: Mapping[str, Readable],
    how: Mapping[str, Preprocessing],
    store: Store,
) -> tuple[dict[int, Sample], Fingerprints]:
    """Every sample into its split; golden samples by row as they were, and what the others are known by.

    A sample for each thread is in memory in its own size. Raises DataError with every sample that cannot be used.
    """
    kept: dict[int, Sample] = {}
    size = 0
    problems, prints = list[str](), Fingerprints()
    count = len(next(iter(by_name.values())))

    def made(index: int) -> Made | DataError:
        try:
            raw = _sample(spec, samples, by_name, index)
        except DataError as error:  # all are reported at once
            return error
        shaped = {name: preprocessing.shaped(how[name], array) for name, array in raw.items()}
        kinds = {name: str(array.dtype) for name, array in raw.items()}
        # they may be views of the loader's whole array, or of what it reads into
        golden = None if store.row(index, "golden") is None else {name: array.copy() for name, array in raw.items()}
        return Made(shaped, kinds, data_checks.taken(shaped, how, kinds), golden)

    for index, each in enumerate(_in_threads(made, count) if samples.parallel else map(made, range(count))):
        if isinstance(each, DataError):
            problems.append(str(each))
        elif not problems:
            store.write(index, each.shaped, each.kinds)
            prints.add(index, each.fingerprint)
            more = sum(array.nbytes for array in each.golden.values()) if each.golden else 0
            if each.golden and (not kept or size + more <= RAW_BYTES):
                kept[store.row(index, "golden") or 0] = each.golden
                size += more
    if problems:
        raise DataError.of_all(f"dataset {spec.dataset}: {len(problems)} of {count} samples cannot be used", problems)
    return kept, prints


@dataclass(frozen=True)
class Made:
    """What a sample became."""

    shaped: Sample
    kinds: Mapping[str, str]  # types of its values before
    fingerprint: tuple[bytes, NDArray[np.uint8] | None]
    golden: Sample | None  # as it was


def _in_threads(made: Callable[[int], T], count: int) -> Iterator[T]:
    """made(0), made(1), …, a few ahead: decoding and resizing leave the interpreter to others."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(min(cores, MOST_THREADS)) as pool:
        for index in range(count):
            waiting.append(pool.submit(made, index))
            if len(waiting) > 2 * cores:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _without_duplicates(
    spec: Spec, samples: Samples, splits: Indices, prints: Fingerprints
) -> tuple[Indices, dict[str, Any]]:
    """The splits without samples of train that are held out too, and what there is to know of those.

    Raises DataError where so many are that samples seem to repeat by nature.
    """
    import numpy as np

    if samples.declared:  # they are nobody's
        return splits, {}
    held_out = np.sort(np.concatenate([splits["evaluation"], splits["golden"]]))
    found = data_checks.found(prints, splits["train"], held_out, samples.y)
    out = {"keep": [], "copies": [*found.copies], "alike": [*found.copies, *found.alike]}[spec.duplicates]
    _tell(spec, samples, found, len(out))
    record = {
        "policy": spec.duplicates,
        "copies": len(found.copies),
        "alike": len(found.alike),
        "left_out": len(out),
        "contradictions": len(found.contradictions),
        "examples": {
            "copies": _pairs(samples, found.copies.items()),
            "alike": _pairs(samples, found.alike.items()),
            "contradictions": _pairs(samples, found.contradictions),
        },
    }
    if not out:
        return splits, record
    left = {name: splits[name][~np.isin(splits[name], out)] for name in ("train", "drawn")}
    vanished = samples.y is not None and set(samples.y[splits["train"]].tolist()) - set(
        samples.y[left["train"]].tolist()
    )
    if vanished or len(left["train"]) < max(len(splits["train"]) / 2, spec.calibration):
        raise DataError(
            f"dataset {spec.dataset}: {len(out)} of the {len(splits['train'])} samples of train are in evaluation or "
            f"golden too: {_shown(samples, {**found.copies, **found.alike}.items())}; remove the copies, or say "
            "'duplicates: keep' in 'splits' if samples repeat by nature, as rows of few categories do"
        )
    return {**splits, **left, "calibration": left["drawn"][: spec.calibration]}, record


def _tell(spec: Spec, samples: Samples, found: data_checks.Found, left_out: int) -> None:
    """Say in the log what was found."""
    where = f"dataset {spec.dataset}:"
    if found.copies:
        what = "and are left out of train" if left_out else "and are kept"
        print(where, f"{len(found.copies)} samples of train are in evaluation or golden too, {what}:")
        print(" ", _shown(samples, found.copies.items()))
    if found.alike:
        what = "are left out" if spec.duplicates == "alike" else "'duplicates: alike' in 'splits' leaves them out"
        print(where, f"{len(found.alike)} images of train look like some of evaluation or golden; {what}:")
        print(" ", _shown(samples, found.alike.items()))
    if found.contradictions:
        print(where, f"{len(found.contradictions)} samples are there with another class as well:")
        print(" ", _shown(samples, found.contradictions))


def _pairs(samples: Samples, pairs: Iterable[tuple[int, int]]) -> list[list[str]]:
    return [[_name(samples, i) for i in pair] for pair in islice(pairs, data_checks.EXAMPLES)]


def _shown(samples: Samples, pairs: Collection[tuple[int, int]]) -> str:
    first = ", ".join(" = ".join(_name(samples, i) for i in pair) for pair in islice(pairs, 5))
    return first + (f" and {len(pairs) - 5} more" if len(pairs) > 5 else "")


def _name(samples: Samples, index: int) -> str:
    return samples.names[index] if samples.names else f"sample {index}"


def _how(declared: Input, samples: Samples) -> Preprocessing:
    """What is done to every sample of an input, but for the normalisation and for any type of values."""
    image = _is_image(declared)
    scale = None
    if declared.dtype == FLOAT32:
        given = declared.range
        scale = RANGES if given is None else dict.fromkeys(NUMBERS, given) if given else None
    return Preprocessing(
        order=preprocessing.ORDER,
        decode=samples.decode if image else (),
        channels=preprocessing.CHANNELS if image else None,
        resize=preprocessing.bilinear() if image else None,
        scale=scale,
        shape=declared.shape,
        mean=(0.0,),
        std=(1.0,),
        dtype=declared.dtype,
    )


def _is_image(declared: Input) -> bool:
    return len(declared.shape) == IMAGE and declared.dtype in (FLOAT32, "uint8")


def _sample(spec: Spec, samples: Samples, by_name: Mapping[str, Readable], index: int) -> Sample:
    """One sample as the loader gives it, with an axis for the channel where it has but one; DataError names it."""
    where = f"sample {index}" + (f" ({samples.names[index]})" if samples.names else "")
    found = {}
    for name, declared in spec.inputs.items():
        of_several = f", input {name}" if len(spec.inputs) > 1 else ""
        sample = _axes(by_name[name][index], declared)
        if problem := _misshapen(sample, declared) or _out_of_range(sample, declared):
            raise DataError(f"{where}{of_several}: {problem}")
        found[name] = sample
    return found


def _axes(given: Any, declared: Input) -> NDArray[Any]:
    import numpy as np

    array = np.asarray(given)
    bare = 0 < array.ndim == len(declared.shape) - 1 < IMAGE
    return np.asarray(array[None] if bare else array, array.dtype.newbyteorder("="), order="C")


def _misshapen(sample: NDArray[Any], declared: Input) -> str:
    """What is wrong with the shape of a sample; "" when nothing is."""
    shape = declared.shape
    has_shape, expected = f"has shape {list(sample.shape)}", f"{list(shape)}{AXES.get(len(shape), '')}"
    if sample.ndim != len(shape) or not sample.size:
        return f"{has_shape}; 'shape' says {expected}"
    if not _is_image(declared):
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


def _out_of_range(sample: NDArray[Any], declared: Input) -> str:
    """What is wrong with the values of a sample; "" when nothing is."""
    import numpy as np

    kind, given = str(sample.dtype), declared.range
    if declared.dtype != FLOAT32:
        return _not_of(declared, sample)
    if kind not in NUMBERS:
        return f"is {kind}; expected numbers"
    if kind not in RANGES and given is None:
        return f"is {kind}, of no known range; give it in 'range: [low, high]', or 'range: any' if there is none"
    low, high = sample.min(), sample.max()
    values = f"has values from {low:.8g} to {high:.8g}"
    if not np.isfinite(low) or not np.isfinite(high):
        return f"{values}; expected finite numbers"
    least, most = (given or (low, high)) if given is not None else RANGES[kind]
    if least <= low and high <= most:
        return ""
    if given:
        return f"{values}; 'range' says [{least:.8g}, {most:.8g}]"
    return f"{values}; expected floats in [0, 1]: give their own 'range: [low, high]', or 'range: any' if there is none"


def _not_of(declared: Input, sample: NDArray[Any]) -> str:
    """Why a sample's values are none of the declared type; "" when they are."""
    import numpy as np

    wanted = np.dtype(declared.dtype)
    floats = wanted.kind == "f"
    if sample.dtype.kind not in ("f" if floats else "b" if wanted.kind == "b" else "iu"):
        return f"is {sample.dtype}; 'dtype' says {wanted}"
    low, high = sample.min(), sample.max()
    values = f"has values from {low:.8g} to {high:.8g}" if floats else f"has values from {low} to {high}"
    if floats and not (np.isfinite(low) and np.isfinite(high)):
        return f"{values}; expected finite numbers"
    if wanted.kind != "b":
        limits = np.finfo(wanted) if floats else np.iinfo(wanted)
        if low < limits.min or high > limits.max:
            return f"{values}, which do not fit into {wanted}"
    if declared.range and not declared.range[0] <= low <= high <= declared.range[1]:
        return f"{values}; 'range' says [{declared.range[0]:.8g}, {declared.range[1]:.8g}]"
    return ""


def _normalized(spec: Spec, name: str, how: Preprocessing, store: Store) -> Preprocessing:
    """The whole record: with the types of values that there were, mean and standard deviation that were given or found.

    What is not given is that of train.
    """
    declared = spec.inputs[name]
    mean, std = declared.mean, declared.std
    if mean is None or std is None:
        measured_mean, measured_std, constant = _moments(store, name)
        mean, std = mean or measured_mean, std or measured_std
        if constant:
            of = f"input {name}, " if len(spec.inputs) > 1 else ""
            print(
                f"dataset {spec.dataset}: the same value in all of train, not divided: {of}channels or features "
                f"{constant}"
            )
    store.normalize(name, mean, std)
    types = store.raw_types(name)
    scale = how.scale and {kind: limits for kind, limits in how.scale.items() if kind in types}
    return replace(how, scale=scale, mean=mean, std=std)


def _moments(store: Store, name: str) -> tuple[tuple[float, ...], tuple[float, ...], list[int]]:
    """Mean and standard deviation of train per channel; 1 for channels that never change, and which.

    The chunks are those of `Store.scaled`, in which float64 sums are accumulated.
    """
    import numpy as np

    if (exact := store.moments("train", name)) is not None:
        return _numbers(*exact)
    sums, least, most, count = [], [], [], 0.0
    for x in store.scaled("train", name):
        axes = _but_channels(x)
        sums.append(x.sum(axes, np.float64))
        least.append(x.min(axes))
        most.append(x.max(axes))
        count += x.size / x.shape[1]
    mean = np.sum(sums, axis=0) / count
    squares = [
        ((x - mean.reshape(-1, *(1 for _ in x.shape[2:]))) ** 2).sum(_but_channels(x))
        for x in store.scaled("train", name)
    ]
    std = np.sqrt(np.sum(squares, axis=0) / count)
    return _numbers(mean, std, np.min(least, axis=0) == np.max(most, axis=0))


def _numbers(
    mean: NDArray[np.float64], std: NDArray[np.float64], constant: NDArray[np.bool_]
) -> tuple[tuple[float, ...], tuple[float, ...], list[int]]:
    import numpy as np

    constant = constant | (std.astype(np.float32) == 0)
    std[constant] = 1
    # as float32, in which they are used: what is recorded is what was done
    numbers = [tuple(map(float, values.astype(np.float32))) for values in (mean, std)]
    return numbers[0], numbers[1], np.flatnonzero(constant).tolist()


def _but_channels(x: NDArray[Any]) -> tuple[int, ...]:
    return tuple(axis for axis in range(x.ndim) if axis != 1)


# --- what there is to know -------------------------------------------------------------------------------------------


def _listed(samples: Samples, splits: Indices) -> str:
    """One line of CSV a sample of a split."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("split", "row", "index", "name", "label"))
    for name, chosen in splits.items():
        for row, index in enumerate(chosen.tolist()):
            label = "" if samples.y is None else samples.labels[samples.y[index]]
            lines.writerow((name, row, index, samples.names[index] if samples.names else "", label))
    return text.getvalue()


def _describe(
    spec: Spec,
    samples: Samples,
    splits: Indices,
    how: Mapping[str, Preprocessing],
    raw: Sequence[int],
    duplicates: Mapping[str, Any],
    outputs: Outputs,
) -> dict[str, Any]:
    return {
        "id": spec.dataset,
        "source": spec.source,
        "labels": [] if samples.y is None else list(samples.labels),
        "declared": samples.declared,
        "inputs": how,
        "duplicates": duplicates,
        "skipped_files": len(samples.skipped),
        "splits": {
            name: {"samples": len(chosen), "sha256": files.sha256_file(getattr(outputs, name))}
            for name, chosen in splits.items()
        },
        "golden_raw": {"rows": list(raw), "sha256": files.sha256_file(outputs.golden_raw)},
        "samples": {"sha256": files.sha256_file(outputs.samples)},
    }
