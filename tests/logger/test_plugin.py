"""The logger plugin by itself: what it makes of Snakemake's records, and how it words things."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.tests import MockOutputSettings, TestLogHandlerBase

from snakemake_logger_plugin_edgeflow import LogHandler, wording


class TestContract(TestLogHandlerBase):
    """Snakemake's own tests of a logger plugin."""

    __test__ = True

    def get_log_handler_cls(self) -> type[LogHandler]:
        return LogHandler

    def get_log_handler_settings(self) -> None:  # type: ignore[override]
        return None


class Snakemake:
    """Sends records as Snakemake does, at times of our choosing."""

    def __init__(self, **settings: Any) -> None:
        common = MockOutputSettings()
        for name, value in {"printshellcmds": False, "show_failed_logs": False, **settings}.items():
            setattr(common, name, value)
        self.handler = LogHandler(common, None)

    def send(self, event: LogEvent | None, at_s: float = 0.0, message: str = "", **fields: Any) -> None:
        level = logging.ERROR if event in (LogEvent.ERROR, LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR) else logging.INFO
        record = logging.LogRecord("snakemake.logging", level, "x.py", 1, message, (), None)
        record.created = at_s
        record.__dict__.update(fields, **({"event": event} if event else {}))
        self.handler.handle(record)

    def plan(self, **counts: int) -> None:
        self.send(LogEvent.WORKFLOW_STARTED)
        self.send(LogEvent.RUN_INFO, stats={**counts, "total": sum(counts.values())})

    def start(self, number: int, at_s: float = 0.0, command: str = "true", **wildcards: str) -> None:
        self.send(
            LogEvent.JOB_INFO,
            at_s,
            jobid=number,
            rule_name="compile",
            rule_msg=None,
            wildcards=wildcards,
            shellcmd=command,
            log=[],
            output=[f"out/{number}"],
            reason="Missing output files: x",
        )

    def finish(self, number: int, at_s: float = 0.0) -> None:
        self.send(LogEvent.JOB_FINISHED, at_s, job_id=number)

    def fail(self, number: int, at_s: float = 0.0, command: str = "true", **fields: Any) -> None:
        given = {"rule_name": "compile", "rule_msg": None, "shellcmd": command, "log": [], "aux": {}, **fields}
        self.send(LogEvent.JOB_ERROR, at_s, jobid=number, **given)


def shell_error(command: str, ending: str) -> str:
    where = 'RuleException:\nCalledProcessError in file "Snakefile", line 3:'
    return f"{where}\nCommand 'set -euo pipefail;  {command}' {ending}."


def test_times_are_those_of_the_records(capsys) -> None:
    snakemake = Snakemake()
    snakemake.plan(compile=2)
    snakemake.start(1, at_s=100.0, model="dscnn", target="cortex_m4", scheme="int8")
    snakemake.start(2, at_s=101.0, model="resnet8", target="cortex_m4", scheme="int8")
    snakemake.finish(2, at_s=176.4)
    snakemake.finish(1, at_s=7400.0)
    snakemake.handler.close()

    assert capsys.readouterr().err.splitlines() == [
        "[1/2]   1 min 15 s  compile  resnet8/cortex_m4/int8",
        "[2/2]   2 h 02 min  compile  dscnn/cortex_m4/int8",
        "2 jobs done in 2 h 03 min",
    ]


def test_each_job_gets_the_exit_status_of_its_own_command(capsys) -> None:
    snakemake = Snakemake()
    snakemake.plan(compile=3)
    for number in (1, 2, 3):
        snakemake.start(number, command=f"run {number}")
    snakemake.send(LogEvent.ERROR, message=shell_error("run 2", "returned non-zero exit status 137"))
    snakemake.send(LogEvent.ERROR, message=shell_error("run 1", "died with <Signals.SIGSEGV: 11>"))
    snakemake.fail(1, command="run 1")
    snakemake.fail(2, command="run 2")
    snakemake.fail(3, command="run 3")
    failures = [line for line in capsys.readouterr().err.splitlines() if line.startswith("FAILED")]

    assert [line.partition("compile")[2].strip() for line in failures] == [
        "(SIGSEGV)",
        "(exit status 137)",
        "",
    ]


