"""compile on a tiny backend: what is asked again, what is taken over from another runtime's program."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from tests.answers import BINDING, MATRIX, read_answers, write_answers
from tests.splits import write_split
from tests.stages.linear import FEATURES, SAMPLES, WEIGHTS, write_setting

from edgeflow import files
from edgeflow.errors import MismatchError, StageError
from edgeflow.stages import compile as stage
from edgeflow.stages.ladder import Outputs
from edgeflow.types.ladder import Ladder, Rung
from edgeflow.types.programs import Program
from edgeflow.types.variants import Scheme, Target

NOTE = """with Path(__file__).with_name("calls.txt").open("a") as stream:
            print(len(native), file=stream)
        return native @ self.weights"""
BACKEND = MATRIX.replace("return native @ self.weights", NOTE)  # every call is noted beside it

PLUGINS = """
import dataclasses
import io
import os
import signal
from pathlib import Path

import numpy as np

from edgeflow.plugin import Compiled, Runtime, Tolerance, Unsupported
from edgeflow.runners.harness import RefusedError
from edgeflow.types.figures import Evidence


def copy(job):
    job.output.write_bytes(job.source.read_bytes())
    return Compiled(zero_weights_ratio=0.25)


def accelerate(job):
    job.output.write_bytes(b"for the accelerator: " + job.source.read_bytes())
    return Compiled()


