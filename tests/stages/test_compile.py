"""compile on a tiny backend: what is asked again, what is taken over from another runtime's program."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from tests.splits import write_split

from edgeflow import files
from edgeflow.errors import MismatchError, StageError
from edgeflow.stages import compile as stage
from edgeflow.types.ladder import Ladder, Rung
from edgeflow.types.programs import Program
from edgeflow.types.variants import Scheme, Target

SAMPLES, FEATURES, CLASSES = 40, 6, 3
WEIGHTS = np.random.default_rng(0).normal(size=(FEATURES, CLASSES)).astype(np.float32)

BACKEND = '''
"""A program is an .npy: weights float32[F, K]. Every call is noted beside it."""
import io
import os
import signal
from pathlib import Path

import numpy as np

from edgeflow.runners.harness import RefusedError


class Session:
    def __init__(self, program, threads):
        self.weights = np.load(io.BytesIO(Path(program).read_bytes()))

    def signature(self):
        return {"inputs": [], "outputs": []}

    def predict(self, x):
        with Path(__file__).with_name("calls.txt").open("a") as stream:
            print(len(x), file=stream)
        return x @ self.weights

    def operators(self):
        return []

    @staticmethod
    def versions():
        return {"tiny": "1"}
'''

PLUGINS = """
import dataclasses
import io
import os
import signal
from pathlib import Path

import numpy as np

from edgeflow.plugin import Compiled, Runtime, Tolerance, Unsupported
from edgeflow.types.figures import Evidence


def copy(job):
    job.output.write_bytes(job.source.read_bytes())
    return Compiled(zero_weights_ratio=0.25)


def accelerate(job):
    job.output.write_bytes(b"for the accelerator: " + job.source.read_bytes())
    return Compiled()


plugin = Runtime(
    id="micro", description="", format="npy", program_suffix="npy", layout="NCHW", toolchain="core",
    backend=Path(__file__).with_name("backend.py"), evidence=Evidence.SIMULATOR, times=False,
    supports=lambda scheme, target: None, compile=copy,
    compile_tolerance=lambda scheme: Tolerance(1e-6, "the program is the model"),
)
refusing = dataclasses.replace(plugin, compile=lambda job: Unsupported("no kernel for SIN"))
def spoil(job):
    job.output.write_bytes(b"GARBAGE")
    return Compiled()


def crash(job):
    if np.load(job.source).any():
        os.kill(os.getpid(), signal.SIGSEGV)
    return Compiled()


def vague(job):
    if not np.load(job.source).any():
        raise ValueError("a model without an output")
    return crash(job)


def sound():
    stream = io.BytesIO()
    np.save(stream, np.zeros((6, 3), np.float32))
    return stream.getvalue()


def cut(source):
    return [("ADD", sound), ("MATMUL", lambda: source.read_bytes()), ("SIN", lambda: source.read_bytes())]


