"""Keras files and SavedModels: what is in them, and that nothing of them is executed before they are looked through."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.formats.conftest import MOST_BYTES, Read, Toolchain

from edgeflow.errors import DataError
from edgeflow.formats import keras, saved_model

pytestmark = [pytest.mark.toolchain, pytest.mark.tensorflow, pytest.mark.xdist_group("formats_tf")]

KERAS = {
    "lambda.keras": "its layer Lambda executes Python code that is in the file",
    "lambda.h5": "its layer Lambda executes Python code that is in the file",
    "module.keras": "os.System is none of Keras's layers",
    "trained_inside.keras": "os.System is none of Keras's layers",
    "function.keras": "keras.utils.get_file is none of Keras's layers",
    "unsafe.keras": "keras.config.function is none of Keras's layers",
    "own.keras": "'acme>Mine' is a class of somebody's own",
    "other_model.keras": "its layer TFSMLayer loads another model",
    "vocabulary.keras": "its layer StringLookup reads the file '/etc/passwd'",
    "typespec.keras": "keras.layers.__typespec__ is none of Keras's layers",
    "activation.keras": "builtins.function is none of Keras's layers",
    "asset.keras": "it holds 'assets/x.txt', which is neither a description nor weights",
    "no_json.keras": "its description is no JSON",
    "deep.keras": "it is nested too deep",
    "bomb.keras": "it is made to fill memory",
    "no_weights.keras": "its HDF5 part cannot be read",
    "linked.keras": "'/w' is a link, maybe into another file",
    "external.keras": "'/w' is kept in another file",
    "virtual.keras": "'/w' is kept in another file",
    "huge.keras": "bytes say 1,099,511,627,776: it is made to fill memory",
    "objects.keras": "'/w' holds object, and no numbers",
    "cut.keras": "it is no whole zip file",
    "cut.h5": "its HDF5 part cannot be read",
    "weights.h5": "it holds weights alone, and no network",
}
FOLDERS = {
    "reader": "its operator ReadFile may read or write files",
    "writer": "its operator WriteFile may read or write files",
    "mapped": "its operator ImmutableConst may read or write files",
    "graph_twice": "a field 2 twice where one is all that there can be",
    "long_number": "a field of the number 536,870,914",
    "replaced": "its operator SaveV2 may read or write files",
    "same_name": "two functions are called",
    "saver": "its operator SaveV2 may read or write files",
    "called": "its operator SaveV2 may read or write files",
    "python": "its operator PyFunc may read or write files, or run code",
    "linked_out": "'fingerprint.pb' is a link or no plain file",
    "no_index": "variables/variables.index is missing",
    "cut": "it is damaged, or something else than its name says",
    "unnamed": "no signature is called 'serving_default'",
    "older": "it is of TensorFlow 1",
}


@pytest.fixture(scope="module")
def tf(tf_python: Path, project: Path) -> Toolchain:
    """The toolchain with TensorFlow and Keras."""
    return Toolchain(tf_python, project)


@pytest.fixture(scope="module")
def folder(tf: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where sound/, hostile/ and live/ are."""
    path = tmp_path_factory.mktemp("keras")
    tf.run("keras_models.py", path)
    return path


@pytest.fixture(scope="module")
def hostile(tf: Toolchain, folder: Path) -> Read:
    return tf.read(
        "keras", folder / "hostile", *(p.name for p in sorted((folder / "hostile").iterdir()) if p.is_file())
    )


def test_backends_answer_as_keras_and_tensorflow_do(tf: Toolchain, folder: Path) -> None:
    said = json.loads(tf.run("keras_answers.py", folder / "sound").splitlines()[-1])
    outputs = {
        "two.keras": ["zeta", "alpha"],
        "by_key.keras": ["early", "late"],
        "nested.keras": ["y"],
        "nested.h5": ["y"],
        "image.h5": ["flatten"],
        "older.h5": ["dense"],
        "net": ["a", "y"],
        "two": ["output_0", "output_1"],
    }
    assert {name: answer["outputs"] for name, answer in said.items()} == outputs
    for name, answer in said.items():
        assert answer["difference"] < 1e-6, name
        assert answer["same"], f"{name}: the format and its backend say different signatures"
        assert answer["operators"] > 1, name


