"""A project of any size with the checkout's own Snakefile, rules, profiles and plugins, whose jobs are stubs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).parent.parent
PLUGINS = Path(__file__).parent / "plugins"
PARTS = ("Snakefile", "rules", "profiles", "envs")
TARGETS = ("linux_x86", "linux_arm64")  # they share nothing after the conversion: each has its own profile
SCHEMES = 10
CELLS_PER_MODEL = len(TARGETS) * SCHEMES
STATIC = 7  # int8_static with as many different calibration counts, beside fp32, fp16 and int8_dynamic


def make(folder: Path, variants: int) -> None:
    """Write a project of so many variants, a multiple of CELLS_PER_MODEL, into an empty folder."""
    folder.mkdir(parents=True)
    for part in PARTS:
        source = CHECKOUT / part
        if source.is_dir():
            shutil.copytree(source, folder / part)
        else:
            shutil.copy2(source, folder / part)
    (folder / ".toolchains").mkdir()
    for lock in (folder / "envs").glob("*.txt"):
        (folder / ".toolchains" / f"{lock.stem}.json").write_text("{}\n", encoding="utf-8")
    models = [f"model_{i:04}" for i in range(variants // CELLS_PER_MODEL)]
    _copy(folder, "datasets/digits_1x49x10")
    for name in ("fp32", "fp16", "int8_dynamic"):
        _copy(folder, f"schemes/{name}")
    static = [f"int8_static_{8 * i}" for i in range(1, STATIC + 1)]
    for i, name in enumerate(static, 1):
        _write(folder, f"schemes/{name}", {**_read("schemes/int8_static"), "calibration": {"samples": 8 * i}})
    for target, arch in zip(TARGETS, ("x86_64", "aarch64"), strict=True):
        _write(folder, f"targets/{target}", {**_read("targets/linux_x86_ort"), "arch": arch})
    for model in models:
        _write(folder, f"models/{model}", {**_read("models/digits_dscnn"), "description": model})
    schemes = ["fp32", "fp16", "int8_dynamic", *static]
    matrix = {"models": models, "targets": list(TARGETS), "schemes": schemes, "baseline": "fp32"}
    _write(folder, "config", matrix)


def change_budget(folder: Path, percent: int) -> None:
    """Give the first target another limit on accuracy."""
    path = folder / f"config/targets/{TARGETS[0]}.yaml"
    target = yaml.safe_load(path.read_text(encoding="utf-8"))
    target["budgets"]["accuracy_drop"]["max"] = f"{percent} %"
    path.write_text(yaml.safe_dump(target), encoding="utf-8")


def environment() -> dict[str, str]:
    """Variables for Snakemake with `--executor stub`; toolchains are pinned ones, as for users."""
    return {**os.environ, "PYTHONPATH": str(PLUGINS), "EDGEFLOW_ENVS": ""}


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CHECKOUT / f"config/{name}.yaml").read_text(encoding="utf-8"))
    return found


def _write(folder: Path, name: str, content: dict[str, Any]) -> None:
    path = folder / f"config/{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _copy(folder: Path, name: str) -> None:
    path = folder / f"config/{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(CHECKOUT / f"config/{name}.yaml", path)
