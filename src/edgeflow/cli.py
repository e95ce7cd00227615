"""The command line. Commands import what they need when they run, so that `edgeflow --help` loads nothing."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow import __version__
from edgeflow.errors import EdgeflowError, storage_error

if TYPE_CHECKING:
    from edgeflow.types.jobs import Failure

COMMANDS = """\
to begin with
  try         say what becomes of a model that you have, on what this machine can run
  init        write a small working project into an empty folder
  add model   add a model's file to this project

the project
  plan        show every cell of the matrix: what will be built, what is shared, what is infeasible and why
  summary     show what to ship per target, from the last report
  search      look for a better scheme for a model on a target
  schema      write the JSON schemas of the configuration for editors
  toolchain   make the environment of a toolchain
  signature   show what goes into a model's file and what comes out
  device      show which machine this is, for the file of a device
  data list   show which sample of a dataset is in which split
  verify      refuse a damaged or hostile package

artifacts in DVC, metrics in MLflow
  init-tracking  set up DVC in this project
  track          give artifacts to DVC and metrics to MLflow
  push, pull     send tracked artifacts to the remote; bring those of this commit, so that nothing is rebuilt
  fetch          bring back one artifact by its digest, or one package by its variant

the stages, as the workflow calls them
  prepare, train, convert, sensitivity, optimize, compile, measure, judge, package, report

'edgeflow COMMAND --help' explains one."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code says how it ended (see errors.py)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(arguments)
        sys.stdout.flush()  # a full disk is found here, and not at the interpreter's end
        return code
    except EdgeflowError as error:
        return _refuse(error)
    except BrokenPipeError:  # the reader of our output went away, as in `edgeflow plan | head`
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 128 + signal.SIGINT
    except Exception as error:
        if (refusal := storage_error(error)) is None:
            raise
        _drop_output()
        return _refuse(refusal)


