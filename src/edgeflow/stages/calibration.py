"""The samples that ranges are found on, and samples as a model's file takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeflow.errors import DataError
from edgeflow.plugin import Runtime
from edgeflow.runners import harness
from edgeflow.runners.tensors import Split, first
from edgeflow.stages import splits
from edgeflow.types.signatures import Binding, Bound
from edgeflow.types.variants import Scheme

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeflow.plugin import Feed

AT_ONCE = 8  # samples that are read and prepared together


@dataclass(frozen=True)
class Feeds:
    """The first `count` samples of a split as a file takes them, one at a time; each iteration reads them again."""

    split: Split
    count: int
    binding: Binding
    dtypes: Mapping[str, str]  # of the file's inputs, by name in the file

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Feed]:
        for batch in self.split.batches(AT_ONCE, self.count):
            for i in range(len(next(iter(batch.values())))):
                yield {bound.tensor: self._fed(batch[name][i], bound) for name, bound in self.binding.inputs.items()}

    def _fed(self, sample: NDArray[Any], bound: Bound) -> NDArray[Any]:
        """[1, …], a copy: nobody's view keeps a batch in memory."""
        ordered = sample.transpose(bound.axes) if bound.axes else sample
        return np.array(ordered[None], self.dtypes.get(bound.tensor, sample.dtype.name), order="C")


def read(
    model: str, scheme: Scheme, path: Path | None, runtime: Runtime, source: Path, binding: Binding | None
) -> Feeds | None:
    """scheme.calibration_samples samples as the file `source` takes them, or None when the scheme needs none.

    Raises DataError when there are no samples, fewer than the scheme wants, or all of them the same constant.
    """
    if not scheme.calibration_samples:
        return None
    if path is None:
        raise DataError(f"{model}/{scheme.id}: the scheme calibrates, which needs --input calibration=FILE")
    split = splits.opened(path)
    wanted = scheme.calibration_samples
    if len(split) < wanted:
        raise DataError(f"{path}: {len(split)} samples; scheme {scheme.id} calibrates on {wanted}")
    if (value := _only_value(split, wanted)) is not None:
        raise DataError(
            f"{path}: all {wanted} calibration samples of {model} hold {value:g} everywhere, so they show no "
            "range of any layer; give the dataset a calibration split like what the model will see"
        )
    return feeds(split, runtime, source, binding, wanted)


def feeds(split: Split, runtime: Runtime, source: Path, binding: Binding | None, count: int | None = None) -> Feeds:
    """The first samples of a split, by default all, as the file `source` takes them."""
    inputs = harness.load_backend(str(runtime.backend)).Session(str(source), 1).signature()["inputs"]
    if binding is None:
        binding = _only_input(split, [tensor["name"] for tensor in inputs], runtime)
    dtypes = {tensor["name"]: tensor["dtype"] for tensor in inputs}
    return Feeds(split, len(split) if count is None else count, binding, dtypes)


def _only_input(split: Split, tensors: list[str], runtime: Runtime) -> Binding:
    """Of a model with one input, in the runtime's layout."""
    images = len(next(iter(split.batch(0, 1).values())).shape) == 4
    axes = (1, 2, 0) if images and runtime.layout == "NHWC" else ()
    return Binding({first(split.names): Bound(first(tensors), axes)}, {})


def _only_value(split: Split, count: int) -> float | None:
    """The one value that all samples hold everywhere; None where there are more, as in nearly all first samples."""
    values: set[float] = set()
    for batch in split.batches(AT_ONCE, count):
        for array in batch.values():
            values |= {float(array.min()), float(array.max())}
        if len(values) > 1:
            return None
    return values.pop()
