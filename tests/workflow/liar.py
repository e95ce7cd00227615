"""A runtime whose converter returns a wrong model and reports success: what the checks exist for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgeflow.plugin import Converter, ConvertJob
from edgeflow.runtimes import onnxruntime


def _convert(job: ConvertJob) -> None:
    import onnx
    from onnx import numpy_helper

    HONEST.convert(job)
    model = onnx.load(Path(job.output))
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 4 and tensor.dims[0] > 1:  # swap two output channels of the first convolution
            values = numpy_helper.to_array(tensor).copy()
            values[[0, 1]] = values[[1, 0]]
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
            break
    onnx.save(model, job.output)


HONEST = onnxruntime.plugin.converters["torch"]
plugin = dataclasses.replace(
    onnxruntime.plugin,
    id="liar",
    format="lie",
    converters={"torch": Converter(HONEST.toolchain, _convert, HONEST.tolerance)},
)
