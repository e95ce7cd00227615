"""From what people bring to what runs: each source, network and runtime is right, or refused by the operator's name.

The whole table is `make routes`, which CI runs; `make test` has it for a few networks. Answers are held against those
of PyTorch and Keras, which the networks were written in; it is shown at the end of the run.
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

FAMILY, SMALL, NPU = RUNTIMES[1:], RUNTIMES[2:], RUNTIMES[3:]
PYTORCH, KERAS = ("torch", "torch_export"), ("keras", "tflite")
NO_OPERATOR, ON_CPU = r"TFLite Micro cannot run the model: .*", r"Ethos-U: \d+ operators stay on the CPU: .*"
# sources, networks, runtimes → what the reason says; all else is right
REFUSED = (
    (PYTORCH, ("transposed",), FAMILY, r"litert_torch cannot convert the model: .* operation 'mhlo\.convolution'"),
    (PYTORCH, ("adaptive_pool_uneven",), SMALL, NO_OPERATOR + "SELECT"),
    (PYTORCH, ("attention", "shared_weights"), NPU, ON_CPU + "EMBEDDING_LOOKUP"),
    ((*PYTORCH, "onnx"), ("gru", "lstm"), SMALL, NO_OPERATOR + r"CONCATENATION: .*kMaxInputNum"),
    ((*PYTORCH, "onnx"), ("two_inputs",), NPU, ON_CPU + "MEAN"),
    (SOURCES, ("resize",), NPU, ON_CPU + "RESIZE_BILINEAR"),
    ((*KERAS, "onnx"), ("prelu",), NPU, ON_CPU + "PRELU"),
    ((*KERAS, "onnx"), ("attention", "shared_weights"), SMALL, NO_OPERATOR + "SELECT"),
    (KERAS, ("adaptive_pool", "adaptive_pool_uneven"), NPU, ON_CPU + "GATHER"),
    (KERAS, ("layer_norm",), NPU, ON_CPU + "NEG"),
    (KERAS, ("gru", "lstm"), ("tflite_micro",), NO_OPERATOR + "WHILE: loops answer otherwise"),
    (KERAS, ("gru", "lstm"), NPU, "ai-edge-quantizer cannot apply int8: .*WHILE"),
    (("tflite",), ("gru", "lstm"), ("onnxruntime",), r"ONNX Runtime cannot run what tf2onnx made of the model: .*Loop"),
    (("onnx",), ("adaptive_pool_uneven",), SMALL, NO_OPERATOR + "TRANSPOSE"),
    (("onnx",), ("layer_norm",), NPU, NO_OPERATOR + "SQRT"),
)


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

    def halves(python: Path, job: str) -> list[tuple[Path, str, Sequence[str]]]:
        return [(python, job, nets[i::2]) for i in range(2) if nets[i::2]]

    def run(*jobs: tuple[Path, str, Sequence[str]]) -> None:
        environment = {**os.environ, "PYTHONPATH": str(project / "src"), "TF_CPP_MIN_LOG_LEVEL": "3"}
        running = {}
        for number, (python, job, chosen) in enumerate(jobs):
            log = folder / f"{job}.{number}.log"
            command = [str(python), str(JOBS), str(folder), job, *chosen]
            with log.open("w") as stream:
                running[log] = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=stream)
        for log, process in running.items():
            assert process.wait() == 0, log.read_text()[-3000:]

    run((torch_python, "torch", nets), (tf_python, "keras", nets))
    if without_onnx2tf:
        for net in nets:
            (folder / f"onnx.{net}.tflite.json").write_text(json.dumps(without_onnx2tf))
    else:
        run(*halves(project / ".toolchains/onnx2tf/bin/python", "onnx2tf"))
    run(*halves(edge_python, "build"))
    cells: dict[str, float | str] = {}
    for path in folder.glob("built.*.json"):
        cells |= json.loads(path.read_text())
    return cells


def _expected(source: str, net: str, runtime: str) -> str | None:
    reasons = [
        why for sources, nets, runtimes, why in REFUSED if source in sources and net in nets and runtime in runtimes
    ]
    return reasons[0] if reasons else None


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
