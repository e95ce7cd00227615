"""Datasets that DVC tracks: brought when they are needed, checked, and never taken for what they are not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.tracking.conftest import Repository

from edgeflow import pointers

pytestmark = [pytest.mark.tracking, pytest.mark.workflow, pytest.mark.toolchain, pytest.mark.xdist_group("tracking")]

TARGET = "results/prepare/parts/dataset.json"
DATASET = """\
loader: npz
options: { file: parts.npz }
classes: 2
shape: [1, 4, 4]
splits: { calibration: 8, evaluation: 20, golden: 4 }
source: made up
license: internal
"""
PHOTOS = DATASET.replace("npz\n", "image_folder\n", 1).replace("file: parts.npz", "folder: photos")


@pytest.fixture
def project_with_data(empty: Repository, tmp_path: Path) -> Repository:
    """An own dataset in one file, tracked and pushed; nothing is built."""
    made = empty.moved(tmp_path / "data")
    (made.folder / "config/datasets/parts.yaml").write_text(DATASET)
    x = np.random.default_rng(0).random((60, 4, 4), np.float32)
    np.savez(made.folder / "parts.npz", x=x, y=np.arange(60) % 2)
    made.dvc("add", "parts.npz")
    made.commit()
    made.dvc("push")
    return made


def test_prepare_brings_what_it_needs(project_with_data: Repository, tmp_path: Path) -> None:
    clone = project_with_data.clone(tmp_path / "clone")
    clone.set_remote(project_with_data.remote)
    assert not (clone.folder / "parts.npz").exists()
    clone.run(TARGET)
    assert (clone.folder / "parts.npz").read_bytes() == (project_with_data.folder / "parts.npz").read_bytes()
    (clone.folder / "parts.npz").unlink()
    assert clone.pending(TARGET) == set()  # the pointer stands for it


def test_an_edit_is_an_error_until_it_is_tracked_and_then_prepares_again(project_with_data: Repository) -> None:
    project_with_data.run(TARGET)
    path = project_with_data.folder / "parts.npz"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert project_with_data.run(TARGET, check=False).returncode != 0
    said = (project_with_data.folder / "results/logs/prepare/parts.log").read_text()
    assert "parts.npz: differs from parts.npz.dvc; 'dvc add parts.npz' takes the data as they are now" in said
    np.savez(path, x=np.zeros((60, 4, 4), np.float32), y=np.arange(60) % 2)
    project_with_data.dvc("add", "parts.npz")
    assert ("prepare", "parts") in project_with_data.pending(TARGET)


def test_damage_in_the_remote_prepares_nothing(project_with_data: Repository, tmp_path: Path) -> None:
    clone = project_with_data.clone(tmp_path / "clone")
    clone.set_remote(project_with_data.remote)
    (stored,) = (path for path in project_with_data.remote.rglob("*") if path.is_file())
    stored.chmod(0o644)
    stored.write_bytes(stored.read_bytes()[:-1] + b"\xff")
    done = clone.run(TARGET, check=False)
    assert done.returncode != 0
    log = (clone.folder / "results/logs/prepare/parts.log").read_text()
    assert "DataError: parts.npz: " in log
    assert not (clone.folder / TARGET).exists()


def test_a_folder_of_images_works_alike(project_with_data: Repository, tmp_path: Path) -> None:
    from PIL import Image

    for kind in ("good", "scratched"):
        (project_with_data.folder / "photos" / kind).mkdir(parents=True)
        for i in range(30):
            pixels = np.full((4, 4), i + 100 * (kind == "good"), np.uint8)
            Image.fromarray(pixels).save(project_with_data.folder / f"photos/{kind}/{i}.png")
    (project_with_data.folder / "config/datasets/parts.yaml").write_text(PHOTOS)
    project_with_data.dvc("add", "photos")
    pointer = pointers.read(project_with_data.folder / "photos.dvc")
    assert pointers.digest(project_with_data.folder / "photos") == pointer.md5  # as DVC computes it
    project_with_data.commit()
    project_with_data.dvc("push")
    clone = project_with_data.clone(tmp_path / "clone")
    clone.set_remote(project_with_data.remote)
    clone.run(TARGET)
    assert len(list((clone.folder / "photos").rglob("*.png"))) == 60


def test_weights_and_files_of_a_builder_are_brought_too(empty: Repository, tmp_path: Path) -> None:
    made = empty.moved(tmp_path / "weights")
    shapes = {"1.bias": [10], "1.weight": [10, 490]}
    header, content = {}, b""
    for name, shape in shapes.items():
        data = np.zeros(shape, np.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(content), len(content) + len(data)]}
        content += data
    text = json.dumps(header).encode()
    (made.folder / "the weights").mkdir()
    (made.folder / "the weights/mine.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + content)
    (made.folder / "scale.txt").write_text("1")
    (made.folder / "net.py").write_text(
        "from torch import nn\n\n\ndef build(input_shape, classes, scale):\n    float(open(scale).read())\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(490, classes))\n"
    )
    (made.folder / "config/models/mine.yaml").write_text(
        "framework: torch\nbuilder: net.py:build\ndataset: digits_1x49x10\ntask: classification\n"
        "weights: the weights/mine.safetensors\narguments: { scale: scale.txt }\n"
    )
    made.dvc("add", "the weights", "scale.txt")
    made.commit()
    made.dvc("push")
    clone = made.clone(tmp_path / "clone")
    clone.set_remote(made.remote)
    assert not (clone.folder / "the weights").exists()
    info = "results/train/mine/base/train.json"
    clone.run(info, "--config", "models=mine")
    assert json.loads((clone.folder / info).read_text())["figures"] == {"parameters": 4910, "zero_weights_ratio": 1.0}
    assert (clone.folder / "scale.txt").is_file()
    assert clone.pending(info, "--config", "models=mine") == set()
