"""The digits that scikit-learn ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeflow.loaders.sklearn_digits import plugin
from edgeflow.plugin import LoadJob

JOB = LoadJob("digits", {}, Path())


def test_the_whole_dataset_in_0_1() -> None:
    samples = plugin.load(JOB)
    assert samples.inputs.shape == (1797, 1, 8, 8)
    assert samples.inputs.dtype == np.float32
    assert (samples.inputs.min(), samples.inputs.max()) == (0, 1)
    assert samples.y.dtype == np.int64
    assert samples.labels == tuple("0123456789")
    assert np.bincount(samples.y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_it_reads_no_files_of_the_project() -> None:
    assert plugin.files(JOB) == ()
