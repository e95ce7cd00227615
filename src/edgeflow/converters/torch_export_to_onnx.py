"""PyTorch's exported programs → ONNX by torch.onnx.export, with the free axes that the program has."""

from __future__ import annotations

from edgeflow.converters import borders, onnx_graphs, torch_to_onnx
from edgeflow.converters.borders import Border
from edgeflow.converters.silence import first_line, silenced
from edgeflow.formats import torch_export
from edgeflow.plugin import Converted, Converter, ConvertJob, Tolerance, Unsupported


def convert(job: ConvertJob) -> Converted | Unsupported:
    """Convert; Unsupported says what the exporter cannot express.

    Raises StageError when it reports success and wrote another opset or another signature.
    """
    import onnx
    import torch

    border = Border.of(job.signature)
    program = torch_export.load(borders.source(job))
    try:
        with silenced(job.work / "log.txt"):
            torch.onnx.export(
                program,
                (),
                job.output,
                dynamo=True,
                opset_version=onnx_graphs.OPSET,
                input_names=list(border.inputs.values()),
                output_names=list(border.outputs.values()),
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        why = first_line(error.__cause__ or error)
        return Unsupported(f"ONNX Runtime: torch.onnx.export cannot export the model: {why}")
    model = onnx.load(job.output)
    torch_to_onnx.check(model, list(border.inputs.values()), list(border.outputs.values()))
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
    preload=torch_to_onnx.EXPORTER,
)
