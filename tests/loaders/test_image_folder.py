"""The image folder loader: real images of several kinds, and every way in which a folder can be wrong."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, features

from edgeflow.errors import ConfigError, DataError
from edgeflow.loaders.image_folder import Images, plugin
from edgeflow.plugin import LoadJob, Samples

GREY = np.arange(6, dtype=np.uint8).reshape(2, 3) * 51  # H 2, W 3
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=2)


def save(path: Path, pixels: Any, mode: str | None = None) -> Path:
    """Write an image; its kind is that of the pixels, converted to `mode` where one is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(pixels))
    (image.convert(mode) if mode else image).save(path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes with one image each, below the project's folder `tmp_path`."""
    save(tmp_path / "images/cat/1.png", GREY)
    save(tmp_path / "images/dog/1.png", COLOUR)
    return tmp_path / "images"


def load(project: Path, folder: Any = "images") -> Samples:
    """What the loader gives."""
    return plugin.load(LoadJob("own", {"folder": folder}, project))


def read(project: Path) -> list[Any]:
    """Every image."""
    images = load(project).inputs
    return [images[i] for i in range(len(images))]


def refusal(project: Path, folder: str = "images") -> str:
    """What is wrong with a folder or its only bad image, with paths relative to the project."""
    with pytest.raises(DataError) as caught:
        read(project) if folder == "images" else load(project, folder)
    return str(caught.value).replace(f"{project}/", "")


def problems(project: Path) -> list[str]:
    """Each line about a folder that is wrong."""
    first, *lines = refusal(project).splitlines()
    start = "dataset own: folder images cannot be used: "
    assert first.startswith(start)
    problems = [line.strip() for line in lines] or [first.removeprefix(start)]
    assert all(problem.partition(": ")[0] in first for problem in problems[:8])
    return problems


# --- what it reads ---------------------------------------------------------------------------------------------------


def test_classes_and_images_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    for i, name in enumerate(["zebra/a.png", "ant/b.png", "zebra/B.png", "ant/a.png", "bee/1.png"]):
        save(tmp_path / "images" / name, np.full((1, 1), i, np.uint8))
    samples = load(tmp_path)
    assert samples.labels == ("ant", "bee", "zebra")
    assert samples.y.dtype == np.int64
    assert samples.y.tolist() == [0, 0, 1, 2, 2]
    assert [image.item() for image in read(tmp_path)] == [3, 1, 4, 2, 0]
    names = ["ant/a.png", "ant/b.png", "bee/1.png", "zebra/B.png", "zebra/a.png"]
    assert list(samples.names) == [str(tmp_path / "images" / name) for name in names]


def test_greyscale_has_one_channel_and_colour_three(images: Path, tmp_path: Path) -> None:
    grey, colour = read(tmp_path)
    assert grey.dtype == colour.dtype == np.uint8
    np.testing.assert_array_equal(grey, GREY[None])
    np.testing.assert_array_equal(colour, COLOUR.transpose(2, 0, 1))


def test_sizes_may_differ(images: Path, tmp_path: Path) -> None:
    save(images / "dog/2.png", np.zeros((7, 5, 3), np.uint8))
    assert [image.shape for image in read(tmp_path)] == [(1, 2, 3), (3, 2, 3), (3, 7, 5)]


def test_an_image_is_read_when_it_is_asked_for(images: Path, tmp_path: Path) -> None:
    samples = load(tmp_path)
    save(images / "cat/1.png", GREY + 1)
    np.testing.assert_array_equal(samples.inputs[0], GREY[None] + 1)


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("LA", 1), ("RGBA", 3), ("P", 3)])
def test_other_kinds_become_greyscale_or_colour(images: Path, tmp_path: Path, mode: str, channels: int) -> None:
    save(images / "cat/1.png", np.full((2, 3), 255, np.uint8), mode)
    image = read(tmp_path)[0]
    assert image.shape == (channels, 2, 3)
    assert (image == 255).all()


def test_cmyk_becomes_colour(images: Path, tmp_path: Path) -> None:
    ink = Image.fromarray(np.broadcast_to(np.uint8([255, 0, 51, 0]), (16, 8, 4)).copy(), "CMYK")
    ink.save(images / "cat/2.tif")
    np.testing.assert_array_equal(read(tmp_path)[1][:, 0, 0], [0, 255, 204])
    ink.save(images / "cat/3.jpg", quality=95)
    np.testing.assert_allclose(read(tmp_path)[2][:, 0, 0], [0, 255, 204], atol=5)


