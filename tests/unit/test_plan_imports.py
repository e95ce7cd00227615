"""Planning with models that somebody brings: what they share, what is refused, and what each job is given."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgeflow.config import Project, load, read_matrix
from edgeflow.plan import Plan, plan
from edgeflow.plan_table import show
from edgeflow.plugin import Converter
from edgeflow.registry import Plugins, discover
from edgeflow.wiring import Wiring

ONNX = b"\x08\x0a"  # as ONNX models begin: their version
FLOAT = "weights: float32\nactivations: float32\nmode: float\n"
PRUNED = FLOAT + "steps: [{prune: {epochs: 4, sparsity: 70 %}}]\n"
TAUGHT = FLOAT + "steps: [{distill: {epochs: 4, teacher: brought}}]\n"
Made = Callable[..., tuple[Project, Plan, Wiring]]


def edge(source: str, target: str, toolchain: str = "edge") -> Converter:
    template = discover().converters["torch_to_onnx"]
    return replace(template, id=f"{source}_to_{target}", source=source, target=target, toolchain=toolchain)


@pytest.fixture
def plugins() -> Plugins:
    """The built-in ones with no edge between files, and one more format."""
    known = discover()
    trained = {name: c for name, c in known.converters.items() if c.source in known.frameworks}
    middle = replace(known.formats["onnx"], id="middle", suffixes=(".middle",), recognizes=lambda path: False)
    references = {**known.references, ("format", "middle"): "edgeflow.formats.onnx:plugin"}
    return replace(known, converters=trained, formats={**known.formats, "middle": middle}, references=references)


@pytest.fixture
def make(project: Path, tmp_path: Path, plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A project with the model `brought`, which is models/kws.onnx, on two runtimes."""
    shutil.copytree(project / "config", tmp_path / "config")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/kws.onnx").write_bytes(ONNX)
    monkeypatch.chdir(tmp_path)

    def made(
        *edges: Converter,
        unavailable: dict[str, str] | None = None,
        config: dict[str, Any] | None = None,
        **matrix: Any,
    ) -> tuple[Project, Plan, Wiring]:
        model = {"source": "models/kws.onnx", "dataset": "digits_1x49x10", "task": "classification", **(config or {})}
        (tmp_path / "config/models/brought.yaml").write_text(yaml.safe_dump(model))
        references = {("converter", each.id): "edgeflow.converters.torch_to_onnx:plugin" for each in edges}
        with_edges = replace(
            plugins,
            converters={**plugins.converters, **{each.id: each for each in edges}},
            references={**plugins.references, **references},
            unavailable=lambda toolchain: (unavailable or {}).get(toolchain, ""),
        )
        given = {"models": ["brought"], "targets": ["linux_x86_ort", "linux_x86_litert"], "schemes": ["fp32"]}
        loaded = load(tmp_path, {**read_matrix(project), **given, **matrix}, with_edges)
        planned = plan(loaded, with_edges)
        return loaded, planned, Wiring(loaded, with_edges, planned)

    return made


def test_a_file_of_the_runtimes_own_format_needs_no_converter(make: Made) -> None:
    _, planned, wiring = make()
    assert [cell.reason for cell in planned.cells] == ["", "no converter leads from onnx to tflite"]
    assert "train" not in planned.jobs()
    assert planned.keys["source"] == (("brought",),)
    job = wiring.job("convert", {"model": "brought", "recipe": "base", "format": "onnx"})
    assert job.spec["converter"] == ""
    assert job.spec["source"]["path"] == "models/kws.onnx"
    assert (job.toolchain, job.inputs["files"]) == ("edge", ["models/kws.onnx"])
    assert job.inputs["ladder"] == "results/source/brought/ladder.json"


def test_each_edge_is_a_job_that_takes_what_the_one_before_made(make: Made) -> None:
    _, planned, wiring = make(edge("onnx", "onnx"), edge("onnx", "middle"), edge("middle", "tflite", "new"))
    assert planned.conversions == {
        ("brought", "base", "onnx"): ("onnx_to_onnx", ""),
        ("brought", "base", "middle"): ("onnx_to_middle", ""),
        ("brought", "base", "tflite"): ("middle_to_tflite", "middle"),
    }
    assert planned.jobs()["convert"] == (3, 3)
    first, last = (
        wiring.job("convert", {"model": "brought", "recipe": "base", "format": name}) for name in ("middle", "tflite")
    )
    assert first.inputs["model"] == []
    assert last.toolchain == "new"
    assert (last.inputs["model"], last.inputs["files"]) == ("results/convert/brought/base/middle/model.middle", [])
    assert last.inputs["outputs"] == "results/convert/brought/base/middle/outputs.safetensors"
    assert last.spec["source"]["path"] == ""


def test_what_this_machine_has_no_python_for_is_said(make: Made) -> None:
    _, planned, _ = make(edge("onnx", "tflite", "new"), unavailable={"new": "new needs Python 3.12 or newer"})
    assert planned.cells[1].reason == "torch.onnx.export cannot be used: new needs Python 3.12 or newer"


