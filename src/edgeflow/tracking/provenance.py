"""What Snakemake recorded of every job, packed into one file beside the results, and back.

With these records a clone knows that nothing is to be done: Snakemake compares the digests of inputs, the parameters
and the shell line with them. They hold paths of the project only, so they are right in any folder.
"""

from __future__ import annotations

import ast
import base64
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgeflow import files, layout
from edgeflow.errors import DataError
from edgeflow.paths import inside, problem

SNAKEMAKE = Path(".snakemake")
METADATA = SNAKEMAKE / "metadata"

_NAME = re.compile(r"(@[A-Za-z0-9_=-]+/)*[A-Za-z0-9_=-]+")  # base64, in parts where it is long
_COMPARING = ("measure", "judge")  # rules with inputs of other variants

Records = dict[str, dict[str, Any]]  # name of the file that Snakemake keeps → its content


def collect() -> Records:
    """Pack the records of all outputs that are there; those of an earlier pull count where Snakemake has none."""
    path = Path(layout.provenance()["jobs"])
    packed = _read(path)
    known = sorted({**packed, **dict(_snakemake())}.items())
    records = {name: record for name, record in known if Path(output_of(name)).exists()}
    if records and records != packed:
        lines = (json.dumps({"output": output_of(n), "file": n, "record": r}) for n, r in records.items())
        files.write_text(path, "\n".join(lines) + "\n")
    return records


def restore() -> int:
    """Give Snakemake the packed records back, in place of what it knows of the same outputs; returns their number."""
    records = _read(Path(layout.provenance()["jobs"]))
    for name, record in records.items():
        files.write_text(inside(METADATA, name), json.dumps(record))
        inside(SNAKEMAKE / "incomplete", name).unlink(missing_ok=True)
    return len(records)


def output_of(name: str) -> str:
    """The output that a record is about: Snakemake encodes its path, in several parts where it is long.

    Raises ValueError for a name that Snakemake does not give: decoding base64 drops what is none, as "../".
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!a} is not a name of Snakemake's")
    encoded = name.replace("@", "").replace("/", "")
    output = base64.b64decode(encoded, b"-_", validate=True).decode()
    if bad := problem(output):
        raise ValueError(f"{output!a} {bad}")
    return output


def _snakemake() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in METADATA.rglob("*") if METADATA.is_dir() else ():
        name = path.relative_to(METADATA).as_posix()
        if path.is_file() and _of_results(name):
            record = files.read_json(path)
            if not record.get("incomplete"):
                yield name, record


def _of_results(name: str) -> bool:
    try:
        return output_of(name).startswith(f"{layout.RESULTS}/")
    except ValueError:  # a temporary file of Snakemake's own
        return False


def _read(path: Path) -> Records:
    """Raises DataError that names the file when it is not what `collect` wrote."""
    if not path.is_file():
        return {}
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        records = {line["file"]: dict(line["record"]) for line in lines if output_of(line["file"]) == line["output"]}
        if strange := [name for name in records if not _of_results(name)]:
            raise ValueError(f"{output_of(strange[0])} is not in {layout.RESULTS}")
        return records
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged ({error}); remove it, 'edgeflow track' writes it again") from None


class Jobs:
    """Which job made a file, and from what."""

    def __init__(self, records: Records) -> None:
        self._by_output: Mapping[str, Mapping[str, Any]] = {output_of(name): r for name, r in records.items()}
        self._specs: dict[str, dict[str, Any] | None] = {}

    def times(self, output: str) -> tuple[float, float] | None:
        """When the job of an output began and ended, in seconds since 1970; None when nothing is known of it."""
        record = self._by_output.get(output)
        return (record["starttime"], record["endtime"]) if record else None

    def specs(self, output: str) -> dict[str, dict[str, Any]]:
        """Stage → spec, of the job that made an output and of those that it goes back to, the nearest of each stage."""
        specs: dict[str, dict[str, Any]] = {}
        for path in self._lineage(output):
            rule = self._by_output[path]["rule"]
            if rule not in specs and (spec := self._spec(path)) is not None:
                specs[rule] = spec
        return specs

    def artifact(self, output: str, stage: str) -> str:
        """The nearest file that an output goes back to and that a stage made as its artifact; "" when there is none."""
        made = (path for path in self._lineage(output) if self._by_output[path]["rule"] == stage)
        return next((path for path in made if layout.named_by_digest(Path(path))), "")

    def _lineage(self, output: str) -> Iterator[str]:
        """An output and what it was made from, the nearest first; not what it was only compared with."""
        seen = dict.fromkeys([output] if output in self._by_output else [])
        pending = [*seen]
        while pending:
            yield from pending
            made_from = (self._by_output[path] for path in pending)
            inputs = dict.fromkeys(p for r in made_from if r["rule"] not in _COMPARING for p in r.get("input", ()))
            pending = [path for path in inputs if path in self._by_output and path not in seen]
            seen.update(dict.fromkeys(pending))

    def _spec(self, path: str) -> dict[str, Any] | None:
        if path not in self._specs:
            self._specs[path] = _spec(self._by_output[path])
        return self._specs[path]

    def toolchains(self) -> list[str]:
        """The toolchains that any job ran in."""
        named = (path for record in self._by_output.values() for path in record.get("input", ()))
        inputs = {Path(path) for path in named if not problem(path)}
        return sorted(path.stem for path in inputs if path.parent == Path(layout.TOOLCHAINS))


def _spec(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The spec among a job's parameters, which Snakemake keeps as Python literals."""
    for text in record.get("params", ()):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):  # a parameter of somebody else's rule
            continue
        if isinstance(value, Mapping):  # all that a stage is called with
            value = value.get("spec")
        if isinstance(value, str) and value.startswith("{"):
            with suppress(json.JSONDecodeError):  # of somebody else's rule, too
                spec = json.loads(value)
                return spec if isinstance(spec, dict) else None
    return None