plugin = Runtime(
    id="micro", description="", format="npy", program_suffix="npy", toolchain="core",
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
def rounds(said):
    tolerance = Tolerance(1e-6, "kernels round", lambda model, feeds: said(feeds))
    return dataclasses.replace(plugin, compile_tolerance=lambda scheme: tolerance)


def refuse(feeds):
    raise RefusedError("MATMUL does not run by itself")


rounding = rounds(lambda feeds: "" if [feed["x"].shape for feed in feeds] == [(1, 6)] * 4 else "wrong feeds")
wrong = rounds(lambda feeds: "MATMUL, operator 1 of 1, differs by 17 steps")
alone = rounds(refuse)
timed = dataclasses.replace(plugin, times=True)
accelerated = dataclasses.replace(
    plugin, id="npu", compile=accelerate, compiles_from="micro", runs="model"
)
"""


@dataclass(frozen=True)
class Setting:
    """A folder with an optimized model and the samples."""

    folder: Path

    def compile(self, plugin: str, runtime: str, source: stage.Inputs, *, many: bool = False) -> stage.Outputs:
        """What a plugin of the file makes of a model."""
        spec = stage.Spec(
            model="m",
            target=Target("any", runtime, "", "cpu"),
            scheme=Scheme("int8", "int8", "int8", "static", calibration_samples=1),
            runtime=f"{self.folder}/plugins.py:{plugin}",
            task="edgeflow.tasks.classification:plugin",
            many=many,
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
    digest = write_setting(tmp_path, "model")
    step = Rung("optimize", "accuracy", 1.0, SAMPLES, 0.1, 0.1, 1.0, 1.0, None, "", digest, "another 1")
    files.write_json(tmp_path / "ladder", Ladder((step,), binding=BINDING))
    (tmp_path / "backend.py").write_text(BACKEND)
    death = "os.kill(os.getpid(), signal.SIGSEGV) if self.weights.any() else native @ self.weights"
    (tmp_path / "dying.py").write_text(BACKEND.replace("native @ self.weights", death))
    refusal = 'raise RefusedError("MATMUL: no kernel for int8")'
    (tmp_path / "choosy.py").write_text(BACKEND.replace("return native @ self.weights", refusal))
    (tmp_path / "plugins.py").write_text(PLUGINS)
    return Setting(tmp_path)


def test_a_program_is_asked_and_gets_a_rung(setting: Setting) -> None:
    made = setting.compile("plugin", "micro", setting.optimized())
    assert sum(setting.calls()) == 4 + SAMPLES
    golden, evaluation = read_answers(made.outputs)
    assert (len(golden), len(evaluation)) == (4, SAMPLES)
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


def test_a_program_that_is_timed_is_proved_on_golden_inputs_and_answers_when_it_is_measured(setting: Setting) -> None:
    made = setting.compile("timed", "micro", setting.optimized())
    assert setting.calls() == [4]
    last = files.read_as(Program, made.info).ladder.rungs[-1]
    assert (last.stage, last.value, last.n, last.golden_n, last.agreement) == ("compile", None, 0, 4, 1.0)
    assert Outputs.read(made.outputs).asked is None  # the answers are still those of the stage before


def test_many_samples_are_asked_before_a_program_is_to_be_timed_alone(setting: Setting) -> None:
    made = setting.compile("timed", "micro", setting.optimized(), many=True)
    assert sum(setting.calls()) == 4 + SAMPLES
    asked = Outputs.read(made.outputs).asked
    assert asked is not None
    assert asked.artifact_sha256 == files.sha256_file(made.program)
    assert files.read_as(Program, made.info).ladder.rungs[-1].n == SAMPLES


def test_many_samples_are_not_asked_again_where_a_model_that_answers_alike_was_asked_here(setting: Setting) -> None:
    _, evaluation = read_answers(setting.folder / "outputs")
    source = setting.folder / "source"
    source.write_bytes(b"another file")
    write_answers(
        setting.folder / "outputs", evaluation[:4], evaluation, of=source, split=setting.folder / "evaluation"
    )
    setting.compile("timed", "micro", setting.optimized(), many=True)
    assert setting.calls() == [4]
    origin = replace(setting.optimized(), origin=setting.folder / "outputs")  # what the program is held against
    setting.compile("timed", "micro", origin, many=True)
    assert sum(setting.calls()) == 4 + 4 + SAMPLES


def test_the_same_bytes_are_asked_for_all_samples_once(setting: Setting) -> None:
    """Whichever stage asked them: here the one before, in the same interpreter."""
    _, evaluation = read_answers(setting.folder / "outputs")
    of, split = setting.folder / "model", setting.folder / "evaluation"
    write_answers(setting.folder / "outputs", evaluation[:4], evaluation, of=of, split=split)
    made = setting.compile("plugin", "micro", setting.optimized())
    assert setting.calls() == [4]
    assert files.read_as(Program, made.info).ladder.rungs[-1].value == 1.0
    write_split(split, np.ones((SAMPLES, FEATURES), np.float32), np.zeros(SAMPLES, np.int64))  # other samples
    setting.compile("plugin", "micro", setting.optimized())
    assert sum(setting.calls()) == 4 + 4 + SAMPLES


def test_another_interpreter_is_asked(setting: Setting) -> None:
    first = setting.compile("plugin", "micro", setting.optimized())
    info = files.read_as(Program, first.info)
    older = replace(info.ladder.rungs[-1], evaluated_on="tiny 0")
    files.write_json(first.info, replace(info, ladder=replace(info.ladder, rungs=(*info.ladder.rungs[:-1], older))))
    answered = Outputs.read(first.outputs)
    replace(answered, asked=replace(answered.asked, executor="tiny 0")).write(first.outputs)
    before = sum(setting.calls())
    second = setting.compile("accelerated", "npu", setting.program(first))
    assert sum(setting.calls()) == before + 4 + SAMPLES
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
    golden, evaluation = read_answers(setting.folder / "outputs")
    write_answers(setting.folder / "outputs", golden[:, ::-1], evaluation)
    with pytest.raises(MismatchError, match=r"compile: .* does not match the stage before it"):
        setting.compile("plugin", "micro", setting.optimized())
    assert not (setting.folder / "plugin" / "program.out").exists()


def test_what_rounding_alone_moves_is_a_loss_for_the_budgets(setting: Setting) -> None:
    golden, evaluation = read_answers(setting.folder / "outputs")
    write_answers(setting.folder / "outputs", golden * 1.1, evaluation)
    made = setting.compile("rounding", "micro", setting.optimized())
    last = files.read_as(Program, made.info).ladder.rungs[-1]
    assert (last.stage, last.tolerance, last.value, last.n) == ("compile", None, 1.0, SAMPLES)
    assert last.golden_max_abs == pytest.approx(0.1 * abs(golden).max(), rel=1e-4)
    assert last.tolerance_reason.startswith("lossy: on the same numbers no operator is more than rounding away")


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        ("wrong", "MATMUL, operator 1 of 1, differs by 17 steps"),
        ("alone", "it cannot be followed: MATMUL does not run by itself"),
    ],
)
def test_another_function_stays_an_error_that_names_its_operator(setting: Setting, plugin: str, words: str) -> None:
    golden, evaluation = read_answers(setting.folder / "outputs")
    write_answers(setting.folder / "outputs", golden * 1.1, evaluation)
    with pytest.raises(MismatchError, match=rf"does not match the stage before it: .*; {words}$"):
        setting.compile(plugin, "micro", setting.optimized())
    assert not (setting.folder / plugin / "program.out").exists()


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
        ("unreadable", StageError, "micro cannot run "),
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
