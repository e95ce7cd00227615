"""The types of configuration values: ids, references, quantities with units, lists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import PurePath
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, Strict, ValidationInfo, WithJsonSchema

from edgeflow import units
from edgeflow.config.problem import no_such, not_one_of
from edgeflow.types.figures import Evidence as EvidenceClass
from edgeflow.written import shown

ID = r"[a-z][a-z0-9_]*"
NOT_AN_ID = "is not an id: lower-case letters, digits and '_', starting with a letter"
_BUILDER = re.compile(r"([A-Za-z_][\w.]*|[^:]+\.py):[A-Za-z_]\w*")

# Application cores as `uname -m` says it, microcontrollers as compilers' -march does.
ARCHITECTURES = (
    *("x86_64", "aarch64", "armv7l", "riscv64"),
    *("armv6-m", "armv7-m", "armv7e-m", "armv8-m.main", "armv8.1-m.main", "riscv32", "xtensa"),
)

DTYPES = (  # of what a model takes, as numpy names them
    *("float32", "float16", "float64", "bool"),
    *("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
)
WEIGHTS = (".safetensors", ".pt", ".pth")  # suffixes of files with trained weights

# Kind of thing or plugin → the ids that a reference may name; the context of validation.
Known: TypeAlias = Mapping[str, tuple[str, ...]]


def is_id(text: str) -> bool:
    """True when `text` may name a dataset, model, target, scheme or device."""
    return re.fullmatch(ID, text) is not None


def _id(value: str) -> str:
    if not is_id(value):
        raise ValueError(f"{value!r} {NOT_AN_ID}")
    return value


def refers_to(kind: str) -> AfterValidator:
    """A check that the value is the id of an existing thing or plugin of this kind."""

    def check(value: str, info: ValidationInfo) -> str:
        known: Known = info.context or {}
        if value not in known.get(kind, ()):
            raise ValueError(no_such(kind, value, known.get(kind, ())))
        return value

    return AfterValidator(check)


Id = Annotated[str, AfterValidator(_id), Field(json_schema_extra={"pattern": f"^{ID}$"})]
DatasetId = Annotated[Id, refers_to("dataset")]
ModelId = Annotated[Id, refers_to("model")]
TargetId = Annotated[Id, refers_to("target")]
SchemeId = Annotated[Id, refers_to("scheme")]
RuntimeId = Annotated[str, refers_to("runtime")]
FrameworkId = Annotated[str, refers_to("framework")]
TaskId = Annotated[str, refers_to("task")]
LoaderId = Annotated[str, refers_to("loader")]


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty")
    return value


def _builder(value: str) -> str:
    if not _BUILDER.fullmatch(value):
        raise ValueError(f"{value!r} names no function; write 'package.module:function' or 'folder/file.py:function'")
    return value


def _weights(value: str) -> str:
    if PurePath(value).suffix not in WEIGHTS:
        raise ValueError(f"{value!r} is no {' or '.join(WEIGHTS)} file; save 'model.state_dict()' as one of them")
    return value


def _only(allowed: str, reason: str, value: str) -> str:
    if value != allowed:
        raise ValueError(f"{value!r} is not available: {reason}")
    return value


def _one_of(choices: tuple[str, ...], value: str) -> str:
    if value not in choices:
        raise ValueError(not_one_of(value, choices))
    return value


Text = Annotated[str, AfterValidator(_text), Field(json_schema_extra={"minLength": 1})]
Builder = Annotated[str, AfterValidator(_builder)]
Weights = Annotated[str, AfterValidator(_weights)]
Architecture = Annotated[
    str, AfterValidator(partial(_one_of, ARCHITECTURES)), Field(json_schema_extra={"enum": list(ARCHITECTURES)})
]
DType = Annotated[str, AfterValidator(partial(_one_of, DTYPES)), Field(json_schema_extra={"enum": list(DTYPES)})]
Reach = Annotated[
    str,
    AfterValidator(partial(_only, "local", "only 'local' devices can be reached so far")),
    Field(json_schema_extra={"enum": ["local"]}),
]
Evidence = Annotated[EvidenceClass, Strict(False)]  # strict validation would refuse the text that YAML has
Count = Annotated[int, Field(ge=1)]


# --- quantities ----------------------------------------------------------------------------------------------------


def _positive(unit: str, value: Any) -> float:
    amount = units.parse(value, unit)
    if amount <= 0:
        raise ValueError(f"{value!r} must be more than zero")
    return amount


def _bytes(value: Any) -> int:
    size_bytes = _positive("byte", value)
    if abs(size_bytes - round(size_bytes)) > 1e-6:  # factors such as 1e3 leave rounding errors far below one byte
        raise ValueError(f"{value!r} is not a whole number of bytes")
    return round(size_bytes)


def _at_least_zero(unit: str, value: Any) -> float:
    amount = units.parse(value, unit)
    if amount < 0:
        raise ValueError(f"{value!r} must not be negative")
    return amount


def _schema(unit: str) -> WithJsonSchema:
    text = {"type": "string", "pattern": units.pattern(unit)}
    return WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, text]} if "" in units.UNITS[unit] else text)


Seconds = Annotated[float, BeforeValidator(partial(_positive, "second")), _schema("second")]
Hertz = Annotated[float, BeforeValidator(partial(_positive, "hertz")), _schema("hertz")]
Bytes = Annotated[int, BeforeValidator(_bytes), _schema("byte")]
Fraction = Annotated[
    float,
    BeforeValidator(units.fraction),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
                {"type": "string", "pattern": units.FRACTION_PATTERN},
            ]
        }
    ),
]
Ratio = Annotated[float, BeforeValidator(partial(_positive, "ratio")), _schema("ratio")]
Positive = Annotated[float, Field(gt=0)]  # 4 is one too, true and "4" are none
Share = Annotated[Fraction, Field(gt=0, lt=1)]
Number = Annotated[float, BeforeValidator(partial(_at_least_zero, "count")), _schema("count")]


def _quantity(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{shown(value)} is no quantity; write a number with its unit")
    return value


# In a unit that a plugin says: read when the plugin is known.
Quantity = Annotated[Any, BeforeValidator(_quantity), WithJsonSchema({"type": ["number", "string"]})]


# --- lists ---------------------------------------------------------------------------------------------------------


def _as_list(value: Any) -> Any:
    """A list of one may be written without brackets, as on the command line: `--config schemes=int8_static`."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _no_repeats(value: tuple[Any, ...]) -> tuple[Any, ...]:
    repeated = next((item for i, item in enumerate(value) if item in value[:i]), None)
    if repeated is not None:
        raise ValueError(f"{repeated!r} is listed twice")
    return value


def _not_empty(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if not value:
        raise ValueError("is empty; name at least one")
    return value


def listed(item: Any) -> BeforeValidator:
    """Takes a list, or one item in place of a list of one."""
    return BeforeValidator(_as_list, json_schema_input_type=item | list[item])


unique = AfterValidator(_no_repeats)
not_empty = AfterValidator(_not_empty)
