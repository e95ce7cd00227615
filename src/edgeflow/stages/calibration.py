"""The samples that ranges are found on, and samples as a model's file takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.errors import DataError
from edgeflow.plugin import Runtime
from edgeflow.runners import harness
from edgeflow.runners.tensors import Split
from edgeflow.stages import splits
from edgeflow.types.plain import to_json
from edgeflow.types.signatures import Binding
from edgeflow.types.variants import Scheme

if TYPE_CHECKING:
    from edgeflow.plugin import Feed

AT_ONCE = 8  # samples that are read and prepared together


@dataclass(frozen=True)
class Feeds:
    """The first `count` samples of a split as a file takes them, one at a time; each iteration reads them again."""

    split: Split
    count: int
    signature: Mapping[str, Any]  # of the file, as its backend says it
    binding: Binding | None  # None: the samples have the names of the file

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Feed]:
        names = harness.Names(self.signature, to_json(self.binding))
        for batch in self.split.batches(AT_ONCE, self.count):
            for i in range(len(next(iter(batch.values())))):
                feed = harness.encode(names.feed(batch, i, i + 1), self.signature["inputs"])
                # copies: nobody's view keeps a batch in memory
                yield {name: array.copy() if array.base is not None else array for name, array in feed.items()}


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
    signature = harness.signature(str(runtime.backend), str(source))
    return Feeds(split, len(split) if count is None else count, signature, binding)


def _only_value(split: Split, count: int) -> float | None:
    """The one value that all samples hold everywhere; None where there are more, as in nearly all first samples."""
    values: set[float] = set()
    for batch in split.batches(AT_ONCE, count):
        for array in batch.values():
            values |= {float(array.min()), float(array.max())}
        if len(values) > 1:
            return None
    return values.pop()
