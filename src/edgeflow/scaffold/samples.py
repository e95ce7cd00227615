"""Samples that somebody brings: arrays in an .npz file, or a folder of images."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeflow.errors import UsageError
from edgeflow.loaders import image_folder, npz
from edgeflow.loaders.rows import Rows
from edgeflow.plugin import Input, LoadJob, Samples
from edgeflow.scaffold import imported, project
from edgeflow.scaffold.imported import Data, File
from edgeflow.types.signatures import Tensor

FOLDER = "data"
BY_NAME = (
    "Folders are classes. The model must number them as 'labels' says: by name, unless you put them into",
    "another order. Nothing in its file says so.",
)
TOO_FEW = 8  # one for ranges, one to compare stages with, and no interval of what is left


def found(path: Path | None, file: File, there: str) -> Data | None:
    """What is known of samples, of which none is read; None where nobody brings any. `there`: their `place`.

    Raises UsageError for what no loader reads, and for arrays that are not those of the model.
    """
    if path is None:
        return None
    if not path.exists():
        raise UsageError(f"--data {path}: no such file or folder")
    if path.is_dir() and not any(path.glob("*.npy")):
        data = _images(path, file, there)
    elif path.is_dir() or zipfile.is_zipfile(path):
        data = _arrays(path, file, there)
    else:
        raise UsageError(f"--data {path}: expected a folder of images, or an .npz file")
    if data.count < TOO_FEW:
        raise UsageError(f"--data {path}: {data.count} samples; {TOO_FEW} are the least that anything can be said of")
    return data


def place(path: Path, model: str) -> str:
    """Where samples are in the project: where they are already, or after their name, and the model's where others are
    called so.
    """
    if there := project.inside(path):
        return there
    named = Path(FOLDER, path.name)
    taken = os.path.lexists(named) and not (named.exists() and named.samefile(path))
    return f"{FOLDER}/{model}_{path.name}" if taken else f"{FOLDER}/{path.name}"


def link(path: Path, there: str) -> None:
    """Have samples in the project, where they are large, without a copy; once for all models that take them."""
    Path(FOLDER).mkdir(exist_ok=True)
    if not os.path.lexists(there):
        Path(there).symlink_to(path)


def _images(path: Path, file: File, there: str) -> Data:
    one, *others = file.signature.inputs
    if others or imported.layout_of(file.format, one.sample) == "":
        taken = ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in file.signature.inputs)
        raise UsageError(f"--data {path}: images are for a model that takes one; {file.path.name} takes {taken}")
    samples = image_folder.plugin.load(LoadJob(path.name, {"folder": path.name}, path.parent))
    options, count = {"folder": there}, len(samples.names)
    if samples.y is None:
        return Data("image_folder", options, count)
    if len(samples.labels) in _scores(file):
        return Data("image_folder", options, count, samples.labels, named=True, notes=BY_NAME)
    few = f"{len(samples.labels)} folders, and no output with as many scores: taken for images without labels."
    return Data("image_folder", options, count, notes=(few,))


def _arrays(path: Path, file: File, there: str) -> Data:
    names = _names(path)
    declared = {tensor.name: _input(tensor) for tensor in file.signature.inputs}
    options: dict[str, object] = {"file": path.name}
    if len(declared) == 1 and (array := _only(path, names, *declared)) != "x":
        options["x"] = array
    samples = npz.plugin.load(LoadJob(path.name, options, path.parent, declared))
    rows = samples.inputs if isinstance(samples.inputs, Mapping) else dict.fromkeys(declared, samples.inputs)
    count = len(next(iter(rows.values())))
    options["file"] = there
    arrays = {name: array for name, array in rows.items() if isinstance(array, Rows)}
    shapes = {name: tuple(array.shape[1:]) for name, array in arrays.items()}
    dtypes = {name: array.dtype.name for name, array in arrays.items()}
    if samples.y is None:
        return Data("npz", options, count, shapes=shapes, dtypes=dtypes)
    return Data("npz", options, count, *_classes(path, samples, file), shapes=shapes, dtypes=dtypes)


def _input(tensor: Tensor) -> Input:
    """As the loader is asked: it leaves arrays as they are."""
    return Input(tuple(axis if isinstance(axis, int) else 1 for axis in tensor.sample), tensor.dtype)


def _names(path: Path) -> list[str]:
    if path.is_dir():
        return sorted(file.stem for file in path.glob("*.npy"))
    with zipfile.ZipFile(path) as archive:
        return sorted(name.removesuffix(".npy") for name in archive.namelist())


def _only(path: Path, names: Sequence[str], wanted: str) -> str:
    """The array of the only input: called as it is, or x, or the only one beside labels."""
    others = [name for name in names if name not in ("y", "labels")]
    candidates: list[str] = [wanted, "x", *(others if len(others) == 1 else ())]
    for name in candidates:
        if name in names:
            return name
    raise UsageError(f"--data {path}: none of its arrays ({', '.join(names)}) is called {wanted!r} or x")


def _classes(path: Path, samples: Samples, file: File) -> tuple[tuple[str, ...], bool]:
    """The names of the model's classes in their order, and whether the configuration has to say them."""
    scores = _scores(file)
    numbers = all(label.isdigit() for label in samples.labels)
    if numbers:
        most = max(map(int, samples.labels)) + 1
        if fitting := [count for count in scores if count >= most]:
            return tuple(map(str, range(fitting[0]))), len(samples.labels) < fitting[0]
        said = f"y has class {most - 1}"
    elif len(samples.labels) in scores:
        return samples.labels, True
    else:
        said = f"{len(samples.labels)} classes"
    shown = ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in file.signature.outputs)
    raise UsageError(
        f"--data {path}: {said}, and {file.path.name} gives {shown}: no output has a score for each. Let y be numbers "
        "of the model's classes, from 0, or leave y away"
    )


def _scores(file: File) -> list[int]:
    """How many classes there could be, by outputs of one score for each."""
    shapes = (tensor.sample for tensor in file.signature.outputs)
    return [shape[0] for shape in shapes if len(shape) == 1 and isinstance(shape[0], int) and shape[0] > 1]
