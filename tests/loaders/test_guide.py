"""What the guide to datasets shows works as it stands there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.prepared import outputs
from tests.splits import read_split

from edgeflow import config, files, plan, registry
from edgeflow.runners.tensors import Split
from edgeflow.stages import prepare
from edgeflow.types.plain import from_json
from edgeflow.wiring import Wiring

CLASSES = np.arange(1200) % 2


@pytest.fixture
def blocks(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """A project in the current folder with the files that the guide shows, and its code blocks by their first line."""
    text = (project / "docs/guide/datasets.md").read_text(encoding="utf-8")
    by_file = {block.partition("\n")[0]: block for block in re.findall(r"^```\w+\n(.*?)^```", text, re.M | re.S)}
    shutil.copytree(project / "config", tmp_path / "config")
    for line, block in by_file.items():
        if path := re.fullmatch(r"# (\S+\.(?:yaml|py))", line):
            (tmp_path / path[1]).parent.mkdir(exist_ok=True)
            (tmp_path / path[1]).write_text(block, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return by_file


def described(dataset: str, **matrix: object) -> prepare.Outputs:
    """Prepare a dataset as the workflow would."""
    default = {"models": "parts_resnet8", "targets": "linux_x86_ort", "schemes": "fp32", "baseline": "fp32"}
    plugins = registry.discover(config.plugin_files({**default, **matrix}, Path()))
    opened = config.load(Path(), {**default, **matrix}, plugins)
    job = Wiring(opened, plugins, plan.plan(opened, plugins)).job("prepare", {"dataset": dataset})
    assert all(Path(file).is_file() for file in job.inputs["files"])
    made = outputs(Path())
    prepare.run(from_json(prepare.Spec, job.spec), prepare.Inputs(), made)
    return made


def test_arrays(blocks: Mapping[str, str]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1200, 9, 7), np.uint8)
    exec(next(block for block in blocks.values() if "np.savez" in block), {"images": images, "classes": CLASSES})
    made = described("parts")
    assert files.read_json(made.info)["labels"] == ["good", "scratched"]
    x, y = read_split(made.evaluation)
    assert x.shape == (900, 1, 32, 32)
    assert (y == 0).sum() == 450


def test_images(blocks: Mapping[str, str], tmp_path: Path) -> None:
    for i, label in enumerate(CLASSES):
        path = tmp_path / "photos" / ("good", "scratched")[label] / f"{i:04}.{('png', 'bmp')[label]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (4, 4), np.uint8)).save(path)
    made = described("photos")
    assert files.read_json(made.info)["labels"] == ["good", "scratched"]
    assert read_split(made.golden)[0].shape == (32, 3, 32, 32)


def test_sequences(blocks: Mapping[str, str]) -> None:
    signals = np.random.default_rng(0).integers(-9000, 9000, (1200, 3, 64), np.int16)
    np.savez("motion.npz", x=signals, y=np.arange(1200) % 4)
    made = described("motion")
    assert read_split(made.train)[0].std() == pytest.approx(1, abs=1e-3)
    assert files.read_json(made.info)["inputs"]["input"]["scale"] == {"int16": [-16384, 16384]}


def test_several_inputs(blocks: Mapping[str, str]) -> None:
    rng = np.random.default_rng(0)
    image, words = rng.integers(0, 256, (300, 3, 96, 96), np.uint8), rng.integers(0, 30522, (300, 16))
    np.savez("scenes.npz", image=image, words=words, threshold=rng.normal(size=300).astype(np.float32))
    batch = Split(described("scenes").evaluation).batch()
    assert {name: (str(array.dtype), array.shape) for name, array in batch.items()} == {
        "image": ("uint8", (200, 3, 96, 96)),
        "words": ("int64", (200, 16)),
        "threshold": ("float32", (200,)),
    }


def test_an_apps_code_is_held_against_the_record(blocks: Mapping[str, str]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1200, 9, 7), np.uint8)
    exec(next(block for block in blocks.values() if "np.savez" in block), {"images": images, "classes": CLASSES})
    record = files.read_json(described("parts").info)["inputs"]["input"]
    check = next(block for block in blocks.values() if "golden_raw" in block)

    def mine(raw: Any) -> Any:
        """As dataset.json says it for grey images."""
        x = raw[0].astype(np.float64)
        for size in record["shape"][:0:-1]:  # the width, then the height
            n, i, j = x.shape[1], np.arange(size)[:, None], np.arange(x.shape[1])
            w = np.maximum(0, 1 - np.abs(j + 0.5 - (i + 0.5) * n / size) / max(1, n / size))
            k = np.floor(0.5 + 2**22 * w / w.sum(axis=1, keepdims=True))
            x = np.clip(np.floor((2**21 + x @ k.T) / 2**22), 0, 255).T
        return (x / 255 - record["mean"][0]) / record["std"][0]

    names: dict[str, Any] = {"mine": mine}
    exec(check, names)
    assert names["worst"] < 1e-5
    names["mine"] = lambda raw: mine(raw[:, ::-1])
    exec(check, names)
    assert names["worst"] > 0.1


def test_a_loader_of_ones_own(blocks: Mapping[str, str], tmp_path: Path) -> None:
    text = (tmp_path / "config/datasets/parts.yaml").read_text(encoding="utf-8")
    text = re.sub(r"^loader: npz\noptions:\n(?:  .*\n)+", "loader: noise\n", text, flags=re.M)
    (tmp_path / "config/datasets/noisy.yaml").write_text(text, encoding="utf-8")
    made = described("noisy", plugins="plugins/noise.py")
    assert files.read_json(made.info)["labels"] == ["dark", "bright"]
