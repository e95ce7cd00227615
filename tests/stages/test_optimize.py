"""optimize on a tiny backend: settings that change nothing are refused, and the ladder counts operators."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.answers import BINDING, MATRIX
from tests.stages.linear import SAMPLES, write_setting

from edgeflow import files
from edgeflow.errors import StageError
from edgeflow.stages import optimize as stage
from edgeflow.types.ladder import Ladder, Rung
from edgeflow.types.variants import SOURCE, Scheme

COUNT = """

def operators_in(program):
    return {"MatMul": 1, "Add": 2}
"""
BACKEND = MATRIX + COUNT

PLUGINS = """
from pathlib import Path

import numpy as np

from edgeflow.plugin import Runtime, Tolerance, Unsupported
from edgeflow.types.figures import Evidence

BLIND = Path(__file__).with_name("blind.txt")  # to which setting the quantizer is blind


def optimize(job):
    scheme, blind = job.scheme, BLIND.read_text()
    assert not scheme.as_is
    assert not list(job.work.iterdir())
    weights = np.load(job.source)
    if scheme.weights != "float32" and blind != "mode weight_only":
        steps = 8 if scheme.weights == "int4" and blind != "weights int4" else 128
        weights = np.rint(weights * steps) / np.float32(steps)
    if scheme.calibration_method != "minmax" and blind != "calibration.method":
        weights = weights * np.float32(scheme.percentile or 0.9)
    if scheme.bias_correction and blind != "bias_correction":
        weights = weights + np.float32(1e-3) * next(iter(job.calibration))["x"].mean()
    with job.output.open("wb") as stream:
        np.save(stream, weights)


plugin = Runtime(
    id="micro", description="", format="npy", program_suffix="npy", toolchain="core",
    backend=Path(__file__).with_name("backend.py"), evidence=Evidence.SIMULATOR, times=False,
    supports=lambda scheme, target: None, compile=lambda job: Unsupported(""),
    compile_tolerance=lambda scheme: Tolerance(0.0, ""),
    optimize=optimize, optimize_tolerance=Tolerance(0.0, "it is copied"),
)
"""
PLAIN = Scheme("plain", "int8", "int8", "static", calibration_samples=8)
FINE = Scheme("fine", "int4", "float32", "weight_only", calibration_samples=8, bias_correction=True)
MSE = replace(PLAIN, id="mse", calibration_method="mse", bias_correction=True)
AS_IS = Scheme("as_is", SOURCE, SOURCE, "as_is")
PERCENTILE = replace(PLAIN, id="percentile", calibration_method="percentile", percentile=0.99)


@dataclass(frozen=True)
class Setting:
    """A folder with a converted model and the samples."""

    folder: Path

    def optimize(self, scheme: Scheme, blind: str = "") -> Ladder:
        """The ladder of what a quantizer makes that is blind to a setting."""
        (self.folder / "blind.txt").write_text(blind)
        spec = stage.Spec(
            model="m",
            scheme=scheme,
            profile="micro",
            runtime=f"{self.folder}/plugins.py:plugin",
            task="edgeflow.tasks.classification:plugin",
        )
        names = ("model", "outputs", "ladder", "golden", "evaluation", "calibration")
        made = stage.Outputs(*(self.folder / f"{name}.out" for name in ("model", "outputs", "ladder")))
        stage.run(spec, stage.Inputs(**{name: self.folder / name for name in names}), made)
        return files.read_as(Ladder, made.ladder)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    digest = write_setting(tmp_path, "model")
    rung = Rung("convert", "accuracy", 1.0, SAMPLES, None, None, 1.0, None, None, "", digest, "torch")
    files.write_json(tmp_path / "ladder", Ladder((rung,), binding=BINDING))
    (tmp_path / "backend.py").write_text(BACKEND)
    (tmp_path / "plugins.py").write_text(PLUGINS)
    return Setting(tmp_path)


@pytest.mark.parametrize("scheme", [PLAIN, FINE, MSE, PERCENTILE], ids=lambda scheme: scheme.id)
def test_settings_that_change_the_model_pass(setting: Setting, scheme: Scheme) -> None:
    before, made = setting.optimize(scheme).rungs
    assert made.artifact_sha256 == files.sha256_file(setting.folder / "model.out") != before.artifact_sha256


def test_a_model_as_it_is_keeps_every_byte_and_is_asked(setting: Setting) -> None:
    before, made = setting.optimize(AS_IS).rungs
    assert (setting.folder / "model.out").read_bytes() == (setting.folder / "model").read_bytes()
    assert (made.artifact_sha256, made.golden_max_abs, made.tolerance) == (before.artifact_sha256, 0, 0)


@pytest.mark.parametrize(
    ("scheme", "blind", "key"),
    [
        (FINE, "bias_correction", "bias_correction"),
        (FINE, "weights int4", "weights int4 (in place of int8)"),
        (FINE, "mode weight_only", "weights int4 (in place of int8)"),
        (replace(FINE, weights="int8"), "mode weight_only", "mode weight_only"),
        (MSE, "bias_correction", "bias_correction"),
        (MSE, "calibration.method", "calibration.method mse"),
        (PERCENTILE, "calibration.method", "calibration.method percentile"),
        (replace(PLAIN, id="narrow", weights="int4"), "weights int4", "weights int4 (in place of int8)"),
    ],
)
def test_a_setting_that_changes_nothing_is_refused(setting: Setting, scheme: Scheme, blind: str, key: str) -> None:
    with pytest.raises(StageError) as refusal:
        setting.optimize(scheme, blind)
    assert str(refusal.value) == (
        f"optimize: scheme {scheme.id}: {key} changes nothing: the model has the same bytes without it. "
        "Remove the key, or take the model or the target out of the scheme's cells with 'exclude'"
    )
    assert not (setting.folder / "model.out").exists()


def test_the_ladder_counts_the_operators_of_the_file(setting: Setting) -> None:
    before, made = setting.optimize(PLAIN).rungs
    assert before.operators == {}
    assert list(made.operators.items()) == [("Add", 2), ("MatMul", 1)]
