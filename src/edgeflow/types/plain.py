"""Dataclasses as plain JSON values and back; unknown keys are an error."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


_PLAIN = frozenset((str, int, float, bool))  # what JSON has itself, and most values are


def to_json(value: Any) -> Any:
    """Dataclasses, enums, tuples and mappings as plain JSON values."""
    if value is None or type(value) in _PLAIN:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(v) for v in value]
    return value


def from_json(cls: type[T], data: Any) -> T:
    """Rebuild dataclass `cls` from what `to_json` made of it.

    Raises ValueError that names the field when a key is unknown or missing, or a value has the wrong type.
    """
    return typing.cast(T, _rebuild(cls, data, cls.__name__))


def _rebuild(kind: Any, data: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if kind is Any:
        return data
    if origin is typing.Union or origin is types.UnionType:
        return _rebuild_union(kind, data, where)
    if dataclasses.is_dataclass(kind):
        return _rebuild_dataclass(kind, data, where)
    if origin is tuple:
        if not isinstance(data, list | tuple):
            raise ValueError(f"{where}: expected a list, found {type(data).__name__}")
        return tuple(_rebuild(typing.get_args(kind)[0], v, f"{where}[{i}]") for i, v in enumerate(data))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(data, Mapping):
            raise ValueError(f"{where}: expected an object, found {type(data).__name__}")
        return {k: _rebuild(typing.get_args(kind)[1], v, f"{where}.{k}") for k, v in data.items()}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        try:
            return kind(data)
        except ValueError:
            raise ValueError(f"{where}: expected one of {', '.join(kind)}, found {data!r}") from None
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        raise ValueError(f"{where}: expected {kind.__name__}, found {data!r}")
    return data


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _rebuild_union(kind: Any, data: Any, where: str) -> Any:
    options = typing.get_args(kind)
    if data is None and type(None) in options:
        return None
    for option in options:
        if option is type(None):
            continue
        if isinstance(option, type) and not dataclasses.is_dataclass(option) and type(data) is option:
            return data
        if typing.get_origin(option) is Mapping and isinstance(data, Mapping):
            return _rebuild(option, data, where)
    return _rebuild(next(o for o in options if o is not type(None)), data, where)


def _rebuild_dataclass(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise ValueError(f"{where}: expected an object, found {type(data).__name__}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    if unknown := sorted(set(data) - set(fields)):
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(fields)}")
    required = (
        n for n, f in fields.items() if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    )
    if missing := [n for n in required if n not in data]:
        raise ValueError(f"{where}: missing key {missing[0]!r}")
    hints = _hints(kind)
    return kind(**{k: _rebuild(hints[k], v, f"{where}.{k}") for k, v in data.items()})
