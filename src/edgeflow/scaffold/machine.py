"""The targets that can be built and run where edgeflow runs: this machine, and a microcontroller that is simulated."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass

ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
SYSTEMS = {"linux": "linux", "darwin": "macos"}
SHORT = {"x86_64": "x86", "aarch64": "arm64"}
RUNTIMES = {"onnxruntime": ("ort", "ONNX Runtime"), "litert": ("litert", "LiteRT with XNNPACK")}


@dataclass(frozen=True)
class Here:
    """A target that is this machine."""

    id: str
    description: str
    runtime: str
    arch: str


def targets(runtimes: Sequence[str] = tuple(RUNTIMES)) -> tuple[Here, ...]:
    """This machine as a target of each runtime that it can run; () for a processor that edgeflow has no name for."""
    arch = ARCHITECTURES.get(platform.machine().lower())
    system = SYSTEMS.get(sys.platform)
    if arch is None or system is None:
        return ()
    return tuple(
        Here(f"{system}_{SHORT[arch]}_{short}", f"this machine, {title}", runtime, arch)
        for runtime, (short, title) in RUNTIMES.items()
        if runtime in runtimes
    )


def target_file(here: Here, budgets: str) -> str:
    """config/targets/<id>.yaml; `budgets` is the key with all that is below it."""
    return f"""\
# yaml-language-server: $schema=../schema/target.json
description: {here.description}
runtime: {here.runtime}
arch: {here.arch}
threads: 1 # figures do not depend on how many cores there are

{budgets}"""


def device_file(targets: Sequence[Here]) -> str:
    """config/devices/this_host.yaml: what is timed here counts as timed on these targets."""
    listed = "".join(f"\n  - {here.id}" for here in targets)
    return f"""\
# yaml-language-server: $schema=../schema/device.json
description: the machine that edgeflow runs on
targets:{listed}
reach: local
"""
