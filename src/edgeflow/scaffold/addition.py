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

from edgeflow import files, layout
from edgeflow.config.fields import NOT_AN_ID, is_id
from edgeflow.config.problem import MATRIX, file_of
from edgeflow.errors import UsageError
from edgeflow.scaffold import imported, options, probe, project, samples
from edgeflow.scaffold.imported import File
from edgeflow.scaffold.matrix_text import with_item

if TYPE_CHECKING:
    from edgeflow.config import Project

AS_IS = "as_is"


def add(rest: Sequence[str]) -> int:
    """The command.

    Raises UsageError outside a project and for a name that is taken, DataError for a file that is damaged or hostile,
    ConfigError where the project would not be valid with the model; nothing has changed then.
    """
    arguments = _arguments(rest)
    if not Path(MATRIX).is_file():
        raise UsageError(f"{MATRIX} is not there: this is no project; 'edgeflow init' or 'edgeflow try FILE' makes one")
    from edgeflow.config import load, plugin_files, read_matrix
    from edgeflow.registry import discover
    from edgeflow.workflow import open_project

    source: Path = arguments.file.absolute()
    name = arguments.id or imported.identifier(source)
    if not is_id(name):
        raise UsageError(f"--id {name}: {name!r} {NOT_AN_ID}")
    configured = read_matrix(Path())
    plugins = discover(plugin_files(configured, Path()))
    calibrated = _calibrated(load(Path(), configured, plugins))
    kind = probe.format_of(source, plugins)
    file = probe.read(source, kind, plugins)
    place = _inside(source) or _free(file, name)
    data = arguments.data and arguments.data.absolute()
    there = data and (_inside(data) or _linked(data, name))
    model = imported.described(file, name, samples.found(data, file, there or ""), arguments.shape, source=place)
    model = replace(model, calibrated=calibrated)
    if data and model.samples < model.calibration + model.golden + samples.TOO_FEW:
        raise UsageError(
            f"--data {data}: {model.samples} samples, of which the schemes of this project take {model.calibrated} for "
            "ranges: bring more, or lower calibration.samples in config/schemes"
        )
    content = imported.content(model)
    matrix = with_item(Path(MATRIX).read_text(encoding="utf-8"), "models", name)
    scheme = file_of("scheme", AS_IS)
    if file.quantized:
        matrix = with_item(matrix, "schemes", AS_IS)
        if not Path(scheme).exists():
            content[scheme] = project.installed(f"schemes/{AS_IS}.yaml")
    brought = () if _inside(source) else _made([*map(str, probe.copies(file, Path(place)).values())], name)
    linked = data and not os.path.lexists(there)
    with _undone_on_failure([*content, *brought, *(_made([there], name) if linked else ())]):
        if brought:
            probe.bring(file, Path(place))
        if linked:
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


def _inside(path: Path) -> str:
    """Where a file or folder is that the project has already; "" for what is elsewhere, or was built here."""
    relative = Path(os.path.relpath(path))
    return "" if relative.parts[:1] in ((os.pardir,), (layout.RESULTS,), ()) else relative.as_posix()


def _free(file: File, name: str) -> str:
    """Where a file is copied to: models/, or a folder of its own there where one of its name is another's."""
    place = f"{imported.MODELS}/{file.path.name}"
    taken = any(os.path.lexists(copy) for copy in probe.copies(file, Path(place)).values())
    return f"{imported.MODELS}/{name}/{file.path.name}" if taken else place


def _made(paths: Sequence[str], name: str) -> Sequence[str]:
    """What is new with these paths: where a folder is of this model alone, all of it."""
    first, second = Path(paths[0]).parts[:2]
    return [f"{first}/{second}"] if second == name else paths


def _linked(data: Path, name: str) -> str:
    """Where samples are linked: below data/, where they may be already, or in a folder of their own there."""
    place = samples.default_place(data)
    others = os.path.lexists(place) and not (os.path.exists(place) and os.path.samefile(place, data))
    return f"{samples.FOLDER}/{name}/{data.name}" if others else place


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
