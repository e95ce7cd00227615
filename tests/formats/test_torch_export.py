"""Files of PyTorch: what is in them, and that nothing of them is executed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.formats.conftest import MOST_BYTES, Read, Toolchain

from edgeflow.errors import DataError
from edgeflow.formats import torch_export, torch_pickle
from edgeflow.types.signatures import Tensor

pytestmark = [pytest.mark.toolchain, pytest.mark.xdist_group("formats_torch")]

REFUSALS = {
    "training": "exported in training mode, so an answer depends on what else is in its batch (batch normalization)",
    "training_decomposed": "exported in training mode, so an answer depends on what else is in its batch",
    "dropout": "exported in training mode, so answers are drawn by chance (dropout)",
    "pickled_weight": "'convolution.weight' is pickled, and unpickling executes code",
    "pickled_constant": "'offset' is pickled, and unpickling executes code",
    "opaque": "'offset' is pickled, and unpickling executes code",
    "older_weights": "its weights are pickled, as PyTorch 2.8 did it",
    "older": "it is of PyTorch 2.7 or older, which pickled the weights",
    "machine_code": "model.so' is machine code, which is not run",
    "expression": "stands where the length of an axis must be: it would be executed",
    "expression_in_a_mapping": "'expr_str' of its graph is no text",
    "expression_put_together": "stands where the length of an axis must be: it would be executed",
    "expression_by_keyword": "stands where the length of an axis must be: it would be executed",
    "powers": "'((9**62)**62)**62' stands where the length of an axis must be",
    "power": "'9**9**9**9' stands where the length of an axis must be",
    "function": "its operator torch.os.system is none of PyTorch's own",
    "attribute": "its operator torch.ops.aten.relu.__init__ is none of PyTorch's own",
    "custom": "its operator torch.ops.acme.spy.default is none of PyTorch's own",
    "reads": "its operator torch.ops.aten.from_file.default reads a file of this machine",
    "name": "stands where a name must be: it would be executed",
    "tree": "is no description of inputs or outputs",
    "small_weight": "'convolution.weight' has 8 bytes where its shape [4, 3, 3, 3] asks for 432",
    "huge_weight": "'convolution.weight' has 432 bytes where its shape [1099511627776, 3, 3, 3] asks for",
    "repeated": "'convolution.weight' says the shape [68719476736] of 432 bytes",
    "no_graph": "models/model.json is not as PyTorch writes it",
    "no_outputs": "models/model.json is not as PyTorch writes it",
    "deep": "it is nested too deep",
    "bomb": "unpack to 268,435,456: it is made to fill memory",
    "outside": "its member 'model/../../x' would be written outside of its folder",
    "cut": "it is no whole zip file",
}


@pytest.fixture(scope="module")
def folder(torch: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where sound/, hostile/, live/ and pickles/ are."""
    path = tmp_path_factory.mktemp("torch")
    torch.run("torch_models.py", path)
    return path


@pytest.fixture(scope="module")
def hostile(edge: Toolchain, folder: Path) -> Read:
    return edge.read("torch_export", folder / "hostile")


def _sides(path: Path) -> tuple[list[Tensor], list[Tensor]]:
    signature = torch_export.signature(path)
    return list(signature.inputs), list(signature.outputs)


def test_names_types_and_free_axes(folder: Path) -> None:
    (words, image), (zeta, alpha) = _sides(folder / "sound" / "free.pt2")
    batch, length = words.shape
    assert isinstance(batch, str)
    assert isinstance(length, str)
    assert batch != length
    assert words == Tensor("words", "int64", (batch, length))
    assert image == Tensor("image", "float32", (batch, 3, 8, 8))
    assert (zeta, alpha) == (Tensor("zeta", "float32", (batch, 5)), Tensor("alpha", "int64", (batch,)))


@pytest.mark.parametrize("name", ["fixed", "decomposed"])
def test_a_fixed_batch(folder: Path, name: str) -> None:
    words, image = Tensor("words", "int64", (2, 3)), Tensor("image", "float32", (2, 3, 8, 8))
    answers = [Tensor("zeta", "float32", (2, 5)), Tensor("alpha", "int64", (2,))]
    assert _sides(folder / "sound" / f"{name}.pt2") == ([words, image], answers)


