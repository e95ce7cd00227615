"""`edgeflow search`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow import files, layout, units
from edgeflow.config import limits as limit_sets
from edgeflow.config import options
from edgeflow.config.budgets import METRICS
from edgeflow.config.fields import NOT_AN_ID, is_id
from edgeflow.config.problem import FOLDERS, MATRIX, file_of, no_such, not_one_of
from edgeflow.errors import UsageError
from edgeflow.figures import RATIO, may_choose
from edgeflow.runners import identity
from edgeflow.search.tried import Rules
from edgeflow.types.figures import DROP, Budget, Direction, Evidence
from edgeflow.types.plain import to_json

if TYPE_CHECKING:
    from edgeflow.config import Project
    from edgeflow.plugin import Runtime, Task
    from edgeflow.registry import Plugins
    from edgeflow.search.candidates import Candidates
    from edgeflow.search.conclusion import Conclusion
    from edgeflow.search.evaluator import Snakemake
    from edgeflow.search.study import Study
    from edgeflow.search.tried import Figure, Tried

SINGLE = ("first_inference_s", "memory_peak_bytes")  # without an interval where processes are watched
TIMED = ("latency_p50_s", "latency_p90_s", "latency_p99_s", "first_inference_s", RATIO)
COMPARING_S = 20.0  # of the time of a search: the best schemes are timed side by side at its end


def search(rest: Sequence[str]) -> int:
    """`edgeflow search --model MODEL --target TARGET`."""
    arguments = _parser().parse_args(rest)
    try:
        return _search(arguments)
    except KeyboardInterrupt:
        print("\nStopped; the same command goes on.", file=sys.stderr)
        return 128 + signal.SIGINT


def _search(arguments: argparse.Namespace) -> int:
    begin_s = time.monotonic()

    from edgeflow.search.candidates import Candidates
    from edgeflow.search.evaluator import OutOfTimeError, Snakemake
    from edgeflow.search.loop import Search
    from edgeflow.search.study import exclusive
    from edgeflow.search.table import line
    from edgeflow.toolchains import client
    from edgeflow.workflow import open_with_plugins

    project, plugins, _ = open_with_plugins(options.matrix(arguments))
    _check(arguments, project)
    rules = rules_for(project, plugins, arguments.model, arguments.target, arguments.objective, arguments.budget)
    timeout_s = _timeout_s(arguments, project)
    candidates = Candidates(project, plugins, arguments.model, arguments.target)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    client.claim_run()  # all jobs are of one run: workers stay from one build to the next, and end with this process
    with exclusive(Path(layout.search(arguments.model, arguments.target)["folder"])):
        until_s = begin_s + max(timeout_s - COMPARING_S, timeout_s / 2)
        evaluator = Snakemake(candidates, arguments.cores, until_s, options.overrides(arguments))
        running = Search(candidates, rules, evaluator, lambda tried: print(line(tried, rules), flush=True))
        try:
            own = running.own()
            study = _open_study(evaluator, rules, project)
        except OutOfTimeError:
            raise UsageError(
                f"--timeout {units.show(timeout_s, 'second')} was over before the project's own schemes were built; "
                "the same command goes on from there"
            ) from None
        try:
            for tried in own:
                study.add(tried)
                print(line(tried, rules), flush=True)
            ended = running.run(study, arguments.trials or project.search.trials, batch=arguments.cores)
            known = running.known(study)
            conclusion = _conclude(known, candidates, rules, evaluator)
            _record(arguments, study, rules, conclusion, ended)
            _show(known, rules, conclusion, ended)
        finally:
            study.close()
    if arguments.write:
        _write(arguments, candidates, conclusion)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeflow search",
        description="Find a better scheme for a model on a target. Interrupted, the same command goes on.",
    )
    parser.add_argument("--model", required=True, help="id of a model")
    parser.add_argument("--target", required=True, help="id of a target")
    parser.add_argument("--objective", metavar="METRIC", help="what to minimise beside the drop")
    parser.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="METRIC=LIMIT",
        help="a limit in place of the target's, e.g. accuracy_drop=1%%",
    )
    parser.add_argument("--trials", type=int, metavar="N", help="end when the study has tried N schemes of the space")
    parser.add_argument("--timeout", nargs="+", metavar="TIME", help="wall time of this run, e.g. 10 min")
    parser.add_argument("--write", metavar="NAME", help="write the best scheme to config/schemes/NAME.yaml")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, metavar="N", help="cores for Snakemake")
    options.add_options(parser)
    return parser


def _check(arguments: argparse.Namespace, project: Project) -> None:
    for kind, known in (("model", project.models), ("target", project.targets)):
        name = getattr(arguments, kind)
        if name not in known:
            raise UsageError(f"--{kind}: {no_such(kind, name, tuple(known))}")
    for option in ("trials", "cores"):
        number = getattr(arguments, option)
        if number is not None and number < 1:
            raise UsageError(f"--{option} {number}: must be at least 1")
    if arguments.write is not None:
        if not is_id(arguments.write):
            raise UsageError(f"--write: {arguments.write!r} {NOT_AN_ID}")
        if arguments.write in project.schemes:
            raise UsageError(f"--write: there is a scheme {arguments.write!r} already; nothing is overwritten")


def _timeout_s(arguments: argparse.Namespace, project: Project) -> float:
    if arguments.timeout is None:
        return project.search.timeout_s
    try:
        timeout_s = units.parse(" ".join(arguments.timeout), "second")
    except ValueError as error:
        raise UsageError(f"--timeout: {error}") from None
    if timeout_s <= 0:
        raise UsageError("--timeout: must be more than zero")
    return timeout_s


def rules_for(
    project: Project, plugins: Plugins, model: str, target: str, objective: str | None, limits: Sequence[str]
) -> Rules:
    """The rules of a search; `objective` and `limits` ("accuracy_drop=1%") come before what the project says.

    Raises UsageError for a limit that there is not, and as `_objective`.
    """
    config, config_of_model = project.targets[target], project.models[model]
    task = plugins.tasks[config_of_model.task]
    drop = f"{task.metric}{DROP}" if task.drop else task.metric
    wanted = _objective(project, plugins, target, objective)
    held = limit_sets.limits(project, plugins, model, target)
    budgets = {budget.metric: budget for budget in held.budgets}
    for given in limits:
        budget = _budget(given, budgets, task)
        budgets[budget.metric] = budget
    return Rules(
        model,
        target,
        project.baseline,
        drop,
        wanted,
        tuple(budgets.values()),
        config.release_without,
        config_of_model.accept_chance_level,
        held.task,
        held.not_applicable,
        config_of_model.accept_random_inputs,
        gains=task.metrics[drop].direction == Direction.MAX,
    )


def _objective(project: Project, plugins: Plugins, target: str, objective: str | None) -> str:
    """The metric of which a search looks for less.

    Raises UsageError for a metric that there is not, and for one of which nobody can say which program has less.
    """
    config = project.targets[target]
    runtime = plugins.runtimes[config.runtime]
    of_tasks = {metric for each in plugins.tasks.values() for metric in each.metrics}
    costs = [name for name in METRICS if name not in of_tasks]
    times = runtime.times
    elsewhere = _timed_elsewhere(project, plugins, target)
    prefer = RATIO if times and RATIO not in elsewhere else config.prefer
    usable = prefer in costs and prefer not in elsewhere
    wanted = objective or project.search.objective or (prefer if usable else "size_bytes")
    configured = f"{MATRIX}: search.objective" if project.search.objective else f"{file_of('target', target)}: prefer"
    said = "--objective" if objective else configured
    if wanted not in costs:
        raise UsageError(f"{said}: {not_one_of(wanted, costs)}")
    if not _has_figure(runtime, wanted):
        others = [name for name in costs if _has_figure(runtime, name) and not (times and name in SINGLE)]
        raise UsageError(
            f"{said}: nothing here measures or estimates {wanted} of {runtime.id} programs, so that no scheme on "
            f"{target} would be found better; search with --objective {' or '.join(others)}, or name one of them in "
            f"{configured}"
        )
    if times and wanted in SINGLE:
        raise UsageError(
            f"{said}: {wanted} on {target} is taken once from a process, so that no difference can be told from "
            f"chance; use {RATIO} or size_bytes"
        )
    if wanted in elsewhere:
        raise UsageError(
            f"{said}: {wanted} would be of this machine, which is no {target}, and chooses nothing there; use "
            f"size_bytes, name a device in {FOLDERS['device']}, or give the target a budget that takes such evidence"
        )
    return wanted


def _timed_elsewhere(project: Project, plugins: Plugins, target: str) -> set[str]:
    """The metrics whose figures would be of this machine and may choose nothing, since it is not the target."""
    runtime = plugins.runtimes[project.targets[target].runtime]
    if not runtime.times or _is_here(project, target):
        return set()
    demanded = {budget.metric: budget.evidence for budget in project.budgets(target)}
    return {name for name in METRICS if not may_choose(name, runtime.evidence, demanded.get(name))}


def _is_here(project: Project, target: str) -> bool:
    """Whether this machine is a device of the target, as `measure` will hold it against the device's file."""
    device = project.device_of(target)
    if device is None or identity.arch() != project.targets[target].arch:
        return False
    return not identity.difference(project.pinned(device) or identity.here(), identity.here())


