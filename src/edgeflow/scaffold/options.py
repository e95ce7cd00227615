"""What `edgeflow try` and `edgeflow add model` are told of a model."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def absolute(path: Path) -> Path:
    """A path that was typed, from the root and without `..`, so that its last part is a name."""
    return Path(os.path.abspath(path))


def add_file(parser: argparse.ArgumentParser) -> None:
    """The model."""
    parser.add_argument("file", type=Path, help=".onnx, .tflite, .keras, .h5, .pt2, or the folder of a SavedModel")


def add_sample_options(parser: argparse.ArgumentParser) -> None:
    """What is said of the samples of a model."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER|FILE.npz",
        help="samples: images, in a folder per class if there are classes",
    )
    parser.add_argument(
        "--shape",
        action=Shapes,
        default={},
        metavar="INPUT=3x224x224",
        help="of a sample as the file takes it, where it leaves axes open; once for each input",
    )


class Shapes(argparse.Action):
    """`--shape INPUT=3x224x224`, gathered by input."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        name, _, axes = str(values).rpartition("=")
        if not name or not all(axis.isdigit() and int(axis) > 0 for axis in axes.split("x")):
            parser.error(f"--shape {values}: expected INPUT=3x224x224")
        namespace.shape = {**namespace.shape, name: tuple(map(int, axes.split("x")))}
