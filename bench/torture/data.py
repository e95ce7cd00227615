"""The datasets of the torture matrix, made here with fixed seeds: sequences, tables, photos, noise, and bad files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SAMPLES = 1200
SPLITS = {"seed": 0, "calibration": 128, "evaluation": 600, "golden": 32}
MADE = {"splits": SPLITS, "source": "made by bench.torture", "license": "CC0-1.0"}
DATASETS: Mapping[str, Mapping[str, Any]] = {
    "sensors": {
        "loader": "npz", "options": {"file": "data/sensors.npz"}, "classes": 3, "shape": [3, 64],
        "range": "any", "normalize": "measured", **MADE,
    },
    "table": {
        "loader": "npz", "options": {"file": "data/table.npz"}, "classes": 3, "shape": [12],
        "range": "any", "normalize": "measured", **MADE,
    },
    "noise": {"loader": "npz", "options": {"file": "data/noise.npz"}, "classes": 3, "shape": [1, 16, 16], **MADE},
    "photos": {
        "loader": "image_folder", "options": {"folder": "data/photos"}, "classes": 2, "shape": [3, 24, 24],
        "normalize": {"mean": 0.5, "std": 0.25}, **MADE,
    },
    "bad_photos": {
        "loader": "image_folder", "options": {"folder": "data/bad_photos"}, "classes": 2, "shape": [3, 24, 24], **MADE,
    },
}  # fmt: skip
# What is wrong with files that people have, by name; all of them must be said at once.
BAD_FILES: Mapping[str, bytes] = {
    "empty.png": b"",
    "text.png": b"this is no image",
    "truncated.jpg": b"",  # half of a good one
    "phone.heic": b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic",
}
SYSTEM_FILES = ("Thumbs.db", ".DS_Store", "desktop.ini")  # skipped


def make(folder: Path) -> None:
    """Write all of them below `folder`/data."""
    import numpy as np

    data = folder / "data"
    data.mkdir()
    random = np.random.default_rng(0)
    y = np.arange(SAMPLES) % 3
    time = np.linspace(0, 4 * np.pi, 64)
    phase = random.uniform(0, 2 * np.pi, (SAMPLES, 3, 1))
    waves = np.sin((1 + y)[:, None, None] * time + phase) + random.normal(0, 0.4, (SAMPLES, 3, 64))
    np.savez(data / "sensors.npz", x=(9.81 * waves).astype(np.float32), y=y)
    centres = random.normal(0, 1, (3, 12))
    scale, offset = 10.0 ** random.uniform(-2, 3, 12), random.normal(0, 50, 12)
    rows = (centres[y] + random.normal(0, 0.6, (SAMPLES, 12))) * scale + offset
    np.savez(data / "table.npz", x=rows.astype(np.float32), y=y)
    np.savez(data / "noise.npz", x=random.integers(0, 256, (SAMPLES, 16, 16), np.uint8), y=random.permutation(y))
    _photos(data / "photos", random, SAMPLES)
    _photos(data / "bad_photos", random, SAMPLES)
    half = (data / "bad_photos/round/0.jpg").read_bytes()
    for name, content in BAD_FILES.items():
        (data / "bad_photos/round" / name).write_bytes(content or (half[: len(half) // 2] if "trunc" in name else b""))


def _photos(folder: Path, random: Any, samples: int) -> None:
    """Circles and squares in colour, of several sizes and file types, some lying on their side as phones save them."""
    import numpy as np
    from PIL import Image

    shapes: Mapping[str, Callable[[Any, Any], Any]] = {
        "round": lambda across, down: across**2 + down**2 < 0.4,
        "square": lambda across, down: np.maximum(abs(across), abs(down)) < 0.55,
    }
    for name, inside in shapes.items():
        (folder / name).mkdir(parents=True)
        for system in SYSTEM_FILES:
            (folder / name / system).write_bytes(b"not an image")
        for i in range(samples // 2):
            height, width = random.integers(40, 90, 2)
            down, across = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
            shift_down, shift_across = random.uniform(-0.2, 0.2, 2)
            shape = inside(across - shift_across, down - shift_down)
            colour, ground = random.integers(0, 256, (2, 3))
            noise = random.normal(0, 20, (height, width, 3))
            pixels = np.clip(np.where(shape[..., None], colour, ground) + noise, 0, 255).astype(np.uint8)
            image = Image.fromarray(pixels)
            if i % 7 == 0:
                exif = Image.Exif()
                exif[0x0112] = 6  # Orientation: turned by 90° (EXIF 2.32, 4.6.4)
                image.save(folder / name / f"{i}.jpg", exif=exif, quality=90)
            else:
                image.save(folder / name / (f"{i}.png" if i % 2 else f"{i}.jpg"))
