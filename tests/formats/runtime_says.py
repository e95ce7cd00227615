"""Inputs and outputs of the models of a folder as a runtime says them: runtime_says.py RUNTIME FOLDER."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

NAMES = {"float": "float32", "double": "float64"}


def onnxruntime(path: Path) -> dict[str, Any]:
    """As ONNX Runtime says them."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    sides = {"inputs": session.get_inputs(), "outputs": session.get_outputs()}
    return {side: [_tensor(tensor) for tensor in tensors] for side, tensors in sides.items()}


def _tensor(tensor: Any) -> dict[str, Any]:
    kind = tensor.type.removeprefix("tensor(").removesuffix(")")
    return {"name": tensor.name, "dtype": NAMES.get(kind, kind), "shape": tensor.shape}


def litert(path: Path) -> dict[str, Any]:
    """As LiteRT says them: by the names of the signature where there is one, else of the tensors."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=path.read_bytes())
    sides = {"inputs": interpreter.get_input_details(), "outputs": interpreter.get_output_details()}
    runner = interpreter.get_signature_runner() if interpreter.get_signature_list() else None
    names = {}
    if runner is not None:
        names = {
            "inputs": {d["index"]: name for name, d in runner.get_input_details().items()},
            "outputs": {d["index"]: name for name, d in runner.get_output_details().items()},
        }
    return {
        side: [_details(one, names.get(side, {}).get(one["index"], one["name"])) for one in tensors]
        for side, tensors in sides.items()
    }


def _details(details: Any, name: str) -> dict[str, Any]:
    quantization = details["quantization_parameters"]
    single = len(quantization["scales"]) == 1
    return {
        "name": name,
        "dtype": np.dtype(details["dtype"]).name,
        "shape": [int(axis) if axis >= 0 else "?" for axis in details["shape_signature"]],
        "scale": float(quantization["scales"][0]) if single else None,
        "zero_point": int(quantization["zero_points"][0]) if single else None,
    }


if __name__ == "__main__":
    says = {"onnxruntime": (onnxruntime, "onnx"), "litert": (litert, "tflite")}
    say, suffix = says[sys.argv[1]]
    print(json.dumps({path.name: say(path) for path in sorted(Path(sys.argv[2]).glob(f"*.{suffix}"))}))
