"""Runner backend for TFLite Micro's interpreter: standard library, numpy and tflite_micro only (see harness.py).

`python tflite_micro_backend.py PROGRAM` runs a program once; exit code 3: the interpreter refuses it. It may also
abort: hence a process of its own.
"""

from __future__ import annotations

import os
import re
import struct
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from tflite_micro import runtime

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeflow.runners.harness import REFUSED, RefusedError, dequantize, quantize
else:
    try:
        from harness import REFUSED, RefusedError, dequantize, quantize  # beside this file on a device
    except ImportError:
        from edgeflow.runners.harness import REFUSED, RefusedError, dequantize, quantize

# More than any microcontroller has. Pages that are never touched take no memory here.
ARENA_BYTES = 2**28


class Session:
    """One program in the interpreter that microcontrollers run, with its reference kernels."""

    def __init__(self, program: str, threads: int) -> None:
        # `threads` is part of the backend's contract; the interpreter has one
        with open(program, "rb") as stream:
            self._content = stream.read()
        self._program = program
        name = f"TFLite Micro {version('tflite-micro')}"
        try:
            self._interpreter = runtime.Interpreter.from_bytes(
                self._content,
                arena_size=ARENA_BYTES,
                intrepreter_config=runtime.InterpreterConfig.kAllocationRecording,
            )
        except RuntimeError as error:
            raise RefusedError(f"{program}: {name} cannot run it: {error}") from error
        except struct.error as error:
            raise ValueError(f"{program}: {name} cannot read it: not a whole TFLite file") from error
        self._input = self._interpreter.get_input_details(0)
        self._output = self._interpreter.get_output_details(0)

    def signature(self) -> dict[str, Any]:
        """Types, shapes and quantization parameters; the interpreter knows no names."""
        return {"inputs": [_tensor("input", self._input)], "outputs": [_tensor("output", self._output)]}

    def encode(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """float32[N, H, W, C] → the input's type; integers as the QUANTIZE operator makes them."""
        if self._input["dtype"] == np.float32:
            return np.ascontiguousarray(x)
        scale, zero_point = _quantization(self._input)
        return quantize(x, scale, zero_point, self._input["dtype"])

    def invoke(self, native: NDArray[Any]) -> NDArray[Any]:
        """[1, …] → [1, K] in the program's own types."""
        self._interpreter.set_input(native, 0)
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            name = f"TFLite Micro {version('tflite-micro')}"
            raise RefusedError(f"{self._program}: {name} cannot run it: {error}") from error
        raw: NDArray[Any] = self._interpreter.get_output(0)
        return raw

    def decode(self, raw: NDArray[Any]) -> NDArray[np.float32]:
        """[N, K] in the program's own type → float32[N, K]."""
        if self._output["dtype"] == np.float32:
            return raw
        scale, zero_point = _quantization(self._output)
        return dequantize(raw, scale, zero_point)

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """One by one, as the device does."""
        native = self.encode(x)
        return self.decode(np.concatenate([self.invoke(native[i : i + 1]) for i in range(len(native))]))

    def arena_bytes(self) -> int:
        """Bytes of tensor arena that the program uses.

        An upper bound for a 32-bit microcontroller: the arena's tail holds structures full of pointers, which are twice
        as wide on this host. The head, with the activations, is the same.
        """
        printed = _printed_by(self._interpreter.print_allocations)
        total = re.search(r"Arena allocation total (\d+) bytes", printed)
        if total is None:
            raise RuntimeError(f"TFLite Micro printed no arena size: {printed[:200]!r}")
        return int(total[1])

    def operators(self) -> list[dict[str, Any]]:
        """Operators of the model; all run as reference kernels on the CPU."""
        counts = sorted(operators_of(self._content).items())
        return [{"operator": name, "count": n, "placement": "CPU"} for name, n in counts]

    @staticmethod
    def versions() -> dict[str, str]:
        """The interpreter's version."""
        return {"tflite-micro": version("tflite-micro")}


def _printed_by(function: Callable[[], None]) -> str:
    """What C code prints to the process's standard output and error."""
    with tempfile.TemporaryFile() as capture:
        sys.stdout.flush()
        sys.stderr.flush()
        saved = os.dup(1), os.dup(2)
        try:
            os.dup2(capture.fileno(), 1)
            os.dup2(capture.fileno(), 2)
            function()
        finally:
            for number, old in zip((1, 2), saved, strict=True):
                os.dup2(old, number)
                os.close(old)
        capture.seek(0)
        return capture.read().decode(errors="replace")


def operators_in(program: str) -> dict[str, int]:
    """Operator name → how many a file has."""
    with open(program, "rb") as stream:
        return operators_of(stream.read())


def operators_of(content: bytes) -> dict[str, int]:
    """Operator name → how many a .tflite model has; custom operators under their own name."""
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    model = schema.Model.GetRootAs(content, 0)
    counts: dict[str, int] = {}
    for graph in (model.Subgraphs(i) for i in range(model.SubgraphsLength())):
        for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
            code = model.OperatorCodes(operator.OpcodeIndex())
            number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # old files have the second only
            name = names[number] if code.CustomCode() is None else code.CustomCode().decode()
            counts[name] = counts.get(name, 0) + 1
    return counts


def _quantization(details: dict[str, Any]) -> tuple[float, int]:
    parameters = details["quantization_parameters"]
    return float(parameters["scales"][0]), int(parameters["zero_points"][0])


def _tensor(name: str, details: dict[str, Any]) -> dict[str, Any]:
    quantized = details["dtype"] != np.float32
    scale, zero_point = _quantization(details) if quantized else (None, None)
    return {
        "name": name,
        "dtype": np.dtype(details["dtype"]).name,
        "shape": [int(axis) for axis in details["shape"]],
        "scale": scale,
        "zero_point": zero_point,
    }


def main(program: str) -> None:
    """Run a program once on zeros."""
    try:
        session = Session(program, threads=1)
        shape = session.signature()["inputs"][0]["shape"]
        session.invoke(session.encode(np.zeros(shape, np.float32)))
    except RefusedError as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED)


if __name__ == "__main__":
    main(*sys.argv[1:])