def test_outputs_without_names_and_lengths_that_are_computed(folder: Path) -> None:
    (x,), (first, second) = _sides(folder / "sound" / "positional.pt2")
    batch = x.shape[0]
    assert first == Tensor("output_0", "float32", (batch, 16))
    assert second == Tensor("output_1", "float32", (f"2*{batch}", 4))


def test_float16_is_said(folder: Path) -> None:
    assert torch_export.quantized(folder / "sound" / "half.pt2") == "float16"
    assert torch_export.quantized(folder / "sound" / "fixed.pt2") == ""


def test_the_backend_answers_as_pytorch_does(torch: Toolchain, folder: Path) -> None:
    said = json.loads(torch.run("torch_answers.py", folder / "sound").splitlines()[-1])
    for name, answer in said.items():
        assert answer["outputs"] == ["zeta", "alpha"], name
        assert answer["difference"] == 0, name
        assert answer["operators"] > 5, name
        assert answer["same"], f"{name}: the format and its backend say different signatures"


@pytest.mark.parametrize("name", REFUSALS)
def test_a_hostile_file_is_refused(hostile: Read, name: str) -> None:
    assert REFUSALS[name] in hostile.refused(f"{name}.pt2")


def test_every_hostile_file_is_expected(hostile: Read) -> None:
    assert {name.removesuffix(".pt2") for name in hostile.answers} == set(REFUSALS)


def test_hostile_files_take_little_memory(hostile: Read) -> None:
    assert hostile.peak_bytes <= MOST_BYTES


def test_payloads_that_pytorch_executes_are_not_executed_here(torch: Toolchain, folder: Path) -> None:
    paths = sorted((folder / "live").iterdir())
    theirs, ours = (_loaded(torch, who, paths) for who in ("torch", "edgeflow"))
    assert {name for name, one in theirs.items() if one["ran"]} == {path.stem for path in paths}
    assert not [name for name, one in ours.items() if one["ran"]]
    # what is not needed is left behind, and the rest of the file is of use
    assert {name for name, one in ours.items() if not one["error"]} == {"sample_inputs", "guards"}


def _loaded(torch: Toolchain, who: str, paths: list[Path]) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(torch.run("torch_loads.py", who, *paths).splitlines()[-1])
    return said


def test_damaged_files_are_refused_or_read_and_nothing_else(edge: Toolchain, folder: Path, tmp_path: Path) -> None:
    chance = random.Random(11)
    content = (folder / "sound" / "free.pt2").read_bytes()
    for at in range(0, len(content), len(content) // 60):
        (tmp_path / f"cut{at}.pt2").write_bytes(content[:at])
        flipped = bytearray(content)
        for _ in range(3):
            flipped[chance.randrange(len(content))] = chance.randrange(256)
        (tmp_path / f"flipped{at}.pt2").write_bytes(flipped)
    read = edge.read("torch_export", tmp_path)
    assert all("refused" in answer for name, answer in read.answers.items() if name.startswith("cut"))
    assert read.peak_bytes <= MOST_BYTES


@pytest.mark.parametrize(
    ("name", "way"),
    [("model.pt", "it is a pickle"), ("old.pth", "it is a pickle"), ("script.pt", "it is TorchScript")],
)
def test_pickles_are_refused_with_the_way_out(folder: Path, name: str, way: str) -> None:
    path = folder / "pickles" / name
    assert torch_pickle.recognizes(path)
    assert not torch_export.recognizes(path)
    with pytest.raises(DataError, match=f"{way}.*torch.export.save"):
        torch_pickle.signature(path)


def test_recognized_by_content(folder: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "model.bin"
    renamed.write_bytes((folder / "sound" / "fixed.pt2").read_bytes())
    assert torch_export.recognizes(renamed)
    assert not torch_pickle.recognizes(renamed)
    assert not torch_export.recognizes(tmp_path)
