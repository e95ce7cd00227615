"""A folder of images per class: `folder/cat/1.png`, `folder/dog/7.jpg`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.errors import ConfigError, DataError
from edgeflow.plugin import DatasetLoader, LoadJob, Option, Samples

if TYPE_CHECKING:
    from edgeflow.plugin import Float32

GREY = ("1", "L", "LA")  # modes of Pillow, read as one channel of 8 bits
TOO_DEEP = ("I", "F")  # 32 bits a pixel, of no known range


def load(job: LoadJob) -> Samples:
    """x a list of float32[C, H, W] in [0, 1], C 1 for greyscale images and 3 for others; y int64[N].

    Classes are numbered in the order of their folders' names. Transparency is ignored.
    Raises ConfigError for an unusable option, and DataError that names the folder or the file for everything that is
    missing or malformed.
    """
    import numpy as np

    classes = [(folder.name, _images(folder)) for folder in _classes(job)]
    x: Any = [_image(path) for _, paths in classes for path in paths]
    y = np.repeat(np.arange(len(classes)), [len(paths) for _, paths in classes])
    return Samples(x, y.astype(np.int64), tuple(name for name, _ in classes))


def _classes(job: LoadJob) -> list[Path]:
    """The folders of the classes, by name."""
    given = job.options["folder"]
    if not isinstance(given, str):
        raise ConfigError([f"dataset {job.dataset}: options.folder: {given!r} is not text; put it in quotes"])
    root = job.root / given
    if not root.is_dir():
        raise DataError(f"{root}: no such folder (dataset {job.dataset}, options.folder)")
    entries = _visible(root)
    if stray := [path for path in entries if not path.is_dir()]:
        raise DataError(f"{stray[0]}: is not in the folder of a class; expected {root}/<class>/<image>")
    if len(entries) < 2:
        count = "one class folder" if entries else "no class folders"
        raise DataError(f"{root}: {count}; expected at least two, as {root}/<class>/<image>")
    return entries


def _images(folder: Path) -> list[Path]:
    """The images of one class, by name."""
    found = _visible(folder)
    if not found:
        raise DataError(f"{folder}: no images for this class")
    if nested := [path for path in found if not path.is_file()]:
        raise DataError(f"{nested[0]}: is not a file; the images of a class lie directly in its folder")
    return found


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _image(path: Path) -> Float32:
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode in TOO_DEEP:
                raise DataError(f"{path}: has 32 bits a pixel; save it with 8 or 16, e.g. as PNG")
            if image.mode.startswith("I;16"):  # greyscale; Pillow's own conversion would cut off what is above 255
                return np.asarray(image, np.float32)[None] / np.float32(65535)
            grey = image.mode in GREY
            pixels = np.asarray(image.convert("L" if grey else "RGB"), np.float32) / np.float32(255)
    # damage is also a SyntaxError (PNG) or a ValueError to Pillow; "cannot be identified" is an OSError
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image: {error}") from None
    return pixels[None] if grey else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def files(job: LoadJob) -> tuple[Path, ...]:
    """Every image; raises as `load` does for folders that are missing or malformed."""
    return tuple(path for folder in _classes(job) for path in _images(folder))


plugin = DatasetLoader(
    id="image_folder",
    description="a folder of images per class",
    toolchain="core",
    load=load,
    files=files,
    options={"folder": Option("path from the project's folder", required=True)},
)
