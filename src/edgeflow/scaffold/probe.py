"""Model files: which format they are in, what they say of themselves, and how they come into a project."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgeflow import layout, routes, signature
from edgeflow.errors import ToolchainError, UsageError
from edgeflow.plugin import Format, Unsupported
from edgeflow.registry import Plugins
from edgeflow.scaffold.imported import File
from edgeflow.toolchains import environments


def format_of(path: Path, plugins: Plugins) -> str:
    """The id of the format of a file or folder, by what is in it.

    Raises UsageError when there is none, or none that can be built from.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file")
    found = routes.format_of(plugins, path)
    if isinstance(found, Unsupported):
        raise UsageError(found.reason)
    return found


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
