"""Runner backend for LiteRT with XNNPACK: standard library, numpy and ai_edge_litert only (see harness.py)."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeflow.runners.harness import RefusedError, dequantize, quantize
else:
    try:
        from harness import RefusedError, dequantize, quantize  # beside this file on a device
    except ImportError:
        from edgeflow.runners.harness import RefusedError, dequantize, quantize

DAMAGED = "not a valid Flatbuffer"  # what LiteRT says of a file that is no model, with the same error as of refusals
DELEGATE = "DELEGATE"  # a node that stands for a part of the graph; the one delegate that is attached here is XNNPACK


class Session:
    """One program, ready to run on the CPU; XNNPACK takes the operators that it supports."""

    def __init__(self, program: str, threads: int) -> None:
        # content and not path: the suffix of a file decides nothing
        with open(program, "rb") as stream:
            content = stream.read()
        try:
            self._interpreter = Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            kind = ValueError if DAMAGED in str(error) else RefusedError
            raise kind(f"{program}: LiteRT {version('ai-edge-litert')} cannot load it: {error}") from error
        self._program = program
        self._input = _only(program, "input", self._interpreter.get_input_details())
        self._output = _only(program, "output", self._interpreter.get_output_details())

    def signature(self) -> dict[str, Any]:
        """Names, types, shapes and quantization parameters."""
        return {"inputs": [_tensor(self._input)], "outputs": [_tensor(self._output)]}

    def encode(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """float32[N, H, W, C] → the input's type; integers as the QUANTIZE operator makes them."""
        if self._input["dtype"] == np.float32:
            return np.ascontiguousarray(x)
        scale, zero_point = self._input["quantization"]
        return quantize(x, scale, zero_point, self._input["dtype"])

    def invoke(self, native: NDArray[Any]) -> NDArray[Any]:
        """[1, …] → [1, K] in the program's own types."""
        self._interpreter.set_tensor(self._input["index"], native)
        try:
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            name = f"LiteRT {version('ai-edge-litert')}"
            raise RefusedError(f"{self._program}: {name} cannot run it: {error}") from error
        raw: NDArray[Any] = self._interpreter.get_tensor(self._output["index"])
        return raw

    def decode(self, raw: NDArray[Any]) -> NDArray[np.float32]:
        """[N, K] in the program's own type → float32[N, K]."""
        if self._output["dtype"] == np.float32:
            return raw
        scale, zero_point = self._output["quantization"]
        return dequantize(raw, scale, zero_point)

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """One by one: the batch is fixed to one sample, and a resized one saves nothing (docs/adr/0006)."""
        native = self.encode(x)
        return self.decode(np.concatenate([self.invoke(native[i : i + 1]) for i in range(len(native))]))

    def arena_bytes(self) -> None:
        """Unknown: XNNPACK allocates its own memory."""
        return

    def operators(self) -> list[dict[str, Any]]:
        """Operators by what runs them.

        The interpreter keeps the operators that a delegate replaced and adds a node for each part of the graph that it
        took. From such a node's outputs back to its inputs, all operators are the delegate's.
        """
        # Not public, but nothing else tells: whoever renames it breaks a test and no figure.
        nodes = self._interpreter._get_ops_details()
        producers = {int(tensor): node for node in nodes if node["op_name"] != DELEGATE for tensor in node["outputs"]}
        taken: set[int] = set()
        for part in (node for node in nodes if node["op_name"] == DELEGATE):
            border = {int(tensor) for tensor in part["inputs"]}
            todo = [int(tensor) for tensor in part["outputs"]]
            while todo:
                node = producers.get(todo.pop())
                if node is not None and node["index"] not in taken:
                    taken.add(node["index"])
                    todo.extend(int(tensor) for tensor in node["inputs"] if int(tensor) not in border)
        placed = Counter(
            (node["op_name"], "XNNPACK" if node["index"] in taken else "LiteRT CPU kernel")
            for node in nodes
            if node["op_name"] != DELEGATE
        )
        return [{"operator": name, "count": n, "placement": where} for (name, where), n in sorted(placed.items())]

    @staticmethod
    def versions() -> dict[str, str]:
        """The runtime's version."""
        return {"ai-edge-litert": version("ai-edge-litert")}


def operators_in(program: str) -> dict[str, int]:
    """Operator name → how many a file has."""
    with open(program, "rb") as stream:
        content = stream.read()
    plain = Interpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    return Counter(node["op_name"] for node in plain._get_ops_details())


def _only(program: str, kind: str, tensors: list[dict[str, Any]]) -> dict[str, Any]:
    """The one input or output; ValueError when there are more."""
    if len(tensors) != 1:
        names = ", ".join(str(tensor["name"]) for tensor in tensors)
        raise ValueError(f"{program}: expected one {kind}, found {len(tensors)}: {names}")
    return tensors[0]


def _tensor(details: dict[str, Any]) -> dict[str, Any]:
    scale, zero_point = details["quantization"]
    quantized = details["dtype"] != np.float32
    return {
        "name": details["name"],
        "dtype": np.dtype(details["dtype"]).name,
        "shape": [int(axis) for axis in details["shape"]],
        "scale": float(scale) if quantized else None,
        "zero_point": int(zero_point) if quantized else None,
    }
