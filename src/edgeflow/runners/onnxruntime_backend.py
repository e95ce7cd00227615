"""Runner backend for ONNX Runtime: standard library, numpy and onnxruntime only (see harness.py)."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(int8)": "int8", "tensor(uint8)": "uint8"}


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    return options


class Session:
    """One program, ready to run on the CPU."""

    def __init__(self, program: str, threads: int) -> None:
        self._program = program
        self._session = onnxruntime.InferenceSession(program, _options(threads), providers=["CPUExecutionProvider"])
        (self._input,) = self._session.get_inputs()
        (self._output,) = self._session.get_outputs()

    def signature(self) -> dict[str, Any]:
        """Names, types and shapes; ONNX Runtime programs take and give floats."""
        return {"inputs": [_tensor(self._input)], "outputs": [_tensor(self._output)]}

    def encode(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32[N, …] as it is."""
        return np.ascontiguousarray(x)

    def invoke(self, native: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32[1, …] → float32[1, K]."""
        found: NDArray[np.float32] = self._session.run(None, {self._input.name: native})[0]
        return found

    def decode(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32[N, K] as it is."""
        return raw

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """All at once where the program has a dynamic batch, else one by one."""
        native = self.encode(x)
        if not isinstance(self._input.shape[0], int):
            return self.invoke(native)
        return np.concatenate([self.invoke(native[i : i + 1]) for i in range(len(native))])

    def arena_bytes(self) -> None:
        """Unknown to the runtime."""
        return

    def operators(self) -> list[dict[str, Any]]:
        """What ran in one profiled inference: the optimised graph, node by node."""
        with tempfile.TemporaryDirectory() as folder:
            options = _options(1)
            options.enable_profiling = True
            options.profile_file_prefix = os.path.join(folder, "profile")
            session = onnxruntime.InferenceSession(self._program, options, providers=["CPUExecutionProvider"])
            shape = [axis if isinstance(axis, int) else 1 for axis in self._input.shape]
            session.run(None, {self._input.name: np.zeros(shape, np.float32)})
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        ran = Counter(
            (event["args"]["op_name"], event["args"].get("provider", "CPUExecutionProvider"))
            for event in events
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
        )
        return [
            {"operator": operator, "count": count, "placement": provider}
            for (operator, provider), count in sorted(ran.items())
        ]

    @staticmethod
    def versions() -> dict[str, str]:
        """The runtime's version."""
        return {"onnxruntime": onnxruntime.__version__}


def _tensor(found: Any) -> dict[str, Any]:
    shape = [axis if isinstance(axis, int) else -1 for axis in found.shape]
    dtype = _TYPES.get(found.type, found.type)
    return {"name": found.name, "dtype": dtype, "shape": shape, "scale": None, "zero_point": None}
