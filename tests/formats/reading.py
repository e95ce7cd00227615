"""What a format says of the files of a folder, in one process: reading.py FORMAT FOLDER NAME…; no name: all of them.

For each its signature and how it is quantized, or why it is refused. A file that ends this process, or that raises
anything but DataError, fails it.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
from pathlib import Path
from typing import Any

from edgeflow.errors import DataError
from edgeflow.types.plain import to_json

LIBRARIES = {"onnx": "onnx"}  # imported once, and not in the child that reads a file


def main(kind: str, folder: str, *names: str) -> None:
    """Print the answers as JSON."""
    module = importlib.import_module(f"edgeflow.formats.{kind}")
    if kind in LIBRARIES:
        importlib.import_module(LIBRARIES[kind])
    paths = [Path(folder) / name for name in names] or sorted(Path(folder).iterdir())
    answers = {path.name: _answer(module, path) for path in paths}
    peak_kib = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"answers": answers, "peak_bytes": peak_kib * 1024}))


def _answer(module: Any, path: Path) -> dict[str, Any]:
    try:
        return {
            "signature": to_json(module.signature(path)),
            "quantized": module.quantized(path),
            "files": [str(file.relative_to(path.parent)) for file in (module.plugin.files or _alone)(path)],
        }
    except DataError as refusal:
        return {"refused": str(refusal).replace(str(path), path.name)}


def _alone(path: Path) -> tuple[Path, ...]:
    return (path,)


if __name__ == "__main__":
    main(*sys.argv[1:])
