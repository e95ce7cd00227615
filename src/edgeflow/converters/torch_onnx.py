"""torch.onnx.export, and whether it wrote what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.converters import onnx_graphs
from edgeflow.converters.silence import first_line
from edgeflow.errors import StageError
from edgeflow.plugin import Unsupported

if TYPE_CHECKING:
    import onnx

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


def export(
    model: Any, examples: tuple[Any, ...], output: Path, inputs: Sequence[str], outputs: Sequence[str], free: Any = None
) -> onnx.ModelProto | Unsupported:
    """Write an nn.Module or an exported program as ONNX, with these names; what was written.

    `free` says which axes of the examples are free; an exported program has that, and its examples, in itself.
    Unsupported says what the exporter cannot express. Raises StageError when it reports success and wrote another opset
    or another signature.
    """
    import onnx
    import torch

    try:
        torch.onnx.export(
            model,
            examples,
            output,
            dynamo=True,
            opset_version=onnx_graphs.OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=free,
            external_data=False,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        why = first_line(error.__cause__ or error)
        return Unsupported(f"ONNX Runtime: torch.onnx.export cannot export the model: {why}")
    written = onnx.load(output)
    _check(written, inputs, outputs)
    return written


def _check(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """StageError for another opset or other names, which the exporter falls back to with success."""
    opset = next(entry.version for entry in model.opset_import if not entry.domain)
    if opset != onnx_graphs.OPSET:
        raise StageError(f"convert: torch.onnx.export wrote opset {opset}, not {onnx_graphs.OPSET} as asked")
    wrote = [value.name for value in (*model.graph.input, *model.graph.output)]
    if wrote != [*inputs, *outputs]:
        expected = f"inputs {', '.join(inputs)} and outputs {', '.join(outputs)}"
        raise StageError(f"convert: expected {expected}, torch.onnx.export wrote {', '.join(wrote)}")
