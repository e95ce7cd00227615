"""Arrays in an .npz file: the quickest way to bring a dataset of one's own."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow import files as whole_files
from edgeflow.errors import ConfigError, DataError
from edgeflow.plugin import DatasetLoader, LoadJob, Option, Samples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DOWNLOADS = "data"  # folder of the project that downloads are kept in
# Order of axes in the file → the axes that become [N, C, H, W] or [N, C, L].
LAYOUTS = {"NCHW": (0, 1, 2, 3), "NHWC": (0, 3, 1, 2), "NCL": (0, 1, 2), "NLC": (0, 2, 1)}
# What numpy and zipfile raise for files that are truncated, encrypted, altered, or hold pickled objects.
UNREADABLE = (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Settings:
    """The options of one dataset, with their defaults."""

    file: str
    x: str = "x"
    y: str = "y"
    labels: tuple[str, ...] | None = None  # None: the classes are named as they are in the file
    layout: str = ""  # "": as it is
    url: str = ""
    sha256: str = ""


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
    return Settings(**given)


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
    """x[N, C, H, W], [N, H, W], [N, C, L] or [N, F] as it is, and y int64[N], from the arrays that the options name.

    Raises ConfigError for unusable options, and DataError that names the file and the array for everything that is
    missing or malformed.
    """
    settings = _settings(job)
    path = _file(job, settings)
    x, y = _read(path, (settings.x, settings.y))
    values = _values(path, settings, x)
    labels, classes = _classes(path, settings, y, len(values))
    return Samples(values, classes, labels)


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
    if not path.is_file():
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


def _read(path: Path, names: tuple[str, ...]) -> list[NDArray[Any]]:
    """The named arrays; nothing is unpickled."""
    import numpy as np

    try:
        with path.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise DataError(f"{path}: holds one array without a name; write it with numpy.savez(path, x=…, y=…)")
            return [_array(path, archive, name) for name in names]
    except UNREADABLE as error:
        raise DataError(f"{path}: not a readable .npz archive: {error}") from None


def _array(path: Path, archive: Mapping[str, Any], name: str) -> NDArray[Any]:
    import numpy as np

    if name not in archive:
        raise DataError(f"{path}: no array {name!r}; it has: {', '.join(sorted(archive)) or 'none'}")
    try:
        array = archive[name]
    except UNREADABLE as error:
        raise DataError(f"{path}: array {name!r} cannot be read: {error}") from None
    if not isinstance(array, np.ndarray):  # numpy gives the bytes of members that are no .npy files
        raise DataError(f"{path}: {name!r} is not an array")
    return array


def _classes(
    path: Path, settings: Settings, y: NDArray[Any], samples: int
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The name of each class, and y as int64[samples] from 0 up.

    Classes that have names in the options are numbered from 0. Others are whole numbers or text, and are their own
    names, in order.
    """
    import numpy as np

    name = settings.y
    if y.ndim != 1 or y.dtype.kind not in "iuU":
        expected = "whole numbers or text [N], one class per sample"
        raise DataError(f"{path}: {name} is {y.dtype}{list(y.shape)}; expected {expected}")
    if len(y) != samples:
        raise DataError(f"{path}: {settings.x} has {samples} samples, {name} has {len(y)} labels")
    classes, numbers = np.unique(y, return_inverse=True)
    labels = settings.labels
    if labels is None:
        return tuple(map(str, classes.tolist())), numbers.astype(np.int64)
    if y.dtype.kind == "U":
        if unnamed := [text for text in classes.tolist() if text not in labels]:
            raise DataError(f"{path}: {name} has {unnamed[0]!r}; options.labels has {', '.join(labels)}")
        return labels, np.array([labels.index(text) for text in classes.tolist()], np.int64)[numbers]
    if classes[0] < 0 or classes[-1] >= len(labels):
        raise DataError(
            f"{path}: {name} has classes from {classes[0]} to {classes[-1]}; expected 0 to {len(labels) - 1}, the "
            "places in options.labels; without that option classes are named by their numbers"
        )
    return labels, y.astype(np.int64)


def _values(path: Path, settings: Settings, x: NDArray[Any]) -> NDArray[Any]:
    """The samples, channels first; floats as float32, in which they are used."""
    import numpy as np

    name, layout = settings.x, settings.layout
    has_shape = f"{path}: {name} has shape {list(x.shape)}"
    if x.ndim not in (2, 3, 4):
        raise DataError(f"{has_shape}; expected [N, features], [N, channels, length], [N, H, W] or [N, channels, H, W]")
    if not x.size:
        raise DataError(f"{has_shape}: it is empty")
    if x.dtype.kind not in "iuf":
        raise DataError(f"{path}: {name} is {x.dtype}; expected integers or floats")
    if x.dtype.kind == "f":
        x = x.astype(np.float32, copy=False)
    if len(layout) == x.ndim:
        return x.transpose(LAYOUTS[layout])
    if layout and not (len(layout) == 4 and x.ndim == 3):  # images without channels are grey in any layout
        raise DataError(f"{has_shape}, and options.layout says {layout}: {len(layout)} axes; correct or remove it")
    return x


def files(job: LoadJob) -> tuple[Path, ...]:
    """The file, unless it is downloaded: then its digest is in the options.

    Raises ConfigError for unusable options, DataError when there is no such file.
    """
    settings = _settings(job)
    return () if settings.url else (_present(job, settings),)


plugin = DatasetLoader(
    id="npz",
    description="arrays in an .npz file",
    toolchain="core",
    load=load,
    files=files,
    options={
        "file": Option(
            "path from the project's folder; the name to keep it under when it is downloaded", required=True
        ),
        "x": Option("name of the array with the inputs; 'x' if not given"),
        "y": Option("name of the array with the classes; 'y' if not given"),
        "labels": Option("list of the names of classes 0, 1, …; each class is its own name if not given", type=list),
        "layout": Option("order of the axes of x; channels before the others if not given", choices=tuple(LAYOUTS)),
        "url": Option("where to download the file from"),
        "sha256": Option("hexadecimal SHA-256 of the file; required with a url"),
    },
)
