"""A linear model that the backend of `tests.answers.MATRIX` runs, with samples of which it is always right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.answers import write_answers
from tests.splits import write_split

from edgeflow import files

SAMPLES, FEATURES, CLASSES = 40, 6, 3
GOLDEN = 4
WEIGHTS = np.random.default_rng(0).normal(size=(FEATURES, CLASSES)).astype(np.float32)


def write_setting(folder: Path, model: str) -> str:
    """Write the model, every split, and as "outputs" what the model answers; the SHA-256 of the model."""
    x = np.random.default_rng(1).normal(size=(SAMPLES, FEATURES)).astype(np.float32)
    answers = x @ WEIGHTS
    write_split(folder / "golden", x[:GOLDEN])
    for name in ("evaluation", "train", "calibration"):
        write_split(folder / name, x, answers.argmax(1))
    write_answers(folder / "outputs", answers[:GOLDEN], answers)
    with (folder / model).open("wb") as stream:
        np.save(stream, WEIGHTS)
    return files.sha256_file(folder / model)
