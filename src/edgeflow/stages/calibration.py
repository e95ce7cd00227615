"""The samples that ranges are found on."""

from __future__ import annotations

from pathlib import Path

from edgeflow.errors import DataError
from edgeflow.plugin import Runtime
from edgeflow.runners import harness
from edgeflow.stages import splits
from edgeflow.types.variants import Scheme


def read(model: str, scheme: Scheme, path: Path | None, runtime: Runtime) -> harness.Float32 | None:
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
    samples = harness.to_layout(x[:wanted], runtime.layout)
    if samples.min() == samples.max():
        raise DataError(
            f"{path}: all {wanted} calibration samples of {model} hold {samples.flat[0]:g} everywhere, so they show no "
            "range of any layer; give the dataset a calibration split like what the model will see"
        )
    return samples
