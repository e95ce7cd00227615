"""Samples and answers by the model's own names: where they are in a file, in which order of axes and of which type."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeflow.runners import harness


def _tensor(name: str, dtype: str, *shape: int | str, scale: float | None = None, zero: int | None = None) -> Any:
    return {"name": name, "dtype": dtype, "shape": [*shape], "scale": scale, "zero_point": zero}


def _bound(**places: tuple[str, tuple[int, ...]]) -> dict[str, Any]:
    return {name: {"tensor": tensor, "axes": [*axes]} for name, (tensor, axes) in places.items()}


class Echo:
    """A session of two inputs, image and ids: answers with the image as it came, and with the sum of the ids."""

    def __init__(self, batch: int, *lead: int | str) -> None:
        self.batch = batch
        self.asked: list[int] = []  # samples of each call
        self._inputs = [_tensor("zeta", "uint8", *lead, 2, 3, 4), _tensor("alpha", "int32", *lead, 5)]
        self._outputs = [_tensor("same", "uint8", *lead, 2, 3, 4), _tensor("sum", "int32", *lead)]

    def signature(self) -> dict[str, Any]:
        return {"inputs": self._inputs, "outputs": self._outputs}

    def encode(self, feed: Mapping[str, Any]) -> Any:
        return harness.encode(feed, self._inputs)

    def invoke(self, native: Any) -> Any:
        self.asked.append(len(native["zeta"]))
        return [native["zeta"], native["alpha"].sum(-1, dtype=np.int32)]

    def decode(self, raw: Any) -> Any:
        return harness.decode(dict(zip(("same", "sum"), raw, strict=True)), self._outputs)


BINDING = {
    "inputs": _bound(image=("zeta", (1, 2, 0)), ids=("alpha", ())),
    "outputs": _bound(picture=("same", (1, 2, 0)), total=("sum", ())),
}
IMAGES = np.arange(7 * 24, dtype=np.uint8).reshape(7, 4, 2, 3)
IDS = np.arange(35, dtype=np.int64).reshape(7, 5)


@pytest.mark.parametrize(("batch", "lead", "asked"), [(4, "batch", [4, 3]), (4, 1, [1] * 7), (1, "batch", [1] * 7)])
def test_inputs_and_outputs_are_found_by_name_with_their_axes(batch: int, lead: int | str, asked: list[int]) -> None:
    session = Echo(batch, lead)
    answers = harness.Program(session, BINDING).ask({"ids": IDS, "image": IMAGES})
    assert answers["picture"].tolist() == IMAGES.tolist()  # there in the file's order, and back
    assert answers["total"].tolist() == IDS.sum(1).tolist()
    assert session.asked == asked


def test_a_tensor_without_a_batch_is_a_sample_as_a_whole() -> None:
    class Whole(Echo):
        def invoke(self, native: Any) -> Any:
            assert native["zeta"].shape == (2, 3, 4)
            return [native["zeta"], native["alpha"].sum(-1, dtype=np.int32)]

    answers = harness.Program(Whole(16), BINDING).ask({"ids": IDS, "image": IMAGES})
    assert answers["picture"].tolist() == IMAGES.tolist()
    assert answers["total"].tolist() == IDS.sum(1).tolist()


def test_without_a_binding_the_names_are_the_files() -> None:
    answers = harness.Program(Echo(1, 1), None).ask({"zeta": IMAGES.transpose(0, 2, 3, 1), "alpha": IDS})
    assert {*answers} == {"same", "sum"}


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({"image": IMAGES}, "no samples of input 'ids'; there are image"),
        (
            {"image": IMAGES, "ids": IDS[:, :4]},
            r"input ids: samples have shape \[4\], the file wants int32\[batch, 5\]",
        ),
        ({"image": IMAGES[0], "ids": IDS}, r"input image: samples have shape \[2, 3\], the file wants uint8\[batch, 2"),
        (
            {"image": IMAGES, "ids": IDS + 2**31},
            "input alpha is int32: int64 from 2147483648 to 2147483682 does not fit",
        ),
        ({"image": IMAGES + 0.5, "ids": IDS}, "input zeta is uint8: float64 from 0.5 to 167.5 does not fit"),
    ],
)
def test_samples_that_do_not_fit_are_refused(samples: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        harness.Program(Echo(16, "batch"), BINDING).ask(samples)


@pytest.mark.parametrize(
    ("side", "bound", "message"),
    [
        ("inputs", _bound(image=("zeta", ())), "wants inputs that the model does not have: alpha"),
        ("inputs", _bound(image=("beta", ())), r"has no input image \(beta\); it has zeta, alpha"),
        ("inputs", _bound(image=("zeta", (0, 1)), ids=("alpha", ())), r"image: axes \[0, 1\] are not those of zeta"),
        ("outputs", _bound(picture=("gone", ())), r"has no output picture \(gone\)"),
    ],
)
def test_a_binding_to_another_file_is_refused(side: str, bound: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        harness.Program(Echo(16, "batch"), {**BINDING, side: bound})


def test_an_output_that_has_no_batch_is_not_cut() -> None:
    session = SimpleNamespace(
        signature=lambda: {"inputs": [_tensor("x", "float32", 1, 2)], "outputs": [_tensor("boxes", "float32", "?", 4)]},
        encode=lambda feed: feed,
        invoke=lambda _: np.zeros((3, 4), np.float32),
        decode=lambda raw: {"boxes": raw},
    )
    with pytest.raises(ValueError, match=r"boxes: 1 samples were answered with \[3, 4\].*its axis 0 is no batch"):
        harness.Program(session, None).ask({"x": np.zeros((2, 2), np.float32)})


# --- types -----------------------------------------------------------------------------------------------------------


def test_quantized_integers_are_the_nearest_step_and_plain_ones_are_what_they_say() -> None:
    quantized, plain = _tensor("q", "int8", 1, 4, scale=0.5, zero=-3), _tensor("p", "int32", 1, 3)
    real = np.array([[-0.25, 0.25, 0.7, 1e6]], np.float32)
    stored = harness.encoded(real, quantized)
    assert (stored.dtype, stored.tolist()) == (np.int8, [[-4, -2, -2, 127]])
    assert harness.decoded(stored, quantized).tolist() == [[-0.5, 0.5, 0.5, 65.0]]
    tokens = harness.encoded(np.array([[0, 7, 50256]], np.int64), plain)
    assert (tokens.dtype, tokens.tolist()) == (np.int32, [[0, 7, 50256]])
    assert harness.decoded(tokens, plain).tolist() == [[0, 7, 50256]]


@pytest.mark.parametrize(
    ("given", "dtype", "fits"),
    [
        (np.array([0.1, -65504], np.float32), "float16", True),  # rounded
        (np.array([1e6], np.float32), "float16", False),  # would be infinite
        (np.array([np.inf], np.float32), "float16", True),
        (np.array([255], np.uint8), "float32", True),
        (np.array([2**24 + 1], np.int64), "float32", False),
        (np.array([2**24 + 1], np.int64), "float64", True),
        (np.array([-1], np.int8), "uint64", False),
        (np.array([3.0], np.float32), "int64", True),
        (np.array([np.nan], np.float32), "int64", False),
        (np.array([0, 1], np.uint8), "bool", True),
        (np.array([2], np.uint8), "bool", False),
        (np.array([2**63], np.uint64), "int64", False),
    ],
)
def test_values_are_cast_only_where_they_stay_what_they_are(given: Any, dtype: str, fits: bool) -> None:
    tensor = _tensor("x", dtype, 1, len(given))
    if fits:
        assert harness.encoded(given, tensor).dtype == dtype
        assert np.allclose(harness.encoded(given, tensor).astype(float), given.astype(float), rtol=1e-3)
    else:
        with pytest.raises(ValueError, match=f"input x is {dtype}: .* does not fit"):
            harness.encoded(given, tensor)


def test_float16_answers_are_float32() -> None:
    told = harness.decoded(np.array([[0.5]], np.float16), _tensor("y", "float16", 1, 1))
    assert (told.dtype, told.tolist()) == (np.float32, [[0.5]])


def test_tensors_that_a_file_does_not_tell_apart_get_their_place() -> None:
    assert harness.distinct(["a", "b", "a", ""]) == ["a:0", "b", "a:2", ":3"]
