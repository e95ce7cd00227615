"""The options by which a command is told of another matrix, as `snakemake` has them: they are read and merged by it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeflow.config.load import read_matrix
from edgeflow.config.problem import MATRIX
from edgeflow.errors import UsageError
from edgeflow.types.plain import to_json


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that `overrides` and `matrix` read."""
    group = parser.add_argument_group(f"another matrix than {MATRIX} has, as for snakemake")
    group.add_argument(
        "--configfile",
        "--configfiles",
        nargs="+",
        default=[],
        type=Path,
        metavar="FILE",
        help="YAML or JSON files whose values come before those of the configuration, and of the files before them",
    )
    group.add_argument(
        "--config", "-C", nargs="*", default=[], metavar="KEY=VALUE", help="values that come before all others"
    )
    group.add_argument("--matrix", metavar="JSON", help="the whole matrix, as the workflow gives it to its jobs")


def matrix(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """The matrix that a run with these options builds; None: no option was given, and config/config.yaml has it.

    Raises UsageError for options that Snakemake would not take, ConfigError for a config/config.yaml that is not YAML.
    """
    given = overrides(arguments)
    if arguments.matrix is not None or not given:
        return given or None
    merged: dict[str, Any] = {}
    if Path(MATRIX).exists() or not arguments.configfile:
        read_matrix(Path())  # says what is wrong with it better than Snakemake does
        merged.update(_read(Path(MATRIX)))
    _update(merged, given)
    return merged


def overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the options set, later ones before earlier ones."""
    if arguments.matrix is not None:
        if arguments.config or arguments.configfile:
            raise UsageError("--matrix is the whole matrix: give it alone")
        return _whole(arguments.matrix)
    values: dict[str, Any] = {}
    for path in arguments.configfile:
        _update(values, _read(path))
    if arguments.config:
        from snakemake.cli import parse_config

        try:
            _update(values, parse_config(arguments.config))
        except ValueError as error:
            raise UsageError(f"--config {' '.join(arguments.config)}: {error}") from None
    plain: dict[str, Any] = to_json(values)
    return plain


def _whole(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"--matrix: not valid JSON: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(f"--matrix: expected a JSON object, found {type(values).__name__}")
    return values


def _read(path: Path) -> Mapping[str, Any]:
    import yaml
    from snakemake.common.configfile import load_configfile
    from snakemake.exceptions import WorkflowError

    try:
        values: Mapping[str, Any] = load_configfile(path)
    except (WorkflowError, yaml.YAMLError) as error:
        raise UsageError(f"--configfile {path}: {error}") from None
    except FileNotFoundError:
        raise UsageError(f"--configfile {path}: no such file") from None
    except OSError as error:
        raise UsageError(f"--configfile {path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--configfile {path}: is not UTF-8 text; save it as UTF-8") from None
    return values


def _update(config: dict[str, Any], values: Mapping[str, Any]) -> None:
    from snakemake.utils import update_config

    update_config(config, values)
