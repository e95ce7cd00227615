"""Photos are read one at a time: the memory that prepare takes does not grow with their number times their size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeflow import files
from edgeflow.plugin import Input
from edgeflow.runners import tensors
from edgeflow.stages import prepare

SPLITS = ("train", "calibration", "evaluation", "golden", "golden_raw")
HEIGHT, WIDTH = 3000, 4000
PHOTO_BYTES = HEIGHT * WIDTH * 3
SPEC = prepare.Spec(
    dataset="photos",
    loader="edgeflow.loaders.image_folder:plugin",
    options={"folder": "photos"},
    inputs={"input": Input((3, 32, 32))},
    classes=2,
    seed=0,
    calibration=1,
    evaluation=1,
    golden=2,
    source="made up",
    duplicates="keep",
)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photo of 12 megapixels that lies on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.broadcast_to(np.linspace(0, 255, WIDTH).astype(np.uint8)[:, None], (HEIGHT, WIDTH, 3))
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", exif=exif)
    return tmp_path / "photo.jpg"


def peak_bytes(photo: Path, number: int) -> int:
    """Peak memory of the process that prepares so many photos."""
    folder = photo.parent / str(number)
    for i in range(number):
        path = folder / "photos" / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(photo)
    outputs = [*(f"{name}={name}.safetensors" for name in SPLITS), "samples=samples.csv", "info=dataset.json"]
    command = ["prepare", "--spec", json.dumps(asdict(SPEC)), "--job", "job.json", "--output", *outputs]
    subprocess.run(
        [sys.executable, "-m", "edgeflow", *command], cwd=folder, env={**os.environ, "EDGEFLOW_WARM": "0"}, check=True
    )
    assert sum(len(tensors.Split(folder / f"{name}.safetensors")) for name in ("train", "evaluation")) == number - 2
    peak: int = files.read_json(folder / "job.json")["memory_peak_bytes"]
    return peak


def test_it_does_not_grow_with_the_number_of_photos(photo: Path) -> None:
    few, many = peak_bytes(photo, 6), peak_bytes(photo, 30)
    # 24 more that stay would be 24 times that, and in float32 96 times; allocators alone move it by one (seen: 36.3 MB)
    assert many < few + 3 * PHOTO_BYTES
    assert many < 12 * PHOTO_BYTES  # float32 of one and the copies that turn it; libraries
