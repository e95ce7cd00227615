"""What dataset.json says was done to a sample is enough to do it again: golden samples as they were, and the record.

`follow` is an app's code: it is written from the record's words, and uses none of edgeflow's, nor Pillow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.prepared import outputs
from tests.splits import read_split

from edgeflow import files, preprocessing
from edgeflow.plugin import Input
from edgeflow.stages import prepare, splits

EXIF_ORIENTATION = 0x0112
SPEC = prepare.Spec(
    dataset="photos",
    loader="edgeflow.loaders.image_folder:plugin",
    options={"folder": "photos"},
    inputs={"input": Input((3, 13, 17), mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 2.0))},
    classes=2,
    seed=0,
    calibration=1,
    evaluation=2,
    golden=12,
    source="made up",
)


def follow(record: Mapping[str, Any], raw: Any) -> Any:
    """float32[shape] of a raw sample, step by step as the record says."""
    steps = {"channels": channels, "resize": resize, "scale": scale, "normalize": normalize}
    x = raw.astype(np.float32)
    for step in record["order"]:
        if step != "decode":  # the sample is decoded
            x = steps[step](record, x, str(raw.dtype))
    return x


def channels(record: Mapping[str, Any], x: Any, kind: str) -> Any:
    wanted = record["shape"][0]
    if record["channels"] is None or len(x) == wanted:
        return x
    if len(x) == 1:
        return np.repeat(x, wanted, axis=0)
    mean = ((x[0] + x[1] + x[2]) / np.float32(3))[None]
    return np.rint(mean) if kind == "uint8" else mean


def resize(record: Mapping[str, Any], x: Any, kind: str) -> Any:
    if record["resize"] is None:
        return x
    _, height, width = record["shape"]
    for size in (width, height):
        w = weights(x.shape[2], size, record["resize"]["antialias"])
        if kind == "uint8":
            sums = x.astype(np.int64) @ np.floor(0.5 + 2**22 * w).astype(np.int64).T
            x = np.clip((2**21 + sums) >> 22, 0, 255)
        else:
            x = x @ w.T
        x = x.transpose(0, 2, 1)
    return x


def weights(n: int, m: int, antialias: bool) -> Any:
    """float64[m, n], as the record's formula has them; without antialiasing they are those of OpenCV's INTER_LINEAR."""
    i, j = np.arange(m)[:, None], np.arange(n)[None]
    triangle = np.maximum(0, 1 - np.abs(j + 0.5 - (i + 0.5) * n / m) / (max(1, n / m) if antialias else 1))
    return triangle / triangle.sum(axis=1, keepdims=True)


def scale(record: Mapping[str, Any], x: Any, kind: str) -> Any:
    if record["scale"] is None:
        return x
    low, high = record["scale"][kind]
    return (x - low) / (high - low)


def normalize(record: Mapping[str, Any], x: Any, _: str) -> Any:
    axes = (-1, *(1 for _ in x.shape[1:]))
    return (x - np.reshape(record["mean"], axes)) / np.reshape(record["std"], axes)


Prepared = Callable[..., tuple[Mapping[str, Any], list[tuple[Any, Any]]]]


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    """Prepare a dataset; gives the record, and each golden sample as it was and as it became."""
    monkeypatch.chdir(tmp_path)

    def run(**spec: Any) -> tuple[Mapping[str, Any], list[tuple[Any, Any]]]:
        made = outputs(Path())
        of_input = {key: spec.pop(key) for key in list(spec) if key in {f.name for f in fields(Input)}}
        given = {"input": replace(SPEC.inputs["input"], **of_input)}
        prepare.run(replace(SPEC, inputs=given, **spec), prepare.Inputs(), made)
        info = files.read_json(made.info)
        golden, _ = read_split(made.golden)
        rows = info["golden_raw"]["rows"]
        raw = [sample["input"] for sample in splits.raw(made.golden_raw, rows).values()]
        assert info["golden_raw"]["sha256"] == files.sha256_file(made.golden_raw)
        return info["inputs"]["input"], [(sample, golden[row]) for row, sample in zip(rows, raw, strict=True)]

    return run


@pytest.fixture
def photos(tmp_path: Path) -> None:
    """Grey, coloured and deep images that lie on their sides, larger and smaller than what models take."""
    rng = np.random.default_rng(0)
    for i in range(20):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i}.{('png', 'jpg', 'png', 'png')[i % 4]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (9 + 7 * i, 60 - 2 * i, 3), np.uint8)
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257 if i % 4 == 2 else pixels)
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = 1 + i % 8
        (image.convert("L") if i % 4 == 3 else image).save(path, exif=exif)


@pytest.mark.parametrize(
    "spec", [{}, {"shape": (1, 8, 30), "mean": (0.0,), "std": (1.0,)}, {"mean": None, "std": None}]
)
def test_golden_images_can_be_made_from_what_they_were(photos: None, prepared: Prepared, spec: dict[str, Any]) -> None:
    record, golden = prepared(**spec)
    assert len(golden) == 12
    assert {str(raw.dtype) for raw, _ in golden} == {"uint8", "uint16"}
    assert len({raw.shape for raw, _ in golden}) > 8
    for raw, became in golden:
        np.testing.assert_allclose(follow(record, raw), became, rtol=1e-5, atol=1e-5)


def test_another_bilinear_filter_is_told_by_them(photos: None, prepared: Prepared) -> None:
    record, golden = prepared()
    opencv = {**record, "resize": {**record["resize"], "antialias": False}}
    assert max(np.abs(follow(opencv, raw) - became).max() for raw, became in golden) > 0.5


def test_the_record_names_library_version_and_filter(photos: None, prepared: Prepared) -> None:
    import PIL

    record, _ = prepared()
    resized = record["resize"]
    assert f"Pillow {PIL.__version__}" in resized["library"]
    assert (resized["filter"], resized["antialias"], resized["coordinates"]) == ("triangle", True, "half_pixel")
    assert (resized["edges"], resized["rounding"]) == ("renormalized", preprocessing.ROUNDING)
    assert record["scale"] == {"uint8": [0, 255], "uint16": [0, 65535]}
    assert any(f"Pillow {PIL.__version__}" in step for step in record["decode"])
    assert any("EXIF orientation" in step for step in record["decode"])


@pytest.mark.parametrize(
    ("shape", "x", "spec"),
    [
        ((4,), np.random.default_rng(0).normal(900, 30, (20, 4)), {"range": ()}),
        ((4,), np.random.default_rng(0).integers(-900, 900, (20, 4), np.int16), {"range": (-1000.0, 1000.0)}),
        ((3, 11), np.random.default_rng(0).normal(0, 9, (20, 3, 11)).astype(np.float32), {"range": ()}),
        ((1, 11), np.random.default_rng(0).normal(0, 9, (20, 11)), {"range": ()}),
        ((3, 4, 5), np.random.default_rng(0).normal(0, 9, (20, 2, 9, 8)).astype(np.float32), {"range": (-90.0, 90.0)}),
    ],
)
@pytest.mark.parametrize("measured", [True, False])
def test_so_can_those_of_sensors_and_tables(
    prepared: Prepared, shape: tuple[int, ...], x: Any, spec: dict[str, Any], measured: bool
) -> None:
    np.savez("own.npz", x=x if x.ndim < 4 else np.repeat(x[:, :1], 3, 1), y=np.arange(20) % 2)
    given: Any = None if measured else tuple(float(i + 1) for i in range(shape[0]))
    mine = {"loader": "edgeflow.loaders.npz:plugin", "options": {"file": "own.npz"}, "shape": shape}
    record, golden = prepared(**mine, mean=given, std=given, **spec)
    assert record["scale"] is None or list(record["scale"].values()) == [list(spec["range"])]
    for raw, became in golden:
        np.testing.assert_allclose(follow(record, raw), became, rtol=1e-4, atol=1e-5)


def test_the_measured_mean_is_that_of_the_training_split_alone(prepared: Prepared) -> None:
    x = np.random.default_rng(0).normal([5, -300], [1, 40], (400, 2))
    np.savez("own.npz", x=x, y=np.arange(400) % 2)
    mine = {"loader": "edgeflow.loaders.npz:plugin", "options": {"file": "own.npz"}, "shape": (2,), "range": ()}
    record, _ = prepared(**mine, mean=None, std=None, evaluation=300)
    train, _ = read_split(Path("train.safetensors"))
    evaluation, _ = read_split(Path("evaluation.safetensors"))
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(train.std(axis=0), 1, atol=1e-5)
    assert np.abs(evaluation.mean(axis=0)).max() > 0.001
    index = [int(line.split(",")[2]) for line in Path("samples.csv").read_text().splitlines() if line[:5] == "train"]
    np.testing.assert_allclose(record["mean"], x[index].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(record["std"], x[index].std(axis=0), rtol=1e-5)


def test_a_feature_that_never_changes_is_not_divided(prepared: Prepared, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    x[:, 1] = 7
    np.savez("own.npz", x=x, y=np.arange(20) % 2)
    mine = {"loader": "edgeflow.loaders.npz:plugin", "options": {"file": "own.npz"}, "shape": (3,), "range": ()}
    record, golden = prepared(**mine, mean=None, std=None)
    assert (record["mean"][1], record["std"][1]) == (7, 1)
    assert all(became[1] == 0 for _, became in golden)
    assert "the same value in all of train, not divided: channels or features [1]" in capsys.readouterr().out


def test_large_golden_samples_are_kept_while_they_fit(
    photos: None, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "RAW_BYTES", 20000)
    _, golden = prepared()
    assert 1 < len(golden) < 12
    assert sum(raw.nbytes for raw, _ in golden) <= 20000
    monkeypatch.setattr(prepare, "RAW_BYTES", 1)
    assert len(prepared()[1]) == 1