@pytest.mark.parametrize(
    ("model", "scheme", "reason"),
    [
        ("brought", PRUNED, "brought is imported: it can be quantized, not trained (prune)"),
        ("digits_dscnn", TAUGHT, "its teacher brought is imported, and only what is trained here teaches"),
    ],
)
def test_steps_of_a_training_are_refused(make: Made, tmp_path: Path, model: str, scheme: str, reason: str) -> None:
    (tmp_path / "config/schemes/trained.yaml").write_text(scheme)
    _, planned, _ = make(models=[model], schemes=["fp32", "trained"], targets=["linux_x86_ort"])
    assert [cell.reason for cell in planned.cells] == ["", reason]


def test_a_file_that_is_not_there_is_a_fault_of_its_cells(make: Made) -> None:
    _, planned, wiring = make(config={"source": "models/lost.onnx"}, targets=["linux_x86_ort"])
    said = "config/models/brought.yaml: source: models/lost.onnx: no such file; paths start at the project folder"
    assert wiring.faults() == {planned.cells[0]: said}


def test_a_file_of_no_known_format_is_infeasible(make: Made, tmp_path: Path) -> None:
    (tmp_path / "models/kws.bin").write_bytes(b"nothing")
    _, planned, _ = make(config={"source": "models/kws.bin"}, targets=["linux_x86_ort"])
    assert planned.cells[0].reason.startswith(
        "config/models/brought.yaml: source: models/kws.bin is of no format that is known: "
    )


def test_other_bytes_and_other_settings_change_what_is_made(make: Made, tmp_path: Path) -> None:
    keys = {"model": "brought"}, {"model": "brought", "recipe": "base", "format": "onnx"}

    def made(**config: Any) -> list[tuple[Any, str]]:
        _, _, wiring = make(config=config)
        return [(job.spec, job.fingerprint()) for job in map(wiring.job, ("source", "convert"), keys)]

    before = made()
    assert made(description="in other words") == before
    assert made(output="logits")[1] == before[1]
    assert made(output="logits")[0] != before[0]
    (tmp_path / "models/kws.onnx").write_bytes(ONNX + b"\x10")
    assert [after != earlier for after, earlier in zip(made(), before, strict=True)] == [True, True]


def test_a_folder_counts_with_all_that_is_in_it(make: Made, tmp_path: Path) -> None:
    folder = tmp_path / "models/kws"
    (folder / "variables").mkdir(parents=True)
    (folder / "kws.onnx").write_bytes(ONNX)
    (folder / "variables/data").write_bytes(b"1")
    _, planned, wiring = make(config={"source": "models/kws"})
    named = wiring._named("brought", weights=True)
    assert named.inputs["files"] == ["models/kws/kws.onnx", "models/kws/variables/data"]
    assert named.fault == ""
    assert not planned.feasible  # a folder with such a file in it is no ONNX model


def test_the_plan_shows_who_goes_which_way(make: Made, capsys: pytest.CaptureFixture[str]) -> None:
    loaded, planned, wiring = make(edge("onnx", "tflite"), models=["brought", "digits_dscnn"])
    show(loaded, wiring.plugins, planned, {}, ())
    rows = [re.split(r"\s{2,}", line.strip()) for line in capsys.readouterr().out.splitlines()]
    assert [row for row in rows if len(row) == 3 and ("→" in row[0] or row[0] == "onnx")] == [
        ["onnx", "taken as it is", "brought"],
        ["onnx → tflite", "torch.onnx.export (edge)", "brought"],
        ["torch → onnx", "torch.onnx.export (torch)", "digits_dscnn"],
        ["torch → tflite", "litert_torch (torch)", "digits_dscnn"],
    ]


def test_weights_beside_a_file_are_inputs_of_every_job_that_reads_it(make: Made, tmp_path: Path) -> None:
    location = b"\x0a\x08location\x12\x05w.bin"  # StringStringEntryProto
    weights = _field(13, location) + _field(1, b"\x02") + b"\x10\x02\x70\x01"  # uint8[2], external
    (tmp_path / "models/w.bin").write_bytes(b"ab")
    (tmp_path / "models/kws.onnx").write_bytes(b"\x08\x0a" + _field(7, _field(5, weights)))
    _, _, wiring = make()
    named = wiring.job("source", {"model": "brought"}).inputs["files"]
    assert named == ["models/kws.onnx", "models/w.bin"]


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def test_a_pickle_is_refused_with_the_way_out(make: Made, tmp_path: Path) -> None:
    (tmp_path / "models/model.pt").write_bytes(b"\x80\x02}.")
    _, planned, _ = make(config={"source": "models/model.pt"})
    assert planned.cells
    assert all(re.search("it is a pickle.*torch.export.save", cell.reason) for cell in planned.cells)
