"""PyTorch → TFLite by litert_torch, batch one, images channels last."""

from __future__ import annotations

from typing import Any

from edgeflow.converters import litert_torch_files, torch_modules
from edgeflow.converters.silence import first_line
from edgeflow.formats import tflite
from edgeflow.plugin import Converted, Converter, ConvertJob, Tolerance, Unsupported
from edgeflow.types.signatures import Binding, Bound

CHANNELS_LAST = (1, 2, 0)  # of a sample [C, H, W]


def convert(job: ConvertJob) -> Converted | Unsupported:
    """Convert an nn.Module; Unsupported says what the converter refuses. Outputs keep their axes."""
    import litert_torch

    model, examples = job.model, torch_modules.inputs(job)
    outputs = torch_modules.outputs(job, examples)
    _pad_unevenly(model)
    images = [i for i, tensor in enumerate(examples.values()) if tensor.ndim == 4]
    if images:
        model = litert_torch.to_channel_last_io(model, args=images).eval()
    given = [t.permute(0, 2, 3, 1).contiguous() if t.ndim == 4 else t for t in examples.values()]
    try:
        litert_torch.convert(model, tuple(given)).export(str(job.output))
    except (RuntimeError, ValueError) as error:
        return Unsupported(f"LiteRT: litert_torch cannot convert the model: {first_line(error)}")
    job.output.write_bytes(litert_torch_files.mended(job.output.read_bytes()))
    axes = [CHANNELS_LAST if tensor.ndim == 4 else () for tensor in examples.values()]
    inputs = {name: Bound(f"args_{i}", axes[i]) for i, name in enumerate(examples)}
    written = {tensor.name for tensor in tflite.signature(job.output).outputs}  # a dict's answers keep their names
    told = {name: Bound(name if name in written else f"output_{i}") for i, name in enumerate(outputs)}
    return Converted(Binding(inputs, told))


def _pad_unevenly(model: Any) -> None:
    """Pad before convolutions with padding "same" that is not the same on both sides: the converter fails on them."""
    import torch

    def pad(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (torch.nn.functional.pad(inputs[0], module._reversed_padding_repeated_twice), *inputs[1:])

    for module in model.modules():
        if isinstance(module, torch.nn.Conv1d | torch.nn.Conv2d) and module.padding == "same":
            sides = module._reversed_padding_repeated_twice
            if sides[::2] != sides[1::2] and module.padding_mode == "zeros":
                module.padding = (0,) * len(module.kernel_size)
                module.register_forward_pre_hook(pad)


plugin = Converter(
    id="torch_to_tflite",
    description="litert_torch",
    source="torch",
    target="tflite",
    toolchain="torch",
    convert=convert,
    tolerance=Tolerance(1e-4, "float32: another order of additions; measured 4e-7"),
    preload=("litert_torch", "ai_edge_litert.interpreter"),
)
