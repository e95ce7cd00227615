"""prepare: several inputs of any type and rank, samples without labels, and classes that are bound by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.prepared import indices

from edgeflow import files
from edgeflow.errors import DataError, PluginError
from edgeflow.plugin import Input, Samples
from edgeflow.runners.tensors import Split
from edgeflow.stages import prepare, splits

N = 60
RNG = np.random.default_rng(0)
SEVERAL: Mapping[str, Any] = {
    "picture": RNG.integers(0, 256, (N, 3, 5, 7), np.uint8),
    "audio": RNG.normal(0, 3, (N, 16)).astype(np.float32),
    "ids": RNG.integers(0, 900, (N, 12), np.int32),
    "half": RNG.normal(0, 3, (N, 2, 2, 2, 2)).astype(np.float16),
    "flag": RNG.integers(0, 2, N).astype(bool),
    "age": RNG.normal(40, 9, N).astype(np.float32),
}
INPUTS = {
    "picture": Input((3, 10, 14), "uint8"),
    "audio": Input((16,), range=(), mean=None, std=None),
    "ids": Input((12,), "int64", range=(0, 899)),
    "half": Input((2, 2, 2, 2), "float16"),
    "flag": Input((), "bool"),
    "age": Input((), range=(0, 100)),
}
SPEC = prepare.Spec(
    dataset="own",
    loader="own.py:plugin",
    options={},
    inputs=INPUTS,
    classes=None,
    seed=0,
    calibration=5,
    evaluation=20,
    golden=4,
    source="made up",
)
Prepare = Callable[..., Path]


@pytest.fixture
def prepared(prepare_samples: Prepare) -> Prepare:
    """Prepare samples; returns the folder of the outputs."""

    def run(samples: Samples, **spec: Any) -> Path:
        return prepare_samples(replace(SPEC, **spec), samples)

    return run


@pytest.mark.parametrize("split", ["train", "calibration", "evaluation", "golden"])
def test_several_inputs_are_bound_by_their_names(prepared: Prepare, split: str) -> None:
    folder = prepared(Samples(dict(reversed(SEVERAL.items()))))
    batch, chosen = Split(folder / f"{split}.safetensors").batch(), indices(folder, split)
    assert {name: (str(array.dtype), array.shape[1:]) for name, array in batch.items()} == {
        name: (declared.dtype, declared.shape) for name, declared in INPUTS.items()
    }
    for name in ("ids", "half", "flag"):
        np.testing.assert_array_equal(batch[name], SEVERAL[name][chosen])
    np.testing.assert_allclose(batch["age"], SEVERAL["age"][chosen] / 100, rtol=1e-6)
    audio = SEVERAL["audio"][indices(folder, "train")]
    np.testing.assert_allclose(batch["audio"], (SEVERAL["audio"][chosen] - audio.mean(0)) / audio.std(0), atol=1e-5)


def test_of_several_the_raw_samples_are_there_too(prepared: Prepare) -> None:
    folder = prepared(Samples(SEVERAL))
    raw = splits.raw(folder / "golden_raw.safetensors", range(4))
    for row, index in enumerate(indices(folder, "golden")):
        assert {name: str(array.dtype) for name, array in raw[row].items()} == {
            name: str(array.dtype) for name, array in SEVERAL.items()
        }
        for name, array in raw[row].items():
            np.testing.assert_array_equal(array, SEVERAL[name][index])
    record = files.read_json(folder / "dataset.json")["inputs"]
    assert {name: each["dtype"] for name, each in record.items()} == {n: d.dtype for n, d in INPUTS.items()}
    assert record["picture"]["resize"]
    assert record["audio"]["resize"] is None


def test_images_stay_as_compact_as_they_are(prepared: Prepare) -> None:
    x = SEVERAL["picture"]
    folder = prepared(Samples(x), inputs={"input": Input((3, 5, 7), mean=(0.5,), std=(0.25,))})
    split, chosen = Split(folder / "train.safetensors"), indices(folder, "train")
    np.testing.assert_array_equal(split.stored("input"), x[chosen])
    wanted = (x[chosen].astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.25)
    np.testing.assert_array_equal(split.batch()["input"], wanted)


@pytest.mark.parametrize("first", [0, 59])
def test_samples_of_several_types_have_their_scale_in_common(prepared: Prepare, first: int) -> None:
    deep = SEVERAL["picture"].astype(np.uint16) * 257
    x = [deep[i] if i % 60 == first else SEVERAL["picture"][i] for i in range(N)]
    folder = prepared(Samples(x), inputs={"input": Input((3, 5, 7), mean=(0.5,))})
    wanted = SEVERAL["picture"].astype(np.float32) / np.float32(255) - np.float32(0.5)
    for name in ("train", "evaluation", "golden"):
        split = Split(folder / f"{name}.safetensors")
        assert split.stored("input", 0, 1).dtype == np.float32
        np.testing.assert_allclose(split.batch()["input"], wanted[indices(folder, name)], atol=1e-7)
    record = files.read_json(folder / "dataset.json")["inputs"]["input"]
    assert record["scale"] == {"uint8": [0, 255], "uint16": [0, 65535]}


def test_samples_that_nobody_labelled(prepared: Prepare) -> None:
    folder = prepared(Samples(SEVERAL))
    for name, count in (("train", N - 24), ("evaluation", 20), ("golden", 4), ("calibration", 5)):
        split = Split(folder / f"{name}.safetensors")
        assert (len(split), split.labels()) == (count, None)
    assert files.read_json(folder / "dataset.json")["labels"] == []
    with pytest.raises(DataError, match=r"evaluation\.safetensors: has no labels"):
        splits.labels(folder / "evaluation.safetensors")


def test_classes_have_the_order_of_their_names(prepared: Prepare) -> None:
    y = np.arange(N) % 2
    folder = prepared(Samples(SEVERAL, y, ("good", "bad")), labels=("unseen", "bad", "good"))
    labels = Split(folder / "evaluation.safetensors").labels()
    assert labels is not None
    assert labels.tolist() == [2 - index % 2 for index in indices(folder, "evaluation")]
    assert files.read_json(folder / "dataset.json")["labels"] == ["unseen", "bad", "good"]


@pytest.mark.parametrize(
    ("samples", "spec", "error", "message"),
    [
        (
            Samples(SEVERAL, np.arange(N) % 2, ("good", "bad")),
            {"labels": ("good", "evil")},
            DataError,
            "dataset own: 'labels' has no bad, which the data have; it has good, evil",
        ),
        (
            Samples(SEVERAL),
            {"classes": 2},
            DataError,
            "dataset own: no labels in the data; remove 'classes' if nobody knows the classes of the samples",
        ),
        (
            Samples(SEVERAL, np.ones(N, np.int64), ("good", "bad")),
            {"labels": ("good", "bad")},
            DataError,
            "dataset own: all 60 samples are of one class, bad: no answer could be told from a constant; add samples",
        ),
        (
            Samples({name: x for name, x in SEVERAL.items() if name != "ids"}),
            {},
            PluginError,
            "own.py:plugin: gave inputs picture, audio, half, flag, age; the dataset has picture, audio, ids, half, ",
        ),
        (
            Samples(SEVERAL["ids"]),
            {},
            PluginError,
            "own.py:plugin: gave inputs one without a name; the dataset has picture, audio, ids, half, flag, age",
        ),
        (Samples({**SEVERAL, "age": SEVERAL["age"][1:]}), {}, PluginError, "59 of age; expected as many of each"),
        (
            Samples({**SEVERAL, "ids": SEVERAL["ids"] + 1}),
            {},
            DataError,
            ", input ids: has values from ",
        ),
        (
            Samples({**SEVERAL, "ids": SEVERAL["ids"] + 0.5}),
            {},
            DataError,
            "sample 0, input ids: is float64; 'dtype' says int64",
        ),
        (
            Samples({**SEVERAL, "half": np.where(SEVERAL["half"] > 6, np.float32(1e6), SEVERAL["half"])}),
            {},
            DataError,
            "to 1000000, which do not fit into float16",
        ),
        (
            Samples({**SEVERAL, "half": SEVERAL["half"] * np.float16(np.nan)}),
            {},
            DataError,
            "sample 0, input half: has values from nan to nan; expected finite numbers",
        ),
        (
            Samples({**SEVERAL, "picture": SEVERAL["picture"].astype(np.int64) - 1}),
            {},
            DataError,
            ", which do not fit into uint8",
        ),
        (
            Samples({**SEVERAL, "flag": SEVERAL["ids"][:, :2]}),
            {},
            DataError,
            "input flag: has shape [2]; 'shape' says []",
        ),
    ],
)
def test_what_does_not_fit(
    prepared: Prepare, samples: Samples, spec: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        prepared(samples, **spec)
    assert message in str(caught.value)
