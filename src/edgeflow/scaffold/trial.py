"""`edgeflow try FILE`: what becomes of a model that somebody has, on what this machine can run."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edgeflow import layout, signature
from edgeflow.config.problem import MATRIX
from edgeflow.errors import UsageError
from edgeflow.scaffold import imported, machine, options, outcome, probe, project, samples
from edgeflow.scaffold.imported import Model

SCHEMES = ("fp32", "fp16", "int8_dynamic", "int8_static")
AS_IS = "as_is"
BOARD = "cortex_m4_tflm"
BOARD_BYTES = 2**20  # of a float32 file: what is larger, no such microcontroller holds as int8 either
BUDGETS = """\
# What the application can spare: a variant that needs more is rejected. evidence: the weakest that may decide.
budgets: {}
#  latency_p90_s: { max: 20 ms, evidence: device }
#  memory_peak_bytes: { max: 64 MiB, evidence: device }
#  size_bytes: { max: 4 MiB, evidence: host }
"""


def trial(rest: Sequence[str]) -> int:
    """The command; its exit code is that of the build.

    Raises UsageError for what cannot be tried as it was asked, DataError for a file of no known format, or that is
    damaged or hostile; nothing is left behind then.
    """
    arguments = _arguments(rest)
    from edgeflow.registry import discover

    plugins = discover()
    source = options.absolute(arguments.file)
    kind = signature.format_of(source, plugins)
    name = imported.identifier(source)
    folder = options.absolute(arguments.output or Path(name))
    if folder.exists():
        raise UsageError(f"{folder} is there already; name another folder with --output, or remove it")
    data = arguments.data and options.absolute(arguments.data)
    known = {target: _known_target(target) for target in arguments.target}
    with _made(folder):
        file = probe.read(source, kind, plugins)
        there = samples.place(data, name) if data else ""
        model = imported.described(file, name, samples.found(data, file, there), arguments.shape)
        targets = known or _targets(model)
        probe.bring(file, Path(model.source))
        if data:
            samples.link(data, there)
        project.write(Path(), _content(model, targets))
        if impossible := _impossible():
            possible = [target for target in targets if target not in impossible]
            if not possible:
                raise UsageError("\n".join(f"{target}: {why}" for target, why in impossible.items()))
            Path(MATRIX).write_text(_matrix_text(model, possible, impossible), encoding="utf-8")
    print(f"{folder} is a project: what is built is said in config/config.yaml.", flush=True)
    return _build(folder, model)


def _arguments(rest: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="edgeflow try",
        description="Make a project of a model's file in a new folder, build it on what this machine can run, and say "
        "how large, fast and true each variant is.",
    )
    options.add_file(parser)
    options.add_sample_options(parser)
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="ID",
        help=f"in place of this machine, one of {', '.join(_installed_targets())}; can be given several times",
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="of the project; by default named after the file")
    return parser.parse_args(rest)


# --- what is written -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """A new folder, which one works in; it is removed again when the work fails or is interrupted."""
    before = Path.cwd()
    folder.mkdir(parents=True)
    os.chdir(folder)
    try:
        yield
    except BaseException:
        os.chdir(before)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    os.chdir(before)


def _installed_targets() -> dict[str, str]:
    """Id → file, of the targets that edgeflow comes with, and of this machine."""
    own = {here.id: machine.target_file(here, BUDGETS) for here in machine.targets()}
    names = sorted(path.stem for path in (project.INSTALLED / "config/targets").glob("*.yaml"))
    return {**{name: project.installed(f"targets/{name}.yaml") for name in names}, **own}


def _known_target(name: str) -> str:
    known = _installed_targets()
    if name not in known:
        raise UsageError(f"--target {name}: there is no such target; known are {', '.join(known)}")
    return known[name]


def _targets(model: Model) -> dict[str, str]:
    """Id → file: this machine, and a simulated microcontroller where the model could fit into one."""
    known = _installed_targets()
    names = [here.id for here in machine.targets()]
    if model.file.size_bytes <= BOARD_BYTES:
        names.append(BOARD)
    return {name: _without_budgets(known[name]) if name == BOARD else known[name] for name in names}


def _without_budgets(text: str) -> str:
    """A target that edgeflow comes with, without the limits of the application that it is an example of."""
    return (
        f"{text.partition('budgets:')[0].rstrip()}\nprefer: memory_peak_bytes # nothing here can time it\n\n{BUDGETS}"
    )


def _schemes(model: Model) -> dict[str, str]:
    """Id → file: what can be done to the model; nothing, where it is quantized already."""
    names = (AS_IS,) if model.file.quantized else SCHEMES
    return {name: _calibrating(project.installed(f"schemes/{name}.yaml"), model) for name in names}


def _calibrating(text: str, model: Model) -> str:
    """A scheme that takes no more samples than there are."""
    return text.replace("calibration: { samples: 128 }", f"calibration: {{ samples: {model.calibration} }}")


def _content(model: Model, targets: Mapping[str, str]) -> dict[str, str]:
    here = [one for one in machine.targets() if one.id in targets]
    return {
        **project.frame(f"{model.file.path.name}, tried"),
        **imported.content(model),
        **{f"config/targets/{name}.yaml": text for name, text in targets.items()},
        **({"config/devices/this_host.yaml": machine.device_file(here)} if here else {}),
        **{f"config/schemes/{name}.yaml": text for name, text in _schemes(model).items()},
        MATRIX: _matrix_text(model, [*targets], {}),
    }


def _matrix_text(model: Model, targets: Sequence[str], left_out: Mapping[str, str]) -> str:
    schemes = [*_schemes(model)]
    return project.matrix(f"{model.file.path.name}, tried", [model.id], targets, schemes, schemes[0], left_out)


def _impossible() -> dict[str, str]:
    """Targets that the model reaches with no scheme, and why."""
    from edgeflow.workflow import open_project

    _, plan = open_project()
    reasons: dict[str, list[str]] = {}
    for cell in plan.cells:
        reasons.setdefault(cell.target, []).append(cell.reason)
    return {target: whys[0] for target, whys in reasons.items() if all(whys)}


# --- what is built ---------------------------------------------------------------------------------------------------


def _build(folder: Path, model: Model) -> int:
    """Run Snakemake in the project, then say what came of it; its exit code."""
    code, interrupted = _snakemake(folder)
    summary = folder / layout.report()["summary"]
    if interrupted or not summary.is_file():
        print(f"\nIt can go on from here at any time:\n\n  cd {os.path.relpath(folder)}\n  snakemake", flush=True)
        return code or 1
    os.chdir(folder)
    outcome.tell(model)
    return code


def _snakemake(folder: Path) -> tuple[int, bool]:
    """Its exit code, and whether Ctrl-C stopped it: Snakemake, which gets it too, ends its jobs in order."""
    interrupted = False
    with subprocess.Popen([sys.executable, "-m", "snakemake"], cwd=folder) as process:
        while True:
            try:
                return process.wait(), interrupted
            except KeyboardInterrupt:
                interrupted = True
