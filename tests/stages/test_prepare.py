"""prepare: which sample goes where, what models get to see, the same bytes again, and what is refused."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.prepared import outputs
from tests.splits import read_split

from edgeflow import files, layout, preprocessing
from edgeflow.cli import main
from edgeflow.errors import DataError, PluginError
from edgeflow.plugin import Input, Samples
from edgeflow.stages import command, prepare

N, CLASSES = 200, 4
SPEC = prepare.Spec(
    dataset="own",
    loader="edgeflow.loaders.npz:plugin",
    options={"file": "own.npz"},
    inputs={"input": Input((1, 1, 1))},
    classes=CLASSES,
    seed=0,
    calibration=20,
    evaluation=60,
    golden=8,
    source="made up",
    duplicates="keep",  # many of these samples are constants
)


def changed(**changes: Any) -> prepare.Spec:
    """The spec with other fields, of its only input too."""
    of_input = {key: value for key, value in changes.items() if key in {f.name for f in fields(Input)}}
    of_spec = {key: value for key, value in changes.items() if key not in of_input}
    return replace(SPEC, inputs={"input": replace(SPEC.inputs["input"], **of_input)}, **of_spec)


def read(folder: Path) -> dict[str, tuple[Any, Any]]:
    """x and y per split."""
    return {name: read_split(folder / f"{name}.safetensors") for name in prepare.SPLITS}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one dataset: sample i is one pixel of value i / 200 and of class i % 4."""
    monkeypatch.chdir(tmp_path)
    i = np.arange(N)
    np.savez(tmp_path / "own.npz", x=(i / N).reshape(N, 1, 1, 1), y=i % CLASSES)
    return tmp_path


Prepare = Callable[..., Path]


@pytest.fixture
def prepared(prepare_samples: Prepare) -> Prepare:
    """Prepare samples; returns the folder of the outputs."""

    def run(x: Any, y: Any, labels: Sequence[str] = ("a", "b"), **spec: Any) -> Path:
        small = {"classes": 2, "calibration": 1, "evaluation": 2, "golden": 1, "loader": "own.py:plugin"}
        return prepare_samples(changed(**{**small, **spec}), Samples(x, y, tuple(labels)))

    return run


def everything(folder: Path) -> Any:
    """The samples of evaluation, golden and train, sorted by their first value."""
    splits = read(folder)
    x = np.concatenate([splits[name][0] for name in ("train", "evaluation", "golden")])
    return x[np.argsort(x[:, 0, 0, 0], kind="stable")]


# --- splits ----------------------------------------------------------------------------------------------------------


def test_every_sample_is_in_one_split_and_calibration_is_drawn_from_train(data: Path) -> None:
    prepare.run(SPEC, prepare.Inputs(), outputs(data / "out"))
    numbers = {name: np.rint(x.ravel() * N).astype(int).tolist() for name, (x, _) in read(data / "out").items()}
    assert {name: len(i) for name, i in numbers.items()} == {
        "train": N - 60 - 8,
        "calibration": 20,
        "evaluation": 60,
        "golden": 8,
    }
    assert sorted(numbers["train"] + numbers["evaluation"] + numbers["golden"]) == list(range(N))
    assert set(numbers["calibration"]) <= set(numbers["train"])
    assert len(set(numbers["calibration"])) == 20


def test_classes_stay_with_their_samples(data: Path) -> None:
    prepare.run(SPEC, prepare.Inputs(), outputs(data / "out"))
    for x, y in read(data / "out").values():
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        np.testing.assert_array_equal(np.rint(x.ravel() * N).astype(int) % CLASSES, y)


