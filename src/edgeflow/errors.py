"""The exception tree. Every message says what, where, and the next step.

EdgeflowError                    exit code
├── ConfigError                  2   a configuration file or value is wrong; carries every problem at once
├── UsageError                   2   a command was called wrongly
├── DataError                    3   a dataset or an input file is missing or malformed
├── PluginError                  4   a plugin is missing, duplicated or breaks its contract
├── ToolchainError               5   an environment cannot be made or a library in it cannot be loaded
├── MismatchError                6   a stage's output does not match the stage before it
├── StageError                   7   a converter, quantizer, compiler or runner failed
├── PackageError                 8   a package is damaged, hostile or cannot be built
├── TrackingError                9   DVC, git or MLflow cannot do what was asked
└── StorageError                10   a disk is full, or a file cannot be read or written by this user

`UnsupportedScheme` and a model that does not fit are not exceptions: they are results with a reason
(`plugin.Unsupported`, `Program.infeasible`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence

MOST_NAMES, MOST_PROBLEMS = 8, 1000  # in the first line of a message, and below it


class EdgeflowError(Exception):
    """Base of every error that edgeflow raises on purpose; the command line prints it without a traceback."""

    exit_code = 1


class ConfigError(EdgeflowError):
    """One or more problems in the configuration, all found in one pass."""

    exit_code = 2

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class UsageError(EdgeflowError):
    """A command was called with arguments that do not go together."""

    exit_code = 2


class DataError(EdgeflowError):
    """A dataset or an input file is missing or malformed."""

    exit_code = 3

    @classmethod
    def of_all(cls, what: str, problems: Sequence[str]) -> DataError:
        """One error for all that is wrong, "which: why" each: names and one reason in the first line, then a line each.

        The first line is what a table has room for; names of files may hold line ends too.
        """
        lines = [problem.replace("\n", "\\n") for problem in problems[:MOST_PROBLEMS]]
        if len(lines) == 1:
            return cls(f"{what}: {lines[0]}")
        names = ", ".join(line.partition(": ")[0] for line in lines[:MOST_NAMES])
        first = f"{what}: {names}{_more(problems, MOST_NAMES)}; {lines[0]}"
        return cls("\n  ".join([first, *lines]) + _more(problems, MOST_PROBLEMS))


def _more(problems: Sequence[str], shown: int) -> str:
    return f" and {len(problems) - shown:,} more" if len(problems) > shown else ""


class PluginError(EdgeflowError):
    """A plugin is missing, duplicated, of an unknown API version, or breaks its contract."""

    exit_code = 4


class ToolchainError(EdgeflowError):
    """A toolchain environment cannot be made, or a library in it cannot be loaded."""

    exit_code = 5


class MismatchError(EdgeflowError):
    """A stage's output does not match the stage before it, whatever the tool's exit code was."""

    exit_code = 6


class DistanceError(MismatchError):
    """Its answers are well-formed, and farther from those of the stage before than the step may move them."""


class StageError(EdgeflowError):
    """A converter, quantizer, compiler or runner failed."""

    exit_code = 7


class PackageError(EdgeflowError):
    """A package is damaged, hostile or cannot be built."""

    exit_code = 8


class TrackingError(EdgeflowError):
    """DVC, git or MLflow cannot do what was asked; what was built is untouched."""

    exit_code = 9


class StorageError(EdgeflowError):
    """A disk is full, or a file or folder cannot be read or written by this user."""

    exit_code = 10


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM)
# Libraries that write files themselves say so in exceptions of their own.
_FULL_WORDS = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "database or disk is full")


def storage_error(error: BaseException) -> StorageError | None:
    """What an exception says in a line where the disk or its rights are the reason; None where they are not."""
    if isinstance(error, OSError) and error.filename is not None:
        path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
        if error.errno in _FORBIDDEN:
            return StorageError(f"{path}: {error.strerror}: {_right(path)}")
        if error.errno == errno.EROFS:
            return StorageError(f"{path}: {error.strerror}: work in a copy of this folder that can be written")
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return _full(cause.filename, os.strerror(cause.errno))
        if words := next((words for words in _FULL_WORDS if words in str(cause)), ""):
            return _full(None, words)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and those that it came from, the latest first."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _full(path: object, words: str) -> StorageError:
    where = f"{path}: " if isinstance(path, str | os.PathLike) else ""
    limit = "raise the limit on the size of files (ulimit -f)" if words == os.strerror(errno.EFBIG) else "make room"
    return StorageError(f"{where}{words}: it was not written; {limit}, then give the same command again")


def _right(path: str) -> str:
    """Who could allow it: the owner of the file, or of the folder that it would be in."""
    while not os.path.lexists(path) and path:
        path = os.path.dirname(path)
    path = path or "."
    try:
        owner = os.stat(path).st_uid
    except OSError:
        return "a folder above it is closed to you"
    if owner == os.geteuid():
        return f"{path} is yours, and its mode forbids it: see chmod"
    return f"{path} belongs to {_name(owner)}: ask for access, or work in a copy of your own"


def _name(user: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
