"""What all tests share: the project folder and the interpreters of its toolchains."""

from __future__ import annotations

from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def project() -> Path:
    """The checkout."""
    return PROJECT


def _interpreter(toolchain: str) -> Path:
    python = PROJECT / ".toolchains" / toolchain / "bin" / "python"
    if not python.exists():
        pytest.fail(f"toolchain {toolchain} is missing: run 'make test', which makes it")
    return python


@pytest.fixture(scope="session")
def torch_python() -> Path:
    """The interpreter of the torch toolchain."""
    return _interpreter("torch")


@pytest.fixture(scope="session")
def edge_python() -> Path:
    """The interpreter of the edge toolchain."""
    return _interpreter("edge")
