"""Packages of two inputs, an image and token ids, and three outputs of any rank: verified, and their examples run."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.splits import write_named

from edgeflow import efpkg, files
from edgeflow.efpkg import Manifest
from edgeflow.plugin import PackageJob
from edgeflow.preprocessing import ORDER, Preprocessing
from edgeflow.runners import tensors
from edgeflow.runtimes.c_array import Arena, sources
from edgeflow.runtimes.python_example import python_example
from edgeflow.stages import golden
from edgeflow.stages.ladder import Outputs
from edgeflow.types.ladder import Ladder, Rung
from edgeflow.types.programs import Program
from edgeflow.types.signatures import Binding, Bound, Signature, Tensor
from edgeflow.types.variants import Target

N = 6
NAME = "net_int8"
# The names of the inputs sort against their order; the ids are int64 in the data, and a mask is a sample as a whole.
SIGNATURE = Signature(
    (Tensor("zoom", "int8", (1, 4, 5, 3), 0.02, -5), Tensor("ids", "int32", (1, 7))),
    (
        Tensor("boxes", "int8", (1, 2, 4), 0.1, 3),
        Tensor("count", "int32", (1,)),
        Tensor("mask", "float32", (3, 2)),
        Tensor("unused", "float32", (1, 9)),
    ),
)
BINDING = Binding(
    {"ids": Bound("ids"), "image": Bound("zoom", (1, 2, 0))},
    {"mask": Bound("mask"), "how many": Bound("count"), "boxes": Bound("boxes", (1, 0))},
)
HOW = {
    "image": Preprocessing(ORDER, (), None, None, {"uint8": (0.0, 255.0)}, (3, 4, 5), (0.4, 0.5, 0.6), (0.2,)),
    "ids": Preprocessing(ORDER, (), None, None, None, (7,), (0.0,), (1.0,), dtype="int64"),
}
RUNTIME = """
import json
import numpy as np
SHAPES = {"boxes": ("int8", (1, 2, 4)), "count": ("int32", (1,)), "mask": ("float32", (3, 2))}
def load(path):
    known = json.loads(path.read_text())
    def run(feed):
        assert feed["zoom"].shape == (1, 4, 5, 3) and feed["ids"].shape == (1, 7), feed
        answer = known[(feed["zoom"].tobytes() + feed["ids"].tobytes()).hex()]
        return {name: np.frombuffer(bytes.fromhex(answer[name]), kind).reshape(shape)
                for name, (kind, shape) in SHAPES.items()}
    return run
