"""Ask files of one input and one output, whatever they call them, in jobs that run in a toolchain."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeflow.runners import harness

CHANNELS_LAST = (1, 2, 0)
LAYOUTS = {"onnx": "NCHW", "tflite": "NHWC"}  # of images, as the converters from PyTorch write them


def to_layout(x: Any, layout: str) -> Any:
    """Images [N, C, H, W] as a file has them, "NHWC" or "NCHW"; other samples as they are."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if layout == "NHWC" and x.ndim == 4 else x


def predict(backend: str, program: str, x: Any, layout: str) -> Any:
    """[N, …] that a program answers to samples x [N, …], images channels first."""
    (given,), (answered,) = (harness.signature(backend, program)[side] for side in ("inputs", "outputs"))
    axes = CHANNELS_LAST if layout == "NHWC" and x.ndim == 4 else ()
    binding = {
        "inputs": {"x": {"tensor": given["name"], "axes": axes}},
        "outputs": {"y": {"tensor": answered["name"], "axes": ()}},
    }
    return harness.ask(backend, program, [{"x": x}], binding)["y"]


def run_once(session: Any) -> None:
    """On zeros."""
    inputs = session.signature()["inputs"]
    session.invoke(session.encode({tensor["name"]: np.zeros(_fixed(tensor), np.float32) for tensor in inputs}))


def _fixed(tensor: Any) -> list[int]:
    return [1 if isinstance(axis, str) else axis for axis in tensor["shape"]]
