"""Answers as stages leave them, and a backend of one matrix, in tests of the stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeflow.stages.ladder import Asked, Outputs
from edgeflow.types.signatures import Binding, Bound

OUTPUT = "logits"
BINDING = Binding({"input": Bound("x")}, {OUTPUT: Bound("y")})  # to the file of MATRIX

# A program is an .npy: weights float32[F, K]. Text for a backend of a test's own.
MATRIX = """
import io
import os
import signal
from pathlib import Path

import numpy as np

from edgeflow.runners.harness import RefusedError


def tensor(name, *shape):
    return {"name": name, "dtype": "float32", "shape": list(shape), "scale": None, "zero_point": None}


class Session:
    batch = 16

    def __init__(self, program, threads):
        self.program = program
        self.weights = np.load(io.BytesIO(Path(program).read_bytes()))

    def signature(self):
        features, classes = self.weights.shape
        return {"inputs": [tensor("x", "n", features)], "outputs": [tensor("y", "n", classes)]}

    def encode(self, feed):
        return feed["x"]

    def invoke(self, native):
        return native @ self.weights

    def decode(self, raw):
        return {"y": raw}

    def operators(self):
        return []

    @staticmethod
    def versions():
        return {"tiny": "1"}
"""


def write_answers(
    path: Path, golden: Any, evaluation: Any, *, of: Path | None = None, split: Path | None = None
) -> None:
    """Of a model with one output; `of` and `split`: what the tiny backend answered with, and to what."""
    asked = Asked.here(of, "tiny 1", split) if of and split else None
    Outputs({OUTPUT: golden}, {OUTPUT: evaluation}, asked).write(path)


def read_answers(path: Path) -> tuple[Any, Any]:
    """To the golden and to the evaluation samples, of a model with one output."""
    outputs = Outputs.read(path)
    return outputs.golden[OUTPUT], outputs.evaluation.get(OUTPUT)
