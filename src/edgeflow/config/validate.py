"""Hold one file's content against its model, and say what pydantic found in our words."""

from __future__ import annotations

import functools
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from edgeflow.config.fields import Known
from edgeflow.config.models import FREE
from edgeflow.config.problem import Findings, Problem, did_you_mean, joined, nearest, not_one_of, without_nulls
from edgeflow.config.section import Section
from edgeflow.written import shown, yaml_hint

S = TypeVar("S", bound=Section)
Location = tuple[int | str, ...]

_EXPECTED: Mapping[str, str] = {  # type of pydantic's error → what should have been there
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "dict_type": "keys and values",
    "mapping_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
}
_TYPES: Mapping[str, type] = {"string_type": str, "int_type": int, "float_type": float, "bool_type": bool}


def validate(cls: type[S], data: dict[str, Any], file: str, known: Known) -> tuple[S | None, list[Problem]]:
    """The content of a file as its model, and everything that is wrong with it.

    Unknown keys are reported and left out, so that what else is wrong is found in the same pass; the section is None
    when it cannot be used.
    """
    given, empty = without_nulls(data, FREE)
    problems = [Problem(file, path, "has no value; give it one or remove the key") for path in empty]
    errors = _errors(cls, given, known)
    unknown = [_UnknownKey(cls, error["loc"], given) for error in errors if error["type"] == "extra_forbidden"]
    problems += [Problem(file, key.path, key.message) for key in unknown]
    if unknown:
        given = _without(given, [key.location for key in unknown])
        errors = _errors(cls, given, known)
    said = {*empty, *(key.meant for key in unknown)}
    incomplete = {_above(path) for path in said}
    for problem in (p for error in errors for p in _problems(cls, given, file, error)):
        # a key that is misspelt or has no value is not missing as well, and its section needs it to make sense
        if not (problem.path in said and problem.message.startswith("missing")) and problem.path not in incomplete:
            problems.append(problem)
    return (None if errors else cls.model_validate(given, context=known)), problems


class _UnknownKey:
    """A key that no model has, and the one that was probably meant."""

    def __init__(self, cls: type[Section], location: Location, data: dict[str, Any]) -> None:
        self.location = _as_written(location, data)
        *above, key = self.location
        known = _section_at(cls, tuple(above)).model_fields
        close = nearest(key, known)
        self.path = _path(self.location)
        self.meant = _path((*above, close)) if close else self.path
        self.message = "unknown key" + (
            "; the file's name is the id" if location == ("id",) else did_you_mean(key, known)
        )


def _above(path: str) -> str:
    """The path of the section that a key is in; no path for a key of the file itself."""
    return path.rpartition(".")[0] or "."


def _errors(cls: type[Section], data: dict[str, Any], known: Known) -> list[ErrorDetails]:
    try:
        cls.model_validate(data, context=known)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def _without(data: dict[str, Any], locations: list[Location]) -> dict[str, Any]:
    """A copy of `data` without the keys at these places."""

    def copied(value: Any, here: Location) -> Any:
        if isinstance(value, dict):
            return {k: copied(v, (*here, k)) for k, v in value.items() if (*here, k) not in locations}
        if isinstance(value, list):
            return [copied(v, (*here, i)) for i, v in enumerate(value)]
        return value

    kept: dict[str, Any] = copied(data, ())
    return kept


def _as_written(location: Location, data: Any) -> Location:
    """A place in the file itself: no index where one item stands for a list of one."""
    steps: list[int | str] = []
    for step in location:
        if isinstance(step, str):
            steps.append(step)
            data = data.get(step) if isinstance(data, dict) else None
        elif isinstance(data, list):
            steps.append(step)
            data = data[step]
    return tuple(steps)


def _path(location: Location) -> str:
    return functools.reduce(joined, location, "")


def _problems(cls: type[Section], data: dict[str, Any], file: str, error: ErrorDetails) -> Iterator[Problem]:
    path = _path(_as_written(error["loc"], data))
    raised = error.get("ctx", {}).get("error")
    if isinstance(raised, Findings):
        for below, message in raised.faults:
            yield Problem(file, ".".join(part for part in (path, below) if part), message)
    else:
        yield Problem(file, path, str(raised) if raised is not None else _message(cls, error))


def _message(cls: type[Section], error: ErrorDetails) -> str:
    kind, value = error["type"], error["input"]
    context = error.get("ctx", {})
    if kind == "missing":
        *above, key = error["loc"]
        return f"missing ({_section_at(cls, tuple(above)).model_fields[str(key)].description})"
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, found {shown(value)}{yaml_hint(_TYPES.get(kind), value)}"
    if kind in ("literal_error", "enum"):
        return not_one_of(value, re.findall(r"'([^']*)'", str(context["expected"])))
    if kind == "greater_than_equal":
        return f"{shown(value)} must be at least {context['ge']}"
    if kind in ("greater_than", "less_than"):
        word, limit = ("more", context.get("gt")) if kind == "greater_than" else ("less", context.get("lt"))
        return f"{shown(value)} must be {word} than {limit:g}"
    if kind in ("too_short", "too_long"):
        bound = "at least" if kind == "too_short" else "at most"
        wanted = context.get("min_length", context.get("max_length"))
        return f"expected {bound} {wanted} values, found {context['actual_length']}"
    return error["msg"]


def _section_at(cls: type[BaseModel], location: Location) -> type[BaseModel]:
    """The model that describes what is at a place in a file."""
    for step in location:
        if isinstance(step, str) and step in cls.model_fields:
            cls = _section_in(cls.model_fields[step].annotation) or cls
    return cls


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section_in, typing.get_args(annotation))), None)
