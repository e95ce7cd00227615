"""`edgeflow <stage> --spec … --input name=path … --output name=path …`: a stage as a function of files.

The options come from the stage's dataclasses, so a stage is written once. Standard library only: this runs in every
toolchain, and in the core environment before it is known which toolchain a stage needs.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import importlib.util
import json
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeflow.errors import EdgeflowError, ToolchainError, UsageError, storage_error
from edgeflow.types.plain import from_json


def print_help(stage: str) -> None:
    """Say what a stage does, in the words of its module, and which options it has."""
    options = parser(stage)
    options.description = _description(stage)
    options.print_help()


def parser(stage: str) -> argparse.ArgumentParser:
    """The options that every stage has."""
    options = argparse.ArgumentParser(prog=f"edgeflow {stage}")
    options.add_argument("--spec", required=True, help="what to do: JSON, or a file that holds it")
    options.add_argument("--input", nargs="*", default=[], metavar="NAME=PATH", action="extend")
    options.add_argument("--output", nargs="*", default=[], metavar="NAME=PATH", action="extend")
    worker = options.add_argument_group("where it runs, read by the command before the stage starts")
    worker.add_argument("--toolchain", default="core", help="the environment: a lock in envs/, or core (default)")
    worker.add_argument("--preload", help="modules that the toolchain's warm worker imports first: a,b.c")
    worker.add_argument("--job", metavar="PATH", help="write here what the job cost, as JSON")
    return options


def _description(stage: str) -> str:
    module = importlib.util.find_spec(f"edgeflow.stages.{stage}")
    source = Path(module.origin).read_bytes() if module and module.origin else b""
    return ast.get_docstring(ast.parse(source)) or ""


def read_spec(text: str) -> dict[str, Any]:
    """The spec as plain JSON values; UsageError when it is neither JSON nor a file that holds JSON."""
    try:
        spec = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"--spec {text}: no such file, and not JSON") from None
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"--spec: not valid JSON: {error}") from None
    if not isinstance(spec, dict):
        raise UsageError(f"--spec: expected a JSON object, found {type(spec).__name__}")
    return spec


def run(stage: str, arguments: argparse.Namespace) -> None:
    """Run a stage in this process.

    Raises UsageError for a spec or files that do not fit the stage, and whatever the stage raises.
    """
    module = importlib.import_module(f"edgeflow.stages.{stage}")
    try:
        spec = from_json(module.Spec, read_spec(arguments.spec))
    except ValueError as error:
        raise UsageError(f"edgeflow {stage}: --spec: {error}") from None
    inputs = _paths(module.Inputs, arguments.input, f"edgeflow {stage} --input")
    module.run(spec, inputs, _paths(module.Outputs, arguments.output, f"edgeflow {stage} --output"))


def _paths(cls: type[Any], given: Sequence[str], where: str) -> Any:
    """Build `Inputs` or `Outputs` from name=path arguments; an empty path means that there is none."""
    values: dict[str, list[Path]] = {}
    name = ""
    for argument in given:
        head, equals, path = argument.partition("=")
        # a name may be followed by several paths, as Snakemake writes a list: files=a b c
        name, path = (head, path) if equals and head.isidentifier() else (name, argument)
        if not name:
            raise UsageError(f"{where} {argument}: write NAME=PATH")
        values.setdefault(name, []).extend([Path(path)] if path else [])
    hints = typing.get_type_hints(cls)
    if unknown := sorted(set(values) - set(hints)):
        raise UsageError(f"{where} {unknown[0]}=…: unknown; known: {', '.join(hints)}")
    return cls(**{f.name: _value(f, hints[f.name], values.get(f.name, []), where) for f in dataclasses.fields(cls)})


def _value(field: dataclasses.Field[Any], kind: Any, paths: list[Path], where: str) -> Any:
    if typing.get_origin(kind) is tuple:
        return tuple(paths)
    if len(paths) > 1:
        raise UsageError(f"{where} {field.name}=…: takes one path, {len(paths)} were given")
    if not paths and type(None) not in typing.get_args(kind):
        raise UsageError(f"{where} {field.name}=PATH is missing")
    return paths[0] if paths else None


def main(argv: Sequence[str]) -> int:
    """Run one stage in this interpreter; the exit code says how it ended."""
    stage, *rest = argv
    try:
        run(stage, parser(stage).parse_args(rest))
    except EdgeflowError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        where = f"{stage} needs the module {error.name!r}, which this environment does not have: {sys.prefix}"
        way = "name another one with --toolchain, or write it into envs/<toolchain>.user.in and run 'make lock'"
        print(f"ToolchainError: {where}; {way}", file=sys.stderr)
        return ToolchainError.exit_code
    except Exception as error:
        if (refusal := storage_error(error)) is None:
            raise
        print(f"{type(refusal).__name__}: {refusal}", file=sys.stderr)
        return refusal.exit_code
    return 0
