"""A folder of images per class: `folder/cat/1.png`, `folder/dog/7.jpg`; or of images that nobody labelled."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.errors import ConfigError, DataError
from edgeflow.plugin import DatasetLoader, LoadJob, Option, Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

GREY = ("1", "L", "LA")  # modes of Pillow, read as one channel of 8 bits
TOO_DEEP = ("I", "F")  # 32 bits a pixel, of no known range
# What file managers, cameras and disks leave among images, in lower case; so are all names that begin with a dot.
SYSTEM = (
    *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"),
    *("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"),
)
# What Pillow raises for damage; "cannot be identified" is an OSError.
DAMAGE = (OSError, SyntaxError, ValueError, KeyError, IndexError, TypeError, OverflowError, EOFError, struct.error)
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # brands, ISO/IEC 23008-12


@dataclass(frozen=True)
class Images:
    """Images that are read when they are asked for."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> NDArray[Any]:
        """uint8[C, H, W] or, grey of 16 bits, uint16[1, H, W]; C is 1 for greyscale images and 3 for others.

        Raises DataError that names the file.
        """
        return _image(self.paths[index])


@dataclass(frozen=True)
class Contents:
    """What is in the folder."""

    classes: tuple[tuple[str, tuple[Path, ...]], ...]  # name → images, both by name; "" where nobody says
    skipped: tuple[Path, ...]
    problems: tuple[str, ...]  # what is neither

    @property
    def images(self) -> tuple[Path, ...]:
        """All of them, class by class."""
        return tuple(path for _, paths in self.classes for path in paths)


def load(job: LoadJob) -> Samples:
    """Images that are read one by one; y int64[N], or None for images that lie in the folder itself.

    Classes are numbered in the order of their folders' names. Raises ConfigError for an unusable option, and DataError
    that names everything that is missing or malformed, the images that cannot be read too.
    """
    import numpy as np

    contents = _scan(_root(job))
    if contents.problems:
        raise _unusable(job, [*contents.problems, *_damaged(contents.images)])
    labels = tuple(name for name, _ in contents.classes if name)
    y = np.repeat(np.arange(len(contents.classes)), [len(paths) for _, paths in contents.classes])
    return Samples(
        Images(contents.images),
        y.astype(np.int64) if labels else None,
        labels,
        names=[str(path) for path in contents.images],
        skipped=tuple(map(str, contents.skipped)),
        decode=_decoding(),
        parallel=True,
    )


def _root(job: LoadJob) -> Path:
    given = job.options["folder"]
    if not isinstance(given, str):
        raise ConfigError([f"dataset {job.dataset}: options.folder: {given!r} is not text; put it in quotes"])
    root = job.root / given
    if not root.is_dir():
        raise DataError(f"{root}: no such folder (dataset {job.dataset}, options.folder)")
    return root


def _unusable(job: LoadJob, problems: Sequence[str]) -> DataError:
    return DataError.of_all(f"dataset {job.dataset}: folder {job.options['folder']} cannot be used", problems)


def _scan(root: Path) -> Contents:
    entries, skipped, problems = _listing(root)
    if entries and not any(entry.is_dir() for entry in entries):
        problems += [_misplaced(entry) for entry in entries if not entry.is_file()]
        return Contents((("", tuple(entries)),), tuple(skipped), tuple(problems))
    classes = []
    for entry in entries:
        if not entry.is_dir():
            problems.append(f"{entry}: is not in the folder of a class; expected {root}/<class>/<image>")
            continue
        inside, systems, wrong = _listing(entry)
        skipped += systems
        problems += wrong or ([] if inside else [f"{entry}: no images for this class"])
        images = {path: None for path in inside if path.is_file()}
        problems += [_misplaced(path) for path in inside if path not in images]
        classes.append((entry.name, tuple(images)))
    if len(classes) < 2:
        count = "one class folder" if classes else "no class folders"
        message = f"expected at least two, as {root}/<class>/<image>, or images without classes, as {root}/<image>"
        problems.append(f"{root}: {count}; {message}")
    return Contents(tuple(classes), tuple(skipped), tuple(problems))


