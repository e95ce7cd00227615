"""What came of a build, in the terminal: what to ship, each variant, and what would decide more."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow import failures, files, layout, routes, signature
from edgeflow.plugin import Unsupported
from edgeflow.registry import Plugins, discover
from edgeflow.report import show, terminal, variants
from edgeflow.scaffold.imported import Model
from edgeflow.types.verdicts import Release

if TYPE_CHECKING:
    from rich.table import Table

METRICS = ("size_bytes", "latency_p50_s", "memory_peak_bytes")


def tell(model: Model) -> None:
    """Print what came of the build in this folder."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 120)
    broken = failures.read(Path(layout.failures()))
    built = variants.finished(Path(layout.plan()["plan"]), Path(layout.RESULTS), broken)
    paths = layout.report()
    console.print()
    console.print(terminal.table(files.read_json(Path(paths["decision"]))))
    console.print()
    reasons = {why: i for i, why in enumerate(dict.fromkeys(filter(None, map(_why, built))), 1)}
    console.print(_table(built, model.metric, reasons))
    lines = [f"[{i}] {why}" for why, i in reasons.items()]
    for line in [*lines, *_dequantized(model, built), *_further(model), f"\nReport: {Path(paths['html']).resolve()}"]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _why(variant: variants.Variant) -> str:
    """Why a variant is not released; "" where it is."""
    return "" if variant.release is Release.RELEASED else "; ".join(variant.reasons)


def _table(built: Sequence[variants.Variant], metric: str, reasons: Mapping[str, int]) -> Table:
    """A row per variant, with how it differs from the file that was brought."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for heading in ("target", "scheme"):
        table.add_column(heading, overflow="fold")
    for heading in map(show.name, (*METRICS, metric)):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    target = ""
    for variant in built:
        cell, why = variant.cell, _why(variant)
        figures = [_figure(variant, name) for name in METRICS]
        figures.append(_figure(variant, metric, variant.declared))
        verdict = Text(variant.release.value, terminal.STYLES[variant.release])
        if why:
            verdict.append(f" [{reasons[why]}]", "dim")
        table.add_row("" if cell.target == target else cell.target, cell.scheme, *figures, verdict)
        target = cell.target
    return table


def _figure(variant: variants.Variant, metric: str, declared: str = "") -> str:
    return terminal.figure(metric, variant.value(metric), variant.evidence(metric), declared)


def _dequantized(model: Model, built: Sequence[variants.Variant]) -> Iterator[str]:
    """Where a file that is quantized became a program that is not."""
    if not model.file.quantized:
        return
    plugins = discover()
    targets = [variant.cell.target for variant in built if _in_float32(variant, plugins)]
    if targets:
        yield (
            f"\n{model.file.path.name} has {model.file.quantized}; what was made of it for {', '.join(targets)} is "
            "stored as float32: the converter keeps what it answers, not how it is stored. For a quantized program "
            "there, bring the float32 model"
        )


def _in_float32(variant: variants.Variant, plugins: Plugins) -> bool:
    """Whether a program is a file of a known format without quantized or halved numbers."""
    cell = variant.cell
    path = Path(layout.compile(cell.model, cell.runtime, cell.platform, cell.scheme)["program"])
    if (
        variant.program is None
        or variant.program.infeasible
        or isinstance(routes.format_of(plugins, path), Unsupported)
    ):
        return False
    return not signature.read(path, plugins).quantized


def _assumed(model: Model) -> str:
    """What nothing says of the samples that were brought."""
    notes = [*model.data.notes] if model.data else []
    if model.data and model.data.loader == "image_folder" and any(one.dtype == "float32" for one in model.inputs):
        notes.append("Pixels from 0 to 255 become 0 to 1, where 'normalize' says nothing else.")
    return " ".join(notes)


def _further(model: Model) -> Iterator[str]:
    """What would let more be said."""
    if model.data is not None and (assumed := _assumed(model)):
        yield f"\nAssumed of the samples, in config/datasets/{model.dataset}.yaml: {assumed}"
    if model.data is None:
        yield (
            "\nNobody brought samples: the answers are to random inputs. For answers to real ones: edgeflow try "
            f"{model.file.path.name} --data FOLDER|FILE.npz"
        )
    elif not model.labelled:
        yield "\nNobody brought labels: whether answers are right is not known, only how far they are from the file's."
    if not model.labelled:
        yield (
            "To know how often each variant is right, and what quantization loses, bring labelled samples: images in "
            "a folder per class, or an .npz with the classes as y. See docs/guide/try.md"
        )
