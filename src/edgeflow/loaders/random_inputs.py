"""Declared random inputs, where there are no samples at all: what depends on their values says so."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeflow.errors import ConfigError
from edgeflow.plugin import DatasetLoader, Input, LoadJob, Option, Samples

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DECLARED = "random"
NARROW = ("uint8", "int8", "bool")  # types of which any value may come


@dataclass(frozen=True)
class Random:
    """Samples that depend on the seed, the input's name and their index alone.

    Floats are normal (mean 0, variance 1) where `range` is any, and uniform in it otherwise; integers are uniform, both
    ends included.
    """

    name: str
    declared: Input
    samples: int
    seed: int

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> NDArray[Any]:
        """One sample, [shape] in the declared type."""
        import numpy as np

        generator = np.random.Generator(np.random.PCG64([self.seed, zlib.crc32(self.name.encode()), index]))
        shape, dtype, limits = self.declared.shape, np.dtype(self.declared.dtype), self.declared.range
        if dtype.kind == "b":
            return generator.integers(0, 2, shape).astype(bool)
        if dtype.kind == "f":
            if limits == () or (limits is None and dtype != np.float32):
                return np.asarray(generator.standard_normal(shape), dtype)
            low, high = limits or (0, 1)
            # rounding to the narrower type must not leave the range
            return np.asarray(np.clip(np.asarray(generator.uniform(low, high, shape), dtype), low, high), dtype)
        low, high = limits or (np.iinfo(dtype).min, np.iinfo(dtype).max)
        return generator.integers(int(low), int(high), shape, dtype, endpoint=True)


def load(job: LoadJob) -> Samples:
    """As many samples of every input as `samples` says; nobody knows their classes.

    Raises ConfigError for integers of which it is not known which may come, such as token ids.
    """
    count, seed = job.options["samples"], job.options.get("seed", 0)
    problems = [
        f"dataset {job.dataset}: input {name} is {declared.dtype}: say which values may come in 'range: [low, high]'"
        for name, declared in job.inputs.items()
        if declared.dtype[0] in "ui" and declared.dtype not in NARROW and not declared.range
    ]
    if problems:
        raise ConfigError(problems)
    inputs = {name: Random(name, declared, count, seed) for name, declared in job.inputs.items()}
    return Samples(inputs, parallel=True, declared=DECLARED)


def files(job: LoadJob) -> tuple[Path, ...]:
    """None."""
    return ()


plugin = DatasetLoader(
    id="random",
    description="declared random inputs, where there are no samples",
    toolchain="core",
    load=load,
    files=files,
    options={
        "samples": Option("how many", required=True, type=int, least=1),
        "seed": Option("seed of the draw; 0 if not given", type=int, least=0),
    },
)
