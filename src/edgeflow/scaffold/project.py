"""The files that every project has, whatever it builds."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from edgeflow import layout
from edgeflow.config import schemas
from edgeflow.errors import UsageError

TEMPLATES = Path(__file__).parent / "templates"
INSTALLED = Path(layout.PACKAGED)  # the configuration that edgeflow comes with, among other things
OF_SYSTEMS = (".git", ".DS_Store", ".gitignore", ".gitattributes")  # what an empty folder may have


def inside(path: Path) -> str:
    """Where a file or folder is that the project in this folder has already; "" for others, and for what was built."""
    relative = Path(os.path.relpath(path))
    return "" if relative.parts[:1] in ((os.pardir,), (layout.RESULTS,), ()) else relative.as_posix()


def refuse_filled(folder: Path) -> None:
    """Raises UsageError unless a folder is empty or not there yet."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder that is empty or not there yet")
    if there := sorted(name for name in os.listdir(folder) if name not in OF_SYSTEMS):
        more = f" and {len(there) - 3} more" if len(there) > 3 else ""
        raise UsageError(f"{folder} is not empty: it has {', '.join(there[:3])}{more}; name another folder")


def frame(title: str) -> dict[str, str]:
    """The files of a project without its configuration: path below the project → content."""
    profile = (INSTALLED / "profiles/default/config.yaml").read_text(encoding="utf-8")
    return {
        "Snakefile": _template("Snakefile"),
        ".gitignore": _template("gitignore"),
        "README.md": Template(_template("README.md")).substitute(title=title),
        "profiles/default/config.yaml": profile + _template("profile.yaml"),
        **{f"config/schema/{name}.json": f"{json.dumps(schema, indent=2)}\n" for name, schema in schemas().items()},
    }


def installed(path: str) -> str:
    """A file of the configuration that edgeflow comes with: `installed("schemes/fp32.yaml")`."""
    return (INSTALLED / "config" / path).read_text(encoding="utf-8")


def matrix(
    title: str,
    models: Sequence[str],
    targets: Sequence[str],
    schemes: Sequence[str],
    baseline: str,
    left_out: Mapping[str, str] = {},
) -> str:
    """config/config.yaml; `left_out` are targets that stand there as a comment, and why."""

    def listed(ids: Sequence[str]) -> str:
        return "".join(f"\n  - {one}" for one in ids)

    without = "".join(f"\n  # - {target}: {' '.join(why.split())}" for target, why in left_out.items())

    return f"""\
# yaml-language-server: $schema=schema/config.json
# What to build: models × targets × schemes. Any key can be overridden: snakemake --config schemes={schemes[-1]}
title: {json.dumps(title, ensure_ascii=False)}

models:{listed(models)}

targets:{listed(targets)}{without}

schemes:{listed(schemes)}

baseline: {baseline} # what the others are compared with
seed: 0
"""


def write(folder: Path, content: Mapping[str, str]) -> None:
    """Write files below a folder; one that is there already is left alone."""
    for name, text in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(text, encoding="utf-8")


def _template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
