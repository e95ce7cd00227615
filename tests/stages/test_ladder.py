"""Rungs: a metric that is a distance is counted from the model that the ladder begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeflow import files
from edgeflow.errors import MismatchError
from edgeflow.plugin import Tolerance
from edgeflow.stages.ladder import Asked, Outputs, rung
from edgeflow.tasks.fidelity import plugin as fidelity
from edgeflow.types.ladder import Rung

X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)


def noisy(seed: int, scale: float) -> np.ndarray:
    return X + np.random.default_rng(seed).normal(0, scale, X.shape).astype(np.float32)


def asked(artifact: Path, answers: np.ndarray, origin: np.ndarray | None = None) -> Outputs:
    by = Asked(files.sha256_file(artifact), "tiny 1", "", "")
    return Outputs({"y": answers[:4]}, {"y": answers}, by, None if origin is None else {"y": origin})


def step(artifact: Path, outputs: Outputs, previous: Outputs | None) -> Rung:
    return rung("compile", outputs, previous, None, fidelity, None, artifact, "tiny 1")


def test_a_program_is_held_against_the_source_and_not_against_the_stage_before(tmp_path: Path) -> None:
    artifact = tmp_path / "program"
    artifact.write_bytes(b"program")
    optimized = noisy(1, 0.1)
    made = step(artifact, asked(artifact, optimized), asked(artifact, optimized, origin=X))
    assert made.metric == "signal_to_noise_db"
    assert made.value == pytest.approx(20, abs=0.5)
    assert made.golden_max_abs == 0.0
    assert step(artifact, asked(artifact, optimized), asked(artifact, optimized)).value == 120.0


def integers(golden: list[int], scale: float, by: str = "") -> Outputs:
    """Outputs of probabilities near 0, of steps of `scale`."""
    reals = np.array(golden, np.float32)[:, None] * np.float32(scale)
    return Outputs({"y": reals}, {"y": reals}, Asked(by, "tiny 1", "", ""), steps={"y": scale})


@pytest.mark.parametrize("before", [[0, 0, 0, 0], [0, 1, 2, 0]])
def test_integers_may_round_apart_however_few_of_them_an_output_uses(before: list[int], tmp_path: Path) -> None:
    artifact = tmp_path / "program"
    artifact.write_bytes(b"program")
    tolerance, digest = Tolerance(0.03, "int8: ties"), files.sha256_file(artifact)
    previous = integers(before, 1 / 256)
    for beyond, after in ((1, "passes"), (2, "passes"), (3, "fails")):
        outputs = integers([beyond, *before[1:]], 1 / 256, digest)
        if after == "passes":
            made = rung("compile", outputs, previous, None, fidelity, tolerance, artifact, "tiny 1")
            assert made.golden_max_abs == pytest.approx(beyond / 256)
        else:
            with pytest.raises(MismatchError, match=r"golden outputs differ by 0\.0117"):
                rung("compile", outputs, previous, None, fidelity, tolerance, artifact, "tiny 1")
    reals = replace(integers([1, *before[1:]], 1 / 256, digest), steps={})
    with pytest.raises(MismatchError, match=r"golden outputs differ by 0\.00391"):
        rung("compile", reals, previous, None, fidelity, tolerance, artifact, "tiny 1")


def test_the_source_itself_differs_in_nothing(tmp_path: Path) -> None:
    artifact = tmp_path / "source"
    artifact.write_bytes(b"source")
    first = step(artifact, asked(artifact, X), None)
    assert (first.value, first.n, first.agreement) == (120.0, 300, None)
