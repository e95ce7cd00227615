"""The example of packages for machines that have Python: files that are shipped as they stand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

EXAMPLES = Path(__file__).with_name("examples")


def python_example(runtime: str) -> Mapping[str, bytes]:
    """example.py, and runtime.py that knows the runtime of that id."""
    files = {"example.py": "example.py", "runtime.py": f"runtime_{runtime}.py"}
    return {name: (EXAMPLES / file).read_bytes() for name, file in files.items()}
