"""The tracking commands of the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edgeflow import layout
from edgeflow.config import options, read_matrix
from edgeflow.errors import DataError


def init_tracking(rest: Sequence[str]) -> int:
    """`edgeflow init-tracking [REMOTE]`."""
    parser = argparse.ArgumentParser(prog="edgeflow init-tracking", description="Set up DVC in this project.")
    parser.add_argument(
        "remote",
        nargs="?",
        default="",
        help="where artifacts are pushed to: a folder, s3://bucket/path, ssh://host/path, …; "
        "a folder beside the project if not given",
    )
    arguments = parser.parse_args(rest)

    from edgeflow.tracking import artifacts

    address = artifacts.init(arguments.remote)
    print(f"DVC keeps artifacts here in .dvc/cache, and 'edgeflow push' sends them to {address}.")
    print("Next: git add .dvc .dvcignore .gitignore && git commit -m 'Track artifacts'; then 'edgeflow track'.")
    return 0


def track(rest: Sequence[str]) -> int:
    """`edgeflow track [--check | --follow] [--copy]`."""
    parser = argparse.ArgumentParser(
        prog="edgeflow track",
        description="Give artifacts to DVC and metrics to MLflow. Doing it again changes nothing.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--check", action="store_true", help="find and repair missing and damaged artifacts in DVC's cache"
    )
    what.add_argument("--follow", action="store_true", help="flush to MLflow while a build runs, until it ends")
    parser.add_argument("--copy", action="store_true", help="copy packages into MLflow too; it links to them otherwise")
    options.add_options(parser)
    arguments = parser.parse_args(rest)
    if arguments.check:
        return _check()
    title = _title(arguments)
    return _follow(title) if arguments.follow else _track(title, arguments.copy)


def _title(arguments: argparse.Namespace) -> str:
    """What the matrix is called, and so the experiment in MLflow."""
    matrix = options.matrix(arguments) or read_matrix(Path())
    return str(matrix.get("title", "edgeflow"))


def _track(title: str, copy: bool) -> int:
    from edgeflow.tracking import artifacts, dvc, provenance, runs, store
    from edgeflow.tracking.lock import exclusive

    dvc.require()
    with store.opened() as opened:  # MLflow is imported while DVC works
        with exclusive():
            jobs = provenance.Jobs(provenance.collect())
            store.put(runs.collect(jobs, title), copy)
            tracked = artifacts.add()
        flushed = opened.flush()  # a server may be slow: DVC is not held up meanwhile
    print(f"DVC: {tracked.folders} folders and files of the results, {len(tracked.changed)} changed.")
    print(f"{flushed}.")
    if tracked.changed:
        names = f"{layout.RESULTS}/*{layout.POINTER}"
        print(f"Next: git add {names} && git commit -m 'Results'; then 'edgeflow push'.")
    return 0


def _follow(title: str) -> int:
    from edgeflow.tracking import follow

    try:
        follow.follow(title, lambda text: print(text, flush=True))
    except KeyboardInterrupt:
        print("Stopped; 'edgeflow track' flushes the rest.")
    return 0


def _check() -> int:
    from edgeflow.tracking import objects
    from edgeflow.tracking.lock import exclusive

    with exclusive():
        checked = objects.check()
    for bad, source in checked.repaired:
        print(f"{_names(bad.paths)}: its copy in the cache was {bad.state}; repaired from {source}")
    for path in checked.differing:
        print(f"{path}: is not what was tracked; 'edgeflow track' takes it as it is now")
    if checked.lost:
        raise DataError(
            "\n".join(
                f"{_names(bad.paths)} (MD5 {bad.md5}): {bad.state} in the cache, and no whole copy elsewhere"
                for bad in checked.lost
            )
            + "\nIs the remote right, and there ('dvc remote list')? Then delete what is left of these files, run "
            "'snakemake', which makes them again, then 'edgeflow track'"
        )
    print(f"{checked.objects} objects are whole.")
    return 0


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths[:3])) + (", …" if len(paths) > 3 else "")


def push(rest: Sequence[str]) -> int:
    """`edgeflow push`."""
    argparse.ArgumentParser(prog="edgeflow push", description="Send tracked artifacts to the remote.").parse_args(rest)

    from edgeflow.tracking import artifacts
    from edgeflow.tracking.lock import exclusive

    with exclusive():
        artifacts.push()
    print("The remote has every artifact that is tracked here. Others need the commit too: 'git push'.")
    return 0


def pull(rest: Sequence[str]) -> int:
    """`edgeflow pull [--force]`."""
    parser = argparse.ArgumentParser(
        prog="edgeflow pull", description="Bring the results of this commit, so that nothing needs to be built."
    )
    parser.add_argument("--force", action="store_true", help="drop results that were built here and never tracked")
    arguments = parser.parse_args(rest)

    from edgeflow.tracking import restore
    from edgeflow.tracking.lock import exclusive, no_build

    with no_build("edgeflow pull"), exclusive():
        pulled = restore.pull(arguments.force)
    made = f"; made toolchains {', '.join(pulled.toolchains)}" if pulled.toolchains else ""
    print(f"{pulled.pointers} folders and files of the results and {pulled.records} records of jobs are here{made}.")
    print("'snakemake -n' shows what is left to do.")
    return 0


def fetch(rest: Sequence[str]) -> int:
    """`edgeflow fetch <sha256|variant> [--rev COMMIT]`."""
    parser = argparse.ArgumentParser(prog="edgeflow fetch", description="Bring back one artifact of any commit.")
    parser.add_argument("what", metavar="SHA256|VARIANT", help="digest of a file, or model/target/scheme")
    parser.add_argument("--rev", default="", metavar="COMMIT", help="the commit to look in")
    parser.add_argument(
        "--output", type=Path, default=None, help="where to put it; here, under its own name, if not given"
    )
    arguments = parser.parse_args(rest)

    from edgeflow.tracking.fetch import fetch as bring

    origin, target = bring(arguments.what, arguments.rev, arguments.output)
    print(f"{target}: {origin.path} of commit {origin.commit}, which {origin.pointer} keeps")
    return 0


def data(rest: Sequence[str]) -> int:
    """`edgeflow data list`; `edgeflow data POINTER…`: what `prepare` runs first."""
    if rest[:1] == ["list"]:
        return _list_samples(rest[1:])
    parser = argparse.ArgumentParser(prog="edgeflow data", description="Bring tracked datasets, and check them.")
    parser.add_argument("pointers", nargs="*", type=Path, metavar="FILE.dvc")
    arguments = parser.parse_args(rest)
    if arguments.pointers:
        from edgeflow.tracking import objects
        from edgeflow.tracking.lock import exclusive

        with exclusive():
            for pointer in arguments.pointers:
                objects.fetch_data(pointer)
    return 0


def _list_samples(rest: Sequence[str]) -> int:
    """`edgeflow data list [--split SPLIT] [--dataset ID]`: as CSV, since names of files may hold anything."""
    parser = argparse.ArgumentParser(prog="edgeflow data list", description="Show which sample is in which split.")
    parser.add_argument("--split", choices=("train", "calibration", "evaluation", "golden"), help="of all if not given")
    parser.add_argument("--dataset", metavar="ID", help="every dataset that is prepared if not given")
    arguments = parser.parse_args(rest)
    import csv

    datasets = layout.prepared(Path())
    if arguments.dataset not in (None, *datasets) or not datasets:
        wanted = layout.prepare(arguments.dataset or "<dataset>")["info"]
        raise DataError(
            f"no splits of {arguments.dataset or 'any dataset'} here; 'snakemake --cores 2 {wanted}' makes them"
        )
    lines = csv.writer(sys.stdout, lineterminator="\n")
    lines.writerow(("dataset", "split", "row", "index", "name", "label"))
    for dataset in datasets if arguments.dataset is None else [arguments.dataset]:
        with Path(layout.prepare(dataset)["samples"]).open(encoding="utf-8", newline="") as stream:
            for line in list(csv.reader(stream))[1:]:
                if arguments.split in (None, line[0]):
                    lines.writerow((dataset, *line))
    return 0


COMMANDS = {
    "init-tracking": init_tracking,
    "track": track,
    "push": push,
    "pull": pull,
    "fetch": fetch,
    "data": data,
}
