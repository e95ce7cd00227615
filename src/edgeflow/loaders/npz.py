"""Arrays in an .npz file, or in a folder of .npy files: the quickest way to bring a dataset of one's own."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow import files as whole_files
from edgeflow.errors import ConfigError, DataError
from edgeflow.loaders.rows import UNREADABLE, Rows
from edgeflow.plugin import DatasetLoader, Input, LoadJob, Option, Samples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DOWNLOADS = "data"  # folder of the project that downloads are kept in
# Order of axes in the file → the axes that become [N, C, H, W] or [N, C, L].
LAYOUTS = {"NCHW": (0, 1, 2, 3), "NHWC": (0, 3, 1, 2), "NCL": (0, 1, 2), "NLC": (0, 2, 1)}


@dataclass(frozen=True)
class Settings:
    """The options of one dataset, with their defaults."""

    file: str
    x: str = ""  # "": "x", or the name of the input
    y: str = ""  # "": "y", where there is such an array
    labels: tuple[str, ...] | None = None  # None: the classes are named as they are in the file
    layout: str = ""  # "": as it is
    url: str = ""
    sha256: str = ""
    several: bool = False  # inputs


def _settings(job: LoadJob) -> Settings:
    """Checked options; ConfigError names every key whose value is unusable."""
    given = dict(job.options)
    problems = {name: problem for name in ("file", "x", "y", "url", "sha256") if (problem := _no_text(given, name))}
    if "labels" in given and (problem := _no_labels(given["labels"])):
        problems["labels"] = problem
    if "layout" in given and given["layout"] not in tuple(LAYOUTS):
        problems["layout"] = f"{given['layout']!r} is not one of {', '.join(LAYOUTS)}"
    if "url" in given and "sha256" not in given:
        problems["sha256"] = "missing; 'url' needs it, so that the data stay what they are"
    elif "sha256" in given and "sha256" not in problems and not re.fullmatch(r"[0-9a-fA-F]{64}", given["sha256"]):
        problems["sha256"] = f"{given['sha256']!r} is not a SHA-256 of 64 hexadecimal digits"
    if problems:
        raise ConfigError([f"dataset {job.dataset}: options.{name}: {problem}" for name, problem in problems.items()])
    if "labels" in given:
        given["labels"] = tuple(map(str, given["labels"]))
    return Settings(**given, several=len(job.inputs) > 1)


def _no_text(given: Mapping[str, Any], name: str) -> str:
    """What is wrong with an option that must be text; "" when nothing is."""
    if name not in given:
        return "missing" if name == "file" else ""
    if isinstance(given[name], str) and given[name]:
        return ""
    return f"{given[name]!r} is not text" + ("" if isinstance(given[name], list | dict) else "; put it in quotes")


def _no_labels(given: Any) -> str:
    """What is wrong with the class names; "" when nothing is."""
    if not isinstance(given, list | tuple) or not all(type(name) in (str, int) for name in given):
        return f"{given!r} is not a list of class names"
    twice = [name for i, name in enumerate(map(str, given)) if name in map(str, given[:i])]
    return f"{twice[0]!r} is there twice" if twice else ""


def load(job: LoadJob) -> Samples:
    """Samples that are read one by one, and y int64[N], from the arrays that the inputs and the options name.

    Raises ConfigError for unusable options, and DataError that names the file and the array for everything that is
    missing or malformed.
    """
    settings = _settings(job)
    path = _file(job, settings)
    arrays = _arrays(path)
    names = _names(job, settings, arrays)
    inputs = {
        name: _samples(path, settings, array, _need(path, arrays, array), job.inputs.get(name))
        for name, array in names.items()
    }
    first = next(iter(inputs))
    y = settings.y or "y"
    if not settings.y and (y not in arrays or y in names.values()):
        return Samples(inputs if job.inputs else inputs[first])
    labels, classes = _classes(path, settings.labels or job.labels, arrays, y)
    if len(classes) != len(inputs[first]):
        raise DataError(f"{path}: {names[first]} has {len(inputs[first])} samples, {y} has {len(classes)} labels")
    return Samples(inputs if job.inputs else inputs[first], classes, labels)


def _file(job: LoadJob, settings: Settings) -> Path:
    """The file, downloaded first where the options say from where."""
    if settings.url:
        return _download(job, settings)
    path = _present(job, settings)
    if settings.sha256 and (digest := whole_files.sha256_file(path)) != settings.sha256.lower():
        raise DataError(f"{path}: its SHA-256 is {digest}; dataset {job.dataset}, options.sha256 says otherwise")
    return path


def _present(job: LoadJob, settings: Settings) -> Path:
    path = job.root / settings.file
    if path.is_dir():
        if settings.sha256:
            raise DataError(f"{path}: is a folder; dataset {job.dataset}, options.sha256 is of a file; remove the key")
        if not any(path.glob("*.npy")):
            raise DataError(f"{path}: no .npy files in the folder (dataset {job.dataset}, options.file)")
    elif not path.is_file():
        raise DataError(f"{path}: no such file (dataset {job.dataset}, options.file)")
    return path


def _download(job: LoadJob, settings: Settings) -> Path:
    import pooch

    digest, name = settings.sha256.lower(), Path(settings.file).name
    # A folder per content: two datasets prepared at once may keep different files under the same name.
    folder = job.root / DOWNLOADS / digest[:12]
    try:
        kept = pooch.retrieve(settings.url, f"sha256:{digest}", fname=name, path=folder, progressbar=False)
    except (ValueError, OSError) as error:  # those of requests are OSError
        raise DataError(
            f"dataset {job.dataset}: cannot get {settings.url}: {error}; check options.url and options.sha256, or put "
            "the file into the project and name it in options.file without a url"
        ) from error
    return Path(kept)


def _arrays(path: Path) -> Mapping[str, Callable[[], Rows]]:
    """The arrays of an archive, or of a folder of .npy files, by name."""
    if path.is_dir():
        return {file.stem: partial(_file_of, file) for file in sorted(path.glob("*.npy"))}
    try:
        with path.open("rb") as stream:
            if stream.read(6) == b"\x93NUMPY":
                raise DataError(f"{path}: holds one array without a name; write it with numpy.savez(path, x=…, y=…)")
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except UNREADABLE as error:
        raise DataError(f"{path}: not a readable .npz archive: {error}") from None
    return {member.removesuffix(".npy"): partial(_member, path, member) for member in members}


def _file_of(path: Path) -> Rows:
    return Rows(lambda: path.open("rb"), f"{path}: the array")


def _member(path: Path, member: str) -> Rows:
    if not member.endswith(".npy"):
        raise DataError(f"{path}: {member!r} is not an array")
    name = member.removesuffix(".npy")
    return Rows(lambda: zipfile.ZipFile(path).open(member), f"{path}: array {name!r}")


def _need(path: Path, arrays: Mapping[str, Callable[[], Rows]], name: str) -> Rows:
    if name not in arrays:
        raise DataError(f"{path}: no array {name!r}; it has: {', '.join(sorted(arrays)) or 'none'}")
    return arrays[name]()


def _names(job: LoadJob, settings: Settings, arrays: Mapping[str, Any]) -> dict[str, str]:
    """The array of each input."""
    if len(job.inputs) > 1:
        if settings.x:
            message = "the dataset has several inputs, whose arrays are named as they are; remove the key"
            raise ConfigError([f"dataset {job.dataset}: options.x: {message}"])
        return {name: name for name in job.inputs}
    (only,) = job.inputs or ("x",)
    return {only: settings.x or (only if only in arrays and "x" not in arrays else "x")}


def _classes(
    path: Path, labels: tuple[str, ...], arrays: Mapping[str, Callable[[], Rows]], name: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The name of each class, and y as int64[samples] from 0 up.

    Classes that have names, in the options, in the dataset's 'labels' or in an array of that name, are numbered from 0.
    Others are whole numbers or text, and are their own names, in order.
    """
    import numpy as np

    y = _need(path, arrays, name).all()
    if y.ndim != 1 or y.dtype.kind not in "iuU":
        expected = "whole numbers or text [N], one class per sample"
        raise DataError(f"{path}: {name} is {y.dtype}{list(y.shape)}; expected {expected}")
    if not labels and "labels" in arrays and y.dtype.kind != "U":
        labels = _in_file(path, arrays["labels"]())
    classes, numbers = np.unique(y, return_inverse=True)
    if not labels:
        return tuple(map(str, classes.tolist())), numbers.astype(np.int64)
    if y.dtype.kind == "U":
        if unnamed := [text for text in classes.tolist() if text not in labels]:
            raise DataError(f"{path}: {name} has {unnamed[0]!r}; 'labels' has {', '.join(labels)}")
        return labels, np.array([labels.index(text) for text in classes.tolist()], np.int64)[numbers]
    if classes[0] < 0 or classes[-1] >= len(labels):
        raise DataError(
            f"{path}: {name} has classes from {classes[0]} to {classes[-1]}; expected 0 to {len(labels) - 1}, the "
            "places in 'labels'; without names classes are named by their numbers"
        )
    return labels, y.astype(np.int64)


