"""What is wrong with a configuration, one line each: file, key path, what, and the nearest known name or next step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from edgeflow.written import shown

# Where each kind of thing is looked for; plugins have no folder.
FOLDERS = {kind: f"config/{kind}s" for kind in ("dataset", "model", "target", "scheme", "device")}
MATRIX = "config/config.yaml"


def file_of(kind: str, name: str) -> str:
    """The file of a thing, as messages name it: `file_of("model", "kws")` is "config/models/kws.yaml"."""
    return f"{FOLDERS[kind]}/{name}.yaml"


@dataclass(frozen=True)
class Problem:
    """One line for the user."""

    file: str  # relative to the project, or "--config" for a value from the command line
    path: str  # "budgets.latency_p90_s.max", "exclude[0].model"; "" for the whole file
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.path, self.message) if part)


class Findings(ValueError):  # noqa: N818 (several problems in one exception, raised only inside pydantic validators)
    """What a rule over several keys of one section found: (path inside the section, message) each."""

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{path}: {message}" for path, message in faults))


def joined(path: str, step: str | int) -> str:
    """A key path with one more step: `joined("exclude", 0)` is "exclude[0]"."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if path else step


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`, where one does."""
    return next(iter(difflib.get_close_matches(str(name), sorted(known), n=1)), None)


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all of them."""
    names = sorted(known)
    close = nearest(name, names)
    if close:
        return f"; did you mean {close!r}?"
    return f"; known: {', '.join(names)}" if names else ""


def no_such(kind: str, name: str, known: Sequence[str]) -> str:
    """The message about a reference to something that does not exist."""
    where = f" in {FOLDERS[kind]}" if kind in FOLDERS else ""
    return f"there is no {kind} {name!r}{where}" + (did_you_mean(name, known) or "; none is known")


def not_one_of(value: object, choices: Iterable[str]) -> str:
    """The message about a value outside a fixed list."""
    names = list(choices)
    close = nearest(value, names)
    hint = f"; did you mean {close!r}?" if close else ""
    return f"{shown(value)} is not one of {', '.join(names)}{hint}"


def without_nulls(data: dict[str, Any], free: Sequence[str] = (), path: str = "") -> tuple[dict[str, Any], list[str]]:
    """`data` without the keys that have no value, and the paths of those; what is below a key in `free` is kept."""
    kept: dict[str, Any] = {}
    empty: list[str] = []
    for key, value in data.items():
        below = joined(path, key)
        if value is None:
            empty.append(below)
        elif isinstance(value, dict) and key not in free:
            kept[key], deeper = without_nulls(value, free, below)
            empty += deeper
        else:
            kept[key] = value
    return kept, empty
