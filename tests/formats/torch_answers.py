"""How far answers through the runner's backend are from PyTorch's own: torch_answers.py FOLDER, of trusted files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgeflow.formats import torch_export
from edgeflow.runners import harness
from edgeflow.types.plain import to_json

BACKEND = str(Path(harness.__file__).with_name("torch_export_backend.py"))
CHANCE = np.random.default_rng(7)
WORDS = CHANCE.integers(0, 9, (2, 3))
IMAGES = CHANCE.standard_normal((2, 3, 8, 8), dtype=np.float32)


def fixed(module: Callable[..., Any]) -> Any:
    """As it was exported: one argument by position, one by name."""
    return module(torch.from_numpy(WORDS), image=torch.from_numpy(IMAGES))


def free(module: Callable[..., Any]) -> Any:
    """With a third argument that is no tensor."""
    return module(torch.from_numpy(WORDS), torch.from_numpy(IMAGES), True)


def half(module: Callable[..., Any]) -> Any:
    """In float16."""
    return module(torch.from_numpy(WORDS), torch.from_numpy(IMAGES).half())


def main(folder: str) -> None:
    """Print the names of the outputs and the greatest difference, by file."""
    said = {call.__name__: _compared(Path(folder) / f"{call.__name__}.pt2", call) for call in (fixed, free, half)}
    print(json.dumps(said))


def _compared(path: Path, call: Callable[[Callable[..., Any]], Any]) -> dict[str, Any]:
    session = harness.load_backend(BACKEND).Session(str(path), 1)
    ours = session.decode(session.invoke(session.encode({"words": WORDS, "image": IMAGES})))
    theirs: dict[str, Tensor] = call(torch.export.load(path).module())
    differences = [float(abs(ours[name] - value.detach().float().numpy()).max()) for name, value in theirs.items()]
    operators = sum(one["count"] for one in session.operators())
    same = json.dumps(to_json(torch_export.signature(path))) == json.dumps(session.signature())
    return {"outputs": list(ours), "difference": max(differences), "operators": operators, "same": same}


if __name__ == "__main__":
    main(*sys.argv[1:])
