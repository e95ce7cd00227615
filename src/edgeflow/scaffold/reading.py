"""What a model's file says of itself, read where the libraries of its format are.

As a program, in the toolchain of a format: `python -m edgeflow.scaffold.reading REFERENCE FILE` prints the signature
and what is quantized already, as JSON. Nothing of the file is executed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edgeflow.errors import EdgeflowError
from edgeflow.registry import load_reference
from edgeflow.types.plain import to_json


def main(reference: str, path: Path) -> int:
    """Print what a file says of itself, or why it is refused."""
    plugin = load_reference(reference)
    try:
        said = {"signature": to_json(plugin.signature(path)), "quantized": plugin.quantized(path)}
    except EdgeflowError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
