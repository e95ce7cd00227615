"""Read YAML without its surprises: duplicate keys are found, and only what looks like a number is one.

Plain scalars follow the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema): `no`, `1_000`, `1:30`
and `2026-01-01` are text, as they are for editors, and `1e-3` is a number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from edgeflow.config.problem import Problem, joined
from edgeflow.written import shown

_BASE: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's parser where PyYAML was built with it
_PREFIX = "tag:yaml.org,2002:"
_CONSTANTS = {"true": True, "false": False}
_SCALARS: Mapping[str, Callable[[str], Any]] = {
    "null": lambda text: None,
    "bool": lambda text: _CONSTANTS[text.lower()],
    "int": int,
    "float": float,
    "str": str,
}


class _Loader(_BASE):  # type: ignore[misc]
    """Composes nodes whose plain scalars are resolved as in YAML 1.2."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 (PyYAML's own attribute; filled below, once)


_PLAIN = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
)
for _name, _pattern, _first in _PLAIN:
    _Loader.add_implicit_resolver(_PREFIX + _name, re.compile(rf"(?:{_pattern})\Z"), _first)


def read(path: Path, label: str) -> tuple[dict[str, Any] | None, list[Problem]]:
    """The keys and values of one file, and what is wrong with it as YAML.

    None where nothing can be said about its content: it is missing, not YAML, or not keys and values.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        node = yaml.compose(text, Loader=_Loader)
    except FileNotFoundError:
        return None, [Problem(label, "", "no such file")]
    except OSError as error:
        return None, [Problem(label, "", f"cannot be read: {error.strerror}")]
    except UnicodeDecodeError as error:
        return None, [Problem(label, "", f"byte {error.start} is not UTF-8 text; save the file as UTF-8")]
    except yaml.YAMLError as error:
        return None, [Problem(label, "", _not_yaml(error))]
    if node is None:
        return None, [Problem(label, "", "is empty")]
    problems: list[Problem] = []
    data = _value(node, "", _Context(label, problems))
    if not isinstance(data, dict):
        return None, [Problem(label, "", f"expected keys and values, found {shown(data)}")]
    return data, problems


def _not_yaml(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    return f"not valid YAML{where}: {what}"


class _Context:
    """Where problems of one file go, and which nodes are being read: an alias may not contain itself."""

    def __init__(self, label: str, problems: list[Problem]) -> None:
        self.label = label
        self.problems = problems
        self.open: set[int] = set()

    def report(self, path: str, message: str) -> None:
        self.problems.append(Problem(self.label, path, message))


def _value(node: yaml.Node, path: str, context: _Context) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, path, context)
    if id(node) in context.open:
        context.report(path, f"the alias on line {_line(node)} contains itself")
        return None
    context.open.add(id(node))
    try:
        if isinstance(node, yaml.SequenceNode):
            return [_value(item, joined(path, i), context) for i, item in enumerate(node.value)]
        return {key: _value(value, joined(path, key), context) for key, value in _entries(node, path, context)}
    finally:
        context.open.remove(id(node))


def _entries(node: yaml.Node, path: str, context: _Context) -> Iterator[tuple[str, yaml.Node]]:
    """Keys and value nodes of a mapping; of a key that is given twice only the first."""
    lines: dict[str, int] = {}
    for key_node, value in node.value:
        key = _scalar(key_node, path, context) if isinstance(key_node, yaml.ScalarNode) else key_node
        if not isinstance(key, str):
            what = shown(key) if isinstance(key_node, yaml.ScalarNode) else "a list or keys and values"
            context.report(path, f"a key on line {_line(key_node)} is {what}; keys are text, put it in quotes")
        elif key in lines:
            first, second = lines[key], _line(key_node)
            where = f"line {first}" if first == second else f"lines {first} and {second}"
            context.report(joined(path, key), f"given twice ({where}); keep one")
        else:
            lines[key] = _line(key_node)
            yield key, value


def _scalar(node: yaml.ScalarNode, path: str, context: _Context) -> Any:
    try:
        return _SCALARS[node.tag.removeprefix(_PREFIX)](node.value)
    except (KeyError, ValueError):
        context.report(
            path, f"the tag {node.tag.replace(_PREFIX, '!!')!r} on line {_line(node)} cannot be used here; remove it"
        )
        return node.value


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
