"""The package format `.efpkg`: build, read and verify; docs/reference/package.md describes it byte by byte."""

from edgeflow.efpkg.archive import build, describe, verify, verify_stream
from edgeflow.efpkg.manifest import (
    SCHEMA,
    File,
    Manifest,
    Needs,
    Postprocessing,
    RuntimeNeed,
)
from edgeflow.efpkg.summary import verify_command
from edgeflow.preprocessing import Preprocessing, Resize

__all__ = [
    "SCHEMA",
    "File",
    "Manifest",
    "Needs",
    "Postprocessing",
    "Preprocessing",
    "Resize",
    "RuntimeNeed",
    "build",
    "describe",
    "verify",
    "verify_command",
    "verify_stream",
]
