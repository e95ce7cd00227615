"""Arrays in an .npz file: the quickest way to bring a dataset of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.errors import DataError
from edgeflow.plugin import DatasetLoader, LoadJob, Option, Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeflow.plugin import Float32, Int64

DOWNLOADS = "data"  # folder of the project that downloads are kept in


def load(job: LoadJob) -> Samples:
    """x float32[N, C, H, W] in [0, 1] and y int64[N] from the arrays that the options name.

    Raises DataError that names the file and the array for everything that is missing or malformed.
    """
    path = _file(job)
    names = [str(job.options.get(name, name)) for name in ("x", "y")]
    x, y = _read(path, names)
    if len(x) != len(y):
        raise DataError(f"{path}: {names[0]} has {len(x)} samples, {names[1]} has {len(y)} labels")
    if not len(x):
        raise DataError(f"{path}: {names[0]} is empty")
    labels = _labels(path, names[1], y, job.options)
    return Samples(_images(path, names[0], x, str(job.options.get("layout", "NCHW"))), y.astype("int64"), labels)


def _file(job: LoadJob) -> Path:
    """The file, downloaded first where the options say from where."""
    url, digest = job.options.get("url"), job.options.get("sha256")
    if url is None:
        path = job.root / str(job.options["file"])
        if not path.is_file():
            raise DataError(f"{path}: no such file (dataset {job.dataset}, options.file)")
        return path
    if digest is None:
        raise DataError(f"dataset {job.dataset}: options.url needs options.sha256, so that the data are what they were")
    import pooch
    import requests

    try:
        name = Path(str(job.options["file"])).name
        found = pooch.retrieve(str(url), f"sha256:{digest}", fname=name, path=job.root / DOWNLOADS, progressbar=False)
    except (ValueError, OSError, requests.RequestException) as error:
        raise DataError(
            f"dataset {job.dataset}: cannot get {url}: {error}; check options.url and options.sha256, or put the file "
            "into the project and name it in options.file without a url"
        ) from error
    return Path(found)


def _read(path: Path, names: list[str]) -> list[NDArray[Any]]:
    import zipfile

    import numpy as np

    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            if missing := [name for name in names if name not in archive]:
                raise DataError(f"{path}: no array {missing[0]!r}; it has: {', '.join(sorted(archive)) or 'none'}")
            return [archive[name] for name in names]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a readable .npz archive of plain arrays: {error}") from None


def _labels(path: Path, name: str, y: NDArray[Any], options: Mapping[str, Any]) -> tuple[str, ...]:
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise DataError(f"{path}: {name} is {y.dtype}{list(y.shape)}; expected whole numbers [N], one class per sample")
    given = options.get("labels")
    count = len(given) if given is not None else int(y.max()) + 1
    if y.min() < 0 or y.max() >= count:
        raise DataError(f"{path}: {name} has classes from {y.min()} to {y.max()}; expected 0 to {count - 1}")
    return tuple(str(label) for label in (given if given is not None else range(count)))


def _images(path: Path, name: str, x: NDArray[Any], layout: str) -> Float32:
    import numpy as np

    if x.ndim not in (3, 4):
        raise DataError(f"{path}: {name} has shape {list(x.shape)}; expected [N, H, W] or four axes in {layout} order")
    if x.dtype == np.uint8:
        x = x / np.float32(255)
    elif x.dtype.kind != "f":
        raise DataError(f"{path}: {name} is {x.dtype}; expected uint8, or floats in [0, 1]")
    if not np.isfinite(x).all():
        raise DataError(f"{path}: {name} contains NaN or infinity")
    if x.min() < 0 or x.max() > 1:
        raise DataError(f"{path}: {name} has values from {x.min():g} to {x.max():g}; expected floats in [0, 1], or uint8")
    if x.ndim == 3:
        return np.asarray(x[:, None], np.float32)
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2) if layout == "NHWC" else x, np.float32)


def files(job: LoadJob) -> tuple[Path, ...]:
    """The file, unless it is downloaded: then its digest is in the options."""
    return () if "url" in job.options else (job.root / str(job.options["file"]),)


plugin = DatasetLoader(
    id="npz",
    description="arrays in an .npz file",
    toolchain="",
    load=load,
    files=files,
    options={
        "file": Option("path from the project's folder; the name to keep it under when it is downloaded", required=True),
        "x": Option("name of the array with the inputs; 'x' if not given"),
        "y": Option("name of the array with the classes; 'y' if not given"),
        "labels": Option("list of class names, in order"),
        "layout": Option("order of four axes; NCHW if not given", choices=("NCHW", "NHWC")),
        "url": Option("where to download the file from"),
        "sha256": Option("hexadecimal SHA-256 of the download"),
    },
)
