"""ONNX files: signatures as ONNX Runtime says them, and hostile files that are refused unread."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tests.formats.conftest import MOST_BYTES, Read, Toolchain

from edgeflow.formats import onnx

pytestmark = [pytest.mark.toolchain, pytest.mark.xdist_group("formats_onnx")]

REFUSALS = {
    "above": "kept in '../secret.bin', outside of the folder of the model",
    "absolute": "outside of the folder of the model",
    "link": "kept in 'link.bin', outside of the folder of the model",
    "no_location": "kept in '', outside of the folder of the model",
    "missing": "kept in 'gone.bin', and there is no such file beside it",
    "short": "needs 1,600 bytes, and is said to be 1,600 bytes from byte 0 on in 'short.bin', which has 1,599",
    "negative": "from byte -8 on",
    "huge_length": "is said to be 4,611,686,018,427,387,904 bytes",
    "no_number": "says no numbers for where it is",
    "inside_a_branch": "kept in '/etc/passwd', outside of the folder of the model",
    "custom": "its operators acme.Spy come from a library of their own",
    "not_its_function": "its operators acme.Product come from a library of their own",
    "unknown": "ONNX has no operator 'Exfiltrate' in opset 21",
    "new_ir": "IR version 99, and what is installed here reads up to",
    "old_ir": "IR version 1 is from before ONNX 1.0",
    "new_opset": "opset 99, and what is installed here reads up to",
    "huge": "fewer numbers than its shape [2147483648, 2147483648] asks for",
    "wraps_to_nothing": "0 bytes where its shape asks for 73,786,976,294,838,206,464",
    "below": "the shape [-1, -8]",
    "huge_input": "input 'x' has the shape [2147483648, 2147483648]",
    "sequence": "'x' is a sequence, a map or an optional",
    "twice": "two outputs are called 'y'",
    "empty": "it is empty",
    "text": "damaged, or something else than its name says",
    "deep": "graphs inside graphs, more than 16 deep",
    "many": "its graph has more than 2,000,000 parts",
    "graph_twice": "a field 7 twice where one is all that there can be",
    "unending": "a number without an end",
}


@pytest.fixture(scope="module")
def folder(edge: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where sound/ and hostile/ are."""
    path = tmp_path_factory.mktemp("onnx")
    edge.run("onnx_models.py", path)
    return path


@pytest.fixture(scope="module")
def sound(edge: Toolchain, folder: Path) -> Read:
    return edge.read("onnx", folder / "sound", *(path.name for path in sorted((folder / "sound").glob("*.onnx"))))


@pytest.fixture(scope="module")
def hostile(edge: Toolchain, folder: Path) -> Read:
    return edge.read("onnx", folder / "hostile", *(path.name for path in sorted((folder / "hostile").glob("*.onnx"))))


def test_signatures_are_what_the_runner_says(edge: Toolchain, folder: Path, sound: Read) -> None:
    said = json.loads(edge.run("runtime_says.py", "onnxruntime", folder / "sound"))
    assert {name: answer["signature"] for name, answer in sound.answers.items()} == said


def test_names_do_not_follow_an_order_of_letters(sound: Read) -> None:
    signature = sound.answers["several.onnx"]["signature"]
    assert [tensor["name"] for tensor in signature["inputs"]] == ["words", "image"]
    assert [tensor["name"] for tensor in signature["outputs"]] == ["zeta", "mid", "alpha"]


def test_scales_of_integers_that_are_dequantized_first_and_quantized_last(sound: Read) -> None:
    signature = sound.answers["int8.onnx"]["signature"]
    assert [(t["scale"], t["zero_point"]) for t in signature["inputs"]] == [(0.5, -3)]
    assert [(t["scale"], t["zero_point"]) for t in signature["outputs"]] == [(0.25, 7)]
    plain = sound.answers["several.onnx"]["signature"]["inputs"]
    assert [(t["scale"], t["zero_point"]) for t in plain] == [(None, None), (None, None)]


def test_weights_that_old_files_list_as_inputs_are_none(sound: Read) -> None:
    assert [tensor["name"] for tensor in sound.answers["old.onnx"]["signature"]["inputs"]] == ["x"]


def test_what_is_quantized_already_is_said_in_words(sound: Read) -> None:
    said = {name: answer["quantized"] for name, answer in sound.answers.items() if answer["quantized"]}
    assert said == {"int8.onnx": "int8 weights and activations", "half.onnx": "float16"}


def test_files_beside_the_model_belong_to_it(folder: Path, sound: Read) -> None:
    above = folder / "hostile" / "above.onnx"
    assert onnx.files(above) == (above,)
    assert sound.answers["external.onnx"]["files"] == ["external.onnx", "weights/w.bin"]
    assert sound.answers["several.onnx"]["files"] == ["several.onnx"]


@pytest.mark.parametrize("name", REFUSALS)
def test_a_hostile_file_is_refused(hostile: Read, name: str) -> None:
    assert REFUSALS[name] in hostile.refused(f"{name}.onnx")


def test_every_hostile_file_is_expected(hostile: Read) -> None:
    assert {name.removesuffix(".onnx") for name in hostile.answers} == set(REFUSALS)


def test_hostile_files_take_little_memory(hostile: Read) -> None:
    assert hostile.peak_bytes <= MOST_BYTES


def test_damaged_files_are_refused_or_read_and_nothing_else(edge: Toolchain, folder: Path, tmp_path: Path) -> None:
    chance = random.Random(11)
    for name in ("several", "undeclared", "int8", "branching", "functions"):
        content = (folder / "sound" / f"{name}.onnx").read_bytes()
        for at in range(0, len(content), max(1, len(content) // 20)):
            (tmp_path / f"{name}.cut{at}.onnx").write_bytes(content[:at])
            flipped = bytearray(content)
            for _ in range(3):
                flipped[chance.randrange(len(content))] = chance.randrange(256)
            (tmp_path / f"{name}.flipped{at}.onnx").write_bytes(flipped)
    read = edge.read("onnx", tmp_path)
    cut = {name: answer for name, answer in read.answers.items() if ".cut" in name}
    whole = [name for name, answer in cut.items() if "refused" not in answer]
    assert not whole, whole
    assert read.peak_bytes <= MOST_BYTES


def test_recognized_by_content(folder: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "model.bin"
    renamed.write_bytes((folder / "sound" / "several.onnx").read_bytes())
    assert onnx.recognizes(renamed)
    renamed.write_bytes(b"PK\x03\x04")
    assert not onnx.recognizes(renamed)
    assert not onnx.recognizes(tmp_path)
