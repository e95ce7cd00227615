"""Whether PyTorch itself, or edgeflow, executes what is in a file when it loads and runs it: torch_loads.py WHO FILE…

In a folder of its own for each file; prints the names of the files whose payload ran, and why others were refused.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import torch

from edgeflow.runners import harness, pt2


def main(who: str, *names: str) -> None:
    """Print what became of each."""
    said = {}
    for path in (Path(name).absolute() for name in names):
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            error = ""
            try:
                program = torch.export.load(path) if who == "torch" else pt2.load(path)
                words, image = torch.arange(6).reshape(2, 3), torch.randn(2, 3, 8, 8)
                program.module()(words, image=image)
                if who == "edgeflow":
                    backend = Path(harness.__file__).with_name("torch_export_backend.py")
                    harness.signature(str(backend), str(path))
            except Exception as reason:  # noqa: BLE001 - whatever PyTorch raises over such a file
                error = f"{type(reason).__name__}: {reason}".splitlines()[0]
            said[path.stem] = {"ran": Path("canary").exists(), "error": error}
            os.chdir("/")
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
