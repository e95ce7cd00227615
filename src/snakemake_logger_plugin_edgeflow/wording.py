"""How things are said: pure functions from facts to text, all of it ASCII but for names that users chose."""

from __future__ import annotations

import argparse
import builtins
import re
import shlex
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

TAIL_LINES = 15
# Enough for the last lines of any log that people read; a log may also hold one line of many megabytes.
_TAIL_BYTES = 64 * 1024
_LINE_CHARACTERS = 500

_FOLLOWS = "follows another job"
# Snakemake's phrases for why a job runs, and ours. A phrase may be followed by ": " and files, or a difference.
_REASONS: Mapping[str, str] = {
    "Forced execution": "forced",
    "Rules with neither input nor output files are always executed": "has no files, so always runs",
    "Rules with a run or shell declaration but no output are always executed": "has no output, so always runs",
    "Missing output files": "output missing",
    "Incomplete output files": "output incomplete",
    "Updated input files": "input changed",
    "Input files updated by another job": _FOLLOWS,
    "Output file is a pipe": "feeds a pipe",
    "Job provides a service": "provides a service",
    "Set of input files has changed": "set of inputs changed",
    "Code has changed": "code changed",
    "Params have changed": "params changed",
    "Software environment definition has changed": "environment changed",
}
_UPDATED = re.compile(r"Updated input files: ([^;]+)")

# ANSI control sequences, which a log may hold and a terminal must not obey twice.
_SAY_ALL = ("ConfigError", "DataError", "PluginError", "StorageError", "UsageError")
_TOLD = re.compile(r'\w+ in file ".*", line \d+:\n(?P<message>.*?)(?:\n  File ".*", line \d+, in .*)*\n?', re.DOTALL)
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def duration(seconds: float) -> str:
    """A time span for people: "0.4 s", "4 min 12 s", "2 h 03 min"."""
    if seconds < 59.95:  # what would be shown as 60.0 s is a minute
        return f"{max(seconds, 0):.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min"


def count(number: int, noun: str) -> str:
    """ "1 job", "2 jobs"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def variant(wildcards: Mapping[str, str], message: str | None) -> str:
    """What a job is about: the message of its rule, or else its wildcards."""
    return " ".join(message.split()) if message else "/".join(str(value) for value in wildcards.values())


def reason(text: str) -> str:
    """Why a job runs, on one line: Snakemake's sentence without its lists of files and differences."""
    reasons = [ours for phrase, ours in _REASONS.items() if phrase in text]
    if not reasons:
        return " ".join(text.split())[:80]
    if updated := _UPDATED.search(text):
        first, *more = updated[1].split(", ")
        reasons[reasons.index("input changed")] = f"input changed: {first}" + (f" and {len(more)} more" if more else "")
    # With a reason of its own, a job need not say that another one runs before it.
    return ", ".join([text for text in reasons if text != _FOLLOWS] or [_FOLLOWS])


def error(exception: str, text: str) -> str:
    """Snakemake's text about an exception; without where in the code it was, of what the system refused, such as a full
    disk, and of edgeflow's own errors, which say all in their message.
    """
    if exception in _SAY_ALL and (told := _TOLD.fullmatch(text)):
        return f"{exception}: {told['message']}"
    kind = getattr(builtins, exception, None)
    refused = [line.strip() for line in text.splitlines() if "[Errno " in line]
    if not (refused and isinstance(kind, type) and issubclass(kind, OSError)):
        return text
    return refused[-1] if refused[-1].startswith(exception) else f"{exception}: {refused[-1]}"


def tail(path: Path, lines: int | None = TAIL_LINES) -> list[str]:
    """The last lines of a log (all of them for None), fit to be shown: no control sequences, no overwritten text.

    Raises OSError when it cannot be read.
    """
    with path.open("rb") as stream:
        if lines is not None:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - _TAIL_BYTES))
        text = stream.read().decode(errors="replace")
    # A progress bar redraws its line after each carriage return: only what it showed last counts.
    shown = (_CONTROL.sub("", line.rstrip("\r").rpartition("\r")[2]).rstrip() for line in text.split("\n"))
    last = deque((line for line in shown if line), maxlen=lines)
    return [line if len(line) <= _LINE_CHARACTERS else line[:_LINE_CHARACTERS] + " ..." for line in last]


def again(outputs: Sequence[str], arguments: Sequence[str]) -> str:
    """The command that runs one job again, with those options of this run that decide what is built."""
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for names in (["--snakefile", "-s"], ["--directory", "-d"], ["--profile"], ["--workflow-profile"]):
        options.add_argument(*names)
    options.add_argument("--configfile", "--configfiles", nargs="+")
    options.add_argument("--config", "-C", nargs="*")
    try:
        kept = vars(options.parse_known_args(list(arguments))[0])
    except argparse.ArgumentError:  # not a command line of Snakemake's: it is used as a library
        kept = {}
    command = ["snakemake", "--cores", "1", *outputs[:1]]
    for name, value in kept.items():
        if value is not None:
            command += ["--" + name.replace("_", "-"), *(value if isinstance(value, list) else [value])]
    return shlex.join(command)
