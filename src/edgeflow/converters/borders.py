"""What the inputs and outputs of a model are called in a file that is made of it, and in which order their axes are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.errors import PluginError
from edgeflow.plugin import ConvertJob
from edgeflow.types.signatures import Binding, Bound, Signature, Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHANNELS_LAST, CHANNELS_FIRST = (1, 2, 0), (2, 0, 1)  # order of a sample [C, H, W], and of one [H, W, C]


@dataclass(frozen=True)
class Border:
    """By the model's own name the name in the file: the same where every tool takes it for one, and all distinct."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    @classmethod
    def of(cls, signature: Signature) -> Border:
        """Names for a signature."""
        inputs = _words("input", signature.inputs, ())
        return cls(inputs, _words("output", signature.outputs, inputs.values()))

    def binding(self, order: tuple[int, ...] = (), inputs: Iterable[str] = (), outputs: Iterable[str] = ()) -> Binding:
        """As converters give it; `order` is that of the axes of these, by the model's own names."""
        turned = dict.fromkeys(inputs, order), dict.fromkeys(outputs, order)
        sides = zip((self.inputs, self.outputs), turned, strict=True)
        given, gives = ({name: Bound(file, axes.get(name, ())) for name, file in side.items()} for side, axes in sides)
        return Binding(given, gives)


def _words(kind: str, tensors: Iterable[Tensor], taken: Iterable[str]) -> dict[str, str]:
    """ONNX has one space of names for both sides, TensorFlow none for names that are no words."""
    found: dict[str, str] = {}
    for number, tensor in enumerate(tensors):
        word = re.fullmatch(r"[A-Za-z]\w*", tensor.name, re.ASCII)
        used = {name.lower() for name in (*found.values(), *taken)}
        found[tensor.name] = tensor.name if word and tensor.name.lower() not in used else f"{kind}_{number}"
    return found


def source(job: ConvertJob) -> Path:
    """The file that is converted.

    Raises PluginError where the job has none: that is for the converter of a framework.
    """
    if job.source is None:
        raise PluginError("a converter of files was given none: its source must be a format")
    return job.source


def images(tensors: Iterable[Tensor]) -> list[str]:
    """Those that have four axes of which the first is the batch's."""
    return [t.name for t in tensors if len(t.shape) == 4 and t.batched]


def fed(binding: Binding, example: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """A sample of the model's own [1, …] as the file takes it."""
    found = {}
    for name, array in example.items():
        bound = binding.inputs[name]
        found[bound.tensor] = array.transpose(0, *(axis + 1 for axis in bound.axes)) if bound.axes else array
    return found
