"""The examples that packages hold, extracted into an empty folder and really run: Python as it stands with a stand-in
for the runtime, C++ by g++ with stand-ins for the interpreter. tests/e2e runs them with the runtimes.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.answers import OUTPUT, write_answers
from tests.splits import write_raw, write_split

from edgeflow import efpkg, files
from edgeflow.efpkg import Manifest
from edgeflow.plugin import PackageJob
from edgeflow.preprocessing import ORDER, Preprocessing, bilinear, prepared
from edgeflow.runtimes.c_array import Arena, literal, real, sources
from edgeflow.runtimes.python_example import python_example
from edgeflow.stages import golden
from edgeflow.types.ladder import Ladder, Rung
from edgeflow.types.programs import Operators, Program
from edgeflow.types.signatures import Binding, Bound, Signature, Tensor
from edgeflow.types.variants import Target

CPP = Path(__file__).with_name("cpp")
STRICT = ["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
NAME = "net_int8_static"
LABELS = ('say "hi"\n', "größer ??/ \\n", "naïve 子\x01" + "7")  # what C would read as something else
ANSWERS = 6
TARGET = Target("board", "tflite_micro", "armv7e-m", "cpu")
# Answers as they are in the file that stands for a program: the only question is what the example makes of them.
RUNTIME = """
import json
import numpy as np
def load(path):
    known = {k.encode("latin-1"): v for k, v in json.loads(path.read_text()).items()}
    def run(feed):
        answer = known[feed["x"].tobytes()].encode("latin-1")
        return {"y": np.frombuffer(answer, "DTYPE").reshape(1, -1)}
    return run
"""


@dataclass(frozen=True)
class Case:
    """What one program takes: its signature, and how a raw sample becomes that."""

    raw: tuple[np.ndarray, ...]
    how: Preprocessing
    dtype: str
    layout: str
    scale: float = 0.02

    @property
    def signature(self) -> Signature:
        scale, zero_point = (
            (None, None) if self.dtype == "float32" else (self.scale, 0 if self.dtype == "int16" else -5)
        )
        if self.dtype == "uint8":
            zero_point = 120
        shape = self.how.shape
        if self.layout == "NHWC" and len(shape) == 3:
            shape = (*shape[1:], shape[0])
        given = Tensor("x", self.dtype, (1, *shape), scale, zero_point)
        return Signature((given,), (Tensor("y", self.dtype, (1, len(LABELS)), scale, zero_point),))

    @property
    def binding(self) -> Binding:
        last = self.layout == "NHWC" and len(self.how.shape) == 3
        return Binding({"input": Bound("x", (1, 2, 0) if last else ())}, {OUTPUT: Bound("y")})


def _images(count: int, channels: int) -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(11)
    return tuple(generator.integers(0, 256, (channels, 14 + i, 11), np.uint8) for i in range(count))


def _image(mean: tuple[float, ...], shape: tuple[int, ...] = (3, 6, 5)) -> Preprocessing:
    return Preprocessing(ORDER, (), "grey", bilinear(), {"uint8": (0.0, 255.0)}, shape, mean, (0.2,))


def _vectors(shape: tuple[int, ...], mean: tuple[float, ...], std: tuple[float, ...]) -> Case:
    raw = tuple(np.random.default_rng(i).normal(20, 9, shape).astype(np.float32) for i in range(ANSWERS))
    how = Preprocessing(("normalize",), (), None, None, None, shape, mean, std)
    return Case(raw, how, "int16", "NHWC")


CASES = {
    "int8 image, channels last": Case(_images(ANSWERS, 3), _image((0.4, 0.5, 0.6)), "int8", "NHWC"),
    "uint8 image, grey to colour": Case(_images(ANSWERS, 1), _image((0.5,)), "uint8", "NHWC"),
    "float image, channels first": Case(_images(ANSWERS, 3), _image((0.4, 0.5, 0.6)), "float32", "NCHW"),
    "float image, colour to grey": Case(_images(ANSWERS, 3), _image((0.5,), (1, 20, 7)), "float32", "NHWC"),
    "int16 sequence": _vectors((2, 9), (20.0, 18.0), (9.0, 6.0)),
    "int8 ties": Case(
        tuple(np.arange(i, 40 + i, dtype=np.float32).reshape(40) / 4 - 5 for i in range(ANSWERS)),
        Preprocessing(("normalize",), (), None, None, None, (40,), (0.0,), (1.0,)),
        "int8",
        "NHWC",
        scale=0.5,
    ),
    "int16 features": _vectors((4,), (20.0, 18.0, 21.0, 19.0), (9.0, 8.0, 7.0, 6.0)),
}


@dataclass(frozen=True)
class Made:
    """An extracted package."""

    folder: Path

    def python(self, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "example.py"]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def cpp(self, *more: str) -> subprocess.CompletedProcess[bytes]:
        """Compile with a stand-in for the interpreter, and run."""
        names = [f'-DGOLDEN_H="{NAME}_golden.h"', f"-DNAME={NAME}", "-I.", f"-I{CPP}"]
        files_ = ["example.cc", f"{NAME}.cc", f"{NAME}_golden.cc", *more, "-o", "run"]
        subprocess.run(["g++", *STRICT, *names, *files_], cwd=self.folder, check=True)
        return subprocess.run(["./run"], cwd=self.folder, capture_output=True, check=False)

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, text
        path.write_text(text.replace(old, new), encoding="utf-8")


def _answers(case: Case) -> np.ndarray:
    """float32[N, K] as a tensor of the program's type can hold them."""
    (output,) = case.signature.outputs
    wanted = np.random.default_rng(2).normal(0, 1, (ANSWERS, len(LABELS))).astype(np.float32)
    if output.scale is None:
        return wanted
    stored = golden.encoded(wanted, output)
    return (stored.astype(np.float32) - output.zero_point) * np.float32(output.scale)


