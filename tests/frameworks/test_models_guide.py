"""The example of the guide to models is run."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from edgeflow import reach
from edgeflow.config.models import ModelConfig

FENCE = re.compile(r"```(python|yaml)\n# (\S+)[^\n]*\n(.*?)```", re.DOTALL)
CODE = """
import torch
from edgeflow.registry import load_reference
for reference in ("nets/mine.py:build", "nets.mine:build"):
    network = load_reference(reference)((3, 32, 32), 10, width=32).eval()
    print(list(network(torch.zeros(2, 3, 32, 32)).shape))
"""


@pytest.fixture
def files(project: Path) -> list[tuple[str, str]]:
    """The files of the guide: (path, content)."""
    return [(path, text) for _, path, text in FENCE.findall((project / "docs/guide/models.md").read_text())]


@pytest.mark.toolchain
def test_the_builder_builds(files: list[tuple[str, str]], tmp_path: Path, project: Path, torch_python: Path) -> None:
    for path, text in files:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert reach.fault("nets/mine.py:build", tmp_path) == ""
    done = subprocess.run(
        [str(torch_python), "-P", "-c", CODE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(project / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["[2, 10]", "[2, 10]"], done.stderr


def test_the_models_are_valid(files: list[tuple[str, str]]) -> None:
    known = {
        **{"framework": ("torch",), "dataset": ("digits_3x32x32", "my_images")},
        "task": ("classification", "fidelity"),
    }
    models = [yaml.safe_load(text) for path, text in files if path.endswith(".yaml")]
    valid = [ModelConfig.model_validate(model, context=known) for model in models]
    assert [model.weights for model in valid] == [None, "models/mine.safetensors", None]
    assert [model.source for model in valid] == [None, None, "models/detector.onnx"]
    assert {model.builder for model in valid if not model.imported} == {"nets/mine.py:build"}