def test_classes_of_equal_size_are_equally_often_in_every_split(data: Path) -> None:
    prepare.run(replace(SPEC, evaluation=61, golden=7, calibration=19), prepare.Inputs(), outputs(data / "out"))
    for name, (_, y) in read(data / "out").items():
        counts = np.bincount(y, minlength=CLASSES)
        assert counts.max() - counts.min() <= 1, name


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    sizes=st.lists(st.integers(2, 60), min_size=2, max_size=6),
    shares=st.tuples(st.floats(0, 0.4), st.floats(0, 0.2), st.floats(0, 1)),
    seed=st.integers(0, 2**32),
)
def test_a_split_takes_the_same_share_of_every_class(
    sizes: list[int], shares: tuple[float, float, float], seed: int
) -> None:
    y = np.repeat(np.arange(len(sizes)), sizes)
    evaluation, golden = (1 + int(share * len(y)) for share in shares[:2])
    calibration = max(1, int(shares[2] * (len(y) - evaluation - golden)))
    spec = replace(SPEC, classes=len(sizes), seed=seed, calibration=calibration, evaluation=evaluation, golden=golden)
    try:
        splits = prepare.split(y, spec, len(y))
    except DataError as error:
        assert "has no sample left for training" in str(error)  # noqa: PT017 - hypothesis also finds those
        return
    for indices in splits.values():
        counts = np.bincount(y[indices], minlength=len(sizes))
        # there is one share that every class's count is within one sample of
        assert max((counts - 1) / sizes) <= min((counts + 1) / sizes) + 1e-9


def test_the_seed_decides_the_draw(data: Path) -> None:
    y = np.arange(N) % CLASSES
    first, again, other = (prepare.split(y, replace(SPEC, seed=seed), len(y)) for seed in (0, 0, 1))
    for name in prepare.SPLITS:
        np.testing.assert_array_equal(first[name], again[name])
        assert set(first[name]) != set(other[name]), name


def test_two_processes_write_the_same_bytes(data: Path, project: Path) -> None:
    spec = json.dumps(asdict(changed(shape=(3, 5, 7), mean=(0.1, 0.2, 0.3), std=(0.4,))))
    for seed in ("1", "2"):
        written = [f"{name}={path}" for name, path in asdict(outputs(data / seed)).items()]
        subprocess.run(
            [sys.executable, "-m", "edgeflow", "prepare", "--spec", spec, "--output", *written],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(project / "src")},
            check=True,
        )
    first, second = ({p.name: files.sha256_file(p) for p in (data / seed).iterdir()} for seed in ("1", "2"))
    assert first == second
    assert len(first) == 7


