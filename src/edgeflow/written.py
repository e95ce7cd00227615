"""What a person wrote in YAML, as messages about it say it."""

from __future__ import annotations

import math
from collections.abc import Mapping

_BOOLEANS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def shown(value: object) -> str:
    """A value as a person wrote it, or what it is when it is not one word."""
    from datetime import date

    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    if isinstance(value, date):  # YAML 1.1, which Snakemake reads, makes dates of unquoted text
        return f"the date {value.isoformat()}"
    if isinstance(value, Mapping):
        return "keys and values"
    if isinstance(value, list | tuple):
        return "a list"
    return repr(value)


def yaml_hint(wanted: object, value: object) -> str:
    """The next step where YAML is likely to have surprised its writer: to it `"20"` and `no` are text, and `7` is none.

    `wanted` is str, int, float or bool; anything else has no hint.
    """
    if wanted is str:
        return "" if isinstance(value, Mapping | list | tuple) else "; put it in quotes if text is meant"
    if wanted is bool:
        meant = _BOOLEANS.get(str(value).lower())
        return f"; write {meant}" if meant else ""
    if wanted not in (int, float) or not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    if wanted is int:
        return f"; write {number:.0f}" if number.is_integer() else ""
    return f"; write {number!r}" if math.isfinite(number) else ""
