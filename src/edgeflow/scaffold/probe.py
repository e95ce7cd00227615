"""Model files: which format they are in, what they say of themselves, and how they come into a project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from edgeflow import layout
from edgeflow.errors import DataError, ToolchainError, UsageError
from edgeflow.plugin import Format
from edgeflow.registry import Plugins
from edgeflow.scaffold import reading
from edgeflow.scaffold.imported import File
from edgeflow.toolchains import environments
from edgeflow.types.plain import from_json
from edgeflow.types.signatures import Signature


def format_of(path: Path, plugins: Plugins) -> Format:
    """The format of a file or folder, by what is in it.

    Raises UsageError when there is none, with all that there are.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file")
    found = [plugin for plugin in plugins.formats.values() if plugin.recognizes(path)]
    if found:
        return found[0]
    known = ", ".join(f"{f.description} ({', '.join(f.suffixes)})" for f in plugins.formats.values())
    raise UsageError(f"{path}: nothing in it says which kind of model it is; known are {known}")


def read(path: Path, name: str, plugins: Plugins) -> File:
    """Read a file's signature in its format's toolchain, which is made where it is missing. Nothing is executed.

    Raises DataError for a file that is damaged or may not be read, ToolchainError where there is no toolchain.
    """
    plugin = plugins.formats[name]
    python = _python(plugin.toolchain)
    own = str(Path(layout.__file__).parent.parent)
    done = subprocess.run(
        [str(python), "-m", reading.__name__, plugins.reference("format", name), str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (own, os.environ.get("PYTHONPATH"))))},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DataError(done.stderr.strip() or f"{path} cannot be read")
    said = json.loads(done.stdout)
    return File(path, name, said["quantized"], from_json(Signature, said["signature"]), _files(path, plugin))


def _python(toolchain: str) -> Path:
    """The interpreter of a toolchain, which is made where it is missing."""
    try:
        return environments.python_of(toolchain)
    except ToolchainError:
        paths = layout.toolchain(toolchain)
        environments.create(toolchain, Path(paths["lock"]), Path(paths["stamp"]))
        return environments.python_of(toolchain)


def bring(file: File, place: Path) -> None:
    """Copy a file or folder, with the files beside it that its weights are in."""
    if file.path.is_dir():
        shutil.copytree(file.path, place)
        return
    for each in file.files:
        copy = place.parent / each.relative_to(file.path.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(each, copy)


def _files(path: Path, plugin: Format) -> tuple[Path, ...]:
    """All files that a model is in."""
    if plugin.files is not None:
        return plugin.files(path)
    return (path,) if path.is_file() else tuple(sorted(file for file in path.rglob("*") if file.is_file()))
