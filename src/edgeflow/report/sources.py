"""What a report was made from, so that it can tell whether it is older than that. Contents decide, not times."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeflow import layout
from edgeflow.errors import DataError
from edgeflow.failures import by_cell
from edgeflow.types.jobs import Failure
from edgeflow.types.variants import Cell

SHOWN = 3  # names of what changed, before the rest is counted


@dataclass(frozen=True)
class Sources:
    """sources.json."""

    configuration: Mapping[str, str]  # "target cortex_m4" → digest, as config.digests has it
    results: Mapping[str, str]  # "model/target/scheme" → digest of what the stages left; "" where they left nothing


def of_results(cells: Iterable[str], results: Path, failures: Iterable[Failure]) -> Mapping[str, str]:
    """Digests of what the stages left of each cell, or of why it failed; a cell is "model/target/scheme"."""
    failed = by_cell(failures)
    return {cell: _digest(cell, results, failed.get(cell)) for cell in cells}


def _digest(cell: str, results: Path, failure: Failure | None) -> str:
    if failure:
        return hashlib.sha256(failure.sentence.encode()).hexdigest()[:16]
    key = cell.split("/")
    if len(key) != 3:
        raise DataError(f"{layout.report()['sources']}: {cell!a} is no cell; run snakemake, which writes it again")
    model, target, scheme = key
    paths = (
        layout.measure(model, target, scheme)["measurement"],
        layout.judge(model, target, scheme)["verdict"],
        layout.package(model, target, scheme)["record"],
    )
    digest, something = hashlib.sha256(), False
    for path in paths:
        try:
            content = (results / Path(path).relative_to(layout.RESULTS)).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            digest.update(b"-")
        else:
            digest.update(b"%d:" % len(content) + content)
            something = True
    return digest.hexdigest()[:16] if something else ""


def changed_configuration(made_from: Sources, now: Mapping[str, str], cells: Iterable[Cell]) -> str:
    """What of the configuration is not as it was, in words; empty when all of it is."""
    before = made_from.configuration
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    planned, known = {cell.id for cell in cells}, made_from.results.keys()
    counts = [(len(planned - known), "new"), (len(known - planned), "gone")]
    parts = [f"{_count(number, 'cell')} {'is' if number == 1 else 'are'} {what}" for number, what in counts if number]
    # what belongs to cells that are new or gone is said with them
    changed = [name for name in names if name in before and name in now]
    if changed or not parts:
        parts[:0] = [f"{_listed(changed or names)} changed"] if names else []
    return "; ".join(parts)


def changed_results(made_from: Sources, results: Path, failures: Iterable[Failure]) -> str:
    """Of which cells the results are not those that the report shows, in words; empty when all are."""
    now = of_results(made_from.results, results, failures)
    return _listed([cell for cell, digest in made_from.results.items() if now[cell] != digest])


def _listed(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
