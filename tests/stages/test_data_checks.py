"""Samples that are in train and held out too, as they are or encoded again, and labels that contradict each other."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from tests.prepared import indices

from edgeflow import files
from edgeflow.errors import DataError
from edgeflow.plugin import Input, Samples
from edgeflow.runners.tensors import Split
from edgeflow.stages import prepare

SPEC = prepare.Spec(
    dataset="own",
    loader="own.py:plugin",
    options={},
    inputs={"input": Input((3, 96, 96))},
    classes=None,
    seed=0,
    calibration=8,
    evaluation=20,
    golden=4,
    source="made up",
)
Prepare = Callable[..., Path]


@pytest.fixture
def prepared(prepare_samples: Prepare) -> Prepare:
    """Prepare samples; returns the folder of the outputs."""

    def run(x: Any, y: Any = None, parallel: bool = False, **spec: Any) -> Path:
        labels = ("a", "b") if y is not None else ()
        return prepare_samples(replace(SPEC, **spec), Samples(x, y, labels, parallel=parallel))

    return run


def record(folder: Path) -> Any:
    """What dataset.json says of duplicates."""
    return files.read_json(folder / "dataset.json")["duplicates"]


@pytest.fixture(scope="module")
def photos() -> list[Any]:
    """80 parts of two photos that have nothing in common, uint8[3, 80, 80]."""
    parts = [
        photo[y : y + 80, x : x + 80].transpose(2, 0, 1)
        for photo in load_sample_images().images
        for y in range(0, 400, 80)
        for x in range(0, 640, 80)
    ]
    assert len(parts) == 80
    return parts


def encoded(pixels: Any, quality: int, scale: float) -> Any:
    """The same, scaled and saved as JPEG."""
    image = Image.fromarray(pixels.transpose(1, 2, 0))
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return np.asarray(Image.open(content)).transpose(2, 0, 1)


def with_copies(x: Sequence[Any], again: Callable[[Any], Any]) -> tuple[list[Any], list[int]]:
    """Samples, and behind them as many that are copies; indices of those whose original is held out, in train."""
    return [*x, *(again(each) for each in x)], list(range(len(x), 2 * len(x)))


def pairs_across(folder: Path, count: int) -> set[int]:
    """Samples of what the draw gave train whose other self is held out, i and i + count being the same."""
    held_out = {*indices(folder, "evaluation"), *indices(folder, "golden")}
    return {(i + count) % (2 * count) for i in held_out} - held_out


def test_copies_of_what_is_held_out_are_left_out_of_train(
    prepared: Prepare, photos: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    x, _ = with_copies(photos, np.copy)
    y = np.tile(np.arange(len(photos)) % 2, 2)
    folder = prepared(x, y)
    leaks = pairs_across(folder, len(photos))
    assert len(leaks) > 10
    train = indices(folder, "train")
    assert not leaks & {*train, *indices(folder, "calibration")}
    assert len(train) == len(x) - 24 - len(leaks)
    assert set(indices(folder, "calibration")) <= set(train)
    for name in ("train", "calibration", "evaluation", "golden"):
        split = Split(folder / f"{name}.safetensors")
        wanted = [prepare.preprocessing.shaped(_how(), x[i]) for i in indices(folder, name)]
        np.testing.assert_array_equal(split.stored("input"), wanted)
        assert split.labels().tolist() == y[indices(folder, name)].tolist()  # type: ignore[union-attr]
    found = record(folder)
    assert (found["policy"], found["copies"], found["left_out"]) == ("copies", len(leaks), len(leaks))
    assert all(abs(int(a.split()[1]) - int(b.split()[1])) == len(photos) for a, b in found["examples"]["copies"])
    said = capsys.readouterr().out
    assert f"dataset own: {len(leaks)} samples of train are in evaluation or golden too, and are left out" in said


def _how() -> Any:
    return prepare._how(SPEC.inputs["input"], Samples([]))


def test_they_are_kept_where_samples_repeat_by_nature(prepared: Prepare, photos: list[Any]) -> None:
    x, _ = with_copies(photos, np.copy)
    folder = prepared(x, duplicates="keep")
    found = record(folder)
    assert found["copies"] == len(pairs_across(folder, len(photos)))
    assert found["left_out"] == 0
    assert len(indices(folder, "train")) == len(x) - 24


@pytest.mark.parametrize(("quality", "scale"), [(90, 1.0), (60, 1.0), (75, 0.7), (75, 1.6)])
def test_images_that_were_encoded_again_look_alike(
    prepared: Prepare, photos: list[Any], quality: int, scale: float
) -> None:
    x, _ = with_copies(photos, lambda pixels: encoded(pixels, quality, scale))
    folder = prepared(x, parallel=True)
    leaks = pairs_across(folder, len(photos))
    found = record(folder)
    assert (found["copies"], found["left_out"]) == (0, 0)  # they may be two pictures of one thing
    assert found["alike"] >= 0.8 * len(leaks)  # sky has no features to be known by
    assert all(abs(int(a.split()[1]) - int(b.split()[1])) == len(photos) for a, b in found["examples"]["alike"])
    folder = prepared(x, duplicates="alike")
    assert record(folder)["left_out"] == found["alike"]
    assert len(indices(folder, "train")) == len(x) - 24 - found["alike"]


def test_where_nothing_but_copies_and_constants_are_there(prepared: Prepare, photos: list[Any]) -> None:
    folder = prepared([photos[0]] * 40, duplicates="keep")
    assert (record(folder)["copies"], record(folder)["alike"]) == (16, 0)
    grey = [np.full((1, 20, 20), i % 200, np.uint8) for i in range(200)]
    folder = prepared(grey, inputs={"input": Input((1, 16, 16))})
    assert (record(folder)["copies"], record(folder)["alike"]) == (0, 0)


def test_images_that_are_no_copies_do_not(prepared: Prepare, photos: list[Any]) -> None:
    assert record(prepared(photos))["alike"] == 0
    digits = (load_digits().images[:, None] * 15.9).astype(np.uint8)
    folder = prepared(digits, inputs={"input": Input((1, 32, 32))}, evaluation=600)
    assert (record(folder)["alike"], record(folder)["copies"]) == (0, 0)


def test_one_sample_with_two_classes_is_said(prepared: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    x[[7, 9]] = x[3]
    y = np.arange(60) % 2
    y[[3, 7, 9]] = 0, 1, 0
    folder = prepared(x, y, inputs={"input": Input((5,), range=())})
    assert record(folder)["contradictions"] == 1
    assert record(folder)["examples"]["contradictions"] == [["sample 3", "sample 7"]]
    assert (
        "dataset own: 1 samples are there with another class as well:\n  sample 3 = sample 7" in capsys.readouterr().out
    )


def test_where_hardly_anything_is_left_the_ways_out_are_said(prepared: Prepare) -> None:
    rows = np.random.default_rng(0).integers(0, 2, (200, 3)).astype(np.float32)
    with pytest.raises(DataError) as caught:
        prepared(rows, (rows.sum(1) > 1).astype(np.int64), inputs={"input": Input((3,))})
    said = str(caught.value)
    assert said.startswith("dataset own: 176 of the 176 samples of train are in evaluation or golden too: sample ")
    assert said.endswith("say 'duplicates: keep' in 'splits' if samples repeat by nature, as rows of few categories do")
