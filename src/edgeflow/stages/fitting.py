"""How the inputs of a dataset go into a model that somebody brings: by name, by shape, and by type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeflow.errors import DataError
from edgeflow.runners import harness
from edgeflow.types.plain import to_json
from edgeflow.types.signatures import Binding, Bound, Signature, Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHANNELS_LAST: Mapping[int, tuple[int, ...]] = {3: (1, 2, 0), 2: (1, 0)}  # by the axes of a sample: [C, H, W], [C, L]
CHANNELS_FIRST = ("NCHW", "NCL")
# Of the standard deviation of values, the greatest root mean square of what they lose as integers: of 12 dB, two bits.
# 8 bits that are made for their values keep 40 dB and more.
MOST_LOST = 0.25


@dataclass(frozen=True)
class Given:
    """One input of a dataset as a model is fed it."""

    dtype: str  # numpy name
    shape: tuple[int, ...]  # of a sample, channels first

    @property
    def kind(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


def fit(
    model: str,
    signature: Signature,
    dataset: Mapping[str, Given],
    layouts: Mapping[str, str],
    output: str = "",
    *,
    recorded: bool = True,
) -> Binding:
    """Where the inputs of a dataset and the outputs of a model are in the model's file.

    A single input is found whatever its name. `layouts`: order of the axes by input of the model, where its
    configuration says it; else the shapes say it. `output`: the only one that is looked at; "": all of them. Samples
    that nobody `recorded` have no channels that could be taken for something else.
    Raises DataError that lists both sides and says what to do.
    """
    pairs = _paired(model, signature, dataset)
    if unknown := [name for name in layouts if name not in {tensor.name for tensor in signature.inputs}]:
        raise DataError(
            f"model {model}: inputs.{unknown[0]}: its file has no such input, only {_names(signature.inputs)}"
        )
    inputs = {}
    for name, tensor in pairs.items():
        layout = layouts.get(tensor.name, "")
        if layout and len(layout) != len(dataset[name].shape) + 1:
            raise DataError(
                f"model {model}: inputs.{tensor.name}.layout: {layout} is of other samples than "
                f"{list(dataset[name].shape)}; write another order, or remove it. {_both(signature, dataset)}"
            )
        orders = _fitting(tensor, dataset[name], layout)
        if not orders:
            raise DataError(f"model {model}: {_misfit(tensor, dataset[name], layouts)}. {_both(signature, dataset)}")
        if recorded and len(orders) > 1:
            raise DataError(f"model {model}: {_ambiguous(tensor, dataset[name])}. {_both(signature, dataset)}")
        if problem := _other_type(tensor, dataset[name]):
            raise DataError(f"model {model}: {problem}. {_both(signature, dataset)}")
        inputs[name] = Bound(tensor.name, orders[0])
    outputs = [tensor.name for tensor in signature.outputs]
    if output and output not in outputs:
        raise DataError(f"model {model}: output: its file has no {output!r}, only {_names(signature.outputs)}")
    return Binding(inputs, {name: Bound(name) for name in ([output] if output else outputs)})


def check_values(model: str, signature: Signature, binding: Binding, samples: Mapping[str, NDArray[Any]]) -> None:
    """Raise DataError where the integers of a quantized input cannot hold what the dataset gives: [n, …] by input.

    They would be clipped to a few values, or rounded to them, and the model would answer to those.
    """
    tensors = {tensor.name: tensor for tensor in signature.inputs}
    for name, bound in binding.inputs.items():
        tensor = tensors[bound.tensor]
        if tensor.scale is not None and (problem := _unheld(tensor, tensor.scale, samples[name])):
            raise DataError(f"model {model}: {problem}")


def _unheld(tensor: Tensor, scale: float, given: NDArray[Any]) -> str:
    """Why a quantized tensor does not hold values; "" where it does."""
    import numpy as np

    values = np.asarray(given, np.float32)
    held = harness.decoded(harness.encoded(values, to_json(tensor)), to_json(tensor))
    low, high = float(values.min()), float(values.max())
    lost = float(np.sqrt(np.mean((held - values) ** 2, dtype=np.float64)))
    if lost <= (MOST_LOST * float(values.std(dtype=np.float64)) if low < high else scale):
        return ""
    limits = np.iinfo(tensor.dtype)
    least, most = (scale * (end - (tensor.zero_point or 0)) for end in (limits.min, limits.max))
    return (
        f"input {tensor.name} holds values from {least:.4g} to {most:.4g} in steps of {scale:.4g} ({tensor.dtype}), "
        f"and the dataset gives some from {low:.4g} to {high:.4g}, which come in as {np.unique(held).size} different "
        "ones: bring them into its range with 'range' and 'normalize' in the dataset's file"
    )


def _paired(model: str, signature: Signature, dataset: Mapping[str, Given]) -> dict[str, Tensor]:
    """Input of the dataset → input of the file."""
    if len(dataset) == 1 and len(signature.inputs) == 1:
        return {next(iter(dataset)): signature.inputs[0]}
    wanted = {tensor.name: tensor for tensor in signature.inputs}
    missing, needless = sorted({*wanted} - {*dataset}), sorted({*dataset} - {*wanted})
    if missing or needless:
        parts = [f"the dataset has no input {', '.join(map(repr, missing))}"] if missing else []
        parts += [f"its file has no input {', '.join(map(repr, needless))}"] if needless else []
        raise DataError(
            f"model {model}: {' and '.join(parts)}: inputs are bound by name, so name those of the dataset as the file "
            f"does. {_both(signature, dataset)}"
        )
    return {name: wanted[name] for name in dataset}


def _fitting(tensor: Tensor, given: Given, layout: str) -> list[tuple[int, ...]]:
    """The orders of a sample's axes that fit the file, as they are first."""
    return [axes for axes in _orders(len(given.shape), layout) if _fits(tensor.sample, given.shape, axes)]


