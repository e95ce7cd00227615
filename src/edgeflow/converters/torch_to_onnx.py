"""PyTorch → ONNX by torch.onnx.export, with a free batch axis."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgeflow.converters import onnx_graphs, torch_modules
from edgeflow.converters.silence import first_line
from edgeflow.errors import StageError
from edgeflow.plugin import Converted, Converter, ConvertJob, Tolerance, Unsupported
from edgeflow.types.signatures import Binding, Bound

if TYPE_CHECKING:
    import onnx


def convert(job: ConvertJob) -> Converted | Unsupported:
    """Export an nn.Module with a dynamic batch; Unsupported says what the exporter cannot express.

    Raises StageError when it reports success and wrote another opset, another signature or a fixed batch.
    """
    import onnx
    import torch

    examples = torch_modules.inputs(job)
    names = torch_modules.outputs(job, examples)
    # A batch of two: the exporter takes an axis of size one for a constant.
    doubled = [tensor.repeat(2, *(1 for _ in tensor.shape[1:])) for tensor in examples.values()]
    try:
        with _quiet("torch.onnx", "onnxscript", "torch.fx.experimental.symbolic_shapes"):
            torch.onnx.export(
                job.model,
                tuple(doubled),
                str(job.output),
                dynamo=True,
                opset_version=onnx_graphs.OPSET,
                input_names=list(examples),
                output_names=names,
                dynamic_shapes=tuple({0: torch.export.Dim("batch")} for _ in doubled),
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        why = first_line(error.__cause__ or error)
        return Unsupported(f"ONNX Runtime: torch.onnx.export cannot export the model: {why}")
    model = onnx.load(job.output)
    check(model, list(examples), names)
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


def check(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """StageError for another opset or other names, which the exporter falls back to with success."""
    opset = next(entry.version for entry in model.opset_import if not entry.domain)
    if opset != onnx_graphs.OPSET:
        raise StageError(f"convert: torch.onnx.export wrote opset {opset}, not {onnx_graphs.OPSET} as asked")
    wrote = [value.name for value in (*model.graph.input, *model.graph.output)]
    if wrote != [*inputs, *outputs]:
        expected = f"inputs {', '.join(inputs)} and outputs {', '.join(outputs)}"
        raise StageError(f"convert: expected {expected}, torch.onnx.export wrote {', '.join(wrote)}")


EXPORTER = (  # what torch.onnx.export imports when it is first used: two seconds
    *("onnx", "onnxruntime", "torch.onnx", "torch.export", "torch.export._trace", "torch.export._unlift"),
    *("torch.onnx._internal.exporter._compat", "torch.onnx._internal.exporter._core"),
    *("torch.onnx._internal.exporter._torchlib.ops", "torch.export._patches", "torch.fx.experimental.validator"),
    *("torch._export.passes.replace_with_hop_pass_util", "torch._export.passes.replace_autocast_with_hop_pass"),
    *("torch._export.passes.replace_set_grad_with_hop_pass", "torch.fx.experimental.symbolic_shapes"),
    *("torch._inductor.sizevars", "torch._inductor.fx_passes.dedupe_symint_uses"),
    *("torch._subclasses.schema_check_mode", "torch._functorch._aot_autograd.subclass_parametrization"),
    *("onnxscript._framework_apis.torch_2_11",),
    *("onnxscript", "onnxscript.function_libs.torch_lib.ops", "onnxscript.rewriter.onnx_fusions"),
    *("onnxscript.rewriter.rules.fusion", "networkx", "sympy.combinatorics", "sympy.tensor.tensor"),
)
plugin = Converter(
    id="torch_to_onnx",
    description="torch.onnx.export",
    source="torch",
    target="onnx",
    toolchain="torch",
    convert=convert,
    tolerance=Tolerance(1e-4, "float32: another order of additions; measured 3e-7"),
    preload=EXPORTER,
)
