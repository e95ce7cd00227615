"""From what people bring to what runs: each source, network and runtime is right, or refused by the operator's name.

The whole table is `make routes`; `make test` has it for a few networks. Answers are held against those of PyTorch and
Keras, which the networks were written in; it is shown at the end of the run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

pytestmark = [pytest.mark.toolchain, pytest.mark.tensorflow, pytest.mark.xdist_group("routes")]
JOBS = Path(__file__).with_name("route_jobs.py")
SOURCES = ("torch", "torch_export", "keras", "onnx", "tflite")
RUNTIMES = ("onnxruntime", "litert", "tflite_micro", "ethos_u")
ALWAYS = ("depthwise", "gru", "two_outputs", "cube")
NETS = (
    *("strided", "grouped", "dilated", "depthwise", "transposed", "hard_swish", "prelu", "adaptive_pool"),
    *("adaptive_pool_uneven", "layer_norm", "attention", "gru", "lstm", "resize", "two_inputs", "two_alike"),
    *("two_outputs", "shared_weights", "cube"),
)
MOST = {"onnxruntime": 1e-5, "litert": 1e-5, "tflite_micro": 1e-5, "ethos_u": 0.05}  # of the range of the answers

# network and runtime, from whatever source unless it is named first → what the reason says
REFUSED: dict[str, str] = {}


def _selected(session: pytest.Session) -> list[str]:
    """The networks of the tests that will run: the whole table takes minutes to make."""
    here = (item for item in session.items if isinstance(item, pytest.Function) and item.path == Path(__file__))
    chosen = {item.callspec.params["net"] for item in here if hasattr(item, "callspec")}
    return [net for net in NETS if net in chosen]


@pytest.fixture(scope="session")
def built(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    project: Path,
    torch_python: Path,
    tf_python: Path,
    edge_python: Path,
    without_onnx2tf: str,
) -> dict[str, float | str]:
    """By "SOURCE NET RUNTIME" how far the answers are from right, as a ratio of their range, or why there are none."""
    folder, nets = tmp_path_factory.mktemp("routes"), _selected(request.session)

    def run(*jobs: tuple[Path, str, Sequence[str]]) -> None:
        environment = {**os.environ, "PYTHONPATH": str(project / "src"), "TF_CPP_MIN_LOG_LEVEL": "3"}
        running = [
            subprocess.Popen(
                [str(python), str(JOBS), str(folder), job, *chosen],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=(folder / f"{job}.{i}.log").open("w"),
            )
            for i, (python, job, chosen) in enumerate(jobs)
        ]
        for i, (process, (_, job, _)) in enumerate(zip(running, jobs, strict=True)):
            assert process.wait() == 0, (folder / f"{job}.{i}.log").read_text()[-3000:]

    run((torch_python, "torch", nets), (tf_python, "keras", nets))
    if without_onnx2tf:
        for net in nets:
            (folder / f"onnx.{net}.tflite.json").write_text(json.dumps(without_onnx2tf))
    else:
        run((project / ".toolchains/onnx2tf/bin/python", "onnx2tf", nets))
    run(*((edge_python, "build", nets[i::2]) for i in range(2) if nets[i::2]))
    cells: dict[str, float | str] = {}
    for path in folder.glob("built.*.json"):
        cells |= json.loads(path.read_text())
    return cells


def _expected(source: str, net: str, runtime: str) -> str | None:
    return REFUSED.get(f"{source} {net} {runtime}", REFUSED.get(f"{net} {runtime}"))


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("net", [pytest.param(net, marks=() if net in ALWAYS else pytest.mark.routes) for net in NETS])
def test_a_route_is_right_or_refused(
    built: dict[str, float | str],
    record_property: Callable[[str, object], None],
    without_onnx2tf: str,
    source: str,
    net: str,
    runtime: str,
) -> None:
    cell = built[f"{source} {net} {runtime}"]
    record_property("route", (net, source, runtime, cell))
    if without_onnx2tf and cell == without_onnx2tf:
        pytest.skip(without_onnx2tf)
    reason = _expected(source, net, runtime)
    if reason is None:
        assert isinstance(cell, float), cell
        assert cell <= MOST[runtime]
    else:
        assert isinstance(cell, str), f"it is right now, within {cell:.1e}: {reason}"
        assert re.search(reason, cell), cell
