"""What is built in keeps the contracts of edgeflow.testing, as third parties' plugins must."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.toolchain


def test_built_in_converters_and_formats_keep_their_contracts(project: Path, torch_python: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(project / "src"), "CUDA_VISIBLE_DEVICES": ""}
    script = Path(__file__).with_name("contracts.py")
    done = subprocess.run([torch_python, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kept: dict[str, dict[str, str]] = {name: {} for name in ("TorchToOnnx", "TorchToTflite", "Onnx", "Tflite")}
    assert json.loads(done.stdout.splitlines()[-1]) == kept
