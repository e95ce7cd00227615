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
└── TrackingError                9   DVC, git or MLflow cannot do what was asked

`UnsupportedScheme` and a model that does not fit are not exceptions: they are results with a reason
(`plugin.Unsupported`, `Program.infeasible`).
"""

from __future__ import annotations

from collections.abc import Sequence

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
        """One error for all that is wrong, "which: why" each: the names in the first line, and below it a line each.

        The first line is what a table has room for; names of files may hold line ends too.
        """
        lines = [problem.replace("\n", "\\n") for problem in problems[:MOST_PROBLEMS]]
        if len(lines) == 1:
            return cls(f"{what}: {lines[0]}")
        names = ", ".join(line.partition(": ")[0] for line in lines[:MOST_NAMES])
        first = f"{what}: {names}{_more(problems, MOST_NAMES)}"
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


class StageError(EdgeflowError):
    """A converter, quantizer, compiler or runner failed."""

    exit_code = 7


class PackageError(EdgeflowError):
    """A package is damaged, hostile or cannot be built."""

    exit_code = 8


class TrackingError(EdgeflowError):
    """DVC, git or MLflow cannot do what was asked; what was built is untouched."""

    exit_code = 9
