"""What broke in a run: why, by the log of the job, and what is lost by it. The records are no outputs of a rule."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable
from pathlib import Path

from edgeflow import files
from edgeflow.errors import DataError
from edgeflow.types.jobs import Failure

PACKAGE = Path(__file__).parent
_TAIL_BYTES = 256 * 1024  # a log may hold megabytes of progress
_LONGEST = 400  # characters of a reason
REASONS_SHOWN = 10  # in a terminal; the report has all
_TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'^\s+File "(?P<file>.+)", line (?P<line>\d+)', re.MULTILINE)
_RAISED = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning|Timeout)\b.*$", re.MULTILINE)
_TYPED = re.compile(r"^[A-Z]\w*Error: .*$", re.MULTILINE)


def read(path: Path) -> tuple[Failure, ...]:
    """The failures on record; none where there is no record.

    Raises DataError for a record that does not fit.
    """
    if not path.is_file():
        return ()
    try:
        return files.read_as(tuple[Failure, ...], path)
    except DataError as error:
        raise DataError(f"{error}; delete the file: the next run of everything writes it anew") from None


def write(path: Path, failures: Iterable[Failure]) -> None:
    """Put these on record; without any there is no record."""
    in_order = sorted(failures, key=lambda failure: (failure.stage, failure.key))
    if in_order:
        files.write_json(path, in_order)
    else:
        path.unlink(missing_ok=True)


def by_cell(failures: Iterable[Failure]) -> dict[str, Failure]:
    """`Cell.id` → the first of the failures that it is lost by."""
    lost_by: dict[str, Failure] = {}
    for failure in failures:
        for cell in failure.cells:
            lost_by.setdefault(cell, failure)
    return lost_by


def lines(failures: Iterable[Failure], at_most: int = REASONS_SHOWN) -> list[str]:
    """A line each, what costs most cells first; the last says how many are left out."""
    costliest = sorted(failures, key=lambda failure: -len(failure.cells))
    said = [f"{f.sentence} ({counted(len(f.cells))}, log: {f.log or 'none'})" for f in costliest[:at_most]]
    left = len(costliest) - at_most
    return said if left <= 0 else [*said, f"and {left} more jobs; the report has all"]


def counted(cells: int) -> str:
    """ "1 cell", "2 cells"."""
    return f"{cells} cell" + ("" if cells == 1 else "s")


def reason(log: Path | None, exit_code: int | None) -> str:
    """Why a job broke, in one line: what its log says last, and the signal that ended it.

    `exit_code`: of its record, −n for signal n; None where it left none.
    """
    said = _said(_tail(log)) if log else ""
    if exit_code is not None and exit_code < 0:
        return _short(f"ended by {_signal(-exit_code)}" + (f" after: {said}" if said else ""))
    return _short(said or "it ended without a word")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - _TAIL_BYTES))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


def _said(text: str) -> str:
    """The exception of the last traceback with the line of the user's file, else a typed error, else the last line."""
    _, traceback, after = text.rpartition(_TRACEBACK)
    if traceback and (raised := _RAISED.search(after)):
        place = _place(after[: raised.start()])
        return f"{place}: {raised[0]}" if place else raised[0]
    if typed := _TYPED.findall(text):
        return str(typed[-1])
    shown = (line.rstrip("\r").rpartition("\r")[2].strip() for line in text.split("\n"))  # as a terminal shows it
    lines = [line for line in shown if line]
    return lines[-1] if lines else ""


def _place(frames: str) -> str:
    """The innermost frame in a file of the project, as "net.py:12"; empty where libraries alone are on the stack."""
    root = Path.cwd()
    for frame in reversed([*_FRAME.finditer(frames)]):
        path = root / frame["file"]
        if path.is_relative_to(PACKAGE) or not path.is_relative_to(root):
            continue
        own = path.relative_to(root)
        if own.is_file() and not any(part.startswith(".") for part in own.parts):  # environments are in such folders
            return f"{own}:{frame['line']}"
    return ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def merged(
    known: Iterable[Failure], now: Iterable[Failure], tried: Iterable[tuple[str, tuple[str, ...]]]
) -> tuple[Failure, ...]:
    """The failures after a run of a part of the matrix: those of jobs that it had nothing to do with stay."""
    settled = set(tried)
    return (*(f for f in known if (f.stage, f.key) not in settled), *now)
