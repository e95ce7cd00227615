"""What is written about a model's file, and that configuration takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgeflow.config.models import DatasetConfig, ModelConfig
from edgeflow.config.validate import validate
from edgeflow.errors import UsageError
from edgeflow.scaffold import imported, options
from edgeflow.scaffold.imported import Data, File
from edgeflow.types.signatures import Signature, Tensor

KNOWN = {
    "dataset": ("it_samples",),
    "task": ("fidelity", "classification"),
    "loader": ("random", "npz", "image_folder"),
}
LOGITS = Tensor("logits", "float32", ("batch", 10))


def file(*inputs: Tensor, outputs: tuple[Tensor, ...] = (LOGITS,), kind: str = "onnx", quantized: str = "") -> File:
    return File(Path(f"/somewhere/it.{kind}"), kind, quantized, Signature(inputs, outputs), ())


def written(
    it: File, data: Data | None = None, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model and the dataset, which the configuration's own models take."""
    model = imported.described(it, "it", data, shapes or {})
    sections = []
    for text, kind in ((imported.model_file(model), ModelConfig), (imported.dataset_file(model), DatasetConfig)):
        content = yaml.safe_load(text)
        section, problems = validate(kind, content, "it.yaml", KNOWN)
        assert section is not None, [str(problem) for problem in problems]
        assert not problems
        sections.append(content)
    return sections[0], sections[1]


def test_an_image_with_channels_last_is_one_with_channels_first_in_the_dataset() -> None:
    image = Tensor("input_1", "float32", (1, 96, 64, 3))
    model, dataset = written(file(image, kind="tflite"))
    assert dataset["shape"] == [3, 96, 64]
    assert model["inputs"] == {"input_1": {"layout": "NHWC"}}
    model, dataset = written(file(Tensor("input", "float32", ("batch", 3, 96, 64))))
    assert dataset["shape"] == [3, 96, 64]
    assert "inputs" not in model


def test_without_samples_they_are_declared_random_and_the_task_needs_no_labels() -> None:
    model, dataset = written(file(Tensor("input", "float32", ("batch", 40))))
    assert (model["task"], dataset["loader"], dataset["range"]) == ("fidelity", "random", "any")
    counts = dataset["splits"]
    assert sum(counts.values()) == dataset["options"]["samples"]
    assert "random numbers" in imported.dataset_file(imported.described(file(LOGITS), "it", None, {}))


