"""The samples that ranges are found on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow.errors import DataError
from edgeflow.plugin import Runtime
from edgeflow.stages import splits
from edgeflow.types.variants import Scheme

if TYPE_CHECKING:
    from edgeflow.plugin import Float32


def read(model: str, scheme: Scheme, path: Path | None, runtime: Runtime) -> Float32 | None:
    """float32[calibration_samples, …] in the runtime's layout, or None when the scheme needs none.

    Raises DataError when there are no samples, fewer than the scheme wants, or all of them the same constant.
    """
    if not scheme.calibration_samples:
        return None
    if path is None:
        raise DataError(f"{model}/{scheme.id}: the scheme calibrates, which needs --input calibration=FILE")
    x = splits.whole(path)
    wanted = scheme.calibration_samples
    if len(x) < wanted:
        raise DataError(f"{path}: {len(x)} samples; scheme {scheme.id} calibrates on {wanted}")
    samples = to_layout(x[:wanted], runtime.layout)
    if samples.min() == samples.max():
        raise DataError(
            f"{path}: all {wanted} calibration samples of {model} hold {samples.flat[0]:g} everywhere, so they show no "
            "range of any layer; give the dataset a calibration split like what the model will see"
        )
    return samples


def to_layout(x: Float32, layout: str) -> Float32:
    """float32[N, C, H, W] as the runtime wants it; arrays that are not four-dimensional have no layout."""
    import numpy as np

    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if layout == "NHWC" and x.ndim == 4 else x