def _package(case: Case, folder: Path, manifest: Manifest, *, language: str) -> Made:
    """A package of a program that has answers to its golden samples and to nothing else."""
    x = np.stack([prepared(case.how, raw) for raw in case.raw])
    write_split(folder / "golden.safetensors", x)
    write_raw(folder / "raw.safetensors", case.raw)
    write_answers(folder / "answers.safetensors", _answers(case), _answers(case))
    program = folder / "program.tflite"
    (given,), (output,) = case.signature.inputs, case.signature.outputs
    (bound,) = case.binding.inputs.values()
    laid_out = x.transpose(0, *(axis + 1 for axis in bound.axes)) if bound.axes else x
    inputs = golden.encoded(laid_out, given)
    stored = golden.encoded(_answers(case), output)
    program.write_text(
        json.dumps(
            {a.tobytes().decode("latin-1"): b.tobytes().decode("latin-1") for a, b in zip(inputs, stored, strict=True)}
        )
    )
    digest = files.sha256_file(program)
    rung = Rung("compile", "accuracy", 1.0, 9, 0.0, 0.0, 1.0, 1.0, None, "", digest, "interpreter 2.1")
    operators = tuple(Operators(name, 1, "CPU") for name in ("CONV_2D", "MEAN"))
    info = Program(
        *("net", "tflite_micro", "any", "int8_static", "", digest, program.stat().st_size, case.signature),
        *(operators, "program"),
        ladder=Ladder((rung,), binding=case.binding),
    )
    paths = golden.Sources(
        folder / "golden.safetensors", folder / "raw.safetensors", (*range(ANSWERS),), folder / "answers.safetensors"
    )
    made = golden.make(paths, info, {"input": case.how}, "int8" if case.dtype == "uint8" else case.dtype, case.binding)
    job = PackageJob(program, info, TARGET, (), {"input": case.how}, LABELS, made.samples, case.binding)
    added: Mapping[str, bytes] = (
        sources(job, Arena(4000, "a guess"), (o.operator for o in operators))
        if language == "cc"
        else {**python_example("litert"), "runtime.py": RUNTIME.replace("DTYPE", case.dtype).encode()}
    )
    contents: dict[str, Any] = {"program.tflite": program, **made.contents, **added}
    ancestors = {**manifest.ancestors, "program": digest, "measured": manifest.ancestors["program"]}
    described = dataclasses.replace(
        manifest,
        files=efpkg.describe(contents),
        ancestors=ancestors,
        signature=case.signature,
        binding=case.binding,
        preprocessing={"input": case.how},
        labels=LABELS,
        golden=made.described,
        example=f"example.{language}",
    )
    efpkg.pack(folder / "net.efpkg", described, contents)
    extracted = folder / "extracted"
    extracted.mkdir()
    subprocess.run(["tar", "-xf", folder / "net.efpkg"], cwd=extracted, check=True)
    return Made(extracted)


