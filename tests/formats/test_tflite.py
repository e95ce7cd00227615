"""TFLite files: signatures as LiteRT says them, and hostile files that are refused unread."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.formats.conftest import MOST_BYTES, Read, Toolchain

from edgeflow.errors import DataError
from edgeflow.formats import tflite

pytestmark = [pytest.mark.toolchain, pytest.mark.xdist_group("formats_tflite")]

REFUSALS = {
    "flex": "operator 'ReadFile' is TensorFlow's own, which LiteRT does not have",
    "custom": "operator 'Spy' comes from a library of its own",
    "accelerator": "compiled for an accelerator by Arm's vela",
    "new_operator": "operator number 4000 is not known here",
    "elsewhere": "its weights are in other files",
    "behind": "weights from byte 1,099,511,627,776 on",
    "no_graph": "it has no graph",
    "huge": "tensor 'w' has 128 bytes where its shape asks for 4,611,686,018,427,387,904",
    "huge_input": "input 'x' has the shape [1073741824, 1073741824, 1073741824, 1073741824]",
    "below": "tensor 'x' has the shape [-7, 8]",
    "buffer": "tensor 'w' is in buffer 9 of 2",
    "tensor": "tensor 77 of 3",
    "input": "tensor -5 of 3",
    "opcode": "an operator of a kind that is not in its list",
    "signature_index": "tensor 50 of 4",
    "type": "tensor 'x' is of type 99",
    "tiny": "it points to byte",
    "root": "it points to byte 2,147,483,648",
    "other": "it does not have the mark of a TFLite file",
    "many": "its graph has more than 2,000,000 parts",
}


@pytest.fixture(scope="module")
def folder(edge: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where sound/ and hostile/ are."""
    path = tmp_path_factory.mktemp("tflite")
    edge.run("tflite_models.py", path)
    return path


@pytest.fixture(scope="module")
def sound(edge: Toolchain, folder: Path) -> Read:
    return edge.read("tflite", folder / "sound")


@pytest.fixture(scope="module")
def hostile(edge: Toolchain, folder: Path) -> Read:
    return edge.read("tflite", folder / "hostile")


def test_signatures_are_what_the_runner_says(edge: Toolchain, folder: Path, sound: Read) -> None:
    said = json.loads(edge.run("runtime_says.py", "litert", folder / "sound"))
    assert {name: answer["signature"] for name, answer in sound.answers.items()} == said


def test_signatures_are_what_the_runner_of_microcontrollers_says(edge: Toolchain, folder: Path, sound: Read) -> None:
    fixed = ("dense.tflite", "int8.tflite")
    said = json.loads(edge.run("runtime_says.py", "tflite_micro", folder / "sound", *fixed))
    assert {name: sound.answers[name]["signature"] for name in fixed} == said


def test_names_are_those_of_the_signature_in_the_order_of_the_graph(sound: Read) -> None:
    signature = sound.answers["two.tflite"]["signature"]
    assert [tensor["name"] for tensor in signature["inputs"]] == ["words", "image"]
    assert [tensor["name"] for tensor in signature["outputs"]] == ["zeta", "alpha"]


def test_what_is_quantized_already_is_said_in_words(sound: Read) -> None:
    said = {name: answer["quantized"] for name, answer in sound.answers.items()}
    assert said["int8.tflite"] == "int8 weights and activations"
    assert said["dense.tflite"] == said["dynamic.tflite"] == said["two.tflite"] == ""


@pytest.mark.parametrize("name", REFUSALS)
def test_a_hostile_file_is_refused(hostile: Read, name: str) -> None:
    assert REFUSALS[name] in hostile.refused(f"{name}.tflite")


def test_every_hostile_file_is_expected(hostile: Read) -> None:
    assert {name.removesuffix(".tflite") for name in hostile.answers} == set(REFUSALS)


def test_hostile_files_take_little_memory(hostile: Read) -> None:
    assert hostile.peak_bytes <= MOST_BYTES


def test_damaged_files_are_refused_or_read_and_nothing_else(edge: Toolchain, folder: Path, tmp_path: Path) -> None:
    chance = random.Random(11)
    for name in ("dense", "two", "int8"):
        content = (folder / "sound" / f"{name}.tflite").read_bytes()
        for at in range(0, len(content), max(1, len(content) // 40)):
            (tmp_path / f"{name}.cut{at}.tflite").write_bytes(content[:at])
            flipped = bytearray(content)
            for _ in range(3):
                flipped[chance.randrange(len(content))] = chance.randrange(256)
            (tmp_path / f"{name}.flipped{at}.tflite").write_bytes(flipped)
    read = edge.read("tflite", tmp_path)
    assert all("refused" in answer for name, answer in read.answers.items() if ".cut" in name)
    assert read.peak_bytes <= MOST_BYTES


def test_read_without_any_library(folder: Path) -> None:
    tflite.check(folder / "sound" / "two.tflite")
    with pytest.raises(DataError, match="operator 'Spy'"):
        tflite.check(folder / "hostile" / "custom.tflite")


def test_the_command_shows_a_signature(folder: Path, project: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edgeflow", "signature", *arguments]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)

    shown = run(str(folder / "sound" / "int8.tflite"))
    assert shown.returncode == 0, shown.stderr
    assert "TensorFlow Lite, int8 weights and activations" in shown.stdout
    assert ["input", "x", "int8", "[1,", "8]", "0.5", "·", "(x", "+", "3)"] in map(str.split, shown.stdout.splitlines())
    told = json.loads(run("--json", str(folder / "sound" / "two.tflite")).stdout)
    assert told["format"] == "tflite"
    assert [tensor["name"] for tensor in told["signature"]["outputs"]] == ["zeta", "alpha"]
    refused = run(str(folder / "hostile" / "custom.tflite"))
    assert refused.returncode == DataError.exit_code
    assert refused.stderr.startswith("DataError: ")
    assert "operator 'Spy'" in refused.stderr
    unknown = run(__file__)
    assert (unknown.returncode, "is of no format that is known" in unknown.stderr) == (DataError.exit_code, True)


def test_recognized_by_content(folder: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "model.bin"
    renamed.write_bytes((folder / "sound" / "two.tflite").read_bytes())
    assert tflite.recognizes(renamed)
    assert not tflite.recognizes(folder / "hostile" / "other.tflite")
    assert not tflite.recognizes(tmp_path)