@pytest.mark.parametrize("name", KERAS)
def test_a_hostile_file_is_refused(hostile: Read, name: str) -> None:
    assert KERAS[name] in hostile.refused(name)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_hostile_folder_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(DataError) as refusal:
        saved_model.signature(folder / "hostile" / name)
    assert FOLDERS[name] in str(refusal.value)


def test_everything_hostile_is_expected(folder: Path) -> None:
    assert {path.name for path in (folder / "hostile").iterdir()} == {*KERAS, *FOLDERS}


def test_hostile_files_take_little_memory(hostile: Read) -> None:
    assert hostile.peak_bytes <= MOST_BYTES


def test_payloads_that_others_execute_are_not_executed_here(tf: Toolchain, folder: Path) -> None:
    paths = sorted((folder / "live").iterdir())
    theirs, ours = (_executed(tf, who, paths) for who in ("others", "edgeflow"))
    assert {name for name, one in theirs.items() if one["ran"]} == {path.name for path in paths}
    assert not [name for name, one in ours.items() if one["ran"]]


def _executed(tf: Toolchain, who: str, paths: list[Path]) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(tf.run("keras_answers.py", who, *paths).splitlines()[-1])
    return said


def test_weights_of_another_network_are_refused(tf: Toolchain, folder: Path) -> None:
    """Keras takes what fits of a larger network's, and says nothing."""
    paths = sorted((folder / "mixed").iterdir())
    said = json.loads(tf.run("keras_answers.py", "taken", *paths).splitlines()[-1])
    assert {name for name, one in said.items() if not one["keras"]} >= {"3.keras", "3.h5", "4.keras"}
    assert {name for name, one in said.items() if not one["edgeflow"]} == {"3.keras", "3.h5"}
    assert "weights of 4 layers, and describes 3 that have any" in said["4.keras"]["edgeflow"]
    assert "Layer 'block2' expected 2 variables, but received 0" in said["2.keras"]["edgeflow"]


def test_damaged_folders_are_refused_or_read_and_nothing_else(edge: Toolchain, folder: Path, tmp_path: Path) -> None:
    content = (folder / "sound" / "net" / "saved_model.pb").read_bytes()
    chance = random.Random(11)
    for at in range(0, len(content), len(content) // 60):
        (tmp_path / f"cut{at}").mkdir()
        (tmp_path / f"cut{at}" / "saved_model.pb").write_bytes(content[:at])
        flipped = bytearray(content)
        for _ in range(3):
            flipped[chance.randrange(len(content))] = chance.randrange(256)
        (tmp_path / f"flipped{at}").mkdir()
        (tmp_path / f"flipped{at}" / "saved_model.pb").write_bytes(flipped)
    read = edge.read("saved_model", tmp_path)
    assert all("refused" in answer for name, answer in read.answers.items() if name.startswith("cut"))
    assert read.peak_bytes <= MOST_BYTES


def test_damaged_weights_are_refused_or_read_and_nothing_else(tf: Toolchain, folder: Path, tmp_path: Path) -> None:
    chance = random.Random(11)
    for name in ("nested.keras", "nested.h5"):
        content = (folder / "sound" / name).read_bytes()
        for at in range(0, len(content), len(content) // 30):
            (tmp_path / f"cut{at}.{name}").write_bytes(content[:at])
    for name, answer in tf.read("keras", tmp_path).answers.items():
        assert "refused" in answer, name
    content = (folder / "sound" / "nested.h5").read_bytes()
    flips = tmp_path / "flips"
    flips.mkdir()
    for i in range(12):
        flipped = bytearray(content)
        for _ in range(8):
            flipped[chance.randrange(3000)] = chance.randrange(256)
        (flips / f"{i}.h5").write_bytes(flipped)
    tf.read("keras", flips)


def test_recognized_by_content(folder: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "model.bin"
    for name in ("nested.keras", "nested.h5"):
        renamed.write_bytes((folder / "sound" / name).read_bytes())
        assert keras.recognizes(renamed)
    assert saved_model.recognizes(folder / "sound" / "net")
    assert not saved_model.recognizes(folder / "sound")
    assert not keras.recognizes(folder / "sound" / "net")