def _has_figure(runtime: Runtime, metric: str) -> bool:
    """Whether a build here gives a metric of a program: measured, or estimated by the compiler."""
    if metric == "size_bytes" or metric in runtime.estimates:
        return True
    if metric == "memory_peak_bytes":  # where nothing is timed, that which the interpreter itself tells
        return runtime.runs == "program"
    return runtime.times and metric in TIMED


def _budget(given: str, known: dict[str, Budget], task: Task) -> Budget:
    """`accuracy_drop=1%`: the target's budget with another limit, or one more that any evidence may decide."""
    metric, equals, text = given.partition("=")
    metrics = tuple(dict.fromkeys((*task.metrics, *METRICS)))
    if not equals or metric not in metrics:
        raise UsageError(f"--budget {given}: write METRIC=LIMIT; {not_one_of(metric, metrics)}")
    of_task = task.metrics.get(metric)
    unit = of_task.unit if of_task else units.unit_of(metric)
    try:
        limit = units.limit(text, metric, unit)
    except ValueError as error:
        raise UsageError(f"--budget {metric}: {error}") from None
    old = known.get(metric)
    gains = of_task is not None and of_task.direction == Direction.MAX
    direction = old.direction if old else Direction.MIN if gains else Direction.MAX
    return Budget(metric, limit, unit, direction, old.evidence if old else Evidence.ESTIMATE)


