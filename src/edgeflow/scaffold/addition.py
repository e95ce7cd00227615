"""`edgeflow add model FILE`: one more model in a project. Nothing that a person wrote is written over."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow import files, signature
from edgeflow.config.fields import NOT_AN_ID, is_id
from edgeflow.config.problem import MATRIX, file_of
from edgeflow.errors import UsageError
from edgeflow.scaffold import imported, options, probe, project, samples
from edgeflow.scaffold.matrix_text import with_item

if TYPE_CHECKING:
    from edgeflow.config import Project

AS_IS = "as_is"


def add(rest: Sequence[str]) -> int:
    """The command.

    Raises UsageError outside a project and for a name that is taken, DataError for a file of no known format, or that
    is damaged or hostile, ConfigError where the project would not be valid with the model; nothing has changed then.
    """
    arguments = _arguments(rest)
    if not Path(MATRIX).is_file():
        raise UsageError(f"{MATRIX} is not there: this is no project; 'edgeflow init' or 'edgeflow try FILE' makes one")
    from edgeflow.config import load, plugin_files, read_matrix
    from edgeflow.registry import discover
    from edgeflow.workflow import open_project

    source = options.absolute(arguments.file)
    name = arguments.id or imported.identifier(source)
    if not is_id(name):
        raise UsageError(f"--id {name}: {name!r} {NOT_AN_ID}")
    configured = read_matrix(Path())
    plugins = discover(plugin_files(configured, Path()))
    calibrated = _calibrated(load(Path(), configured, plugins))
    kind = signature.format_of(source, plugins)
    file = probe.read(source, kind, plugins)
    data = arguments.data and options.absolute(arguments.data)
    there = samples.place(data, name) if data else ""
    brought = not (inside := project.inside(source))
    model = imported.described(file, name, samples.found(data, file, there), arguments.shape, source=inside)
    model = replace(model, calibrated=calibrated)
    if data and model.samples < model.calibration + model.golden + samples.TOO_FEW:
        raise UsageError(
            f"--data {data}: {model.samples} samples, and the schemes of this project take {calibrated} for ranges: "
            "bring more, or lower calibration.samples in config/schemes"
        )
    content = imported.content(model)
    matrix = with_item(Path(MATRIX).read_text(encoding="utf-8"), "models", name)
    scheme = file_of("scheme", AS_IS)
    if file.quantized:
        matrix = with_item(matrix, "schemes", AS_IS)
        if not Path(scheme).exists():
            content[scheme] = project.installed(f"schemes/{AS_IS}.yaml")
    made = [*([model.place] if brought else []), *([there] if data and not os.path.lexists(there) else [])]
    with _undone_on_failure([*content, *made]):
        if brought:
            probe.bring(file, Path(model.source))
        if data:
            samples.link(data, there)
        project.write(Path(), content)
        files.write_text(Path(MATRIX), matrix)
        open_project()
    _say(name, model.dataset, file.quantized)
    return 0


def _arguments(rest: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="edgeflow add",
        description="Add a model's file to this project: it is copied to models/, its configuration and that of the "
        "samples that it takes are written, and the matrix has it.",
    )
    parser.add_argument("what", choices=["model"])
    options.add_file(parser)
    parser.add_argument("--id", help="of the model; by default after the file's name")
    options.add_sample_options(parser)
    return parser.parse_args(rest)


def _calibrated(project: Project) -> int:
    """The most samples that a scheme of the matrix takes for ranges."""
    calibrations = (scheme.calibration for scheme in project.schemes.values())
    return max((calibration.samples for calibration in calibrations if calibration), default=0)


@contextlib.contextmanager
def _undone_on_failure(paths: Sequence[str]) -> Iterator[None]:
    """Files and folders that are made now, or not at all, and the matrix as it was.

    Raises UsageError for one that is there already.
    """
    if taken := [path for path in paths if os.path.lexists(path)]:
        raise UsageError(f"{taken[0]} is there already: choose another name with --id, or remove it")
    before = Path(MATRIX).read_bytes()
    try:
        yield
    except BaseException:
        for path in map(Path, paths):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        files.write_bytes(Path(MATRIX), before)
        raise


def _say(name: str, dataset: str, quantized: str) -> None:
    print(
        f"{file_of('model', name)} says where it is, {file_of('dataset', dataset)} what it takes; {MATRIX} has\n"
        "it among the models. What will be built, and building it:\n\n  edgeflow plan\n  snakemake"
    )
    if quantized:
        print(f"\nIt is quantized already ({quantized}): of the schemes only {AS_IS} leaves it as it is.")
