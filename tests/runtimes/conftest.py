"""Networks as .tflite files, made once by the toolchains, for the tests of the LiteRT family."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeflow.types.plain import to_json
from edgeflow.types.variants import Scheme

JOBS = Path(__file__).with_name("tflite_jobs.py")
NUMBERS = itertools.count()
SAMPLES = 48
NETS = ("mixed", "sine", "wide", "roomy", "sparse", "faint", "deep")  # of tflite_nets.py, those that can be converted
SCHEMES = {
    "fp32": Scheme("fp32", "float32", "float32", "float"),
    "fp16": Scheme("fp16", "float16", "float16", "float"),
    "int8_dynamic": Scheme("int8_dynamic", "int8", "int8", "dynamic"),
    "int8_static": Scheme("int8_static", "int8", "int8", "static", calibration_samples=SAMPLES),
    "int16x8": Scheme("int16x8", "int8", "int16", "static", calibration_samples=SAMPLES),
}
INT8, INT16 = SCHEMES["int8_static"], SCHEMES["int16x8"]
WEIGHTS = Scheme("int8_weights", "int8", "float32", "weight_only")
CORRECTED = {"bias_correction": True, "calibration_samples": SAMPLES}
FINER = {
    "mse": replace(INT8, calibration_method="mse"),
    "percentile": replace(INT8, calibration_method="percentile", percentile=0.99),
    "wide_percentile": replace(INT16, calibration_method="percentile", percentile=0.99),
    "wide_mse": replace(INT16, calibration_method="mse"),
    "static4": replace(INT8, weights="int4"),
    "static4_per_tensor": replace(INT8, weights="int4", per_channel=False),
    "static4_corrected": replace(INT8, weights="int4", **CORRECTED),
    "static16x4": replace(INT16, weights="int4"),
    "static16x4_corrected": replace(INT16, weights="int4", **CORRECTED),
    "static8_corrected": replace(INT8, **CORRECTED),
    "weights8": WEIGHTS,
    "weights8_per_tensor": replace(WEIGHTS, per_channel=False),
    "weights4": replace(WEIGHTS, weights="int4"),
    "weights4_corrected": replace(WEIGHTS, weights="int4", **CORRECTED),
}


@dataclass(frozen=True)
class Running:
    """Jobs of tflite_jobs.py in a process of their own."""

    process: subprocess.Popen[str]
    answers: Path

    def finish(self) -> list[Any]:
        """What each job returned."""
        said, _ = self.process.communicate()
        if self.process.returncode != 0:
            pytest.fail(f"{JOBS.name}: exit code {self.process.returncode}\n{said[-3000:]}")
        answers: list[Any] = json.loads(self.answers.read_text())
        return answers


@dataclass(frozen=True)
class Toolchain:
    """Does jobs in an interpreter."""

    python: Path
    project: Path
    folder: Path

    def start(self, *jobs: list[Any], **environment: str) -> Running:
        """Begin to do jobs, one after the other."""
        answers = self.folder / f"answers{next(NUMBERS)}.json"
        process = subprocess.Popen(
            [str(self.python), str(JOBS), str(answers), *(json.dumps(to_json(job), default=str) for job in jobs)],
            env={**os.environ, "PYTHONPATH": str(self.project / "src"), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return Running(process, answers)

    def __call__(self, *jobs: list[Any], **environment: str) -> list[Any]:
        """What each job returned."""
        return self.start(*jobs, **environment).finish()


@pytest.fixture(scope="session")
def tflite_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where x.npy lies, float32[SAMPLES, 2, 12, 10], whose last sample is far out, and where the models are made."""
    folder = tmp_path_factory.mktemp("tflite")
    x = np.random.default_rng(3).standard_normal((SAMPLES, 2, 12, 10), dtype=np.float32)
    x[-1] *= 6
    np.save(folder / "x.npy", x)
    return folder


@pytest.fixture(scope="session")
def edge(edge_python: Path, project: Path, tflite_folder: Path) -> Toolchain:
    """The edge toolchain."""
    return Toolchain(edge_python, project, tflite_folder)


@pytest.fixture(scope="session")
def converted(torch_python: Path, project: Path, tflite_folder: Path) -> Path:
    """A folder with every network as <net>.tflite and PyTorch's answers as <net>.npy.

    mixed.again.tflite is from another process, with other hashes and another time zone; mixed.raw.tflite is as the
    converter writes it; eigen.json says why there is no eigen.tflite.
    """
    torch, x = Toolchain(torch_python, project, tflite_folder), tflite_folder / "x.npy"
    first = torch.start(
        *(["convert", net, x, tflite_folder / f"{net}.tflite"] for net in NETS),
        PYTHONHASHSEED="1",
    )
    second = torch.start(
        ["convert_and_keep_raw", "mixed", x, tflite_folder / "mixed.again.tflite", tflite_folder / "mixed.raw.tflite"],
        ["convert", "eigen", x, tflite_folder / "eigen.tflite"],
        PYTHONHASHSEED="77",
        TZ="Asia/Tokyo",
    )
    assert first.finish() == [None] * len(NETS)
    *_, refusal = second.finish()
    (tflite_folder / "eigen.json").write_text(json.dumps(refusal))
    return tflite_folder


@pytest.fixture(scope="session")
def optimized(converted: Path, edge: Toolchain) -> Path:
    """The same folder, with <net>.<scheme>.tflite for mixed and wide in every scheme, sine, faint and deep in int8."""
    x = converted / "x.npy"
    variants = [(net, scheme) for net in ("mixed", "wide") for scheme in SCHEMES.values()]
    edge(
        *(
            [
                "optimize",
                converted / f"{net}.tflite",
                scheme,
                x if scheme.mode == "static" else None,
                converted / f"{net}.{scheme.id}.tflite",
            ]
            for net, scheme in [*variants, ("sine", INT8), ("faint", INT8), ("deep", INT8)]
        )
    )
    return converted


@pytest.fixture(scope="session")
def finer(optimized: Path, edge: Toolchain) -> Path:
    """The same folder, with <net>.<scheme>.tflite for mixed in every finer scheme, and some for the others."""
    x = optimized / "x.npy"
    int4 = [*itertools.product(("wide", "sparse"), ("weights4", "static4")), ("roomy", "static4")]
    variants = [*(("mixed", name) for name in FINER), *int4]
    sizes = edge(
        *(
            [
                "optimize",
                optimized / f"{net}.tflite",
                FINER[name],
                x if FINER[name].calibration_samples else None,
                optimized / f"{net}.{name}.tflite",
            ]
            for net, name in variants
        )
    )
    assert all(isinstance(size, int) for size in sizes), sizes
    return optimized
