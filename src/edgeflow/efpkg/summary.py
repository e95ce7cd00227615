"""What `edgeflow verify FILE` prints about a package that is whole."""

from __future__ import annotations

from pathlib import Path

from edgeflow import files
from edgeflow.efpkg.archive import verify
from edgeflow.efpkg.manifest import Common, Manifest, printable
from edgeflow.units import show

_LABELS = 10  # named in the summary


def verify_command(path: Path) -> str:
    """Verify a package and say in a few lines what it is.

    Raises PackageError when it is damaged or hostile.
    """
    described = verify(path)
    size, digest = path.stat().st_size, files.sha256_file(path)
    lines = [f"{path.name}: whole, {show(size, 'byte')}, sha256 {digest}", *map(_row, _rows(described))]
    return "\n".join(map(printable, lines))


def _row(row: tuple[str, str]) -> str:
    return f"  {row[0]:<16} {row[1]}"


def _rows(described: Common) -> list[tuple[str, str]]:
    needs, runtime = described.needs, described.runtime
    versions = ", ".join(f"{name} ≥ {version}" for name, version in sorted(runtime.least_versions.items()))
    memory = f"memory {show(needs.memory_bytes, 'byte')}, " if needs.memory_bytes is not None else ""
    return [
        ("variant", f"{described.variant}, release counter {described.release_counter}"),
        ("runtime", f"{runtime.id}: {versions}; {needs.arch}, {needs.accelerator}"),
        ("needs", f"{memory}flash {show(needs.flash_bytes, 'byte')}"),
        ("verdict", f"{described.verdict.release.value}: {len(described.verdict.checks)} checks"),
        ("shipped without", ", ".join(described.shipped_without) or "nothing: every budget is met"),
        *(("measured", f"{m.metric} {show(m.value, m.unit)} ({m.evidence.value})") for m in described.measurements),
        ("labels", _some(described.labels) or "none: the answer is what the outputs hold"),
        *(_for_apps(described) if isinstance(described, Manifest) else [_OLD]),
        *(("file", f"{f.path}, {show(f.size_bytes, 'byte')}, sha256 {f.sha256}") for f in described.files),
        ("not signed", "whole, but nothing here proves who made it"),
    ]


_OLD = ("format", "of the first version: no golden samples, no example")


def _some(labels: tuple[str, ...]) -> str:
    more = f", … ({len(labels)} in all)" if len(labels) > _LABELS else ""
    return ", ".join(labels[:_LABELS]) + more


def _for_apps(described: Manifest) -> list[tuple[str, str]]:
    """What an app's author proves their code on."""
    golden = described.golden
    raw = "raw and prepared" if golden.raw else "prepared only"
    return [
        ("golden samples", f"{golden.samples}, {raw}, answered by {golden.answered_by}"),
        ("example", described.example or "none: the runtime gives no example"),
    ]
