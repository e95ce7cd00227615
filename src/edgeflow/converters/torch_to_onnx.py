"""PyTorch → ONNX by torch.onnx.export, with a free batch axis."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from edgeflow.converters import onnx_graphs, torch_modules, torch_onnx
from edgeflow.errors import StageError
from edgeflow.plugin import Converted, Converter, ConvertJob, Tolerance, Unsupported
from edgeflow.types.signatures import Binding, Bound


def convert(job: ConvertJob) -> Converted | Unsupported:
    """Export an nn.Module with a dynamic batch; Unsupported says what the exporter cannot express.

    Raises StageError when it reports success and wrote another opset, another signature or a fixed batch.
    """
    import torch

    examples = torch_modules.inputs(job)
    names = torch_modules.outputs(job, examples)
    # A batch of two: the exporter takes an axis of size one for a constant.
    doubled = tuple(tensor.repeat(2, *(1 for _ in tensor.shape[1:])) for tensor in examples.values())
    free = tuple({0: torch.export.Dim("batch")} for _ in doubled)
    with _quiet("torch.onnx", "onnxscript", "torch.fx.experimental.symbolic_shapes"):
        model = torch_onnx.export(job.model, doubled, job.output, list(examples), names, free)
    if isinstance(model, Unsupported):
        return model
    if not all(value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.input):
        raise StageError("convert: torch.onnx.export fixed the batch; the model's code must not depend on its size")
    onnx_graphs.save(model, job.output)
    return Converted(Binding({name: Bound(name) for name in examples}, {name: Bound(name) for name in names}))


@contextmanager
def _quiet(*loggers: str) -> Iterator[None]:
    """Keep the exporter's deprecation notices and progress out of the log; what fails it raises."""
    before = {name: logging.getLogger(name).level for name in loggers}
    try:
        for name in loggers:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


plugin = Converter(
    id="torch_to_onnx",
    description="torch.onnx.export",
    source="torch",
    target="onnx",
    toolchain="torch",
    convert=convert,
    tolerance=Tolerance(1e-4, "float32: another order of additions; measured 3e-7"),
    preload=torch_onnx.EXPORTER,
)
