"""Plugins that do nothing, with the ids and options that configurations in the tests name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeflow.plugin import Converter, DatasetLoader, Format, Framework, Option, Runtime, Task, Tolerance
from edgeflow.registry import Plugins
from edgeflow.types.figures import Direction, Evidence
from edgeflow.units import fraction


def _nothing(*_: Any) -> Any:
    return None


def _runtime(name: str, options: dict[str, Option] | None = None) -> Runtime:
    return Runtime(
        id=name,
        description="a stand-in",
        format="bin",
        program_suffix="bin",
        toolchain="core",
        backend=Path("backend.py"),
        evidence=Evidence.HOST,
        times=False,
        supports=_nothing,
        compile=_nothing,
        compile_tolerance=lambda scheme: Tolerance(0, "nothing changes"),
        target_options=options or {},
    )


TRAINING = {
    "epochs": Option("the epochs", required=True, type=int, least=1),
    "batch_size": Option("the batch_size", type=int, least=1),
    "learning_rate": Option("the learning_rate", type=float, above=0),
    "weight_decay": Option("the weight_decay", type=float, least=0),
    "label_smoothing": Option("the label_smoothing", type=fraction),
    "noise": Option("the noise", type=float, least=0),
}
NPZ = {
    "file": Option("the path of the file", required=True),
    "labels": Option("names of the classes", type=list),
}
VELA = {
    "system_config": Option("the section of vela.ini that describes the memories", required=True),
    "memory_mode": Option("where data are placed", required=True, choices=("Sram_Only", "Shared_Sram")),
}


@pytest.fixture(scope="session")
def config_plugins() -> Plugins:
    """One stand-in for each id that the default configuration names."""
    runtimes = [*map(_runtime, ("onnxruntime", "litert", "tflite_micro")), _runtime("ethos_u", VELA)]
    torch = Framework("torch", "a stand-in", "", _nothing, _nothing, _nothing, dict, TRAINING, take_weights=_nothing)
    task = Task("classification", "a stand-in", "accuracy", Direction.MAX, _nothing, _nothing, drop=_nothing)
    digits = DatasetLoader("sklearn_digits", "a stand-in", "", _nothing, _nothing)
    npz = DatasetLoader("npz", "a stand-in", "", _nothing, _nothing, NPZ)
    kind = Format("bin", "a stand-in", (".bin",), "core", _nothing, _nothing, _nothing, _nothing, Path("backend.py"))
    tolerance = Tolerance(0, "nothing changes")
    converter = Converter("torch_to_bin", "a stand-in", "torch", "bin", "core", _nothing, tolerance)
    return Plugins(
        runtimes={plugin.id: plugin for plugin in runtimes},
        frameworks={"torch": torch},
        tasks={"classification": task},
        loaders={"sklearn_digits": digits, "npz": npz},
        formats={"bin": kind},
        converters={"torch_to_bin": converter},
        references={},
    )
