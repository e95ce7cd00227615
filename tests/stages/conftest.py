"""Datasets prepared from samples at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.prepared import outputs

from edgeflow.plugin import DatasetLoader, Samples
from edgeflow.stages import prepare


@pytest.fixture
def prepare_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[prepare.Spec, Samples], Path]:
    """Prepare what a stand-in for a loader gives; returns the folder of the outputs."""

    def run(spec: prepare.Spec, samples: Samples) -> Path:
        loader = DatasetLoader("own", "a stand-in", "", lambda _: samples, lambda _: ())
        monkeypatch.setattr(prepare, "load_reference", lambda _: loader)
        prepare.run(spec, prepare.Inputs(), outputs(tmp_path / "out"))
        return tmp_path / "out"

    return run
