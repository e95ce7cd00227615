"""The package format `.efpkg`: pack, read and verify; docs/reference/package.md describes it byte by byte."""

from edgeflow.efpkg.archive import describe, pack, verify, verify_stream
from edgeflow.efpkg.manifest import (
    ITEM_BYTES,
    SCHEMA,
    SCHEMA_V1,
    SCHEMA_V2,
    Array,
    File,
    Golden,
    Manifest,
    ManifestV1,
    Needs,
    Postprocessing,
    PreprocessingV1,
    RuntimeNeed,
)
from edgeflow.efpkg.summary import verify_command

__all__ = [
    "ITEM_BYTES",
    "SCHEMA",
    "SCHEMA_V1",
    "SCHEMA_V2",
    "Array",
    "File",
    "Golden",
    "Manifest",
    "ManifestV1",
    "Needs",
    "Postprocessing",
    "PreprocessingV1",
    "RuntimeNeed",
    "describe",
    "pack",
    "verify",
    "verify_command",
    "verify_stream",
]
