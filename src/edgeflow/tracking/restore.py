"""A clone that needs no rebuild: results, Snakemake's records of them, and the toolchains that they were made with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeflow import layout, pointers
from edgeflow.errors import TrackingError
from edgeflow.toolchains import environments, system
from edgeflow.tracking import dvc, git, objects, provenance


@dataclass(frozen=True)
class Pulled:
    """What there is now."""

    pointers: int
    records: int
    toolchains: tuple[str, ...]  # made by this call


def pull(force: bool) -> Pulled:
    """Bring what the pointers of this commit stand for; every file is checked before anything is made of it.

    `force` drops results that are here and were never tracked; without it they are an error. Raises TrackingError that
    says which command to run when there is nothing to pull, no remote, or when the remote has no whole copy of a file.
    """
    git.require_repository()
    if not layout.pointers(Path()):
        raise TrackingError(
            "this commit tracks no results: where they were built, run 'edgeflow track', commit the pointers, "
            "and 'edgeflow push'"
        )
    dvc.require_remote()
    _pull(force)
    if objects.drop_damaged(dvc.cache()):
        _pull(force)  # again, of what was damaged in the cache only
        if bad := objects.drop_damaged(dvc.cache()):
            names = ", ".join(map(str, bad[:5])) + (", …" if len(bad) > 5 else "")
            raise TrackingError(
                f"the remote's copies are damaged: {names}. They were removed here; 'edgeflow track --check' and "
                "'edgeflow push' where they were built repair the remote, or 'snakemake' makes them again"
            )
    records = provenance.restore()
    return Pulled(len(layout.pointers(Path())), records, _toolchains())


def _pull(force: bool) -> None:
    """Of the results only: `prepare` brings the datasets that it needs, and edits of them are the user's own."""
    try:
        objects.pull([pointers.read(file) for file in layout.pointers(Path())], *(("--force",) if force else ()))
    except TrackingError as error:
        if "unsaved files" in str(error):
            raise TrackingError(
                f"{error}\nThese were built here and never tracked: 'edgeflow track' keeps them, "
                "'edgeflow pull --force' drops them"
            ) from None
        raise TrackingError(str(error) if objects.NEXT in str(error) else f"{error}\n{objects.NEXT}") from None


def _toolchains() -> tuple[str, ...]:
    """Make those that the results were made with: a missing one would count as new and rebuild all that it made."""
    if system():
        return ()
    made = []
    for name in provenance.Jobs(provenance.collect()).toolchains():
        paths = layout.toolchain(name)
        if not Path(paths["stamp"]).is_file() and Path(paths["lock"]).is_file():
            environments.create(name, Path(paths["lock"]), Path(paths["stamp"]))
            made.append(name)
    return tuple(made)
