"""What goes into a model's file and what comes out, read where the libraries of its format are; nothing is executed."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgeflow import files, routes
from edgeflow.errors import DataError, EdgeflowError, ToolchainError, UsageError
from edgeflow.plugin import Unsupported
from edgeflow.registry import MODULE_FILES, Plugins, discover, foreign_module_files
from edgeflow.stages.signature import Described
from edgeflow.toolchains import client, environments
from edgeflow.types.plain import to_json
from edgeflow.types.signatures import Tensor


def format_of(path: Path, plugins: Plugins) -> str:
    """The id of the format of a model's file or folder, by what is in it.

    Raises UsageError where there is none, DataError where it is of no format, or of none that can be built from.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file")
    found = routes.format_of(plugins, path)
    if isinstance(found, Unsupported):
        raise DataError(found.reason)
    return found


def read(path: Path, plugins: Plugins) -> Described:
    """Describe a model's file or folder.

    Raises as `format_of`, DataError for a file that is damaged or may not be read, and ToolchainError where the
    environment that reads it is not installed.
    """
    found = format_of(path, plugins)
    reference = plugins.reference("format", found)
    python = environments.python_of(plugins.formats[found].toolchain)
    environment = {**os.environ, MODULE_FILES: json.dumps(foreign_module_files([reference]))}
    with tempfile.TemporaryDirectory(prefix="edgeflow-") as folder:
        output = Path(folder) / "described.json"
        paths = ("--input", f"model={path}", "--output", f"described={output}")
        stage = ("signature", "--spec", json.dumps({"format": reference}), *paths)
        command = [str(python), "-P", client.BOOTSTRAP, *stage]
        done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise _failure(path, done.returncode, done.stderr.decode(errors="replace"))
        return files.read_as(Described, output)


def _failure(path: Path, code: int, said: str) -> EdgeflowError:
    """The error that a toolchain ended with, which is the last line that it said."""
    last = (said.strip().splitlines() or [""])[-1]
    kind, _, message = last.partition(": ")
    if kind == "ToolchainError":
        return ToolchainError(message)
    return DataError(message if kind == "DataError" else f"{path}: it cannot be read (exit code {code}): {last}")


def command(rest: Sequence[str]) -> int:
    """`edgeflow signature FILE`."""
    parser = argparse.ArgumentParser(
        prog="edgeflow signature",
        description="Show what goes into a model's file and what comes out. Nothing in it is executed.",
    )
    parser.add_argument("file", type=Path, help="a file, or the folder of a SavedModel")
    parser.add_argument("--json", action="store_true", help="as JSON")
    arguments = parser.parse_args(rest)
    plugins = discover(_plugin_files())
    described = read(arguments.file, plugins)
    if arguments.json:
        print(json.dumps(to_json(described), indent=2))
        return 0
    _show(arguments.file, plugins.formats[described.format].description, described)
    return 0


def _plugin_files() -> Sequence[str]:
    """The files of plugins that the project in this folder names; none outside of a project."""
    from edgeflow.config.load import plugin_files, read_matrix

    return plugin_files(read_matrix(Path()), Path()) if Path("config/config.yaml").is_file() else ()


def _show(path: Path, kind: str, described: Described) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 100)  # a file or a pipe has no width of its own
    console.print(f"{path}: {kind}, {described.quantized or 'float32'}", highlight=False, markup=False, soft_wrap=True)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "name", "type", "shape", "real values"):
        table.add_column(column)
    for side, tensors in (("input", described.signature.inputs), ("output", described.signature.outputs)):
        for tensor in tensors:
            table.add_row(side, tensor.name, tensor.dtype, f"[{', '.join(map(str, tensor.shape))}]", _real(tensor))
    console.print(table, markup=False, highlight=False)


def _real(tensor: Tensor) -> str:
    if tensor.scale is None:
        return ""
    zero_point = tensor.zero_point or 0
    shifted = f"(x {'-' if zero_point >= 0 else '+'} {abs(zero_point)})" if zero_point else "x"
    return f"{tensor.scale:.6g} · {shifted}"
