"""Model files: what they say of themselves, and how they come into a project."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgeflow import layout, signature
from edgeflow.errors import ToolchainError
from edgeflow.plugin import Format
from edgeflow.registry import Plugins
from edgeflow.scaffold.imported import File
from edgeflow.toolchains import environments


def read(path: Path, kind: str, plugins: Plugins) -> File:
    """What a file of a format says, read in the format's toolchain, which is made where it is missing.

    Raises DataError for a file that is damaged or may not be read, ToolchainError where there is no toolchain.
    """
    plugin = plugins.formats[kind]
    _have(plugin.toolchain)
    said = signature.read(path, plugins)
    return File(path, kind, said.quantized, said.signature, _files(path, plugin))


def _have(toolchain: str) -> None:
    try:
        environments.python_of(toolchain)
    except ToolchainError:
        paths = layout.toolchain(toolchain)
        environments.create(toolchain, Path(paths["lock"]), Path(paths["stamp"]))


def _files(path: Path, plugin: Format) -> tuple[Path, ...]:
    """All files that a model is in."""
    if plugin.files is not None:
        return plugin.files(path)
    return (path,) if path.is_file() else tuple(sorted(file for file in path.rglob("*") if file.is_file()))


def bring(file: File, place: Path) -> None:
    """Copy a file or folder, with the files beside it that its weights are in."""
    if file.path.is_dir():
        shutil.copytree(file.path, place)
        return
    for each in file.files:
        copy = place if each == file.path else place.parent / each.relative_to(file.path.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(each, copy)