def _orders(axes: int, layout: str) -> Iterator[tuple[int, ...]]:
    last = CHANNELS_LAST.get(axes)
    if not layout or layout in CHANNELS_FIRST:
        yield ()
    if last is not None and layout not in CHANNELS_FIRST:
        yield last


def _fits(wanted: tuple[int | str, ...], shape: tuple[int, ...], axes: tuple[int, ...]) -> bool:
    found = tuple(shape[axis] for axis in axes) if axes else shape
    return len(found) == len(wanted) and all(isinstance(w, str) or w == f for w, f in zip(wanted, found, strict=True))


def _misfit(tensor: Tensor, given: Given, layouts: Mapping[str, str]) -> str:
    first = tensor.shape[0] if tensor.shape else ""
    if isinstance(first, int) and first > 1 and len(tensor.shape) == len(given.shape) + 1:
        return (
            f"its file takes exactly {first} samples at once, in {tensor.name}; export it with a batch that is free, "
            "or of one"
        )
    layout = f" in the order {layouts[tensor.name]} that its configuration says" if tensor.name in layouts else ""
    return (
        f"input {tensor.name} does not take samples of shape [{', '.join(map(str, given.shape))}]{layout}; "
        "correct the dataset's shape, or the model's 'inputs'"
    )


def _ambiguous(tensor: Tensor, given: Given) -> str:
    first, last = ("NCHW", "NHWC") if len(given.shape) == 3 else ("NCL", "NLC")
    return (
        f"input {tensor.name} takes samples of shape [{', '.join(map(str, given.shape))}] with their channels first, "
        f"and last; say which in the model's file: 'inputs: {{ {tensor.name}: {{ layout: {first} }} }}', or {last}"
    )


def _other_type(tensor: Tensor, given: Given) -> str:
    """Why values of the dataset cannot be what a file wants; "" where they can."""
    plain = tensor.scale is None and not tensor.dtype.startswith("float")
    if plain and given.dtype.startswith("float"):
        return (
            f"input {tensor.name} takes {tensor.dtype} values as they are, and the dataset gives {given.dtype}: say "
            f"'dtype: {tensor.dtype}' and no 'normalize' in the dataset's file, so that they stay what they are"
        )
    return ""


def _both(signature: Signature, dataset: Mapping[str, Given]) -> str:
    has = ", ".join(f"{name} {given.kind}" for name, given in dataset.items())
    return f"The file takes {_names(signature.inputs)}; the dataset has {has}"


def _names(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(f"{t.name} {t.dtype}[{', '.join(map(str, t.shape))}]" for t in tensors) or "none"