garbage = dataclasses.replace(plugin, id="npu", compile=spoil, runs="model")
unreadable = dataclasses.replace(plugin, compile=spoil)
crashing = dataclasses.replace(plugin, description="Tiny runtime", compile=crash)
cutting = dataclasses.replace(crashing, beginnings=cut)
obscure = dataclasses.replace(cutting, compile=vague)
killed = dataclasses.replace(plugin, compile=lambda job: os.kill(os.getpid(), signal.SIGKILL))
raising = dataclasses.replace(plugin, compile=lambda job: {}["key of our own"])
dying = dataclasses.replace(
    plugin, description="Tiny runtime", backend=Path(__file__).with_name("dying.py"), beginnings=cut
)
choosy = dataclasses.replace(plugin, backend=Path(__file__).with_name("choosy.py"))
accelerated = dataclasses.replace(
    plugin, id="npu", compile=accelerate, compiles_from="micro", runs="model"
)
"""


@dataclass(frozen=True)
class Setting:
    """A folder with an optimized model and the samples."""

    folder: Path

    def compile(self, plugin: str, runtime: str, source: stage.Inputs) -> stage.Outputs:
        """What a plugin of the file makes of a model."""
        spec = stage.Spec(
            model="m",
            target=Target("any", runtime, "", "cpu"),
            scheme=Scheme("int8", "int8", "int8", "static", calibration_samples=1),
            runtime=f"{self.folder}/plugins.py:{plugin}",
            task="edgeflow.tasks.classification:plugin",
        )
        folder = self.folder / plugin
        paths = {name: folder / f"{name}.out" for name in ("program", "info", "outputs")}
        outputs = stage.Outputs(**paths)
        stage.run(spec, source, outputs)
        return outputs

    def optimized(self) -> stage.Inputs:
        """The optimized model as an input."""
        names = ("model", "outputs", "golden", "evaluation", "ladder")
        return stage.Inputs(**{name: self.folder / name for name in names})

    def program(self, made: stage.Outputs) -> stage.Inputs:
        """A compiled program as an input of another compiler."""
        return replace(self.optimized(), model=made.program, outputs=made.outputs, ladder=None, source_info=made.info)

    def calls(self) -> list[int]:
        """Samples of each call of the interpreter so far."""
        path = self.folder / "calls.txt"
        return [int(line) for line in path.read_text().split()] if path.exists() else []


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    x = np.random.default_rng(1).normal(size=(SAMPLES, FEATURES)).astype(np.float32)
    answers = x @ WEIGHTS
    with (tmp_path / "model").open("wb") as stream:
        np.save(stream, WEIGHTS)
    write_split(tmp_path / "golden", x[:4])
    write_split(tmp_path / "evaluation", x, answers.argmax(1))
    files.write_npz(tmp_path / "outputs", golden=answers[:4], evaluation=answers)
    digest = files.sha256_file(tmp_path / "model")
    step = Rung("optimize", "accuracy", 1.0, SAMPLES, 0.1, 0.1, 1.0, 1.0, None, "", digest, "another 1")
    files.write_json(tmp_path / "ladder", Ladder((step,)))
    (tmp_path / "backend.py").write_text(BACKEND)
    death = "os.kill(os.getpid(), signal.SIGSEGV) if self.weights.any() else x @ self.weights"
    (tmp_path / "dying.py").write_text(BACKEND.replace("x @ self.weights", death))
    refusal = 'raise RefusedError("MATMUL: no kernel for int8")'
    (tmp_path / "choosy.py").write_text(BACKEND.replace("return x @ self.weights", refusal))
    (tmp_path / "plugins.py").write_text(PLUGINS)
    return Setting(tmp_path)


def test_a_program_is_asked_and_gets_a_rung(setting: Setting) -> None:
    made = setting.compile("plugin", "micro", setting.optimized())
    assert sorted(setting.calls()) == [4, SAMPLES]
    assert [rung.stage for rung in files.read_as(Program, made.info).ladder.rungs] == ["optimize", "compile"]
    info = files.read_as(Program, made.info)
    assert info.id == "m/micro/any/int8"
    assert info.zero_weights_ratio == 0.25
    assert info.compressed_bytes == len(zlib.compress(made.program.read_bytes(), 9))


def test_a_program_of_another_runtimes_program_is_not_asked_again(setting: Setting) -> None:
    first = setting.compile("plugin", "micro", setting.optimized())
    before = setting.calls()
    second = setting.compile("accelerated", "npu", setting.program(first))
    assert setting.calls() == before
    assert second.outputs.read_bytes() == first.outputs.read_bytes()
    info = files.read_as(Program, second.info)
    assert info.ladder == files.read_as(Program, first.info).ladder
    assert (info.id, info.runs, info.infeasible) == ("m/npu/any/int8", "model", "")
    assert second.program.read_bytes() == b"for the accelerator: " + first.program.read_bytes()
    assert info.sha256 == files.sha256_file(second.program) != files.sha256_file(first.program)


def test_another_interpreter_is_asked(setting: Setting) -> None:
    first = setting.compile("plugin", "micro", setting.optimized())
    info = files.read_as(Program, first.info)
    older = replace(info.ladder.rungs[-1], evaluated_on="tiny 0")
    files.write_json(first.info, replace(info, ladder=Ladder((*info.ladder.rungs[:-1], older))))
    before = len(setting.calls())
    second = setting.compile("accelerated", "npu", setting.program(first))
    assert len(setting.calls()) == before + 2
    # nothing executed the second program: what was executed is the first one, and that has its rung
    assert [rung.stage for rung in files.read_as(Program, second.info).ladder.rungs] == ["optimize", "compile"]


def test_a_program_that_nothing_here_executed_gets_no_rung(setting: Setting) -> None:
    made = setting.compile("garbage", "npu", setting.optimized())
    info = files.read_as(Program, made.info)
    assert made.program.read_bytes() == b"GARBAGE"
    assert (info.runs, info.infeasible) == ("model", "")
    assert [rung.stage for rung in info.ladder.rungs] == ["optimize"]


def test_why_there_is_no_program_is_handed_on(setting: Setting) -> None:
    first = setting.compile("refusing", "micro", setting.optimized())
    second = setting.compile("accelerated", "npu", setting.program(first))
    for made in (first, second):
        assert files.read_as(Program, made.info).infeasible == "no kernel for SIN"
        assert made.program.read_bytes() == b""
        assert [rung.stage for rung in files.read_as(Program, made.info).ladder.rungs] == ["optimize"]
    assert setting.calls() == []


def test_a_program_that_answers_differently_is_not_written(setting: Setting) -> None:
    (golden, evaluation) = files.read_npz(setting.folder / "outputs", "golden", "evaluation")
    files.write_npz(setting.folder / "outputs", golden=golden[:, ::-1], evaluation=evaluation)
    with pytest.raises(MismatchError, match=r"compile: .* does not match the stage before it"):
        setting.compile("plugin", "micro", setting.optimized())
    assert not (setting.folder / "plugin" / "program.out").exists()


def _reason(setting: Setting, plugin: str) -> str:
    made = setting.compile(plugin, "micro", setting.optimized())
    info = files.read_as(Program, made.info)
    assert made.program.read_bytes() == b""
    assert [rung.stage for rung in info.ladder.rungs] == ["optimize"]
    return info.infeasible


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        (
            "crashing",
            "Tiny runtime: compiling the model ends in a crash (SIGSEGV, signal 11), at which operator is not known",
        ),
        (
            "obscure",
            "Tiny runtime: compiling the model ends in a crash (SIGSEGV, signal 11), at which operator is not known",
        ),
        ("cutting", "Tiny runtime: compiling the model ends in a crash (SIGSEGV, signal 11), at operator MATMUL"),
        (
            "dying",
            "Tiny runtime: executing the model that compile made ends in a crash (SIGSEGV, signal 11), "
            "at operator MATMUL",
        ),
        ("choosy", "MATMUL: no kernel for int8"),
    ],
)
def test_what_a_library_dies_of_or_refuses_is_infeasible(
    setting: Setting, plugin: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert _reason(setting, plugin) == reason
    if "crash" in reason:
        assert "SIGSEGV, signal 11" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("plugin", "error", "message"),
    [
        ("killed", StageError, r"compiling the model was ended by SIGKILL, signal 9: is there too little memory\?"),
        ("raising", KeyError, "key of our own"),
        ("unreadable", StageError, "micro cannot run what the stage made"),
    ],
)
def test_what_is_no_librarys_inability_is_an_error(
    setting: Setting, plugin: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        setting.compile(plugin, "micro", setting.optimized())
    assert not (setting.folder / plugin / "info.out").exists()


def test_why_there_is_no_optimized_model_is_handed_on(setting: Setting) -> None:
    ladder = files.read_as(Ladder, setting.folder / "ladder")
    files.write_json(setting.folder / "ladder", replace(ladder, infeasible="no int8 SIN"))
    (setting.folder / "model").write_bytes(b"")
    assert _reason(setting, "plugin") == "no int8 SIN"
    assert setting.calls() == []


def test_a_model_that_is_not_the_one_that_was_judged(setting: Setting) -> None:
    with (setting.folder / "model").open("wb") as stream:
        np.save(stream, WEIGHTS * 1.0000001)
    with pytest.raises(MismatchError, match=r"/model has SHA-256 .* its ladder .* it was changed after it was made"):
        setting.compile("plugin", "micro", setting.optimized())
    assert not (setting.folder / "plugin" / "program.out").exists()
