"""A folder of images per class: `folder/cat/1.png`, `folder/dog/7.jpg`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow.errors import DataError
from edgeflow.plugin import DatasetLoader, LoadJob, Option, Samples

if TYPE_CHECKING:
    from edgeflow.plugin import Float32


def load(job: LoadJob) -> Samples:
    """x a list of float32[C, H, W] in [0, 1], C 1 for greyscale images and 3 for others; y int64[N].

    Raises DataError that names the folder or the file for everything that is missing or malformed.
    """
    import numpy as np

    classes = _classes(job)
    images = [(_image(path), label) for label, folder in enumerate(classes) for path in _images(folder)]
    x = [image for image, _ in images]
    y = np.array([label for _, label in images], np.int64)
    return Samples(x, y, tuple(folder.name for folder in classes))  # type: ignore[arg-type]  # a list where sizes differ


def _classes(job: LoadJob) -> list[Path]:
    root = job.root / str(job.options["folder"])
    if not root.is_dir():
        raise DataError(f"{root}: no such folder (dataset {job.dataset}, options.folder)")
    entries = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    if stray := [path for path in entries if not path.is_dir()]:
        raise DataError(f"{stray[0]}: is not in the folder of a class; expected {root}/<class>/<image>")
    if len(entries) < 2:
        raise DataError(f"{root}: {len(entries)} class folders; expected at least two, as {root}/<class>/<image>")
    if empty := [folder for folder in entries if not _images(folder)]:
        raise DataError(f"{empty[0]}: no images for this class")
    return entries


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _image(path: Path) -> Float32:
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            grey = image.mode in ("1", "L")
            pixels = np.asarray(image.convert("L" if grey else "RGB"), np.float32) / 255
    except (UnidentifiedImageError, OSError, SyntaxError) as error:  # PNG damage is a SyntaxError to Pillow
        raise DataError(f"{path}: cannot be read as an image: {error}") from None
    return pixels[None] if grey else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def files(job: LoadJob) -> tuple[Path, ...]:
    """Every image."""
    return tuple(path for folder in _classes(job) for path in _images(folder))


plugin = DatasetLoader(
    id="image_folder",
    description="a folder of images per class",
    toolchain="",
    load=load,
    files=files,
    options={"folder": Option("path from the project's folder", required=True)},
)
