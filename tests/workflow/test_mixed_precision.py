"""A model that is hard to quantize: int8 loses, the layers that lose it are found, and it passes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.workflow.conftest import Project

from edgeflow import files, layout
from edgeflow.types.ladder import Sensitivity
from edgeflow.types.programs import Measured, Program

pytestmark = [pytest.mark.workflow, pytest.mark.toolchain, pytest.mark.xdist_group("workflow")]
LAYERS = {"blocks.1.depthwise", "blocks.1.pointwise"}  # between which bench/uneven.py spreads the channels
PROFILES = {"onnxruntime": ("onnxruntime-x86", "onnx"), "litert": ("tflite", "tflite")}


def uneven(made: Project, source: Path) -> Project:
    """The project with the uneven network, and a scheme that may keep layers."""
    shutil.copy2(source / "bench/uneven.py", made.folder)
    model = yaml.safe_load((made.folder / "config/models/digits_dscnn.yaml").read_text())
    model |= {"builder": "uneven.py:build", "arguments": {"channels": 32, "blocks": 3}}
    model["training"] |= {"epochs": 8}
    (made.folder / "config/models/uneven.yaml").write_text(yaml.safe_dump(model))
    static = yaml.safe_load((made.folder / "config/schemes/int8_static.yaml").read_text())
    (made.folder / "config/schemes/mixed.yaml").write_text(
        yaml.safe_dump({**static, "mixed_precision": {"drop": "1 %"}})
    )
    return made


def test_the_layers_that_lose_are_found_and_kept(fresh: Callable[..., Project], project: Path) -> None:
    targets = ["linux_x86_ort", "linux_x86_litert", "cortex_m4_tflm"]
    made = uneven(fresh(models=["uneven"], targets=targets, schemes=["fp32", "int8_static", "mixed"]), project)
    made.run(
        *(
            layout.measure("uneven", target, scheme)["measurement"]
            for target in targets
            for scheme in ("int8_static", "mixed")
        )
    )

    for runtime, (profile, file_format) in PROFILES.items():
        path = layout.sensitivity("uneven", profile, "mixed", file_format)["sensitivity"]
        sensitivity = files.read_as(Sensitivity, made.folder / path)
        assert set(sensitivity.kept) == LAYERS, runtime
        assert {layer.name for layer in sensitivity.layers[:2]} == LAYERS, runtime
        assert sensitivity.drop_quantized > 0.03
        assert sensitivity.interval_mixed.high <= sensitivity.limit == 0.01

    for target in targets:
        drops = {}
        for scheme in ("int8_static", "mixed"):
            path = made.folder / layout.measure("uneven", target, scheme)["measurement"]
            measured = files.read_as(Measured, path)
            drops[scheme] = next(m.value for m in measured.measurements if m.metric == "accuracy_drop")
        assert drops["int8_static"] > 0.03, target
        assert drops["mixed"] < 0.01, target

    program = files.read_as(Program, made.folder / layout.compile("uneven", "litert", "any", "int8_static")["info"])
    noisiest = program.ladder.rungs[2].noisiest
    assert noisiest[0].name in LAYERS
    kept = files.read_as(Program, made.folder / layout.compile("uneven", "litert", "any", "mixed")["info"])
    assert set(kept.ladder.rungs[2].kept) == LAYERS

    # TFLite Micro and LiteRT share the ranking and the model; a second run has nothing to do.
    assert not [job for job in made.pending() if job[0] in ("sensitivity", "optimize")]
