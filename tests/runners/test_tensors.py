"""Splits and answers as files that any safetensors reader reads."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgeflow.runners import tensors

pytestmark = pytest.mark.toolchain


@pytest.fixture
def split(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (5, 3, 4, 6)).astype("uint8")
    ids = random.integers(0, 9, (5, 7))
    path = tmp_path / "split.safetensors"
    how = {"image": tensors.How(0, 255, (0.3, 0.4, 0.5), (0.4, 0.5, 0.6)), "ids": tensors.How()}
    shapes = {"image": ("uint8", x.shape), "ids": ("int64", ids.shape)}
    writer = tensors.split_writer(path, shapes, how, labelled=True)
    for start in (0, 2, 4):
        writer.write("inputs/image", start, x[start : start + 2])
        writer.write("inputs/ids", start, ids[start : start + 2])
    writer.write("labels", 0, np.arange(5))
    return path, x, ids


def test_a_batch_is_what_the_model_takes(split: tuple[Path, np.ndarray, np.ndarray]) -> None:
    path, x, ids = split
    read = tensors.Split(path)
    assert (len(read), read.names) == (5, ("ids", "image"))
    assert np.array_equal(read.labels(), np.arange(5))
    scaled = (x.astype("float32") - np.float32(0)) / np.float32(255)
    mean, std = (np.array(v, "float32").reshape(-1, 1, 1) for v in ((0.3, 0.4, 0.5), (0.4, 0.5, 0.6)))
    batch = read.batch(1, 4)
    assert np.array_equal(batch["image"], ((scaled - mean) / std)[1:4])
    assert batch["ids"].dtype == "int64"
    assert np.array_equal(batch["ids"], ids[1:4])
    assert [len(part["ids"]) for part in read.batches(2)] == [2, 2, 1]
    assert [len(part["ids"]) for part in read.batches(2, most=3)] == [2, 1]


def test_the_library_reads_the_same(split: tuple[Path, np.ndarray, np.ndarray], torch_python: Path) -> None:
    path, x, _ = split
    code = f"""
from safetensors.numpy import load_file
tensors = load_file({str(path)!r})
print(sorted(tensors), tensors["inputs/image"].dtype, int(tensors["inputs/image"].astype("int64").sum()))
"""
    said = subprocess.run([torch_python, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == f"['inputs/ids', 'inputs/image', 'labels'] uint8 {int(x.astype('int64').sum())}"


@pytest.mark.parametrize("cut", [0, 4, 7, 8, 40, -1])
def test_a_file_that_is_not_whole_is_refused(split: tuple[Path, np.ndarray, np.ndarray], cut: int) -> None:
    path, _, _ = split
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match="whole"):
        tensors.Split(path)


def test_a_header_of_more_bytes_than_the_file_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match="whole"):
        tensors.Reader(path)


def test_rows_of_another_type_or_shape_are_not_written(tmp_path: Path) -> None:
    writer = tensors.Writer(tmp_path / "t.safetensors", {"a": ("float32", (4, 2))})
    for rows in (np.zeros((1, 2)), np.zeros((1, 3), "float32"), np.zeros((5, 2), "float32")):
        with pytest.raises(ValueError, match="a: "):
            writer.write("a", 0, rows)
