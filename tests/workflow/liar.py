"""A converter that returns a wrong model and reports success: what the checks exist for."""

from __future__ import annotations

import dataclasses

from edgeflow.converters import torch_to_onnx
from edgeflow.plugin import Converted, ConvertJob, Unsupported


def _convert(job: ConvertJob) -> Converted | Unsupported:
    import onnx
    from onnx import numpy_helper

    converted = torch_to_onnx.convert(job)
    model = onnx.load(job.output)
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 4 and tensor.dims[0] > 1:  # swap two output channels of the first convolution
            values = numpy_helper.to_array(tensor).copy()
            values[[0, 1]] = values[[1, 0]]
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
            break
    onnx.save(model, job.output)
    return converted


plugin = dataclasses.replace(torch_to_onnx.plugin, id="liar", convert=_convert, cost=0)
