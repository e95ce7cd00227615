"""JSON schemas of the configuration files, for editors: completion, descriptions, and most errors while typing."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from edgeflow.config.models import KINDS, Matrix
from edgeflow.config.section import Section


class _Generator(GenerateJsonSchema):
    """A key without a value is refused, so no schema allows null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        inner = super().default_schema(schema)
        return {key: value for key, value in inner.items() if key != "default" or value is not None}


def schemas() -> dict[str, dict[str, Any]]:
    """The schema of each kind of file by name: "config" for config/config.yaml, "dataset", "model", …"""
    sections: dict[str, type[Section]] = {"config": Matrix, **KINDS}
    return {name: cls.model_json_schema(schema_generator=_Generator) for name, cls in sections.items()}
