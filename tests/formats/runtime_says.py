"""Inputs and outputs of the models of a folder as a runner's backend says them: runtime_says.py BACKEND FOLDER."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edgeflow.runners import harness

SUFFIXES = {"onnxruntime": "onnx", "litert": "tflite", "tflite_micro": "tflite"}


def main(backend: str, folder: str, *names: str) -> None:
    """Print the signatures by name of the file; of all files, where none is named."""
    path = str(Path(harness.__file__).with_name(f"{backend}_backend.py"))
    files = [Path(folder) / name for name in names] or sorted(Path(folder).glob(f"*.{SUFFIXES[backend]}"))
    print(json.dumps({file.name: harness.signature(path, str(file)) for file in files}))


if __name__ == "__main__":
    main(*sys.argv[1:])
