"""What went wrong in a run, for programs: a file with one JSON object a line, written as it happens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# The values of "event" in a line; Snakemake's own names of the records that they come from.
JOB_ERROR, JOB_FINISHED, ERROR = "job_error", "job_finished", "error"


@dataclass(frozen=True)
class FailedJob:
    """A job that failed, and ended well at no later attempt."""

    job: int  # Snakemake's id, the same on every attempt
    stage: str  # the name of its rule
    wildcards: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    ending: str = ""  # "exit status 7", "SIGSEGV"; empty where nothing tells
    stopped: bool = False  # by a signal that ends runs, and not by an error of its own


@dataclass(frozen=True)
class Failures:
    """What a run says in the end."""

    jobs: tuple[FailedJob, ...]
    errors: tuple[tuple[str, str], ...]  # (name of the exception or "", message) of what belongs to no job


class Events:
    """Writes the file; nothing without a path."""

    def __init__(self, path: Path | None) -> None:
        """Raises OSError when the file cannot be written."""
        self._stream = path.open("w", encoding="utf-8") if path else None

    def failed(self, job: FailedJob) -> None:
        """A job failed; it may be tried again."""
        self._write(event=JOB_ERROR, **asdict(job))

    def finished(self, number: int) -> None:
        """A job ended well."""
        self._write(event=JOB_FINISHED, job=number)

    def error(self, exception: str, message: str) -> None:
        """An error that belongs to no job; `exception` is the name of its class, where there is one."""
        self._write(event=ERROR, exception=exception, message=message)

    def close(self) -> None:
        """Nothing comes any more."""
        if self._stream is not None:
            self._stream.close()

    def _write(self, **values: Any) -> None:
        if self._stream is not None:
            self._stream.write(json.dumps(values) + "\n")
            self._stream.flush()  # a run that is killed has said what it knew


def read(path: Path) -> Failures:
    """What a file says; of a run that was killed, what it had said by then.

    Raises OSError when the file cannot be read.
    """
    jobs: dict[int, FailedJob] = {}
    errors: list[tuple[str, str]] = []
    for values in _objects(path.read_text(encoding="utf-8").splitlines()):
        event = values.pop("event")
        if event == JOB_ERROR:
            values.update({name: tuple(values[name]) for name in ("outputs", "logs")})
            jobs[values["job"]] = FailedJob(**values)
        elif event == JOB_FINISHED:
            jobs.pop(values["job"], None)
        else:
            errors.append((values["exception"], values["message"]))
    return Failures(tuple(jobs.values()), tuple(errors))


def _objects(lines: Sequence[str]) -> list[dict[str, Any]]:
    whole = []
    for line in lines:
        try:
            whole.append(json.loads(line))
        except json.JSONDecodeError:  # the run was killed while it wrote its last line
            break
    return whole