# --- Python ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_python_prepares_and_answers_as_expected(tmp_path, manifest, case):
    done = _package(case, tmp_path, manifest, language="py").python()
    assert (done.stderr, done.returncode) == ("", 0)
    first, *samples, last = done.stdout.splitlines()
    assert first == "preprocessing: right, greatest difference 0"
    best = [LABELS[i] for i in _answers(case).argmax(axis=1)[[0, 1, 3, 4]]]
    assert [line.partition(";")[0] for line in samples] == [
        f"sample {i}: {label!r}, expected {label!r}" for i, label in enumerate(best)
    ]
    assert last == "answers: as expected; expected are those of interpreter 2.1"


def _said(made: Made, **environment: str) -> tuple[int, list[str]]:
    done = made.python(**environment)
    return done.returncode, done.stdout.splitlines()


def test_python_without_the_runtime_says_so(tmp_path, manifest):
    made = _package(CASES["int8 ties"], tmp_path, manifest, language="py")
    (made.folder / "runtime.py").write_text("import a_runtime_that_nobody_has\n")
    done = made.python()
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("not run: No module named 'a_runtime_that_nobody_has'; install the library")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"mean":[0.4,0.5,0.6]', '"mean":[0.6,0.5,0.4]'),  # colours in another order
        ('"scale":{"uint8":[0,255]}', '"scale":{"uint8":[0,256]}'),
    ],
)
def test_python_finds_preprocessing_that_is_wrong(tmp_path, manifest, old, new):
    made = _package(CASES["int8 image, channels last"], tmp_path, manifest, language="py")
    made.edit("manifest.json", old, new)
    code, (first, *_) = _said(made)
    assert code == 1
    assert first.startswith("preprocessing: WRONG, greatest difference ")


def test_python_finds_a_resize_without_antialiasing(tmp_path, manifest):
    """What OpenCV calls INTER_LINEAR: the wrong sizes of filter."""
    made = _package(CASES["int8 image, channels last"], tmp_path, manifest, language="py")
    made.edit("example.py", "Image.Resampling.BILINEAR", "Image.Resampling.NEAREST")
    code, (first, *_) = _said(made)
    assert code == 1
    assert first.startswith("preprocessing: WRONG, greatest difference ")


def test_python_finds_ties_that_are_rounded_to_even(tmp_path, manifest):
    made = _package(CASES["int8 ties"], tmp_path, manifest, language="py")
    made.edit("example.py", "np.trunc(steps + np.copysign(HALF, steps))", "np.rint(steps)")
    code, (first, *_) = _said(made)
    assert (code, first) == (1, "preprocessing: WRONG, greatest difference 0")


def test_python_finds_answers_that_are_wrong(tmp_path, manifest):
    made = _package(CASES["float image, channels first"], tmp_path, manifest, language="py")
    expected = made.folder / "golden/output.bin"
    spoiled = np.fromfile(expected, "<f4")
    spoiled[0] += 0.5
    spoiled.tofile(expected)
    code, lines = _said(made)
    assert (code, lines[-1]) == (1, "answers: WRONG; expected are those of interpreter 2.1")


def test_python_takes_images_of_the_right_size_without_pillow(tmp_path, manifest):
    images = tuple(np.random.default_rng(i).integers(0, 256, (3, 6, 5), np.uint8) for i in range(ANSWERS))
    case = Case(images, _image((0.4, 0.5, 0.6)), "int8", "NHWC")
    made = _package(case, tmp_path, manifest, language="py")
    (made.folder / "PIL.py").write_text("raise ImportError('no Pillow here')")
    code, (first, *_) = _said(made)
    assert (code, first) == (0, "preprocessing: right, greatest difference 0")


def test_python_says_what_it_did_not_check(tmp_path, manifest):
    made = _package(CASES["int8 image, channels last"], tmp_path, manifest, language="py")
    (made.folder / "PIL.py").write_text("raise ImportError('no Pillow here')")
    code, (first, *_, last) = _said(made)
    assert (code, first) == (2, "preprocessing: NOT CHECKED: no Pillow here")
    assert last.startswith("answers: as expected; ")