def test_the_error_of_a_command_that_no_job_reports_is_not_lost(capsys) -> None:
    message = shell_error("onstart hook", "returned non-zero exit status 1")
    snakemake = Snakemake()
    snakemake.send(LogEvent.ERROR, message=message)
    snakemake.handler.close()

    assert capsys.readouterr().err.startswith(message + "\n")


def test_snakemakes_last_words_stay_when_no_failed_job_is_known(capsys) -> None:
    snakemake = Snakemake()
    snakemake.send(LogEvent.ERROR, message="WorkflowError:\nAt least one job did not complete successfully.")
    assert "At least one job did not complete" in capsys.readouterr().err


def test_a_failed_group_shows_the_log_of_its_executor(capsys, tmp_path) -> None:
    (tmp_path / "slurm.log").write_text("out of memory\n")
    snakemake = Snakemake()
    snakemake.plan(compile=1)
    snakemake.start(1, model="dscnn")
    snakemake.send(LogEvent.GROUP_ERROR, groupid="warm", aux_logs=[str(tmp_path / "slurm.log")], job_error_info=[])
    snakemake.fail(1, at_s=2.0, rule_msg="see the cluster log", aux={"external_jobid": 4711}, log=["nowhere.log"])

    assert capsys.readouterr().err.splitlines() == [
        "FAILED group warm; its jobs follow",
        f"    log: {tmp_path / 'slurm.log'}",
        "      | out of memory",
        "FAILED       2.0 s  compile  dscnn",
        "    see the cluster log",
        "    external_jobid: 4711",
        "    log: nowhere.log (No such file or directory)",
        "    again: snakemake --cores 1 out/1",
    ]


def test_the_whole_log_on_demand(capsys, tmp_path) -> None:
    log = tmp_path / "job.log"
    log.write_text("\n".join(map(str, range(100))))
    snakemake = Snakemake(show_failed_logs=True)
    snakemake.fail(1, log=[str(log)])
    assert len(re.findall(r"^      \| \d+$", capsys.readouterr().err, re.MULTILINE)) == 100


def test_checkpoints_add_jobs_to_the_count(capsys) -> None:
    snakemake = Snakemake()
    snakemake.plan(compile=2)
    for number, graph in ((1, 2), (2, 12)):
        snakemake.start(number)
        snakemake.finish(number)
        snakemake.send(LogEvent.PROGRESS, done=number, total=graph)
    snakemake.start(3)
    snakemake.finish(3)
    assert [line.partition("]")[0] for line in capsys.readouterr().err.splitlines()] == ["[1/2", "[2/2", "[ 3/12"]


def test_jobs_that_an_interrupted_run_leaves_are_named(capsys) -> None:
    snakemake = Snakemake()
    snakemake.plan(compile=3)
    snakemake.start(1, model="dscnn")
    snakemake.start(2, model="resnet8")
    snakemake.finish(1, at_s=1.0)
    snakemake.handler.close()
    snakemake.handler.close()  # Snakemake does so twice

    assert capsys.readouterr().err.splitlines()[1:] == [
        "3 jobs: 1 done, 1 stopped, 1 not run, in 1.0 s",
        "    stopped: compile resnet8",
    ]


def test_a_record_that_cannot_be_shown_is_reported_and_the_next_one_is_shown(capsys) -> None:
    snakemake = Snakemake()
    snakemake.send(LogEvent.JOB_INFO, message="Rule: compile")  # without any of its fields
    snakemake.send(None, message="the next one")
    shown = capsys.readouterr().err

    assert "AttributeError" in shown
    assert "Rule: compile" in shown
    assert shown.endswith("the next one\n")


def test_markup_in_names_is_text(capsys) -> None:
    snakemake = Snakemake()
    snakemake.plan(compile=1)
    snakemake.start(1, model="[bold]:smile:[/bold]")
    snakemake.finish(1)
    assert capsys.readouterr().err.endswith("compile  [bold]:smile:[/bold]\n")