"""
STUB = """
#include <cstring>
#include "net_int8_golden.h"
bool net_int8_infer(const net_int8_input_ids_t* ids, const net_int8_input_image_t* image, net_int8_output_mask_t* mask,
                    net_int8_output_how_many_t* count, net_int8_output_boxes_t* boxes) {
  for (std::size_t i = 0; i < net_int8_golden_samples; ++i) {
    if (std::memcmp(ids, net_int8_golden_inputs_ids[i], sizeof net_int8_golden_inputs_ids[i]) != 0) continue;
    if (std::memcmp(image, net_int8_golden_inputs_image[i], sizeof net_int8_golden_inputs_image[i]) != 0) continue;
    std::memcpy(mask, net_int8_golden_outputs_mask[i], sizeof net_int8_golden_outputs_mask[i]);
    std::memcpy(count, net_int8_golden_outputs_how_many[i], sizeof net_int8_golden_outputs_how_many[i]);
    std::memcpy(boxes, net_int8_golden_outputs_boxes[i], sizeof net_int8_golden_outputs_boxes[i]);
#ifdef SPOILED
    mask[5] += 1.0f;
#endif
    return true;
  }
  return false;
}
"""


@dataclasses.dataclass(frozen=True)
class Made:
    """What was made, and its package."""

    described: efpkg.Golden
    package: Path
    folder: Path  # extracted


def _make(folder: Path, manifest: Manifest, language: str) -> Made:
    rng = np.random.default_rng(3)
    images, ids = rng.integers(0, 256, (N, 3, 4, 5), np.uint8), rng.integers(0, 50257, (N, 7))
    how = {"image": tensors.How(0.0, 255.0, HOW["image"].mean, HOW["image"].std), "ids": tensors.How()}
    write_named(folder / "golden", {"image": images, "ids": ids}, how)
    raw = {f"{row}/{name}": values[row][None] for name, values in (("image", images), ("ids", ids)) for row in range(N)}
    tensors.write(folder / "raw", raw)
    answers = {
        "boxes": ((rng.integers(-128, 128, (N, 4, 2)) - 3) * np.float32(0.1)).astype(np.float32),
        "how many": rng.integers(0, 9, N, np.int32),
        "mask": rng.normal(0, 1, (N, 3, 2)).astype(np.float32),
    }
    Outputs(answers).write(folder / "answers")
    program = folder / "program.tflite"
    program.write_bytes(b"to be written")
    rung = Rung("compile", "fidelity", None, 0, 0.0, 0.0, 1.0, 1.0, None, "", "", "interpreter 2.1")

    def info() -> Program:
        digest = files.sha256_file(program)
        ladder = Ladder((dataclasses.replace(rung, artifact_sha256=digest),), binding=BINDING)
        size = program.stat().st_size
        return Program("net", "fake", "any", "int8", "", digest, size, SIGNATURE, (), "program", ladder=ladder)

    paths = golden.Sources(folder / "golden", folder / "raw", (*range(N),), folder / "answers")
    known = golden.make(paths, info(), HOW, "int8", BINDING).samples
    keys = [(a.tobytes() + b.tobytes()).hex() for a, b in zip(known.inputs["zoom"], known.inputs["ids"], strict=True)]
    told = [{name: values[i].tobytes().hex() for name, values in known.outputs.items()} for i in range(len(keys))]
    program.write_text(json.dumps(dict(zip(keys, told, strict=True))))
    made = golden.make(paths, info(), HOW, "int8", BINDING)
    job = PackageJob(program, info(), Target("board", "fake", "", "cpu"), (), HOW, (), made.samples, BINDING)
    added = (
        sources(job, Arena(4000, "a guess"), ("CONV_2D",))
        if language == "cc"
        else {**python_example("litert"), "runtime.py": RUNTIME.encode()}
    )
    contents: dict[str, Any] = {"program.tflite": program, **made.contents, **added}
    digest = files.sha256_file(program)
    described = dataclasses.replace(
        manifest,
        files=efpkg.describe(contents),
        ancestors={**manifest.ancestors, "program": digest, "measured": manifest.ancestors["program"]},
        signature=SIGNATURE,
        binding=BINDING,
        preprocessing=HOW,
        postprocessing=None,
        labels=(),
        golden=made.described,
        example=f"example.{language}",
    )
    efpkg.pack(folder / "net.efpkg", described, contents)
    extracted = folder / "extracted"
    extracted.mkdir()
    subprocess.run(["tar", "-xf", folder / "net.efpkg"], cwd=extracted, check=True)
    return Made(made.described, folder / "net.efpkg", extracted)


def test_golden_samples_have_the_programs_axes_and_types(tmp_path: Path, manifest: Manifest) -> None:
    made = _make(tmp_path, manifest, "py")
    golden_of = efpkg.verify(made.package).golden
    said = {
        side: {name: (array.dtype, array.shape) for name, array in getattr(golden_of, side).items()}
        for side in ("prepared", "inputs", "outputs")
    }
    assert said == {
        "prepared": {"zoom": ("float32", (4, 4, 5, 3)), "ids": ("int64", (4, 7))},
        "inputs": {"zoom": ("int8", (4, 4, 5, 3)), "ids": ("int32", (4, 7))},
        "outputs": {"boxes": ("int8", (4, 2, 4)), "count": ("int32", (4,)), "mask": ("float32", (4, 3, 2))},
    }
    assert {name: len(raw) for name, raw in golden_of.raw.items()} == {"image": 4, "ids": 4}
    assert "  labels           none: the answer is what the outputs hold\n" in efpkg.verify_command(made.package)


def test_python_prepares_and_answers_as_expected(tmp_path: Path, manifest: Manifest) -> None:
    made = _make(tmp_path, manifest, "py")
    command = [sys.executable, "example.py"]
    done = subprocess.run(command, cwd=made.folder, capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    first, *samples, last = done.stdout.splitlines()
    assert first.startswith("preprocessing: right, greatest difference ")
    assert [line.split()[2] for line in samples] == ["boxes:", "count:", "mask:"] * 4
    assert last == "answers: as expected; expected are those of interpreter 2.1"
    spoiled = np.fromfile(made.folder / made.described.outputs["count"].path, "<i4")
    (spoiled + 1).tofile(made.folder / made.described.outputs["count"].path)
    done = subprocess.run(command, cwd=made.folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1].partition(";")[0]) == (1, "answers: WRONG")


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_cpp_prepares_and_answers_as_expected(tmp_path: Path, manifest: Manifest) -> None:
    made = _make(tmp_path, manifest, "cc")
    (made.folder / "stub.cc").write_text(STUB)
    strict = ["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
    for spoiled, expected in (([], "all as expected"), (["-DSPOILED"], "something is WRONG")):
        sources_ = ["example.cc", f"{NAME}.cc", f"{NAME}_golden.cc", "stub.cc"]
        subprocess.run(["g++", *strict, *spoiled, "-I.", *sources_, "-o", "run"], cwd=made.folder, check=True)
        done = subprocess.run(["./run"], cwd=made.folder, capture_output=True, text=True, check=False)
        first, *_, last = done.stdout.splitlines()
        assert (first, last, done.returncode) == ("preprocessing: right", expected, len(spoiled))
    glue = (made.folder / "interpreter.cc").read_text()
    assert "std::memcpy(interpreter->input(1)->data.data, input_ids, interpreter->input(1)->bytes);" in glue
    assert "std::memcpy(output_mask, interpreter->output(2)->data.data, interpreter->output(2)->bytes);" in glue