def test_integers_keep_their_type_and_quantized_ones_stand_for_reals() -> None:
    ids, photo = Tensor("photo", "uint8", (1, 3, 8, 8)), Tensor("ids", "int64", ("batch", 12))
    _, dataset = written(file(ids, photo))
    assert [*dataset["inputs"]] == ["photo", "ids"]  # as the file has them
    assert dataset["inputs"]["photo"] == {"shape": [3, 8, 8], "dtype": "uint8", "range": [0, 255]}
    assert dataset["inputs"]["ids"] == {"shape": [12], "dtype": "int64", "range": [0, 1]}
    _, dataset = written(file(Tensor("x", "int8", (1, 40), 0.5, -28), quantized="int8 weights and activations"))
    assert "dtype" not in dataset
    mean, std = dataset["normalize"]["mean"], dataset["normalize"]["std"]
    assert [(u - mean) / std for u in (0, 1)] == pytest.approx([-50, 77.5], rel=0.01)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({}, r"input 'ids' has axes of any length \('length'\): say what a sample has, e.g. --shape ids=64$"),
        ({"ids": (7, 2)}, r"--shape ids=7x2 does not fit: the file has 64 without the batch"),
        ({"tokens": (7,)}, r"--shape tokens=…: it.onnx has no such input; it has ids"),
    ],
)
def test_axes_of_any_length_are_asked_for_by_name(shapes: Mapping[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        written(file(Tensor("ids", "int64", ("batch", "length"))), shapes=shapes)


def test_a_given_shape_fills_them() -> None:
    clip = Tensor("clip", "float32", ("batch", 3, "?", "?"))
    with pytest.raises(UsageError, match=r"\(one without a name, one without a name\).*--shape clip=3x64x64"):
        written(file(clip))
    _, dataset = written(file(clip), shapes={"clip": (3, 20, 30)})
    assert dataset["shape"] == [3, 20, 30]


@pytest.mark.parametrize(
    ("declared", "kind", "given", "layout", "note"),
    [
        ((1, 3, 32, 32), "onnx", (3, 32, 32), None, ""),
        ((1, 3, 32, 32), "onnx", (32, 32, 3), "NHWC", ""),
        ((1, 3, 32, 32), "onnx", (28, 30, 3), "NHWC", "Images of 28x30 pixels are resized to the 32x32 "),
        ((1, 3, 32, 32), "onnx", (32, 32), None, ""),  # grey
        ((1, 32, 32, 3), "tflite", (3, 32, 32), None, ""),
        ((1, 32, 32, 3), "tflite", (32, 32, 3), "NHWC", ""),
        ((1, 32, 32, 3), "tflite", (32, 32, 1), "NHWC", ""),
        ((1, 28, 28, 1), "keras", (28, 28), None, ""),
        ((1, 1, 12), "onnx", (12,), None, ""),  # the axis of a single channel may be left away
    ],
)
def test_arrays_say_themselves_how_their_images_lie(
    declared: tuple[int, ...], kind: str, given: tuple[int, ...], layout: str | None, note: str
) -> None:
    it = file(Tensor("image", "float32", declared), kind=kind)
    data = Data("npz", {"file": "data/it.npz"}, 500, shapes={"image": given})
    _, dataset = written(it, data)
    assert dataset["options"].get("layout") == layout
    assert f"# {note}" in imported.dataset_file(imported.described(it, "it", data, {}))


@pytest.mark.parametrize(
    ("declared", "given", "told"),
    [
        (
            (1, 3, 32, 32),
            (5, 32, 32),
            r"takes samples of shape \[3, 32, 32\], and those of the array have \[5, 32, 32\]",
        ),
        ((1, 3, 32, 32), (1, 3, 32, 32), r"save the array as \[samples, 3, 32, 32\]"),
        ((1, 40), (41,), r"--data it.npz: input 'image' takes samples of shape \[40\]"),
        ((1, 3, 64), (64, 3), r"those of the array have \[64, 3\]"),
    ],
)
def test_arrays_that_cannot_become_what_a_model_takes_are_refused(
    declared: tuple[int, ...], given: tuple[int, ...], told: str
) -> None:
    data = Data("npz", {"file": "data/it.npz"}, 500, shapes={"image": given})
    with pytest.raises(UsageError, match=told):
        written(file(Tensor("image", "float32", declared)), data)


def test_floats_for_an_input_of_integers_are_refused_before_anything_is_built() -> None:
    data = Data("npz", {"file": "data/it.npz"}, 500, shapes={"ids": (12,)}, dtypes={"ids": "float32"})
    tokens = file(Tensor("ids", "int64", (1, 12)))
    with pytest.raises(UsageError, match=r"--data it.npz: input 'ids' takes int64, and the array has float32"):
        written(tokens, data)
    written(tokens, replace(data, dtypes={"ids": "int32"}))


def test_bytes_for_an_input_of_floats_are_told_how_they_are_taken() -> None:
    """Whether a model wants 0 to 255 or 0 to 1, its file does not say; with the wrong one it is at chance."""
    image = file(Tensor("image", "float32", (1, 3, 8, 8)))
    data = Data("npz", {"file": "data/it.npz"}, 500, shapes={"image": (3, 8, 8)}, dtypes={"image": "uint8"})
    told = "# The model is given bytes as they are, 0 to 255; without 'range: any' they become 0 to 1."
    assert told in imported.dataset_file(imported.described(image, "it", data, {}))
    floats = replace(data, dtypes={"image": "float32"})
    assert told not in imported.dataset_file(imported.described(image, "it", floats, {}))


def test_samples_give_open_axes_their_lengths_unless_somebody_says_others() -> None:
    tokens = file(Tensor("ids", "int64", ("batch", "length")))
    data = Data("npz", {"file": "data/it.npz"}, 500, shapes={"ids": (12,)})
    _, dataset = written(tokens, data)
    assert dataset["shape"] == [12]
    with pytest.raises(UsageError, match=r"takes samples of shape \[10\], and those of the array have \[12\]"):
        written(tokens, data, {"ids": (10,)})
    clip = file(Tensor("clip", "float32", ("batch", "?", "?", 3)))
    _, dataset = written(clip, replace(data, shapes={"clip": (20, 30, 3)}))
    assert dataset["shape"] == [3, 20, 30]
    with pytest.raises(UsageError, match="--shape clip="):
        written(clip, replace(data, shapes={"clip": (3, 20, 30)}))


def test_labels_make_it_a_classifier_with_the_output_that_has_a_score_for_each() -> None:
    x, boxes = Tensor("x", "float32", (1, 4)), Tensor("boxes", "float32", (1, 4))
    data = Data("npz", {"file": "data/it.npz"}, 500, tuple("0123456789"))
    model, dataset = written(file(x, outputs=(boxes, LOGITS)), data)
    assert (model["task"], model["output"], dataset["classes"]) == ("classification", "logits", 10)
    assert [*model["budgets"]] == ["accuracy_drop"]
    grid = Tensor("grid", "float32", (1, 4, 10))  # of 4 places
    model, _ = written(file(x, outputs=(grid, LOGITS)), data)
    assert model["output"] == "logits"
    named = Data("image_folder", {"folder": "data/it"}, 500, ("yes", "no"), named=True, notes=("Look here.",))
    image = Tensor("x", "float32", (1, 3, 8, 8))
    _, dataset = written(file(image, outputs=(Tensor("p", "float32", (1, 2)),)), named)
    assert dataset["labels"] == ["yes", "no"]  # text, where YAML would read truth
    with pytest.raises(UsageError, match=r"the data have 10 classes, and it.onnx gives boxes \[1, 4\]"):
        written(file(x, outputs=(boxes,)), data)


def test_answers_that_are_large_are_asked_for_as_often_as_memory_has_room_for() -> None:
    """A segmentation of 21 classes answers with 21 MiB: 856 of these would be 17 GiB in every stage."""
    picture, classes = Tensor("x", "float32", (1, 3, 512, 512)), Tensor("y", "float32", (1, 21, 512, 512))
    for data in (None, Data("npz", {"file": "data/it.npz"}, 5000)):
        for output in (classes, Tensor("y", "float32", (1, 21, "?", "?"))):
            _, dataset = written(file(picture, outputs=(output,)), data)
            counts = dataset["splits"]
            assert 5 <= counts["evaluation"] <= 12
            assert 1 <= counts["golden"] <= 3
    _, dataset = written(file(picture), Data("npz", {"file": "data/it.npz"}, 5000))
    assert (dataset["splits"]["evaluation"], dataset["splits"]["golden"]) == (2000, 16)
    _, dataset = written(file(picture))
    assert 3 * 512 * 512 * 4 * dataset["options"]["samples"] <= 2**28


@pytest.mark.parametrize(
    ("outputs", "judged"),
    [
        ((LOGITS,), ["signal_to_noise_db"]),
        ((Tensor("p", "int8", (1, 10), 1 / 256, -128),), ["signal_to_noise_db"]),  # integers that stand for reals
        ((LOGITS, Tensor("classes", "int64", ("batch",))), ["signal_to_noise_db", "exact_match"]),
        ((Tensor("mask", "bool", ("batch", 8, 8)),), ["exact_match"]),
    ],
)
def test_every_kind_of_answers_has_a_budget(outputs: tuple[Tensor, ...], judged: list[str]) -> None:
    it = file(Tensor("x", "float32", ("batch", 4)), outputs=outputs)
    model, _ = written(it)
    assert [*model["budgets"]] == judged
    assert imported.described(it, "it", None, {}).metric == judged[0]


def test_few_samples_are_split_so_that_every_split_has_some() -> None:
    for count in (8, 30, 500, 50_000):
        data = Data("npz", {"file": "data/it.npz"}, count)
        _, dataset = written(file(Tensor("x", "float32", (1, 4))), data)
        counts = dataset["splits"]
        assert min(counts.values()) >= 1
        assert sum(counts.values()) <= count
        assert counts["evaluation"] <= 2000


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kws.int8.tflite", "kws"),
        ("My Detector-v2.onnx", "my_detector_v2"),
        ("2024_net.keras", "model_2024_net"),
        ("Größe.onnx", "groe"),
        ("模型.onnx", "model"),
        ("null.onnx", "model_null"),  # which YAML takes for something else than text
        ("on.tflite", "model_on"),
    ],
)
def test_ids_are_made_of_file_names(name: str, expected: str) -> None:
    assert imported.identifier(Path(name)) == expected


def test_a_path_that_ends_above_has_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "photos/deeper").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "photos/deeper")
    assert options.absolute(Path("..")) == tmp_path / "photos"
