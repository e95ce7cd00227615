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
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from tflite_micro import runtime

if TYPE_CHECKING:
    from edgeflow.runners.harness import REFUSED, Answers, Array, RefusedError, decode, distinct, encode
else:
    try:
        from harness import REFUSED, RefusedError, decode, distinct, encode  # beside this file on a device
    except ImportError:
        from edgeflow.runners.harness import REFUSED, RefusedError, decode, distinct, encode

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
        inputs, outputs = _names(self._content)
        self._inputs = [_tensor(n, self._interpreter.get_input_details(i)) for i, n in enumerate(inputs)]
        self._outputs = [_tensor(n, self._interpreter.get_output_details(i)) for i, n in enumerate(outputs)]

    def signature(self) -> dict[str, Any]:
        """Names from the file, which the interpreter does not read; types, shapes and quantization parameters."""
        return {"inputs": self._inputs, "outputs": self._outputs}

    def encode(self, feed: Mapping[str, Array]) -> list[Array]:
        """Real values in the types of the inputs, integers as the QUANTIZE operator makes them, in the file's order."""
        native = encode(feed, self._inputs)
        return [native[tensor["name"]] for tensor in self._inputs]

    def invoke(self, native: list[Array]) -> list[Array]:
        """All outputs, in the order of the signature, in the program's own types."""
        for i, values in enumerate(native):
            self._interpreter.set_input(values, i)
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            name = f"TFLite Micro {version('tflite-micro')}"
            raise RefusedError(f"{self._program}: {name} cannot run it: {error}") from error
        return [self._interpreter.get_output(i) for i in range(len(self._outputs))]

    def decode(self, raw: list[Array]) -> Answers:
        """Real values by the names of the outputs."""
        names = [tensor["name"] for tensor in self._outputs]
        return decode(dict(zip(names, raw, strict=True)), self._outputs)

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


def _names(content: bytes) -> tuple[list[str], list[str]]:
    """Of the inputs and outputs in the order of the first graph: those of the file's signature, else the tensors'."""
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    inputs = [int(graph.Inputs(i)) for i in range(graph.InputsLength())]
    outputs = [int(graph.Outputs(i)) for i in range(graph.OutputsLength())]
    for definition in (model.SignatureDefs(i) for i in range(model.SignatureDefsLength())):
        given = [definition.Inputs(i) for i in range(definition.InputsLength())]
        answered = [definition.Outputs(i) for i in range(definition.OutputsLength())]
        named = [{m.TensorIndex(): m.Name().decode(errors="replace") for m in maps} for maps in (given, answered)]
        if definition.SubgraphIndex() == 0 and [{*side} for side in named] == [{*inputs}, {*outputs}]:
            return [named[0][tensor] for tensor in inputs], [named[1][tensor] for tensor in outputs]
    tensors = [(graph.Tensors(i).Name() or b"").decode(errors="replace") for i in range(graph.TensorsLength())]
    return distinct([tensors[i] for i in inputs]), distinct([tensors[i] for i in outputs])


def _tensor(name: str, details: dict[str, Any]) -> dict[str, Any]:
    parameters = details["quantization_parameters"]
    quantized = len(parameters["scales"]) > 0 and np.issubdtype(details["dtype"], np.integer)
    return {
        "name": name,
        "dtype": np.dtype(details["dtype"]).name,
        "shape": [int(axis) for axis in details["shape"]],
        "scale": float(parameters["scales"][0]) if quantized else None,
        "zero_point": int(parameters["zero_points"][0]) if quantized else None,
    }


def main(program: str) -> None:
    """Run a program once on zeros."""
    try:
        session = Session(program, threads=1)
        inputs = session.signature()["inputs"]
        session.invoke(session.encode({tensor["name"]: np.zeros(tensor["shape"], np.float32) for tensor in inputs}))
    except RefusedError as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED)


if __name__ == "__main__":
    main(*sys.argv[1:])
