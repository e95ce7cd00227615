"""What others reported of converters, quantizers and kernels: each is right here, or refused by name, on every runtime.

Numbers are held against PyTorch's; a refusal must say which operator and whose.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.toolchain, pytest.mark.xdist_group("reported")]
JOBS = Path(__file__).with_name("reported_jobs.py")
NETS = (
    *("transposed_view", "ceil_pool", "ceil_pool_padded", "hard_swish", "even_kernel", "aligned_corners", "recurrent"),
    *("tiny_weights", "transposed", "used_twice", "mostly_negative", "transformer"),
)
EVERYWHERE = [*((target, "fp32") for target in ("x86", "litert", "micro")), *((t, "int8") for t in ("x86", "arm"))]
EVERYWHERE += [(target, "int8") for target in ("litert", "micro", "ethos")]
WIDE = [(target, "int16") for target in ("x86", "litert", "micro", "ethos")]
ASKED = [
    *((net, *variant) for net in NETS for variant in EVERYWHERE),
    *((net, *variant) for net in ("aligned_corners", "hard_swish", "tiny_weights", "transformer") for variant in WIDE),
    *(("transformer", *variant) for variant in (("x86", "fp16"), ("litert", "fp16"), ("x86", "weights"))),
]
MOST = {"fp32": 1e-4, "fp16": 2e-3, "int8": 0.03, "int16": 0.01, "weights": 0.01}  # of the range of PyTorch's answers
CLIPPED = r"LiteRT: ai-edge-quantizer clips the biases of CONV_2D: .* more than 32 bits"
WINDOW = r"LiteRT: ai-edge-quantizer cannot apply int8: .*STABLEHLO_REDUCE_WINDOW"
MANY = r"TFLite Micro cannot run the model: CONCATENATION: .* num_inputs <= kMaxInputNum was not true"
NO_GELU = r"TFLite Micro cannot run the model: Didn't find op for builtin opcode 'GELU'"
REFUSED = {
    "transformer x86 fp16": (
        r"ONNX Runtime, CPU execution provider: executing ends in a crash \(SIGSEGV, signal 11\), at operator MatMul"
    ),
    "ceil_pool_padded micro fp32": (
        r"TFLite Micro cannot run the model: Didn't find op for builtin opcode 'STABLEHLO_REDUCE_WINDOW'"
    ),
    **{f"ceil_pool_padded {target} int8": WINDOW for target in ("litert", "micro", "ethos")},
    **{f"tiny_weights {target} int8": CLIPPED for target in ("litert", "micro", "ethos")},
    **{f"tiny_weights {target} int16": CLIPPED for target in ("litert", "micro", "ethos")},
    "recurrent micro fp32": MANY,
    **{f"recurrent {target} int8": MANY for target in ("micro", "ethos")},
    "transformer micro fp32": NO_GELU,
    **{f"transformer {target} int8": NO_GELU for target in ("micro", "ethos")},
    **{f"transformer {target} int16": NO_GELU for target in ("micro", "ethos")},
    "aligned_corners ethos int8": r"Ethos-U: 1 operators stay on the CPU: RESIZE_BILINEAR",
    **{
        f"aligned_corners {target} int16": (
            r"TFLite Micro cannot run the model: RESIZE_BILINEAR: Output type is 7, requires float or int8"
        )
        for target in ("micro", "ethos")
    },
    "hard_swish ethos int16": r"Ethos-U: vela cannot compile the model: .*HARD_SWISH .*IFM has to be 8bit",
}


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, project: Path, torch_python: Path, edge_python: Path
) -> dict[str, Any]:
    """PyTorch's answers by net, the answers of models and programs, and what was refused."""
    folder = tmp_path_factory.mktemp("reported")
    (folder / "asked.json").write_text(json.dumps(ASKED))
    for python, job in ((torch_python, "convert"), (edge_python, "build")):
        command = [str(python), str(JOBS), str(folder), job]
        environment = {**os.environ, "PYTHONPATH": str(project / "src")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    with np.load(folder / "answered.npz") as archive:
        answered = dict(archive)
    return {
        "torch": {net: np.load(folder / f"{net}.npz")["y"] for net in NETS},
        "answered": answered,
        "refused": json.loads((folder / "refused.json").read_text()),
        "unconverted": json.loads((folder / "unconverted.json").read_text()),
    }


def test_every_net_is_converted(built: dict[str, Any]) -> None:
    assert built["unconverted"] == {}


@pytest.mark.parametrize("variant", [variant for variant in map(" ".join, ASKED) if variant not in REFUSED])
def test_answers_are_those_of_pytorch(built: dict[str, Any], variant: str) -> None:
    assert variant not in built["refused"], built["refused"][variant]
    net, _, scheme = variant.split()
    expected = built["torch"][net]
    for made in ("model", "program"):
        assert abs(built["answered"][f"{variant} {made}"] - expected).max() <= MOST[scheme] * np.ptp(expected)


@pytest.mark.parametrize("variant", REFUSED)
def test_what_is_not_right_is_refused_by_name(built: dict[str, Any], variant: str) -> None:
    assert re.search(REFUSED[variant], built["refused"][variant])


@pytest.mark.parametrize("net", NETS)
def test_a_batch_answers_as_its_samples_alone(built: dict[str, Any], net: str) -> None:
    """GRUs have answered otherwise in batches of three; programs are asked one by one, models in batches."""
    variants = [variant for variant in map(" ".join, ASKED) if variant.startswith(f"{net} x86")]
    for variant in (variant for variant in variants if variant not in REFUSED):
        single = built["answered"][f"{variant} single"]
        batch = built["answered"][f"{variant} model"][: len(single)]
        assert len(single) == 3
        assert abs(batch - single).max() <= 1e-5 * np.ptp(batch)
