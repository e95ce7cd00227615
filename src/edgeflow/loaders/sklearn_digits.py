"""scikit-learn's handwritten digits: 1,797 greyscale images of 8×8 pixels, ten classes, shipped with the library."""

from __future__ import annotations

from pathlib import Path

from edgeflow.plugin import DatasetLoader, LoadJob, Samples


def load(job: LoadJob) -> Samples:
    """x float32[1797, 1, 8, 8] in [0, 1], y int64[1797]."""
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = (digits.images[:, None] / 16).astype(np.float32)  # pixels are counts of 0 to 16
    return Samples(x, digits.target.astype(np.int64), tuple(str(name) for name in digits.target_names))


def files(job: LoadJob) -> tuple[Path, ...]:
    """None: the images are part of the library."""
    return ()


plugin = DatasetLoader(
    id="sklearn_digits",
    description="scikit-learn's handwritten digits",
    toolchain="core",
    load=load,
    files=files,
)
