"""`edgeflow`, and `python -m edgeflow`: stages go straight to their toolchain, everything else to the command line.

Every job of the workflow starts this once, so a stage is told from the rest before anything more is imported.
"""

from __future__ import annotations

import os
import sys

MODULE_FILES = "EDGEFLOW_MODULE_FILES"  # as registry.py has it, which takes long to import


def main() -> int:
    """Run the command that the arguments name; the exit code says how it ended (see errors.py)."""
    from edgeflow.stages import STAGES

    if sys.argv[1:2] and sys.argv[1] in STAGES:
        return _stage(sys.argv[1], sys.argv[2:])
    from edgeflow import cli

    return cli.main()


def _stage(stage: str, arguments: list[str]) -> int:
    """Take out what says where the stage runs, and run the rest there."""
    from edgeflow.errors import EdgeflowError, storage_error
    from edgeflow.toolchains import CORE, client

    if "-h" in arguments or "--help" in arguments:
        from edgeflow.stages import command

        command.print_help(stage)
        return 0
    options = {"--toolchain": CORE, "--preload": "", "--job": ""}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name in options:
            options[name] = value if equals else next(words, "")
        else:
            rest.append(word)
    try:
        if MODULE_FILES not in os.environ:  # the workflow sets it for all its jobs
            os.environ[MODULE_FILES] = _module_files(stage, rest)
        return client.run(stage, rest, options["--toolchain"], options["--preload"], options["--job"])
    except EdgeflowError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if (refusal := storage_error(error)) is None:
            raise
        print(f"{type(refusal).__name__}: {refusal}", file=sys.stderr)
        return refusal.exit_code


def _module_files(stage: str, arguments: list[str]) -> str:
    """What the environment of the toolchain needs to find plugins that are installed beside edgeflow only."""
    import json

    from edgeflow.registry import KINDS, foreign_module_files
    from edgeflow.stages import command

    spec = command.read_spec(command.parser(stage).parse_args(arguments).spec)
    return json.dumps(foreign_module_files([spec[kind] for kind in KINDS if spec.get(kind)]))


if __name__ == "__main__":
    sys.exit(main())
