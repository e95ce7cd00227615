"""What a network is that PyTorch and Keras both have: how it is made, what goes in and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Net:
    """How a network is made, and its inputs and outputs by name, in order."""

    build: Callable[[], Any]
    inputs: Mapping[str, tuple[int, ...]]  # shape without the batch
    outputs: tuple[str, ...] = ("output",)
    ids: int = 0  # inputs are int64 below this number; 0: float32

    def samples(self, count: int, seed: int = 0) -> dict[str, NDArray[np.generic]]:
        """Input name → [count, …], in order."""
        random = np.random.default_rng(seed)
        return {
            name: random.integers(0, self.ids, (count, *shape))
            if self.ids
            else random.standard_normal((count, *shape), dtype=np.float32)
            for name, shape in self.inputs.items()
        }
