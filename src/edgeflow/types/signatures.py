"""What goes into a model or a program and what comes out, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Tensor:
    """One input or output of a program."""

    name: str
    dtype: str  # numpy name: "float32", "int8"
    shape: tuple[int | str, ...]  # a text names an axis of any length, "?" where the file gives it no name
    scale: float | None = None  # real = scale · (quantized − zero_point)
    zero_point: int | None = None

    @property
    def batched(self) -> bool:
        """Whether axis 0 is the batch: it is free or 1. Else the tensor is a sample as a whole."""
        return bool(self.shape) and (isinstance(self.shape[0], str) or self.shape[0] == 1)

    @property
    def sample(self) -> tuple[int | str, ...]:
        """The axes of one sample."""
        return self.shape[1:] if self.batched else self.shape


@dataclass(frozen=True)
class Signature:
    """What goes into a program and what comes out."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Bound:
    """Where one input or output of a model is in a file that was made of it."""

    tensor: str  # name in the file
    # Order of a sample's axes in the file, without the batch's: in the file an input is sample.transpose(axes), and an
    # output comes back by the inverse. (): as they are.
    axes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Binding:
    """How what a model itself calls its inputs and outputs is found in a file that was made of it."""

    inputs: Mapping[str, Bound]
    outputs: Mapping[str, Bound]

    def then(self, following: Binding) -> Binding:
        """This, to a file of which `following` says how its inputs and outputs are found in the next."""
        return Binding(
            {name: _through(bound, following.inputs) for name, bound in self.inputs.items()},
            {name: _through(bound, following.outputs) for name, bound in self.outputs.items()},
        )


def _through(bound: Bound, following: Mapping[str, Bound]) -> Bound:
    after = following[bound.tensor]
    axes = tuple(bound.axes[axis] for axis in after.axes) if bound.axes and after.axes else bound.axes or after.axes
    return Bound(after.tensor, axes)