def _drop_output() -> None:
    """What cannot be written would be tried, and reported, once more at the interpreter's end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"edgeflow {__version__}: models × targets × schemes, built and judged by numbers\n\n{COMMANDS}")
        return 0
    if arguments[0] == "--version":
        print(f"edgeflow {__version__}")
        return 0
    return _command(arguments[0])(arguments[1:])


def _refuse(error: EdgeflowError) -> int:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return error.exit_code


def _command(name: str) -> Callable[[Sequence[str]], int]:
    from edgeflow.errors import UsageError
    from edgeflow.stages import STAGES

    commands = {
        "try": _try,
        "add": _add,
        "init": _init,
        "plan": _plan,
        "summary": _summary,
        "search": _search,
        "schema": _schema,
        "signature": _signature,
        "toolchain": _toolchain,
        "device": _device,
        "verify": _verify,
    }
    if name in commands:
        return commands[name]
    from edgeflow.tracking.commands import COMMANDS as TRACKING

    if name in TRACKING:
        return TRACKING[name]
    import difflib

    near = difflib.get_close_matches(name, [*commands, *TRACKING, *STAGES], n=1)
    raise UsageError(f"unknown command {name!r}" + (f"; did you mean {near[0]!r}?" if near else "") + "\n" + COMMANDS)


def _try(rest: Sequence[str]) -> int:
    from edgeflow.scaffold.trial import trial

    return trial(rest)


def _add(rest: Sequence[str]) -> int:
    from edgeflow.scaffold.addition import add

    return add(rest)


def _init(rest: Sequence[str]) -> int:
    from edgeflow.scaffold.init import init

    return init(rest)


def _plan(rest: Sequence[str]) -> int:
    import json

    from edgeflow.config import options

    parser = argparse.ArgumentParser(prog="edgeflow plan", description="Show every cell of the matrix.")
    parser.add_argument(
        "--json",
        action="store_true",
        help="a list of cells, and why one is infeasible or will fail",
    )
    parser.add_argument("--output", type=Path, help="write the JSON to this file")
    options.add_options(parser)
    arguments = parser.parse_args(rest)

    from edgeflow import files
    from edgeflow.workflow import faults, open_with_plugins

    project, plugins, plan = open_with_plugins(options.matrix(arguments))
    if arguments.output:
        files.write_json(arguments.output, plan.to_json())
        return 0
    wrong = faults(project, plugins, plan)
    if arguments.json:
        cells = zip(plan.cells, plan.to_json()["cells"], strict=True)
        print(json.dumps([{**said, "fault": wrong[c]} if c in wrong else said for c, said in cells], indent=2))
    else:
        from edgeflow import plan_warnings
        from edgeflow.plan_table import show

        show(project, plugins, plan, wrong, plan_warnings.of(project, plugins, plan))
    return 0


def _summary(rest: Sequence[str]) -> int:
    from edgeflow.config import options

    parser = argparse.ArgumentParser(prog="edgeflow summary", description="Show what to ship per target.")
    options.add_options(parser)
    arguments = parser.parse_args(rest)

    from rich.console import Console

    from edgeflow import failures, files, layout
    from edgeflow.errors import DataError
    from edgeflow.report import terminal

    paths = layout.report()
    if not Path(paths["decision"]).is_file():
        raise DataError(f"{paths['decision']} is not there: there is no report yet; run 'snakemake' first")
    console = Console(width=None if sys.stdout.isatty() else 100)  # a file or a pipe has no width of its own
    console.print(terminal.table(files.read_json(Path(paths["decision"]))))
    broken = failures.read(Path(layout.failures()))
    for line in failures.lines(broken):
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    console.print(f"Report: {paths['html']}   Figures: {paths['summary']}", highlight=False)
    if age := _age(arguments, Path(paths["sources"]), broken):
        console.print(age, style="yellow", highlight=False, markup=False, soft_wrap=True)
    return 0


def _age(arguments: argparse.Namespace, path: Path, broken: Sequence[Failure]) -> str:
    """Whether the report is older than the configuration or the results, in words; empty when it is not."""
    from edgeflow import files, layout
    from edgeflow.config import options
    from edgeflow.config.digests import digests
    from edgeflow.errors import DataError
    from edgeflow.report import sources, terminal
    from edgeflow.workflow import open_project

    if not path.is_file():
        return terminal.age("", "", f"{path} is not there; run snakemake, which makes it")
    try:
        made_from = files.read_as(sources.Sources, path)
    except DataError as error:
        return terminal.age("", "", f"{error}; delete the file and run snakemake, which makes it again")
    configuration = unknown = ""
    try:
        project, plan = open_project(options.matrix(arguments))
        configuration = sources.changed_configuration(made_from, digests(project), plan.cells)
    except EdgeflowError as error:  # what was built is still there to be shown
        first, *more = str(error).splitlines()
        unknown = f"{first}{f' (and {len(more)} more)' if more else ''}; 'edgeflow plan' says all of it"
    return terminal.age(configuration, sources.changed_results(made_from, Path(layout.RESULTS), broken), unknown)


def _search(rest: Sequence[str]) -> int:
    from edgeflow.search.command import search

    return search(rest)


def _signature(rest: Sequence[str]) -> int:
    from edgeflow import signature

    return signature.command(rest)


def _schema(rest: Sequence[str]) -> int:
    argparse.ArgumentParser(prog="edgeflow schema", description="Write config/schema/*.json.").parse_args(rest)

    from edgeflow import config, files

    for name, schema in config.schemas().items():
        files.write_json(Path("config/schema") / f"{name}.json", schema)
    return 0


def _toolchain(rest: Sequence[str]) -> int:
    from edgeflow import layout
    from edgeflow.errors import UsageError
    from edgeflow.toolchains import environments

    folders = (Path(layout.LOCKS), Path(layout.PACKAGED, layout.LOCKS))
    known = sorted({path.stem for folder in folders for path in folder.glob("*.txt") if "." not in path.stem})
    parser = argparse.ArgumentParser(prog="edgeflow toolchain", description="Make the environment of a toolchain.")
    parser.add_argument("id", help=f"one of {', '.join(known) or 'the locks in envs/'}")
    toolchain = parser.parse_args(rest).id
    paths = layout.toolchain(toolchain)
    if toolchain not in known:
        raise UsageError(f"{paths['lock']}: no such lock; known toolchains: {', '.join(known) or 'none'}")
    environments.create(toolchain, Path(paths["lock"]), Path(paths["stamp"]))
    return 0


def _device(rest: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="edgeflow device", description="Show which machine this is.")
    parser.add_argument("what", choices=["identity"], help="as the file of a device that is this machine alone has it")
    parser.parse_args(rest)

    import yaml

    from edgeflow.runners import identity

    print(yaml.safe_dump({"identity": dict(identity.here())}, sort_keys=False, width=1000), end="")
    return 0


def _verify(rest: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="edgeflow verify", description="Refuse a damaged or hostile package.")
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args(rest)

    from edgeflow.efpkg import verify_command

    print(verify_command(arguments.file))
    return 0