def test_which_sample_is_where_is_written_down(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = prepare.Outputs(*map(Path, layout.prepare("own").values()))
    prepare.run(replace(SPEC, options={"file": "own.npz", "labels": ["a", "b", "c", "d,e"]}), prepare.Inputs(), made)
    assert main(["data", "list", "--split", "evaluation", "--dataset", "own"]) == 0
    lines = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    x, y = read_split(made.evaluation)
    assert [(line["dataset"], line["split"], line["name"]) for line in lines] == [("own", "evaluation", "")] * 60
    assert [int(line["row"]) for line in lines] == list(range(60))
    assert [int(line["index"]) for line in lines] == np.rint(x.ravel() * N).astype(int).tolist()
    assert [line["label"] for line in lines] == [("a", "b", "c", "d,e")[label] for label in y]
    assert main(["data", "list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + N + 20  # calibration is in train too


def test_a_list_of_samples_that_are_not_prepared(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, what, target in (([], "any dataset", "<dataset>"), (["--dataset", "own"], "own", "own")):
        assert main(["data", "list", *arguments]) == DataError.exit_code
        command = f"'snakemake --cores 2 results/prepare/{target}/dataset.json' makes them"
        assert capsys.readouterr().err == f"DataError: no splits of {what} here; {command}\n"


# --- what models get to see ------------------------------------------------------------------------------------------


def test_normalisation_is_per_channel(prepared: Prepare) -> None:
    x = np.full((6, 3, 1, 1), 0.5, np.float32)
    folder = prepared(x, np.arange(6) % 2, shape=(3, 1, 1), mean=(0.5, 0.25, 0.0), std=(1.0, 0.5, 0.25))
    np.testing.assert_array_equal(
        everything(folder), np.tile(np.float32([0, 0.5, 2]).reshape(1, 3, 1, 1), (6, 1, 1, 1))
    )


def test_of_mean_and_std_the_one_that_is_not_given_is_measured(prepared: Prepare) -> None:
    x, y = np.linspace(0, 1, 12, dtype=np.float32).reshape(12, 1, 1, 1), np.arange(12) % 2
    for half in ({"mean": (0.25,), "std": None}, {"mean": None, "std": (0.5,)}):
        folder = prepared(x, y, shape=(1, 1, 1), **half)
        record = json.loads((folder / "dataset.json").read_text())["inputs"]["input"]
        known = {name: list(values) for name, values in half.items() if values}
        assert known.items() <= record.items()
        ((name, measured),) = ((name, record[name]) for name in half if name not in known)
        assert measured[0] not in (0.0, 1.0), name


def test_resizing_is_bilinear(prepared: Prepare) -> None:
    x = np.tile(np.float32([[0, 1], [0, 1]]), (6, 1, 1, 1))
    resized = everything(prepared(x, np.arange(6) % 2, shape=(1, 3, 4)))
    np.testing.assert_allclose(resized, np.tile(np.float32([0, 0.25, 0.75, 1]), (6, 1, 3, 1)), atol=1e-6)


def test_images_of_the_wanted_shape_are_not_touched(prepared: Prepare) -> None:
    x = np.random.default_rng(0).random((6, 2, 5, 3), np.float32)
    kept = everything(prepared(x, np.arange(6) % 2, shape=(2, 5, 3)))
    np.testing.assert_array_equal(kept, x[np.argsort(x[:, 0, 0, 0])])


def test_grey_is_repeated_and_colour_averaged_whatever_the_sizes(prepared: Prepare) -> None:
    values = (0.0, 0.25, 0.5, 0.75, 1.0)
    grey = [np.full((1, 2 + i, 3), value, np.float32) for i, value in enumerate(values)]
    ramp = np.float32([0.1, 0.3, 0.8]).reshape(3, 1, 1)
    colour = [np.broadcast_to(ramp, (3, 4 + i, 9)) for i in range(5)]
    y = np.arange(10) % 2

    averaged = everything(prepared([*grey, *colour], y, shape=(1, 4, 4)))
    expected = np.sort(np.float32([*values, *[0.4] * 5]))
    np.testing.assert_allclose(averaged, np.broadcast_to(expected.reshape(10, 1, 1, 1), (10, 1, 4, 4)), rtol=1e-6)

    repeated = everything(prepared([*grey, *colour], y, shape=(3, 4, 4)))
    per_image = sorted([*([value] * 3 for value in values), *[[0.1, 0.3, 0.8]] * 5])
    wanted = np.broadcast_to(np.float32(per_image).reshape(10, 3, 1, 1), (10, 3, 4, 4))
    np.testing.assert_allclose(repeated, wanted, rtol=1e-6)


def test_what_there_is_to_know_is_written_beside(data: Path) -> None:
    prepare.run(replace(SPEC, options={"file": "own.npz", "labels": list("abcd")}), prepare.Inputs(), outputs(data))
    assert files.read_json(data / "dataset.json") == {
        "id": "own",
        "source": "made up",
        "labels": ["a", "b", "c", "d"],
        "declared": "",
        "inputs": {
            "input": {
                **{"order": ["decode", "channels", "resize", "scale", "normalize"], "decode": []},
                **{"channels": preprocessing.CHANNELS, "resize": asdict(preprocessing.bilinear())},
                **{"scale": {"float32": [0, 1]}, "shape": [1, 1, 1], "mean": [0.0], "std": [1.0], "dtype": "float32"},
            }
        },
        "duplicates": {
            **{"policy": "keep", "copies": 0, "alike": 0, "left_out": 0, "contradictions": 0},
            "examples": {"copies": [], "alike": [], "contradictions": []},
        },
        "skipped_files": 0,
        "golden_raw": {"rows": list(range(8)), "sha256": files.sha256_file(data / "golden_raw.safetensors")},
        "samples": {"sha256": files.sha256_file(data / "samples.csv")},
        "splits": {
            name: {"samples": len(y), "sha256": files.sha256_file(data / f"{name}.safetensors")}
            for name, (_, y) in read(data).items()
        },
    }


# --- what is refused -------------------------------------------------------------------------------------------------

X, Y = np.zeros((6, 1, 2, 2), np.float32), np.arange(6) % 2


def with_one(image: Any) -> list[Any]:
    """Six images of which one is this."""
    return [*X[:5], np.asarray(image, np.float32)]


@pytest.mark.parametrize(
    ("x", "spec", "message"),
    [
        (
            with_one(np.zeros((4, 2, 2))),
            {"shape": (3, 2, 2)},
            "sample 5: has shape [4, 2, 2], and 'shape' says [3, 2, 2] (channels, height, width): 4 channels cannot "
            "become 3; only grey (1) becomes any number, and colour (3) grey",
        ),
        (with_one(np.zeros((28, 28, 1))), {}, "28 channels cannot become 1;"),
        (with_one(np.zeros((3, 2, 2))), {"shape": (2, 2, 2)}, "3 channels cannot become 2;"),
        (with_one(np.zeros((6, 7, 1))), {}, "colour (3) grey; are its axes [height, width, channels]? The npz loader"),
        (with_one(np.zeros(2)), {}, "sample 5: has shape [2]; 'shape' says [1, 1, 1] (channels, height, width)"),
        (with_one(np.zeros((1, 0, 2))), {}, "sample 5: has shape [1, 0, 2]; 'shape' says [1, 1, 1]"),
        (with_one([[[0, np.nan]]]), {}, "sample 5: has values from nan to nan; expected finite numbers"),
        (with_one([[[0, np.inf]]]), {}, "sample 5: has values from 0 to inf; expected finite numbers"),
        (X + 255, {}, "sample 0: has values from 255 to 255; expected floats in [0, 1]: give their own 'range: [low, "),
        (X - 0.1, {}, "sample 0: has values from -0.1 to -0.1; expected floats in [0, 1]: give their own 'range: "),
        (X - 0.1, {"range": (0.0, 9.0)}, "sample 0: has values from -0.1 to -0.1; 'range' says [0, 9]"),
        (X + 9.5, {"range": (-9.0, 9.0)}, "sample 0: has values from 9.5 to 9.5; 'range' says [-9, 9]"),
        (
            X.astype(np.int16),
            {},
            "sample 0: is int16, of no known range; give it in 'range: [low, high]', or 'range: any'",
        ),
        (X > 0, {}, "sample 0: is bool; expected numbers"),
        (
            np.zeros((6, 9, 2)),
            {"shape": (2, 9)},
            "sample 0: has shape [9, 2]; 'shape' says [2, 9] (channels, length); are its axes [length, channels]? The "
            "npz loader turns them with 'layout: NLC'",
        ),
        (np.zeros((6, 4)), {"shape": (5,)}, "sample 0: has shape [4]; 'shape' says [5] (features)"),
        (X, {"classes": 3}, "dataset own: 2 classes in the data (a, b); 'classes' says 3"),
        (
            X,
            {"evaluation": 4, "golden": 2},
            "dataset own: 6 samples; splits want 4 for evaluation, 2 golden and at least 1 in train for calibration; "
            "lower a count in 'splits'",
        ),
    ],
)
def test_data_that_do_not_fit(prepared: Prepare, tmp_path: Path, x: Any, spec: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        prepared(x, Y, **spec)
    assert message in str(caught.value)
    assert not any((tmp_path / "out").rglob("*"))


def test_all_samples_that_are_wrong_are_named_at_once(prepared: Prepare) -> None:
    x = [*X[:3], np.full((1, 2, 2), 2.0), np.zeros((2, 2, 2)), np.full((1, 2, 2), np.nan)]
    with pytest.raises(DataError) as caught:
        prepared(x, Y)
    first, *lines = str(caught.value).splitlines()
    assert first == f"dataset own: 3 of 6 samples cannot be used: sample 3, sample 4, sample 5; {lines[0].strip()}"
    assert [line.partition(": has ")[0] for line in lines] == ["  sample 3", "  sample 4", "  sample 5"]


def test_a_sample_is_asked_for_once_and_what_it_cannot_read_is_said(prepared: Prepare) -> None:
    class Lazy:
        asked: list[int] = []  # noqa: RUF012

        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> Any:
            self.asked.append(index)
            if index in (1, 4):
                raise DataError(f"file {index}\nof mine: broken")
            return X[index]

    with pytest.raises(DataError) as caught:
        prepared(Lazy(), Y)
    assert sorted(Lazy.asked) == list(range(6))
    assert str(caught.value).splitlines()[1:] == ["  file 1\\nof mine: broken", "  file 4\\nof mine: broken"]


def test_very_many_wrong_samples_do_not_fill_the_screen() -> None:
    lines = str(DataError.of_all("what", [f"sample {i}: bad" for i in range(5000)])).splitlines()
    assert lines[0] == f"what: {', '.join(f'sample {i}' for i in range(8))} and 4,992 more; sample 0: bad"
    assert lines[-2:] == ["  sample 998: bad", "  sample 999: bad and 4,000 more"]


def test_files_of_the_system_are_counted(prepare_samples: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    samples = Samples(X, Y, ("a", "b"), skipped=("p/.DS_Store", "p/a/Thumbs.db"))
    folder = prepare_samples(replace(SPEC, classes=2, calibration=1, evaluation=2, golden=1), samples)
    assert files.read_json(folder / "dataset.json")["skipped_files"] == 2
    said = "skipped 2 files of the operating system:\n  p/.DS_Store\n  p/a/Thumbs.db\n"
    assert capsys.readouterr().out.endswith(said)


def test_a_class_without_samples(prepared: Prepare) -> None:
    with pytest.raises(DataError, match=r"dataset own: class 1 \(b\) has no samples"):
        prepared(X, Y * 2, labels=("a", "b", "c"), classes=3)


def test_a_class_that_nothing_is_left_of_for_training(prepared: Prepare) -> None:
    message = "class 1 has no sample left for training; lower 'evaluation' or 'golden'"
    with pytest.raises(DataError, match=message):
        prepared(X, np.array([0, 0, 0, 0, 0, 1]), evaluation=3)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (Y[:5], "gave 6 samples and 5 classes; expected one class per sample"),
        (np.append(Y, 0), "gave 6 samples and 7 classes; expected one class per sample"),
        (Y + 1, "gave classes from 1 to 2 and 2 names; expected a name for each"),
        (Y - 1, "gave classes from -1 to 0 and 2 names; expected a name for each"),
        (Y.astype(np.int32), "y is int32[6]; a loader gives int64[N]"),
        (Y[:, None], "y is int64[6, 1]; a loader gives int64[N]"),
    ],
)
def test_a_loader_that_breaks_its_contract(prepared: Prepare, tmp_path: Path, y: Any, message: str) -> None:
    with pytest.raises(PluginError) as caught:
        prepared(X, y)
    assert str(caught.value) == f"dataset own: loader own.py:plugin: {message}"
    assert not (tmp_path / "out").exists()


def test_no_samples_at_all(prepared: Prepare) -> None:
    with pytest.raises(DataError, match=r"class 0 \(a\) has no samples"):
        prepared([], np.empty(0, np.int64))


def test_the_command_says_what_is_wrong(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = json.dumps({**asdict(SPEC), "options": {"file": "missing.npz"}})
    written = [f"{name}={path}" for name, path in asdict(outputs(data / "out")).items()]
    assert command.main(["prepare", "--spec", spec, "--output", *written]) == DataError.exit_code
    assert capsys.readouterr().err == "DataError: missing.npz: no such file (dataset own, options.file)\n"
