"""Where imported models come from, how they are built, and what would be needed to decide more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeflow import files, layout
from edgeflow.errors import DataError
from edgeflow.report import show
from edgeflow.report.variants import Variant
from edgeflow.types.plain import from_json
from edgeflow.types.signatures import Signature
from edgeflow.types.verdicts import Status


@dataclass(frozen=True)
class Import:
    """What the plan says of an imported model."""

    routes: tuple[str, ...]  # "onnx → tflite (onnx_to_tflite)"
    labelled: bool  # whether its task asks for labels


@dataclass(frozen=True)
class Imported:
    """A file that somebody brought."""

    model: str
    file: str
    sha256: str
    format: str
    quantized: str  # what it is already: "int8 weights and activations"; "" for float32
    samples: int  # that it was asked
    tools: str  # what asked it
    signature: Signature
    routes: tuple[str, ...] = ()
    declared: str = ""  # what was asked where nobody recorded samples
    more: tuple[str, ...] = field(default=())  # what would decide more, a sentence each


def read(results: Path, imports: Mapping[str, Import], variants: Sequence[Variant]) -> tuple[Imported, ...]:
    """Every imported model whose file was read; DataError for a source.json that does not fit."""
    known = []
    for model, info in imports.items():
        path = results / Path(layout.source(model)["info"]).relative_to(layout.RESULTS)
        if not path.is_file():
            continue
        said = files.read_json(path)
        own = [variant for variant in variants if variant.cell.model == model]
        declared = next((variant.declared for variant in own if variant.declared), "")
        more = tuple(_more(model, info, own, declared))
        try:
            known.append(_imported(model, said, info.routes, declared, more))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: {error}; run snakemake to write it again") from None
    return tuple(known)


def _imported(
    model: str, said: Mapping[str, Any], routes: tuple[str, ...], declared: str, more: tuple[str, ...]
) -> Imported:
    names = ("file", "sha256", "format", "quantized", "samples", "tools")
    known = {name: said[name] for name in names}
    signature = from_json(Signature, said["signature"])
    return Imported(model, signature=signature, routes=routes, declared=declared, more=more, **known)


def _more(model: str, info: Import, variants: Sequence[Variant], declared: str) -> Iterator[str]:
    if declared:
        yield (
            f"Samples: only {declared} inputs were asked. Give its dataset the inputs that it will really get; a few "
            "hundred tell most."
        )
    needed = [check for v in variants for check in v.checks if check.status == Status.INSUFFICIENT_EVIDENCE]
    counts = {check.metric: check.samples_to_decide or 0 for check in needed}
    for metric in counts:
        most = max(check.samples_to_decide or 0 for check in needed if check.metric == metric)
        if most:
            yield f"More of them: {most:,} would decide {show.name(metric)} at the same figures."
    if not info.labelled:
        yield (
            "Labels: these figures say how far answers are from its own, and nothing of whether those are right. A "
            f"dataset with labels and another task in config/models/{model}.yaml would."
        )
