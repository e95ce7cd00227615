"""The package format `.efpkg`: build, read and verify; docs/reference/package.md describes it byte by byte."""

from edgeflow.efpkg.archive import build, describe, verify, verify_stream
from edgeflow.efpkg.manifest import (
    ITEM_BYTES,
    SCHEMA,
    SCHEMA_V1,
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
    "Array",
    "File",
    "Golden",
    "Manifest",
    "ManifestV1",
    "Needs",
    "Postprocessing",
    "PreprocessingV1",
    "RuntimeNeed",
    "build",
    "describe",
    "verify",
    "verify_command",
    "verify_stream",
]
