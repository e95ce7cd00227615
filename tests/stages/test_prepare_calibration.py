"""Calibration samples come in an order of which any prefix has every class: schemes use the first few."""

from __future__ import annotations

import numpy as np
import pytest

from edgeflow.plugin import Input
from edgeflow.stages import prepare

CLASSES, PER_CLASS = 10, 100
SPEC = prepare.Spec(
    dataset="own",
    loader="own.py:plugin",
    options={},
    inputs={"input": Input((1, 1, 1))},
    classes=CLASSES,
    seed=0,
    calibration=128,
    evaluation=300,
    golden=32,
    source="made up",
)


@pytest.mark.parametrize("used", [10, 32, 64, 127, 128])
def test_the_first_samples_are_of_all_classes(used: int) -> None:
    y = np.repeat(np.arange(CLASSES), PER_CLASS)  # class by class, as a folder of images is read
    counts = np.bincount(y[prepare.split(y, SPEC, len(y))["calibration"][:used]], minlength=CLASSES)
    assert counts.max() - counts.min() <= 1