def _listing(folder: Path) -> tuple[list[Path], list[Path], list[str]]:
    """What is in a folder, by name: what the user put there, what a system did, and what is wrong."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        return [], [], [f"{folder}: cannot be read: {error.strerror}"]
    unnamed = [path for path in entries if _unprintable(path)]
    systems = [path for path in entries if path.name.startswith(".") or path.name.lower() in SYSTEM]
    wrong = [f"{os.fsencode(path)!r}: its name is not UTF-8; rename it" for path in unnamed]
    aside = {*unnamed, *systems}
    return [path for path in entries if path not in aside], [path for path in systems if path not in unnamed], wrong


def _misplaced(path: Path) -> str:
    """Why what is no file cannot be an image of a class."""
    if path.is_symlink() and not path.exists():
        return f"{path}: is a link to a file that is not there"
    return f"{path}: is not a file; the images of a class lie directly in its folder"


def _unprintable(path: Path) -> bool:
    """True for names whose bytes are no text, which no list of files could hold."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return True
    return False


def _damaged(paths: tuple[Path, ...]) -> list[str]:
    problems = []
    for path in paths:
        try:
            _image(path)
        except DataError as error:
            problems.append(str(error))
    return problems


def _image(path: Path) -> NDArray[Any]:
    import numpy as np
    from PIL import Image, ImageOps

    try:
        # opened here: where reading fails, Pillow leaves a file open that it opened itself
        with path.open("rb") as stream, Image.open(stream) as image:
            if image.mode in TOO_DEEP:
                raise DataError(f"{path}: has 32 bits a pixel; save it with 8 or 16, e.g. as PNG")
            image.load()  # which turns a TIFF, that would be turned again
            ImageOps.exif_transpose(image, in_place=True)
            if image.mode.startswith("I;16"):  # greyscale; Pillow's own conversion would cut off what is above 255
                return np.asarray(image, np.uint16)[None]
            image.info.pop("transparency", None)  # ignored, and Pillow would warn that it is
            if image.mode in GREY:
                return np.asarray(image.convert("L"))[None]
            return np.ascontiguousarray(np.asarray(image.convert("RGB")).transpose(2, 0, 1))
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image: {_why(path, error)}") from None


def _why(path: Path, error: BaseException) -> str:
    """In words that say what to do, where Pillow's do not."""
    try:
        with path.open("rb") as stream:
            start = stream.read(12)
    except OSError as unreadable:
        return unreadable.strerror or str(unreadable)
    if not start:
        return "the file is empty"
    if start[4:8] == b"ftyp" and start[8:12] in HEIC:
        return "it is HEIC, which Pillow does not read; save it as JPEG or PNG"
    return str(error).partition(" <_io.")[0] or type(error).__name__


def _decoding() -> tuple[str, ...]:
    """How a file becomes the array of its pixels, for who must do the same."""
    import PIL
    from PIL import features

    turbo = features.version("libjpeg_turbo")  # None where Pillow was built with another library
    jpeg = f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version('jpg')}"
    return (
        f"the first frame is read with Pillow {PIL.__version__}, JPEG by {jpeg}",
        "it is turned and mirrored upright, as its EXIF orientation (tag 0x0112) says",
        "greyscale and bilevel images have one channel; palettes, CMYK, YCbCr and all others become R, G, B, as "
        "Pillow's convert('RGB') does it; colour profiles and transparency are ignored",
        "greyscale of 16 bits is 0 to 65535 (uint16), all else 0 to 255 (uint8): of 16-bit colours the upper 8 bits",
    )


def files(job: LoadJob) -> tuple[Path, ...]:
    """Every image; raises as `load` does, but for images that cannot be read: none is opened."""
    contents = _scan(_root(job))
    if contents.problems:
        raise _unusable(job, contents.problems)
    return contents.images


plugin = DatasetLoader(
    id="image_folder",
    description="a folder of images per class, or of images without classes",
    toolchain="core",
    load=load,
    files=files,
    options={"folder": Option("path from the project's folder", required=True)},
)
