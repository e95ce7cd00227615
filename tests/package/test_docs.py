"""docs/reference/package.md says what the code does: its reader works, its list of keys is complete."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgeflow import efpkg
from edgeflow.preprocessing import Preprocessing, Resize
from edgeflow.stages.package import Archive, Figure, Record


@pytest.fixture(scope="module")
def page(project: Path) -> str:
    """The reference page."""
    return (project / "docs" / "reference" / "package.md").read_text(encoding="utf-8")


@pytest.fixture
def read(page: str, tmp_path: Path):
    """Run the page's reader on bytes."""
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "reader.py").write_text(code)

    def on(content: bytes) -> subprocess.CompletedProcess[str]:
        (tmp_path / "x.efpkg").write_bytes(content)
        command = [sys.executable, tmp_path / "reader.py", tmp_path / "x.efpkg"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return on


def test_the_reader_reads(read, good):
    done = read(good)
    assert (done.stdout, done.stderr) == ("net board int8_static program.tflite\n", "")


@pytest.mark.parametrize("place", ["manifest", "header", "content", "padding", "end", "tail"])
def test_the_reader_refuses(read, good, place):
    at = {
        "manifest": good.index(b"null"),
        "header": good.index(b"net.cc\0"),
        "content": good.index(b"#pragma"),
        "padding": good.index(b"#pragma") + 100,
        "end": len(good) - 1,
        "tail": len(good),
    }[place]
    damaged = bytearray(good + b"\0" if place == "tail" else good)
    damaged[at] ^= 2
    done = read(bytes(damaged))
    assert done.returncode == 1
    assert "ValueError: " in done.stderr


@pytest.mark.parametrize(
    "described",
    [
        efpkg.Manifest,
        efpkg.RuntimeNeed,
        efpkg.Needs,
        Preprocessing,
        Resize,
        efpkg.Array,
        efpkg.Golden,
        efpkg.Postprocessing,
        efpkg.File,
        Record,
        Archive,
        Figure,
    ],
)
def test_every_key_is_on_the_page(page, described):
    assert [field.name for field in dataclasses.fields(described) if f"`{field.name}`" not in page] == []
