"""A network to convert, as the stage asks for it, in a process of the torch toolchain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeflow.plugin import Converted, Converter, ConvertJob, Unsupported
from edgeflow.registry import load_reference
from edgeflow.types.signatures import Signature, Tensor


def convert(converter: str, model: Any, x: Any, output: Path) -> Converted | Unsupported:
    """What a converter of edgeflow makes of a network with one input and one output; x: float32[N, …], N > 0."""
    plugin: Converter = load_reference(f"edgeflow.converters.{converter}:plugin")
    given = Tensor("input", "float32", ("batch", *x.shape[1:]))
    signature = Signature((given,), (Tensor("logits", "float32", ("batch", "?")),))
    return plugin.convert(ConvertJob(model, None, signature, {"input": x[:1]}, output, output.parent))
