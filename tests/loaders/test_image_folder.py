"""The image folder loader: real images of several kinds, and every way in which a folder can be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeflow.errors import ConfigError, DataError
from edgeflow.loaders.image_folder import plugin
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


def refusal(project: Path, folder: str = "images") -> str:
    """The message of the DataError, with paths relative to the project."""
    with pytest.raises(DataError) as caught:
        load(project, folder)
    return str(caught.value).replace(f"{project}/", "")


# --- what it reads ---------------------------------------------------------------------------------------------------


def test_classes_and_images_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    for i, name in enumerate(["zebra/a.png", "ant/b.png", "zebra/B.png", "ant/a.png", "bee/1.png"]):
        save(tmp_path / "images" / name, np.full((1, 1), i, np.uint8))
    samples = load(tmp_path)
    assert samples.labels == ("ant", "bee", "zebra")
    assert samples.y.dtype == np.int64
    assert samples.y.tolist() == [0, 0, 1, 2, 2]
    assert [round(float(image.item() * 255)) for image in samples.x] == [3, 1, 4, 2, 0]


def test_greyscale_has_one_channel_and_colour_three(images: Path, tmp_path: Path) -> None:
    grey, colour = load(tmp_path).x
    assert grey.dtype == colour.dtype == np.float32
    np.testing.assert_allclose(grey, GREY[None] / 255, rtol=1e-6)
    np.testing.assert_allclose(colour, COLOUR.transpose(2, 0, 1) / 255, rtol=1e-6)


def test_sizes_may_differ(images: Path, tmp_path: Path) -> None:
    save(images / "dog/2.png", np.zeros((7, 5, 3), np.uint8))
    assert [image.shape for image in load(tmp_path).x] == [(1, 2, 3), (3, 2, 3), (3, 7, 5)]


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("LA", 1), ("RGBA", 3), ("P", 3)])
def test_other_kinds_become_greyscale_or_colour(images: Path, tmp_path: Path, mode: str, channels: int) -> None:
    save(images / "cat/1.png", np.full((2, 3), 255, np.uint8), mode)
    image = load(tmp_path).x[0]
    assert image.shape == (channels, 2, 3)
    assert (image == 1).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_keep_their_range(images: Path, tmp_path: Path, suffix: str) -> None:
    (images / "cat/1.png").unlink()
    save(images / f"cat/1.{suffix}", np.array([[0, 13107, 65535]], np.uint16))
    np.testing.assert_allclose(load(tmp_path).x[0], [[[0, 0.2, 1]]], rtol=1e-6)


def test_jpeg_is_read(images: Path, tmp_path: Path) -> None:
    save(images / "cat/2.jpg", np.full((8, 8, 3), 128, np.uint8))
    np.testing.assert_allclose(load(tmp_path).x[1], np.full((3, 8, 8), 128 / 255), atol=0.01)


def test_hidden_files_are_no_images(images: Path, tmp_path: Path) -> None:
    (images / ".DS_Store").write_text("x")
    (images / "cat/.thumbnail").write_text("x")
    (images / ".cache").mkdir()
    samples = load(tmp_path)
    assert len(samples.x) == 2
    assert samples.labels == ("cat", "dog")


def test_the_workflow_watches_every_image(images: Path, tmp_path: Path) -> None:
    job = LoadJob("own", {"folder": "images"}, tmp_path)
    assert plugin.files(job) == (images / "cat/1.png", images / "dog/1.png")


# --- folders that are wrong ------------------------------------------------------------------------------------------


def test_no_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path, "missing") == "missing: no such folder (dataset own, options.folder)"


def test_no_classes(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    assert refusal(tmp_path) == "images: no class folders; expected at least two, as images/<class>/<image>"


def test_one_class(tmp_path: Path) -> None:
    save(tmp_path / "images/cat/1.png", GREY)
    assert refusal(tmp_path) == "images: one class folder; expected at least two, as images/<class>/<image>"


def test_a_class_without_images(images: Path, tmp_path: Path) -> None:
    (images / "empty").mkdir()
    (images / "empty/.hidden").touch()
    assert refusal(tmp_path) == "images/empty: no images for this class"


def test_a_file_beside_the_classes(images: Path, tmp_path: Path) -> None:
    save(images / "stray.png", GREY)
    assert refusal(tmp_path) == "images/stray.png: is not in the folder of a class; expected images/<class>/<image>"


def test_a_folder_among_the_images(images: Path, tmp_path: Path) -> None:
    save(images / "cat/more/2.png", GREY)
    message = "images/cat/more: is not a file; the images of a class lie directly in its folder"
    assert refusal(tmp_path) == message


def test_a_file_that_is_no_image(images: Path, tmp_path: Path) -> None:
    (images / "cat/notes.txt").write_text("not an image")
    assert refusal(tmp_path).startswith("images/cat/notes.txt: cannot be read as an image: cannot identify image file")


@pytest.mark.parametrize("name", ["2.png", "2.jpg", "2.bmp", "2.gif"])
def test_a_truncated_image(images: Path, tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    path = save(images / "cat" / name, rng.integers(0, 256, (32, 32, 3), np.uint8))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert refusal(tmp_path).startswith(f"images/cat/{name}: cannot be read as an image: ")


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
