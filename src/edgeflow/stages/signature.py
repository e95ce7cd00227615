"""signature: what goes into a model's file and what comes out, in the toolchain of its format; nothing is executed.

No job of the workflow: `edgeflow signature FILE` starts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeflow import files
from edgeflow.plugin import Format
from edgeflow.registry import load_reference
from edgeflow.types.signatures import Signature


@dataclass(frozen=True)
class Described:
    """What a model's file says of itself."""

    format: str  # id
    signature: Signature
    quantized: str  # what it is already: "int8 weights and activations", "float16"; "": float32


@dataclass(frozen=True)
class Spec:
    """All that it depends on beside the file."""

    format: str  # plugin reference


@dataclass(frozen=True)
class Inputs:
    """A file, or the folder of a format that has folders."""

    model: Path


@dataclass(frozen=True)
class Outputs:
    """A `Described` as JSON."""

    described: Path


def run(spec: Spec, inputs: Inputs, outputs: Outputs) -> None:
    """Describe a file; DataError where it is damaged, or would read or run what it should not."""
    plugin: Format = load_reference(spec.format)
    signature, quantized = plugin.signature(inputs.model), plugin.quantized(inputs.model)
    files.write_json(outputs.described, Described(plugin.id, signature, quantized))
