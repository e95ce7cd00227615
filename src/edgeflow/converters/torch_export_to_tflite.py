"""PyTorch's exported programs → TFLite by litert_torch, batch one, images channels last."""

from __future__ import annotations

from typing import Any

from edgeflow.converters import borders, litert_torch_files
from edgeflow.converters.silence import REFUSALS, first_line, silenced
from edgeflow.errors import DataError
from edgeflow.formats import torch_export
from edgeflow.plugin import Converted, Converter, ConvertJob, Tolerance, Unsupported
from edgeflow.runners import pt2
from edgeflow.types.signatures import Binding, Bound


def convert(job: ConvertJob) -> Converted | Unsupported:
    """Convert; Unsupported says what the converter refuses. Outputs keep their axes."""
    import litert_torch
    import torch

    source = borders.source(job)
    names = [name for name, value in pt2.Program(source).arguments if value is ...]
    if sorted(names) != sorted(job.example):
        raise DataError(f"{source}: it takes {', '.join(names)}, and its signature says {', '.join(job.example)}")
    images = borders.images(job.signature.inputs)
    model = _positional(source)
    examples = [torch.from_numpy(job.example[name].copy()) for name in names]
    given = [t.permute(0, 2, 3, 1).contiguous() if n in images else t for n, t in zip(names, examples, strict=True)]
    try:
        with silenced(job.work / "log.txt"):
            if images:
                places = [place for place, name in enumerate(names) if name in images]
                model = litert_torch.to_channel_last_io(model, args=places)
            litert_torch.convert(model, tuple(given)).export(str(job.output))
    except REFUSALS as error:
        return Unsupported(f"LiteRT: litert_torch cannot convert the model: {first_line(error)}")
    job.output.write_bytes(litert_torch_files.mended(job.output.read_bytes()))
    inputs = {name: Bound(f"args_{i}", borders.CHANNELS_LAST if name in images else ()) for i, name in enumerate(names)}
    outputs = {tensor.name: Bound(f"output_{i}") for i, tensor in enumerate(job.signature.outputs)}
    return Converted(Binding(inputs, outputs))


def _positional(source: Any) -> Any:
    """The program as a module of tensors in order, without what must be constant, that gives a tuple."""
    import torch

    program = torch_export.load(source)
    arguments, takes = pt2.Program(source).arguments, program.call_spec.in_spec
    inner = program.module(check_guards=False)

    class Positional(torch.nn.Module):  # type: ignore[misc]  # torch is not in the environment that is checked
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def train(self, mode: bool = True) -> Any:
            return self  # an exported program is as it was exported, and raises when it is asked

        def forward(self, *tensors: Any) -> Any:
            left = list(tensors)
            flat = [left.pop(0) if value is ... else value for _, value in arguments]
            positional, named = torch.utils._pytree.tree_unflatten(flat, takes)
            return tuple(torch.utils._pytree.tree_leaves(self.inner(*positional, **named)))

    return Positional()


plugin = Converter(
    id="torch_export_to_tflite",
    description="litert_torch",
    source="torch_export",
    target="tflite",
    toolchain="torch",
    convert=convert,
    tolerance=Tolerance(1e-4, "float32: another order of additions; measured 4e-7"),
    preload=("litert_torch", "ai_edge_litert.interpreter"),
)
