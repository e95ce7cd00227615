"""Prepared splits of two classes, dark and bright, for trainings that take a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeflow import files


def write_splits(folder: Path, evaluation: int, noise: float, distance: float) -> None:
    """Write train, evaluation and golden, float32[N, 1, 10, 8]: Gaussian noise around 0 or, in class 1, `distance`."""
    rng = np.random.default_rng(0)
    for name, n in (("train", 64), ("evaluation", evaluation), ("golden", 4)):
        y = np.arange(n) % 2
        x = rng.normal(0, noise, (n, 1, 10, 8)) + distance * y[:, None, None, None]
        files.write_npz(folder / f"{name}.npz", x=x.astype(np.float32), y=y)