# --- C++ -------------------------------------------------------------------------------------------------------------

cpp = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


@cpp
@pytest.mark.parametrize("interpreter", [CPP / "stub.cc", "interpreter.cc"], ids=["stub", "glue"])
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_cpp_prepares_and_answers_as_expected(tmp_path, manifest, case, interpreter):
    done = _package(case, tmp_path, manifest, language="cc").cpp(str(interpreter))
    best = [LABELS[i] for i in _answers(case).argmax(axis=1)[[0, 1, 3, 4]]]
    samples = "".join(f"sample {i}: '{label}', expected '{label}'\n" for i, label in enumerate(best))
    assert (done.stdout.decode(), done.returncode) == (f"preprocessing: right\n{samples}all as expected\n", 0)


@cpp
@pytest.mark.parametrize("case", ["int8 image, channels last", "float image, channels first", "int16 sequence"])
def test_cpp_finds_answers_that_are_wrong(tmp_path, manifest, case):
    done = _package(CASES[case], tmp_path, manifest, language="cc").cpp(str(CPP / "stub.cc"), "-DSPOILED")
    assert done.returncode == 1
    assert done.stdout.decode().count(": WRONG\n") == 4
    assert done.stdout.endswith(b"something is WRONG\n")


@cpp
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (f"{NAME}.h", f"{NAME}_mean[3] = {{0.4f, 0.5f, 0.6f}}", f"{NAME}_mean[3] = {{0.6f, 0.5f, 0.4f}}"),
        (f"{NAME}.h", f"{NAME}_channel_stride = 1;", f"{NAME}_channel_stride = 30;"),
        (f"{NAME}.h", f"{NAME}_input_zero_point = -5;", f"{NAME}_input_zero_point = -4;"),
        ("example.cc", "std::round(", "std::floor("),
        ("example.cc", "std::fmax(nearest, low)", "nearest + 0.0f * low"),
    ],
)
def test_cpp_finds_preprocessing_that_is_wrong(tmp_path, manifest, file, old, new):
    case = CASES["int8 image, channels last"]
    case = dataclasses.replace(case, how=dataclasses.replace(case.how, std=(0.1,)))  # some values clip
    made = _package(case, tmp_path, manifest, language="cc")
    made.edit(file, old, new)
    assert made.cpp(str(CPP / "stub.cc")).stdout.startswith(b"preprocessing: WRONG\n")


@cpp
def test_cpp_finds_ties_that_are_rounded_to_even(tmp_path, manifest):
    made = _package(CASES["int8 ties"], tmp_path, manifest, language="cc")
    made.edit("example.cc", "std::round(", "std::nearbyint(")
    assert made.cpp(str(CPP / "stub.cc")).stdout.startswith(b"preprocessing: WRONG\n")


@cpp
def test_cpp_says_that_the_interpreter_failed(tmp_path, manifest):
    made = _package(CASES["int16 features"], tmp_path, manifest, language="cc")
    made.edit(f"{NAME}.h", f"{NAME}_arena_bytes = 4000;", f"{NAME}_arena_bytes = 4;")  # too small, the stand-in says
    done = made.cpp("interpreter.cc")
    assert done.returncode == 1
    assert done.stdout.decode().count(": the interpreter FAILED\n") == 4


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('a"b\\', '"a\\042b\\134"'),
        ("??=", '"\\077\\077="'),
        ("ß1", '"\\303\\2371"'),
        ("\n\x007", '"\\012\\0007"'),
        ("", '""'),
    ],
)
def test_any_label_is_a_c_string(text, written):
    assert literal(text) == written


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1.0f"), (-0.0, "-0.0f"), (0.1, "0.1f"), (1e30, "1e+30f"), (1e-9, "1e-09f")]
)
def test_floats_are_float_literals(value, text):
    assert real(value) == text


@pytest.mark.parametrize("value", np.random.default_rng(1).standard_normal(20).astype(np.float32))
def test_a_float_reads_back_as_it_was(value):
    assert np.float32(real(float(value)).removesuffix("f")) == value
