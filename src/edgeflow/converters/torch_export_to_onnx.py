"""PyTorch's exported programs → ONNX by torch.onnx.export, with the free axes that the program has."""

from __future__ import annotations

from edgeflow.converters import borders, onnx_graphs, torch_onnx
from edgeflow.converters.borders import Border
from edgeflow.converters.silence import silenced
from edgeflow.formats import torch_export
from edgeflow.plugin import Converted, Converter, ConvertJob, Tolerance, Unsupported


def convert(job: ConvertJob) -> Converted | Unsupported:
    """Convert; Unsupported says what the exporter cannot express.

    Raises StageError when it reports success and wrote another opset or another signature.
    """
    border = Border.of(job.signature)
    program = torch_export.load(borders.source(job))
    with silenced(job.work / "log.txt"):
        model = torch_onnx.export(program, (), job.output, list(border.inputs.values()), list(border.outputs.values()))
    if isinstance(model, Unsupported):
        return model
    onnx_graphs.name_axes(model)
    onnx_graphs.save(model, job.output)
    return Converted(border.binding())


plugin = Converter(
    id="torch_export_to_onnx",
    description="torch.onnx.export",
    source="torch_export",
    target="onnx",
    toolchain="torch",
    convert=convert,
    tolerance=Tolerance(1e-4, "float32: another order of additions; measured 3e-7"),
    preload=torch_onnx.EXPORTER,
)
