"""What `edgeflow try` prints at its end."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from edgeflow.scaffold import imported, outcome
from edgeflow.scaffold.imported import Data, File
from edgeflow.stages import report
from edgeflow.stages.signature import Described
from edgeflow.types.signatures import Signature, Tensor

sys.path.append(str(Path(__file__).parent.parent / "report"))
from synthetic import DETECTOR, IMPORTED, MATRIX, TARGETS, build

SIGNATURE = Signature((Tensor("image", "float32", ("batch", 3, 96, 96)),), (Tensor("scores", "float32", (1, 2)),))
LABELLED = Data("npz", {"file": "data/labelled.npz"}, 500, ("cat", "dog"))


def told(root: Path, only: str, model: imported.Model, capsys: pytest.CaptureFixture[str]) -> str:
    """What is printed of one model of a results tree."""
    matrix = {key: case for key, case in {**MATRIX, **IMPORTED}.items() if key[0] == only}
    used = tuple(target for target in TARGETS if any(target.id == of for _, of, _ in matrix))
    report.run(*build(root, matrix, used))
    capsys.readouterr()
    outcome.tell(model)
    return capsys.readouterr().out


def model(data: Data | None = None) -> imported.Model:
    return imported.described(File(Path("/x/detector.onnx"), "onnx", "", SIGNATURE, ()), DETECTOR, data, {})


def test_every_figure_of_a_variant_has_the_mark_of_its_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = told(tmp_path, "digits_dscnn", model(LABELLED), capsys)
    table = said[said.index("peak memory") :]
    (simulated,) = re.findall(r"^cortex_m4_tflm .*$", table, re.MULTILINE)
    assert len(re.findall(r"\d (?:%|KiB) ˢ", simulated)) >= 2
    (estimated,) = (line for line in table.splitlines() if "µs ᵉ" in line)  # of the Ethos-U55
    assert "% ʰ" in estimated
    (device,) = re.findall(r"^linux_x86_ort .*$", table, re.MULTILINE)
    assert not re.search("[ˢʰᵉ*]", device)
    assert "linux_x86_litert" in table  # names are never cut
    assert "…" not in table.partition("[1]")[0]


def test_what_is_of_random_inputs_says_so_in_every_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = told(tmp_path, DETECTOR, model(), capsys)
    table = said[said.index("peak memory") :]
    assert all(f"{figure} dB*" in table for figure in ("120.0", "62.4", "28.7", "13.2"))
    assert "edgeflow try detector.onnx --data" in said


def test_what_was_assumed_of_samples_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    photos = Data("image_folder", {"folder": "data/photos"}, 500, ("cat", "dog"), named=True, notes=("By name.",))
    said = told(tmp_path, "digits_dscnn", model(photos), capsys)
    assert "config/datasets/detector_samples.yaml: By name. Pixels from 0 to 255 become 0 to 1" in said
    small = Data("npz", {"file": "data/small.npz"}, 500, ("cat", "dog"), shapes={"image": (3, 28, 28)})
    outcome.tell(model(small))
    said = capsys.readouterr().out
    assert "Images of 28x28 pixels are resized to the 96x96 that the model takes." in said
    assert "Pixels" not in said


def test_a_quantized_file_whose_program_is_float32_is_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its answers are those of integers; its size and times are not."""
    monkeypatch.chdir(tmp_path)
    quantized = File(Path("/x/detector.onnx"), "onnx", "int8 weights and activations", SIGNATURE, ())
    matrix = {key: case for key, case in MATRIX.items() if key[0] == "digits_dscnn"}
    report.run(*build(tmp_path, matrix, TARGETS))
    monkeypatch.setattr(outcome.signature, "read", lambda path, _: Described("tflite", SIGNATURE, kinds[path.parts[4]]))
    monkeypatch.setattr(outcome.routes, "format_of", lambda *_: "tflite")
    kinds = {target.id: "int8 weights" for target in TARGETS} | {"linux_x86_litert": ""}
    outcome.tell(imported.described(quantized, DETECTOR, LABELLED, {}))
    said = capsys.readouterr().out
    assert "detector.onnx has int8 weights and activations; what was made of it for linux_x86_litert" in said
    kinds["linux_x86_litert"] = "int8 weights"
    outcome.tell(imported.described(quantized, DETECTOR, LABELLED, {}))
    assert "is stored as float32" not in capsys.readouterr().out