def _in_file(path: Path, rows: Rows) -> tuple[str, ...]:
    """Names of classes that the file has beside them."""
    labels = rows.all()
    if labels.ndim != 1 or labels.dtype.kind != "U" or len(set(labels.tolist())) != len(labels):
        raise DataError(f"{path}: labels is {labels.dtype}{list(labels.shape)}; expected the name of each class, once")
    return tuple(labels.tolist())


def _samples(path: Path, settings: Settings, name: str, rows: Rows, declared: Input | None) -> Rows:
    """The samples, channels first; floats as float32, in which they are used, unless another type is declared."""
    layout, axes = settings.layout, len(rows.shape)
    has_shape = f"{path}: {name} has shape {list(rows.shape)}"
    if not rows.shape:
        raise DataError(f"{has_shape}; expected [N, …], N samples")
    if not math.prod(rows.shape):
        raise DataError(f"{has_shape}: it is empty")
    if rows.dtype.kind not in ("b" if declared and declared.dtype == "bool" else "iuf"):
        raise DataError(f"{path}: {name} is {rows.dtype}; expected integers or floats")
    if rows.dtype.kind == "f" and (declared is None or declared.dtype == "float32"):
        rows.cast = "float32"
    if len(layout) == axes:
        rows.axes = tuple(axis - 1 for axis in LAYOUTS[layout][1:])
    elif layout and not settings.several and not (len(layout) == 4 and axes == 3):
        # images without channels are grey in any layout
        raise DataError(f"{has_shape}, and options.layout says {layout}: {len(layout)} axes; correct or remove it")
    return rows


def files(job: LoadJob) -> tuple[Path, ...]:
    """The file, or those of the folder, unless it is downloaded: then its digest is in the options.

    Raises ConfigError for unusable options, DataError when there is no such file.
    """
    settings = _settings(job)
    if settings.url:
        return ()
    path = _present(job, settings)
    return tuple(sorted(path.glob("*.npy"))) if path.is_dir() else (path,)


plugin = DatasetLoader(
    id="npz",
    description="arrays in an .npz file or a folder of .npy files",
    toolchain="core",
    load=load,
    files=files,
    options={
        "file": Option(
            "file or folder, from the project's folder; the name to keep it under when it is downloaded", required=True
        ),
        "x": Option(
            "name of the array with the samples; 'x' if not given. Of several inputs, arrays are named as they are"
        ),
        "y": Option("name of the array with the classes; 'y' if not given, where there is one"),
        "labels": Option(
            "list of the names of classes 0, 1, …; if not given: the array 'labels', or each class its own", type=list
        ),
        "layout": Option("order of the axes of x; channels before the others if not given", choices=tuple(LAYOUTS)),
        "url": Option("where to download the file from"),
        "sha256": Option("hexadecimal SHA-256 of the file; required with a url"),
    },
)