def test_a_snakemake_that_shows_no_progress_does_not_pay_for_it() -> None:
    code = "import sys, snakemake_logger_plugin_edgeflow; sys.exit('rich' in sys.modules or 'edgeflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-0.1, "0.0 s"),
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_duration(seconds, text) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("snakemakes", "ours"),
    [
        ("Missing output files: a, b", "output missing"),
        ("Updated input files: results/a.npz", "input changed: results/a.npz"),
        (
            "Updated input files: a, b, c; Code has changed since last execution",
            "input changed: a and 2 more, code changed",
        ),
        ("Input files updated by another job: a", "follows another job"),
        ("Missing output files: b; Input files updated by another job: a", "output missing"),
        (
            "Params have changed since last execution: Union of exclusive params before and now across all output: "
            "before: '{\"a\": 1}' now: '{\"a\": 2}'",
            "params changed",
        ),
        ("Forced execution", "forced"),
        ("a reason of\na later Snakemake", "a reason of a later Snakemake"),
    ],
)
def test_reason(snakemakes, ours) -> None:
    assert wording.reason(snakemakes) == ours


@pytest.mark.parametrize(
    ("exception", "text", "said"),
    [
        (
            "PermissionError",
            'PermissionError in file "/x/Snakefile", line 3:\n[Errno 13] Permission denied: \'y\'\n  File "/x", line 3',
            "PermissionError: [Errno 13] Permission denied: 'y'",
        ),
        (
            "OSError",
            'Traceback (most recent call last):\n\n  File "x"\n\nOSError: [Errno 28] No space left on device\n',
            "OSError: [Errno 28] No space left on device",
        ),
        (
            "ConfigError",
            'ConfigError in file "/x/Snakefile", line 11:\nconfig/a.yaml: b: is empty\nconfig/c.yaml: d: is empty\n'
            '  File "/x/Snakefile", line 11, in <module>\n  File "/x/load.py", line 35, in load',
            "ConfigError: config/a.yaml: b: is empty\nconfig/c.yaml: d: is empty",
        ),
        (
            "NameError",
            'NameError in file "/x/Snakefile", line 3:\nname \'y\' is not defined\n  File "/x", line 3, in <module>',
            'NameError in file "/x/Snakefile", line 3:\nname \'y\' is not defined\n  File "/x", line 3, in <module>',
        ),
        ("ValueError", "ValueError:\n[Errno 13] said by hand", "ValueError:\n[Errno 13] said by hand"),
        ("OSError", "OSError:\nof a kind of its own", "OSError:\nof a kind of its own"),
        ("", "no exception", "no exception"),
    ],
)
def test_error(exception, text, said) -> None:
    assert wording.error(exception, text) == said


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n\n  \n", []),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b" 10%\r 50%\r100%\ndone", ["100%", "done"]),
        (b"\x1b[31mred\x1b[0m\n", ["red"]),
        (b"bad byte \xff\n", ["bad byte \ufffd"]),
        (b"x" * 10_000_000, ["x" * 500 + " ..."]),
        (b"".join(b"%d\n" % i for i in range(100_000)), [str(i) for i in range(99_985, 100_000)]),
    ],
)
def test_tail(tmp_path: Path, content, expected) -> None:
    log = tmp_path / "job.log"
    log.write_bytes(content)
    assert wording.tail(log) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "snakemake --cores 1 'out/a b'"),
        (["--cores", "4", "target", "-k", "--logger", "edgeflow"], "snakemake --cores 1 'out/a b'"),
        (["-s", "other.smk", "-d", "there"], "snakemake --cores 1 'out/a b' --snakefile other.smk --directory there"),
        (
            ["--config", "a=1", 'b="x y"', "-n", "--configfile=c.yaml", "--profile", "slurm"],
            """snakemake --cores 1 'out/a b' --profile slurm --configfile c.yaml --config a=1 'b="x y"'""",
        ),
        (["--snakefile"], "snakemake --cores 1 'out/a b'"),
    ],
)
def test_the_command_that_runs_a_job_again(arguments, expected) -> None:
    assert wording.again(["out/a b", "out/c"], arguments) == expected
