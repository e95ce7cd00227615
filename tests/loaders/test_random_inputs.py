"""Declared random inputs: what may come, always the same, and the record says that nobody recorded them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.prepared import outputs

from edgeflow import files
from edgeflow.errors import ConfigError
from edgeflow.loaders.random_inputs import plugin
from edgeflow.plugin import Input, LoadJob
from edgeflow.runners.tensors import Split
from edgeflow.stages import prepare

INPUTS = {
    "normal": Input((3, 50), range=()),
    "unit": Input((100,)),
    "ranged": Input((100,), range=(-3, 5)),
    "half": Input((100,), "float16", range=(-0.1, 0.1)),
    "ids": Input((100,), "int64", range=(7, 9)),
    "image": Input((3, 8, 8), "uint8"),
    "flag": Input((), "bool"),
}


def drawn(seed: int = 0, samples: int = 40) -> dict[str, Any]:
    """Every input of so many samples."""
    inputs: Any = plugin.load(LoadJob("own", {"samples": samples, "seed": seed}, Path(), INPUTS)).inputs
    return {name: np.stack([each[i] for i in range(len(each))]) for name, each in inputs.items()}


def test_values_are_those_that_may_come() -> None:
    x = drawn()
    assert {name: array.shape for name, array in x.items()} == {n: (40, *i.shape) for n, i in INPUTS.items()}
    assert abs(x["normal"].mean()) < 0.1
    assert abs(x["normal"].std() - 1) < 0.1
    for name, low, high in (("unit", 0, 1), ("ranged", -3, 5), ("half", -0.1, 0.1)):
        assert low <= x[name].min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < x[name].max() <= high
    assert set(x["ids"].ravel().tolist()) == {7, 8, 9}
    assert set(x["image"].ravel().tolist()) == set(range(256))
    assert set(x["flag"].tolist()) == {False, True}


def test_the_seed_the_name_and_the_index_decide() -> None:
    first, again, other = drawn(), drawn(samples=50), drawn(seed=1)
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name][:40])
        assert not np.array_equal(array, other[name])
        assert len(np.unique(array.reshape(40, -1), axis=0)) > (1 if name == "flag" else 39)
    assert not np.allclose(first["unit"], (first["ranged"] + 3) / 8, atol=1e-3)


def test_ids_of_no_known_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"dataset own: input ids is int32: say which values may come in 'range: "):
        plugin.load(LoadJob("own", {"samples": 9}, Path(), {"ids": Input((4,), "int32")}))


def test_the_record_says_that_they_are_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = prepare.Spec(
        dataset="own",
        loader="edgeflow.loaders.random_inputs:plugin",
        options={"samples": 30},
        inputs=INPUTS,
        classes=None,
        seed=0,
        calibration=4,
        evaluation=8,
        golden=2,
        source="drawn",
    )
    made = outputs(Path())
    prepare.run(spec, prepare.Inputs(), made)
    assert files.read_json(made.info)["declared"] == "random"
    assert {Split(getattr(made, name)).declared for name in prepare.SPLITS} == {"random"}
    batch = Split(made.evaluation).batch()
    assert {name: str(array.dtype) for name, array in batch.items()} == {n: i.dtype for n, i in INPUTS.items()}
