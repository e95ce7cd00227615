"""Runner backend for what `torch.export.save` writes: standard library, numpy and torch only (see harness.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from edgeflow.runners import pt2
    from edgeflow.runners.harness import Answers, Array, RefusedError, decode, encode
else:
    try:
        import pt2  # beside this file on a device
        from harness import RefusedError, decode, encode
    except ImportError:
        from edgeflow.runners import pt2
        from edgeflow.runners.harness import RefusedError, decode, encode


class Session:
    """One exported program, run by PyTorch on the CPU as it was exported."""

    batch = 16  # as with the networks that are trained here; answers are those of one by one within float32

    def __init__(self, program: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self._program = program
        described = pt2.Program(Path(program))
        exported = pt2.load(Path(program))
        self._inputs, self._outputs = ([_tensor(one) for one in side] for side in (described.inputs, described.outputs))
        self._arguments = described.arguments
        self._targets = Counter(str(node.target) for node in exported.graph.nodes if node.op == "call_function")
        # Lengths are checked by the harness; guards of a file would be its code, and are not in what was loaded.
        self._module = exported.module(check_guards=False)
        self._takes = exported.call_spec.in_spec

    def signature(self) -> dict[str, Any]:
        """Names of the forward's arguments and of what it returns; the format has no quantized tensors."""
        return {"inputs": self._inputs, "outputs": self._outputs}

    def encode(self, feed: Mapping[str, Array]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Real values in the types of the inputs, as positional and keyword arguments."""
        native = {name: torch.from_numpy(_writable(values)) for name, values in encode(feed, self._inputs).items()}
        flat = [native[name] if value is ... else value for name, value in self._arguments]
        arguments: tuple[tuple[Any, ...], dict[str, Any]] = torch.utils._pytree.tree_unflatten(flat, self._takes)
        return arguments

    def invoke(self, native: tuple[tuple[Any, ...], dict[str, Any]]) -> list[Any]:
        """All outputs, in the order of the signature."""
        positional, named = native
        try:
            with torch.inference_mode():
                answers = self._module(*positional, **named)
        except (RuntimeError, NotImplementedError, ValueError, AssertionError) as error:
            raise RefusedError(f"{self._program}: PyTorch {torch.__version__} cannot run it: {error}") from error
        leaves: list[Any] = torch.utils._pytree.tree_leaves(answers)
        return leaves

    def decode(self, raw: list[Any]) -> Answers:
        """Real values by the names of the outputs."""
        names = [tensor["name"] for tensor in self._outputs]
        values = {name: one.detach().numpy() for name, one in zip(names, raw, strict=True)}
        return decode(values, self._outputs)

    def arena_bytes(self) -> None:
        """Unknown to PyTorch."""
        return

    def operators(self) -> list[dict[str, Any]]:
        """Operators of the graph as it is in the file."""
        return [{"operator": name, "count": n, "placement": "CPU"} for name, n in sorted(self._targets.items())]

    @staticmethod
    def versions() -> dict[str, str]:
        """The version of PyTorch."""
        return {"torch": torch.__version__}


def operators_in(program: str) -> dict[str, int]:
    """Operator name → how many a file has."""
    return dict(Counter(target for target, _ in pt2.Program(Path(program)).nodes))


def _writable(values: Array) -> Array:
    return values if values.flags.writeable else np.array(values)


def _tensor(described: Any) -> dict[str, Any]:
    return {
        "name": described.name,
        "dtype": described.dtype,
        "shape": list(described.shape),
        "scale": None,
        "zero_point": None,
    }
