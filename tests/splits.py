"""Prepared splits: written by hand, and of two classes, dark and bright, for trainings that take a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.runners import tensors


def write_split(path: Path, x: Any, y: Any = None, declared: str = "") -> None:
    """Write a split of one input as the model takes it, x [N, …], with labels y int64[N] where there are any."""
    inputs = {"input": (x.dtype.name, x.shape)}
    writer = tensors.split_writer(path, inputs, {"input": tensors.How()}, labelled=y is not None, declared=declared)
    writer.write("inputs/input", 0, x)
    if y is not None:
        writer.write("labels", 0, np.asarray(y, np.int64))


def write_raw(path: Path, samples: Sequence[Any]) -> None:
    """Write golden samples as they were before preprocessing, for a model with one input."""
    tensors.write(path, {f"{row}/input": np.asarray(sample)[None] for row, sample in enumerate(samples)})


def read_split(path: Path) -> tuple[Any, Any]:
    """x [N, …] of a split of one input as the model takes it, and y int64[N] or None."""
    split = tensors.Split(path)
    return split.batch()[split.names[0]], split.labels()


def read_answers(path: Path) -> tuple[Any, Any]:
    """What the only output of a model answers to the golden and to the evaluation samples."""
    reader = tensors.Reader(path)
    golden, evaluation = (
        next(reader.rows(name) for name in reader.entries if name.startswith(side))
        for side in ("golden/", "evaluation/")
    )
    return golden, evaluation


def write_splits(folder: Path, evaluation: int, noise: float, distance: float) -> None:
    """Write train, evaluation and golden, float32[N, 1, 10, 8]: Gaussian noise around 0 or, in class 1, `distance`."""
    rng = np.random.default_rng(0)
    for name, n in (("train", 64), ("evaluation", evaluation), ("golden", 4)):
        y = np.arange(n) % 2
        x = rng.normal(0, noise, (n, 1, 10, 8)) + distance * y[:, None, None, None]
        write_split(folder / f"{name}.safetensors", x.astype(np.float32), y)


def write_named(path: Path, inputs: Mapping[str, Any], how: Mapping[str, tensors.How]) -> None:
    """Write a split of several inputs as they are stored, name → [N, …], without labels."""
    described = {name: (values.dtype.name, values.shape) for name, values in inputs.items()}
    writer = tensors.split_writer(path, described, how, labelled=False)
    for name, values in inputs.items():
        writer.write(tensors.INPUTS + name, 0, values)