@pytest.mark.parametrize("transparent", [0, bytes([0, 128, 255])])
def test_transparency_of_a_palette_is_ignored(images: Path, tmp_path: Path, transparent: Any) -> None:
    image = Image.fromarray(np.uint8([[0, 1, 2]])).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(images / "cat/1.png", transparency=transparent)
    np.testing.assert_array_equal(read(tmp_path)[0][:, 0], 255 * np.eye(3))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_keep_their_values(images: Path, tmp_path: Path, suffix: str) -> None:
    (images / "cat/1.png").unlink()
    save(images / f"cat/1.{suffix}", np.array([[0, 13107, 65535]], np.uint16))
    image = read(tmp_path)[0]
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, [[[0, 13107, 65535]]])


def test_jpeg_is_read(images: Path, tmp_path: Path) -> None:
    save(images / "cat/2.jpg", np.full((8, 8, 3), 128, np.uint8))
    np.testing.assert_allclose(read(tmp_path)[1], np.full((3, 8, 8), 128), atol=2)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        *((1, lambda x: x), (2, np.fliplr), (3, lambda x: np.rot90(x, 2)), (4, np.flipud)),
        *((5, np.transpose), (6, lambda x: np.rot90(x, -1)), (7, lambda x: np.rot90(x, 2).T), (8, np.rot90)),
    ],
)
def test_exif_orientation_is_applied(
    images: Path, tmp_path: Path, suffix: str, orientation: int, upright: Callable[[Any], Any]
) -> None:
    pixels = np.kron(np.uint8([[0, 60, 120], [180, 220, 255]]), np.ones((16, 16), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(images / f"cat/2.{suffix}", exif=exif)
    np.testing.assert_allclose(read(tmp_path)[1][0], upright(pixels), atol=8)


def test_orientation_of_16_bits_is_applied(images: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.uint16([[1, 2, 3], [4, 5, 60000]])).save(images / "cat/2.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path)[1][0], [[4, 1], [5, 2], [60000, 3]])


def test_an_orientation_that_does_not_exist_is_none(images: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    Image.fromarray(GREY).save(images / "cat/1.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path)[0][0], GREY)


@pytest.mark.parametrize("name", ["it's here.png", "two\nlines.png", "größe 猫 🐈.png", "a {b} *.png", "-x=y.png", "x"])
def test_names_of_any_characters(images: Path, tmp_path: Path, name: str) -> None:
    path = save(images / "cat" / "2.png", GREY).rename(images / "cat" / name)
    for folder in ("it's a dog", "hund\n🐕"):
        save(images / folder / "1.png", GREY)
    samples = load(tmp_path)
    assert {"it's a dog", "hund\n🐕"} < set(samples.labels)
    index = list(samples.names).index(str(path))
    np.testing.assert_array_equal(samples.inputs[index], GREY[None])


def test_what_systems_leave_is_skipped_and_counted(images: Path, tmp_path: Path) -> None:
    left = [".DS_Store", "Thumbs.db", "cat/._1.png", "cat/THUMBS.DB", "dog/desktop.ini", "__MACOSX/cat/1.png"]
    for name in left:
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_text("x")
    samples = load(tmp_path)
    assert len(samples.inputs) == 2
    assert samples.labels == ("cat", "dog")
    skipped = {str(Path(path).relative_to(images)) for path in samples.skipped}
    assert skipped == {*left[:-1], "__MACOSX"}


def test_the_workflow_watches_every_image(images: Path, tmp_path: Path) -> None:
    (images / "Thumbs.db").write_text("x")
    job = LoadJob("own", {"folder": "images"}, tmp_path)
    assert plugin.files(job) == (images / "cat/1.png", images / "dog/1.png")


def test_planning_learns_what_can_be_told_without_opening_an_image(images: Path, tmp_path: Path) -> None:
    (images / "cat/empty.png").touch()
    assert len(plugin.files(LoadJob("own", {"folder": "images"}, tmp_path))) == 3
    save(images / "stray.png", GREY)
    with pytest.raises(DataError, match=r"stray\.png: is not in the folder of a class"):
        plugin.files(LoadJob("own", {"folder": "images"}, tmp_path))
    with pytest.raises(DataError, match="missing: no such folder"):
        plugin.files(LoadJob("own", {"folder": "missing"}, tmp_path))


# --- folders that are wrong ------------------------------------------------------------------------------------------


def test_no_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path, "missing") == "missing: no such folder (dataset own, options.folder)"


def test_images_that_nobody_labelled(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"images/{i}.png", GREY + i)
    (tmp_path / "images/.DS_Store").touch()
    samples = plugin.load(LoadJob("own", {"folder": "images"}, tmp_path))
    assert (samples.y, samples.labels, samples.skipped) == (None, (), (str(tmp_path / "images/.DS_Store"),))
    np.testing.assert_array_equal([image[0, 0, 0] for image in samples.inputs], [GREY[0, 0] + i for i in range(3)])


def test_no_classes(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    assert problems(tmp_path) == [
        "images: no class folders; expected at least two, as images/<class>/<image>, or images without classes, as "
        "images/<image>"
    ]


def test_one_class(tmp_path: Path) -> None:
    save(tmp_path / "images/cat/1.png", GREY)
    assert problems(tmp_path) == [
        "images: one class folder; expected at least two, as images/<class>/<image>, or images without classes, as "
        "images/<image>"
    ]


def test_a_class_without_images(images: Path, tmp_path: Path) -> None:
    (images / "empty").mkdir()
    (images / "empty/.hidden").touch()
    assert problems(tmp_path) == ["images/empty: no images for this class"]


def test_a_file_beside_the_classes(images: Path, tmp_path: Path) -> None:
    save(images / "stray.png", GREY)
    assert problems(tmp_path) == ["images/stray.png: is not in the folder of a class; expected images/<class>/<image>"]


def test_a_folder_among_the_images(images: Path, tmp_path: Path) -> None:
    save(images / "cat/more/2.png", GREY)
    assert problems(tmp_path) == ["images/cat/more: is not a file; the images of a class lie directly in its folder"]


def test_a_link_to_nothing(images: Path, tmp_path: Path) -> None:
    (images / "cat/2.png").symlink_to("gone.png")
    assert problems(tmp_path) == ["images/cat/2.png: is a link to a file that is not there"]


def test_a_name_that_is_no_text(images: Path, tmp_path: Path) -> None:
    (images / "cat" / os.fsdecode(b"caf\xe9.png")).write_bytes((images / "cat/1.png").read_bytes())
    (problem,) = problems(tmp_path)
    assert problem == r"b'images/cat/caf\xe9.png': its name is not UTF-8; rename it"


# --- files that are wrong --------------------------------------------------------------------------------------------


def damage(folder: Path) -> dict[str, str]:
    """Every kind of bad file, in the folder of a class; name → what is said of it."""
    whole = save(folder / "whole.png", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    Image.open(whole).save(folder / "whole.jpg")
    content = {
        "empty.png": b"",
        "half.png": whole.read_bytes()[: whole.stat().st_size // 2],
        "half.jpg": (folder / "whole.jpg").read_bytes()[:900],
        "phone.HEIC": b"\0\0\0\x24ftypheic\0\0\0\0mif1heic" + bytes(64),
        "phone.jpg": b"\0\0\0\x24ftypmif1\0\0\0\0mif1heic" + bytes(64),
        "text.png": b"not an image",
        "two\nlines.png": b"not one either",
    }
    for name, bytes_ in content.items():
        (folder / name).write_bytes(bytes_)
    (folder / "unreadable.png").symlink_to("/proc/self/mem")  # an error of the device, for root too
    save(folder / "deep.tif", np.zeros((2, 2), np.float32))
    return {
        "empty.png": "cannot be read as an image: the file is empty",
        "half.png": "cannot be read as an image: ",
        "half.jpg": "cannot be read as an image: image file is truncated",
        "phone.HEIC": "cannot be read as an image: it is HEIC, which Pillow does not read; save it as JPEG or PNG",
        "phone.jpg": "cannot be read as an image: it is HEIC, which Pillow does not read; save it as JPEG or PNG",
        "text.png": "cannot be read as an image: cannot identify image file",
        "two\\nlines.png": "cannot be read as an image: cannot identify image file",
        "unreadable.png": "cannot be read as an image: Input/output error",
        "deep.tif": "has 32 bits a pixel; save it with 8 or 16, e.g. as PNG",
    }


@pytest.mark.parametrize("at", range(9))
def test_each_kind_of_bad_file_is_refused_alone(images: Path, tmp_path: Path, at: int) -> None:
    name, said = [*damage(images / "cat").items()][at]
    for path in (images / "cat").iterdir():
        if path.name not in (name.replace("\\n", "\n"), "whole.png"):
            path.unlink()
    assert refusal(tmp_path).replace("\n", "\\n").startswith(f"images/cat/{name}: {said}")


def test_all_that_is_wrong_with_a_folder_is_said_at_once(images: Path, tmp_path: Path) -> None:
    expected = damage(images / "cat")
    save(images / "stray.png", GREY)
    (images / "empty").mkdir()
    (images / "Thumbs.db").touch()
    first, second, *lines = problems(tmp_path)
    assert first == "images/empty: no images for this class"
    assert second == "images/stray.png: is not in the folder of a class; expected images/<class>/<image>"
    assert len(lines) == len(expected)
    for name, said in expected.items():
        assert any(line.startswith(f"images/cat/{name}: {said}") for line in lines), name


@pytest.mark.parametrize("name", ["2.png", "2.jpg", "2.bmp", "2.gif", "2.tif", "2.webp"])
def test_a_truncated_image(images: Path, tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    path = save(images / "cat" / name, rng.integers(0, 256, (32, 32, 3), np.uint8))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert refusal(tmp_path).startswith(f"images/cat/{name}: cannot be read as an image: ")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "tif", "webp"])
@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_altered_bytes_are_read_or_refused_by_name(tmp_path: Path, suffix: str, at: float, bits: int) -> None:
    path = tmp_path / f"1.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOUR).save(path, exif=exif)
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= bits
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what it repairs
        try:
            image = Images((path,))[0]
        except DataError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017 - either may be
        else:
            assert image.ndim == 3


@pytest.mark.parametrize(
    ("chunk", "offset", "bits", "problem"),
    [
        (b"IHDR", -1, 0x05, "Truncated IHDR chunk"),
        (b"IDAT", -1, 0xFF, "broken PNG file"),
        (b"IDAT", 6, 0xFF, "broken data stream when reading image file"),
    ],
)
def test_an_image_with_altered_bytes(
    images: Path, tmp_path: Path, chunk: bytes, offset: int, bits: int, problem: str
) -> None:
    # of a size that takes several chunks
    path = save(images / "cat/1.png", np.random.default_rng(0).integers(0, 256, (200, 400), np.uint8))
    content = bytearray(path.read_bytes())
    content[content.index(chunk) + offset] ^= bits
    path.write_bytes(content)
    assert refusal(tmp_path).startswith(f"images/cat/1.png: cannot be read as an image: {problem}")


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bits_have_no_known_range(images: Path, tmp_path: Path, dtype: type) -> None:
    save(images / "cat/2.tif", GREY.astype(dtype))
    assert refusal(tmp_path) == "images/cat/2.tif: has 32 bits a pixel; save it with 8 or 16, e.g. as PNG"


def test_an_image_that_would_fill_the_memory(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2)
    assert "images/cat/1.png: cannot be read as an image: Image size (6 pixels) exceeds limit" in refusal(tmp_path)


@pytest.mark.parametrize("call", [plugin.load, plugin.files])
def test_the_option_must_be_text(tmp_path: Path, call: Any) -> None:
    with pytest.raises(ConfigError, match=r"dataset own: options\.folder: 3 is not text; put it in quotes"):
        call(LoadJob("own", {"folder": 3}, tmp_path))


@pytest.mark.parametrize(("turbo", "said"), [("3.2.0", "libjpeg-turbo 3.2.0"), (None, "libjpeg 6.2")])
def test_the_library_that_decodes_jpeg_is_recorded(
    images: Path, monkeypatch: pytest.MonkeyPatch, turbo: str | None, said: str
) -> None:
    monkeypatch.setattr(features, "version", {"libjpeg_turbo": turbo, "jpg": "6.2"}.__getitem__)
    assert load(images.parent).decode[0].endswith(f", JPEG by {said}")