def _open_study(evaluator: Snakemake, rules: Rules, project: Project) -> Study:
    """The study of these rules, this space, model, data and code: of others there may be more in the same file."""
    from edgeflow.search.study import Study

    space = project.search.alternatives(imported=project.models[rules.model].source is not None)
    about = [evaluator.depends_on(), to_json(space), rules.objective, to_json(rules.budgets), rules.release_without]
    about += [rules.accept_chance_level, rules.accept_random_inputs]
    digest = files.sha256_bytes(json.dumps(about, sort_keys=True).encode())[:8]
    path = Path(layout.search(rules.model, rules.target)["study"])
    return Study(path, f"{rules.objective} {digest}", rules, space, project.seed)


def _conclude(tried: Mapping[str, Tried], candidates: Candidates, rules: Rules, evaluator: Snakemake) -> Conclusion:
    from edgeflow.search.conclusion import conclude

    folder = Path(layout.search(rules.model, rules.target)["schemes"])

    def compare(one: str, other: str) -> Figure | None:
        return evaluator.compare(candidates.named(one, folder), candidates.named(other, folder))

    timed = rules.objective.startswith("latency") and evaluator.times
    return conclude([*tried.values()], rules, compare if timed else None)


def _record(arguments: argparse.Namespace, study: Study, rules: Rules, conclusion: Conclusion, ended: str) -> None:
    """search.json: all that the study says, for people and programs that have no Optuna."""
    record = {
        "model": rules.model,
        "target": rules.target,
        "objective": rules.objective,
        "drop": rules.drop,
        "budgets": to_json(rules.budgets),
        "study": study.name,
        "ended": ended,
        "conclusion": to_json(conclusion),
        "trials": study.trials(),
    }
    files.write_json(Path(layout.search(arguments.model, arguments.target)["record"]), record)


def _show(tried: Mapping[str, Tried], rules: Rules, conclusion: Conclusion, ended: str) -> None:
    from rich.console import Console

    from edgeflow.search import table

    console = Console(width=None if sys.stdout.isatty() else 100)  # a file or a pipe has no width of its own
    console.print()
    console.print(table.front(tried, conclusion, rules))
    console.print(table.legend(tried, conclusion))
    paths = layout.search(rules.model, rules.target)
    packages = Path(layout.package(rules.model, rules.target, "*")["record"])
    for text in (
        f"\nThe search ended since {ended}. Schemes of the space: {table.counts(tried.values())}.",
        f"Trials: {paths['record']}   Packages: {packages}",
        conclusion.sentence,
    ):
        console.print(text, highlight=False, markup=False, soft_wrap=True)


def _write(arguments: argparse.Namespace, candidates: Candidates, conclusion: Conclusion) -> None:
    """The best scheme as one of the project's own, where it is better than those."""
    from edgeflow.search.candidates import text

    if not conclusion.better or conclusion.found is None:
        print(f"Nothing was written to {FOLDERS['scheme']}: there is no better scheme to write.")
        return
    folder = Path(layout.search(arguments.model, arguments.target)["schemes"])
    config = candidates.named(conclusion.found, folder).config
    origin = f"{config.description}; found by edgeflow search for {arguments.model} on {arguments.target}"
    path = Path(FOLDERS["scheme"], f"{arguments.write}.yaml")
    header = "# yaml-language-server: $schema=../schema/scheme.json\n"
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(header + text(config, f"{origin} ({conclusion.found})"))
    except FileExistsError:
        raise UsageError(f"--write: {path} is there already; nothing is overwritten") from None
    print(f"Wrote {path}. Put {arguments.write} under 'schemes' in config/config.yaml to build it with the others.")
