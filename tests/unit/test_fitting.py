"""How a dataset goes into an imported model: by name, shape and type, or a message that says what does not fit."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from edgeflow.errors import DataError
from edgeflow.stages.fitting import Given, check_values, fit
from edgeflow.types.signatures import Binding, Bound, Signature, Tensor

OUTPUTS = (Tensor("logits", "float32", ("batch", 10)), Tensor("boxes", "float32", ("batch", "n", 4)))


def signature(*inputs: Tensor) -> Signature:
    return Signature(inputs, OUTPUTS)


def image(*shape: int | str, dtype: str = "float32", scale: float | None = None) -> Tensor:
    return Tensor("image", dtype, shape, scale, 0 if scale else None)


PICTURE = {"input": Given("float32", (3, 32, 48))}


@pytest.mark.parametrize(
    ("shape", "layout", "axes"),
    [
        (("batch", 3, 32, 48), "", ()),
        ((1, 3, 32, 48), "", ()),
        ((1, 32, 48, 3), "", (1, 2, 0)),
        (("?", "h", "w", 3), "", (1, 2, 0)),
        (("?", "?", "?", "?"), "NCHW", ()),
        (("?", "?", "?", "?"), "NHWC", (1, 2, 0)),
        ((3, 32, 48), "", ()),  # no axis is the batch's
    ],
)
def test_the_axes_of_a_single_input_are_found_by_its_shape(
    shape: tuple[int | str, ...], layout: str, axes: tuple[int, ...]
) -> None:
    layouts = {"image": layout} if layout else {}
    found = fit("m", signature(image(*shape)), PICTURE, layouts)
    assert found == Binding({"input": Bound("image", axes)}, {"logits": Bound("logits"), "boxes": Bound("boxes")})


def test_an_order_of_other_samples_is_refused() -> None:
    said = "inputs.image.layout: NCL is of other samples than [3, 32, 48]; write another order, or remove it"
    with pytest.raises(DataError, match=re.escape(said)):
        fit("m", signature(image("batch", 3, 32, 48)), PICTURE, {"image": "NCL"})


SQUARE = Tensor("x", "float32", (1, 8, 8))


def test_samples_that_nobody_recorded_go_in_as_they_are() -> None:
    found = fit("m", signature(SQUARE), {"input": Given("float32", (8, 8))}, {}, recorded=False)
    assert found.inputs == {"input": Bound("x")}


@pytest.mark.parametrize(
    ("tensor", "shape", "layouts"),
    [(SQUARE, (8, 8), "NCL } }', or NLC"), (image("?", "?", "?", "?"), (3, 32, 48), "NCHW } }', or NHWC")],
)
def test_channels_that_may_be_first_or_last_are_asked_for(tensor: Tensor, shape: tuple[int, ...], layouts: str) -> None:
    said = f"channels first, and last; say which in the model's file: 'inputs: {{ {tensor.name}: {{ layout: {layouts}."
    with pytest.raises(DataError, match=re.escape(said)):
        fit("m", signature(tensor), {"input": Given("float32", shape)}, {})


def test_a_sequence_may_have_its_channels_last() -> None:
    found = fit("m", signature(Tensor("x", "float32", (1, 128, 6))), {"input": Given("float32", (6, 128))}, {})
    assert found.inputs == {"input": Bound("x", (1, 0))}


def test_several_inputs_are_bound_by_name_alone() -> None:
    both = (Tensor("zebra", "int64", ("batch", 8)), Tensor("apple", "uint8", ("batch", 8)))
    dataset = {"apple": Given("uint8", (8,)), "zebra": Given("int32", (8,))}
    assert fit("m", signature(*both), dataset, {}).inputs == {"apple": Bound("apple"), "zebra": Bound("zebra")}


def test_one_output_may_be_chosen() -> None:
    assert fit("m", signature(image(1, 3, 32, 48)), PICTURE, {}, "boxes").outputs == {"boxes": Bound("boxes")}


def test_quantized_inputs_take_real_values() -> None:
    found = fit("m", signature(image(1, 32, 48, 3, dtype="int8", scale=0.1)), PICTURE, {})
    assert found.inputs == {"input": Bound("image", (1, 2, 0))}


PIXELS = {"input": Given("float32", (3, 32, 48))}
SIDES = "The file takes {file}; the dataset has input float32[3, 32, 48]"


@pytest.mark.parametrize(
    ("tensors", "layouts", "output", "message"),
    [
        (
            (image(1, 3, 224, 224),),
            {},
            "",
            "model m: input image does not take samples of shape [3, 32, 48]; correct the dataset's shape, or the "
            "model's 'inputs'. " + SIDES.format(file="image float32[1, 3, 224, 224]"),
        ),
        (
            (image(1, 3, 32, 48),),
            {"image": "NHWC"},
            "",
            "model m: input image does not take samples of shape [3, 32, 48] in the order NHWC that its configuration "
            "says; correct the dataset's shape, or the model's 'inputs'. "
            + SIDES.format(file="image float32[1, 3, 32, 48]"),
        ),
        (
            (image(8, 3, 32, 48),),
            {},
            "",
            "model m: its file takes exactly 8 samples at once, in image; export it with a batch that is free, or of "
            "one. " + SIDES.format(file="image float32[8, 3, 32, 48]"),
        ),
        (
            (image("batch", 32, 48, 3, dtype="uint8"),),
            {},
            "",
            "model m: input image takes uint8 values as they are, and the dataset gives float32: say 'dtype: uint8' "
            "and no 'normalize' in the dataset's file, so that they stay what they are. "
            + SIDES.format(file="image uint8[batch, 32, 48, 3]"),
        ),
        (
            (image(1, 3, 32, 48), Tensor("tokens", "int64", (1, 8))),
            {},
            "",
            "model m: the dataset has no input 'image', 'tokens' and its file has no input 'input': inputs are bound "
            "by name, so name those of the dataset as the file does. "
            + SIDES.format(file="image float32[1, 3, 32, 48], tokens int64[1, 8]"),
        ),
        (
            (image(1, 3, 32, 48),),
            {"picture": "NHWC"},
            "",
            "model m: inputs.picture: its file has no such input, only image float32[1, 3, 32, 48]",
        ),
        (
            (image(1, 3, 32, 48),),
            {},
            "scores",
            "model m: output: its file has no 'scores', only logits float32[batch, 10], boxes float32[batch, n, 4]",
        ),
    ],
)
def test_what_does_not_fit(tensors: tuple[Tensor, ...], layouts: dict[str, str], output: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        fit("m", signature(*tensors), PIXELS, layouts, output)
    assert str(error.value) == message


def given(dtype: str, scale: float, zero_point: int, values: Any) -> None:
    """What the dataset gives goes into a quantized input."""
    tensor = Tensor("image", dtype, (1, 32, 48, 3), scale, zero_point)
    check_values("m", signature(tensor), Binding({"input": Bound("image")}, {}), {"input": np.float32(values)})


PIXEL = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 48))


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "values"),
    [
        ("uint8", 1 / 128, 128, PIXEL / 128 - 1),
        ("uint8", 1.0, 0, PIXEL),
        ("int8", 1 / 40, 0, np.random.default_rng(0).normal(size=PIXEL.shape)),
        ("int8", 1 / 64, 0, np.random.default_rng(0).normal(size=PIXEL.shape)),  # 5 % of them are clipped
        ("uint8", 1.0, 0, PIXEL > 127),  # few values, each as it is
        ("uint8", 0.5, 0, np.full(PIXEL.shape, 0.7)),
    ],
)
def test_values_that_a_quantized_input_holds(dtype: str, scale: float, zero_point: int, values: Any) -> None:
    given(dtype, scale, zero_point, values)


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "values", "message"),
    [
        (
            "uint8",
            1 / 128,
            128,
            PIXEL,
            "model m: input image holds values from -1 to 0.9922 in steps of 0.007812 (uint8), and the dataset gives "
            "some from 0 to 255, which come in as 2 different ones: bring them into its range with 'range' and "
            "'normalize' in the dataset's file",
        ),
        ("int8", 1.0, -128, PIXEL / 255, "holds values from 0 to 255 in steps of 1 .* from 0 to 1, which .* as 2 "),
        ("uint8", 1 / 255, 0, np.full(PIXEL.shape, 255), "holds values from 0 to 1 .* from 255 to 255, .* as 1 "),
    ],
)
def test_values_that_a_quantized_input_cannot_hold(
    dtype: str, scale: float, zero_point: int, values: Any, message: str
) -> None:
    with pytest.raises(DataError, match=re.escape(message) if message.startswith("model") else message):
        given(dtype, scale, zero_point, values)
