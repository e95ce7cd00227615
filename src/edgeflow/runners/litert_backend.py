"""Runner backend for LiteRT with XNNPACK: standard library, numpy and ai_edge_litert only (see harness.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

if TYPE_CHECKING:
    from edgeflow.runners.harness import Answers, Array, RefusedError, decode, distinct, encode
else:
    try:
        from harness import RefusedError, decode, distinct, encode  # beside this file on a device
    except ImportError:
        from edgeflow.runners.harness import RefusedError, decode, distinct, encode

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
        self._at = tuple(
            _named(self._interpreter, side, details)
            for side, details in (
                ("inputs", self._interpreter.get_input_details()),
                ("outputs", self._interpreter.get_output_details()),
            )
        )
        self._inputs, self._outputs = ([_tensor(name, d) for name, d in side.items()] for side in self._at)

    def signature(self) -> dict[str, Any]:
        """Names, types, shapes and quantization parameters; the format names no free axis."""
        return {"inputs": self._inputs, "outputs": self._outputs}

    def encode(self, feed: Mapping[str, Array]) -> list[tuple[int, Array]]:
        """Real values in the types of the inputs, integers as the QUANTIZE operator makes them, with their places.

        Axes of any length take that of the feed, until another one is encoded.
        """
        inputs, _ = self._at
        native = encode(feed, self._inputs)
        other = {name: array.shape for name, array in native.items() if array.shape != tuple(inputs[name]["shape"])}
        for name, shape in other.items():
            self._interpreter.resize_tensor_input(inputs[name]["index"], shape)
            inputs[name]["shape"] = shape
        if other:  # after all of them: operators may want equal lengths
            self._allocate()
        return [(inputs[name]["index"], values) for name, values in native.items()]

    def _allocate(self) -> None:
        try:
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            name = f"LiteRT {version('ai-edge-litert')}"
            raise RefusedError(f"{self._program}: {name} cannot run it on samples of this shape: {error}") from error

    def invoke(self, native: list[tuple[int, Array]]) -> list[Array]:
        """All outputs, in the order of the signature, in the program's own types."""
        for index, values in native:
            self._interpreter.set_tensor(index, values)
        try:
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            name = f"LiteRT {version('ai-edge-litert')}"
            raise RefusedError(f"{self._program}: {name} cannot run it: {error}") from error
        return [self._interpreter.get_tensor(details["index"]) for details in self._at[1].values()]

    def decode(self, raw: list[Array]) -> Answers:
        """Real values by the names of the outputs."""
        return decode(dict(zip(self._at[1], raw, strict=True)), self._outputs)

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


def _named(interpreter: Interpreter, side: str, details: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What is known of each input or output, by the name that the file's signature gives it; else by the tensor's."""
    for key in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(key)
        named = runner.get_input_details() if side == "inputs" else runner.get_output_details()
        names = {tensor["index"]: name for name, tensor in named.items()}
        if {*names} == {tensor["index"] for tensor in details}:  # else it is of another graph of the file
            return {names[tensor["index"]]: tensor for tensor in details}
    return dict(zip(distinct([tensor["name"] for tensor in details]), details, strict=True))


def _tensor(name: str, details: dict[str, Any]) -> dict[str, Any]:
    scale, zero_point = details["quantization"]
    quantized = scale != 0 and np.issubdtype(details["dtype"], np.integer)
    axes = zip(details["shape"], details["shape_signature"], strict=True)
    return {
        "name": name,
        "dtype": np.dtype(details["dtype"]).name,
        "shape": ["?" if signature == -1 else int(axis) for axis, signature in axes],
        "scale": float(scale) if quantized else None,
        "zero_point": int(zero_point) if quantized else None,
    }
