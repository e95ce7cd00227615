"""What came of a build, in the terminal: what to ship, each variant, and what would decide more."""

from __future__ import annotations

from pathlib import Path


def show(model, folder: Path) -> None:
    """later"""
