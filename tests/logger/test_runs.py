"""The progress display in real runs of Snakemake, without and with a terminal."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace

import pytest

from snakemake_logger_plugin_edgeflow.events import Events, FailedJob, read

GOOD = """
from snakemake.logging import logger

print("printed by the Snakefile")
logger.info("a note of the workflow")
logger.warning("a warning of the workflow")

rule all:
    input: "out/report.txt"

rule train:
    output: "out/{model}/{scheme}.txt"
    log: "logs/{model}/{scheme}.log"
    shell: "echo SECRET_COMMAND > {output}"

rule report:
    input: expand("out/{model}/{scheme}.txt", model=["dscnn", "resnet8"], scheme=["fp32", "int8"])
    output: "out/report.txt"
    message: "All the figures"
    shell: "cat {input} > {output}"
"""

# Of four jobs, those of model b fail until a file says otherwise; their logs have 20 lines.
BAD = """
rule all:
    input: expand("out/{model}/{scheme}.txt", model=["a", "b"], scheme=["x", "y"])

rule make:
    output: "out/{model}/{scheme}.txt"
    log: "logs/{model}/{scheme}.log"
    params: word=config.get("word", "none")
    shell:
        "for i in $(seq 20); do echo line $i; done > {log};"
        " [ {wildcards.model} = a ] || [ -e mended ] || exit 7;"
        " echo {params.word} > {output}"
"""

EVENTS = ("--logger-edgeflow-events", "events")
COUNTED = re.compile(r"^\[(\d+)/(\d+)\] +(\d+\.\d s)  (\w+) *(.*)$")


def index(lines: list[str], pattern: str) -> int:
    """Where the first line is that matches as a whole."""
    return next(i for i, line in enumerate(lines) if re.fullmatch(pattern, line))


def test_one_line_a_job_and_the_rest_in_snakemakes_log(workflow) -> None:
    done = workflow.write(GOOD).run()

    assert done.returncode == 0
    assert done.stdout == "printed by the Snakefile\n"
    assert "\x1b" not in done.stderr
    first, second, *jobs, summary = done.stderr.splitlines()
    assert (first, second) == ("a note of the workflow", "a warning of the workflow")
    matches = [COUNTED.fullmatch(line) for line in jobs]
    assert all(matches), jobs
    assert [match[1] for match in matches] == ["1", "2", "3", "4", "5", "6"]
    assert {match[2] for match in matches} == {"6"}
    trained = {f"{model}/{scheme}" for model in ("dscnn", "resnet8") for scheme in ("fp32", "int8")}
    assert {match[5] for match in matches[:4]} == trained
    assert [(match[4], match[5]) for match in matches[4:]] == [("report", "All the figures"), ("all", "")]
    assert re.fullmatch(r"6 jobs done in \d+\.\d s", summary)
    for wall in ("Job stats:", "Provided cores: 2", "Host: ", "resources: ", "reason: Missing output files"):
        assert wall in workflow.log()
        assert wall not in done.stderr
    assert "SECRET_COMMAND" not in done.stderr

    again = workflow.run()
    assert again.returncode == 0
    assert again.stderr.splitlines()[2:] == ["Nothing to be done (all requested files are present and up to date)."]


def test_a_failure_names_the_job_its_log_and_how_to_run_it_again(workflow) -> None:
    done = workflow.write(BAD).run("--keep-going", "--config", "word=kept")

    assert done.returncode == 1
    lines = done.stderr.splitlines()
    at = index(lines, r"FAILED +\d+\.\d s  make  b/x  \(exit status 7\)")
    assert lines[at + 1] == "    log: logs/b/x.log"
    assert lines[at + 2 : at + 17] == [f"      | line {number}" for number in range(6, 21)]
    again = lines[at + 17].removeprefix("    again: ")
    summary = index(lines, r"5 jobs: 2 done, 2 failed, 1 not run, in .* s")
    assert sorted(lines[summary + 1 : summary + 3]) == [
        "    failed: make b/x  logs/b/x.log",
        "    failed: make b/y  logs/b/y.log",
    ]
    log = lines[summary + 3].removeprefix("Snakemake's log: ")
    assert "exit 7" in (workflow.folder / log).read_text(), "the shell commands of failed jobs are in Snakemake's log"
    assert "CalledProcessError" not in done.stderr, "what the lines above say already"
    assert len(lines) == summary + 4

    (workflow.folder / "mended").touch()
    program, *arguments = shlex.split(again)
    assert program == "snakemake"
    assert workflow.run_plain(*arguments).returncode == 0
    assert (workflow.folder / "out/b/x.txt").read_text() == "kept\n", "the options that decide what is built were kept"


@pytest.mark.parametrize(
    ("snakefile", "arguments", "expected"),
    [
        pytest.param(
            'rule a:\n    input: "absent.txt"\n    output: "x"\n    shell: "cp {input} {output}"\n',
            (),
            ["MissingInputException in rule a in file", "Missing input files for rule a:", "absent.txt"],
            id="missing input",
        ),
        pytest.param(
            'rule a:\n    output: "x"\n    shell: "touch {output}"\n',
            ("nosuch",),
            ["MissingRuleException:", "No rule to produce nosuch"],
            id="no rule",
        ),
        pytest.param('raise ValueError("wrong matrix")\n', (), ["ValueError", "wrong matrix"], id="exception"),
    ],
)
def test_snakemakes_own_errors_are_shown_in_full(workflow, snakefile, arguments, expected) -> None:
    done = workflow.write(snakefile).run(*arguments, "--quiet", "all")

    assert done.returncode == 1
    for text in expected:
        assert text in done.stderr
    assert "jobs" not in done.stderr, "no summary of a run that did not begin"


def test_a_snakefile_that_cannot_be_parsed_is_shown_in_full(workflow) -> None:
    done = workflow.write('rule a:\n    output "x"\n').run_plain("--cores", "1", "--logger", "edgeflow")

    assert done.returncode == 1
    assert "SyntaxError: Colon expected after keyword output." in done.stderr


def test_a_locked_folder_is_shown_in_full(workflow) -> None:
    locks = workflow.folder / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text("x\n")
    done = workflow.write('rule a:\n    output: "x"\n    shell: "touch {output}"\n').run()

    assert done.returncode == 1
    assert "LockException:" in done.stderr
    assert "--unlock" in done.stderr


def test_what_the_system_refuses_is_told_in_a_line_and_its_traceback_is_in_the_log(workflow) -> None:
    logs = workflow.folder / "logs"
    logs.mkdir()
    (logs / "x.log").touch()
    logs.chmod(0o500)  # Snakemake removes the log of an earlier run itself
    rule = 'rule a:\n    output: "x"\n    log: "logs/x.log"\n    shell: "touch {output}"\n'
    done = workflow.write(rule).run()
    logs.chmod(0o700)

    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "PermissionError: [Errno 13] Permission denied: 'logs/x.log'"
    assert "Traceback" not in done.stderr
    assert "Traceback" in workflow.log()


def test_a_job_without_its_output_has_failed(workflow) -> None:
    done = workflow.write('rule a:\n    output: "x"\n    shell: "true"\n').run("--latency-wait", "0")

    assert done.returncode == 1
    assert re.search(r"^FAILED .* a  \(its output is missing\)$", done.stderr, re.MULTILINE)
    assert "MissingOutputException in rule a" in done.stderr
    assert "1 job: 1 failed" in done.stderr


def test_a_job_that_succeeds_at_its_second_attempt_has_not_failed(workflow) -> None:
    shell = "[ -e once ] && touch {output} || (touch once; false)"
    done = workflow.write(f'rule a:\n    output: "x"\n    retries: 1\n    shell: "{shell}"\n').run()

    assert done.returncode == 0
    failed, again, retried, counted, summary = done.stderr.splitlines()
    assert re.fullmatch(r"FAILED .* a  \(exit status 1\)", failed)
    assert again == "    again: snakemake --cores 1 x"
    assert retried.split() == ["again", "a:", "trying", "once", "more"]
    assert COUNTED.fullmatch(counted)
    assert summary.startswith("1 job done in ")


WAITING = """
rule all:
    input: "a", "b", "c", "bad"

rule bad:
    output: "bad"
    priority: 1
    log: "bad.log"
    shell: "[ -e mended ] || exit 3; touch {output}"

rule make:
    output: "{x}"
    wildcard_constraints: x="[abc]"
    log: "{x}.log"
    shell: "echo working > {log}; echo {wildcards.x} > started; {config[rest]}"
"""


# When Snakemake has heard it too: it says so in its log, where this command stands too, which must not match itself.
TRAPPED = "until grep -qr Terminatin[g] .snakemake/log; do sleep 0.05; done; exit 5"


@pytest.mark.parametrize(
    "rest", ["exec sleep 600", "sleep 600", f"trap '{TRAPPED}' INT; while true; do sleep 0.05; done"]
)
def test_what_ctrl_c_ends_has_not_failed(workflow, rest) -> None:
    """Whether a job dies by the signal, or its shell does, or it takes it and ends with a code of its own."""
    (workflow.folder / "mended").touch()
    workflow.write(WAITING)
    done = workflow.interrupt(workflow.folder / "started", 2, "--config", f"rest={rest}", *EVENTS)

    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert "FAILED" not in done.stderr
    assert "failed" not in done.stderr
    assert "WorkflowError" not in done.stderr
    assert "Interrupted: ending the jobs that run." in lines
    assert len([line for line in lines if line.startswith("stopped ")]) == 2
    summary = index(lines, r"interrupted: 5 jobs: 1 done, 2 stopped, 2 not run, in .* s")
    assert all(re.fullmatch(r"    stopped: make ([abc])  \1\.log", line) for line in lines[summary + 1 :])
    assert len(lines) == summary + 3
    assert {job.stopped for job in read(workflow.folder / "events").jobs} == {True}


def test_what_failed_before_ctrl_c_has_failed(workflow) -> None:
    workflow.write(WAITING)
    arguments = ("--keep-going", "--config", "rest=sleep 600", *EVENTS)
    done = workflow.interrupt(workflow.folder / "started", 2, *arguments)

    assert done.returncode == 1
    lines = done.stderr.splitlines()
    summary = index(lines, r"interrupted: 5 jobs: 1 failed, 2 stopped, 2 not run, in .* s")
    assert lines[summary + 1] == "    failed: bad  bad.log"
    by_stage = {job.stage: job for job in read(workflow.folder / "events").jobs}
    assert (by_stage["bad"].ending, by_stage["bad"].stopped) == ("exit status 3", False)
    assert by_stage["make"].stopped


def test_programs_read_what_failed_from_a_file(workflow) -> None:
    again = "[ -e once ] && touch {output} || (touch once; false)"
    more = f'rule again:\n    output: "out/again.txt"\n    retries: 1\n    shell: "{again}"\n'
    lost = 'rule lost:\n    output: "out/lost.txt"\n    log: "lost.log"\n    shell: "true"\n'
    targets = ("out/b/x.txt", "out/a/x.txt", "out/again.txt", "out/lost.txt")
    done = workflow.write(BAD + more + lost).run(*targets, "-k", "--latency-wait", "0", *EVENTS)

    assert done.returncode == 1
    by_stage = {job.stage: replace(job, job=0) for job in read(workflow.folder / "events").jobs}
    assert by_stage == {
        "make": FailedJob(
            0, "make", {"model": "b", "scheme": "x"}, ("out/b/x.txt",), ("logs/b/x.log",), "exit status 7"
        ),
        "lost": FailedJob(0, "lost", {}, ("out/lost.txt",), ("lost.log",), "its output is missing"),
    }

    assert workflow.run("nosuch", *EVENTS).returncode == 1
    ((exception, message),) = read(workflow.folder / "events").errors
    assert exception == "MissingRuleException"
    assert "No rule to produce nosuch" in message


def test_the_file_of_a_run_that_was_killed_says_what_it_had_said(tmp_path) -> None:
    events, path = Events(tmp_path / "events"), tmp_path / "events"
    events.failed(FailedJob(3, "compile"))
    events.failed(FailedJob(4, "compile"))
    events.close()
    path.write_text(path.read_text()[:-9])
    assert [job.job for job in read(path).jobs] == [3]


def test_dry_run_lists_what_would_run_and_why(workflow) -> None:
    assert workflow.write(BAD).run("out/a/x.txt", "--config", "word=one").returncode == 0
    done = workflow.run("--dry-run", "--config", "word=two")

    assert done.returncode == 0
    assert done.stderr == ""
    *jobs, summary = done.stdout.splitlines()
    reasons = dict(line.split(maxsplit=2)[1:] for line in jobs[:-1])
    assert reasons == {
        "a/x": "params changed",
        "a/y": "output missing",
        "b/x": "output missing",
        "b/y": "output missing",
    }
    assert jobs[-1].split(maxsplit=1) == ["all", "follows another job"]
    assert summary == "5 jobs to run: 4 make, 1 all"
    assert not (workflow.folder / "out/a/y.txt").exists()


def test_commands_are_shown_on_demand(workflow) -> None:
    done = workflow.write(GOOD).run("--printshellcmds", "--verbose", "--until", "train")

    assert done.returncode == 0
    shown = done.stderr.splitlines()
    start = index(shown, r"start +train +dscnn/fp32")
    assert shown[start + 1] == "    echo SECRET_COMMAND > out/dscnn/fp32.txt"
    assert shown[-1].startswith("4 jobs done in "), "jobs beyond --until do not count"


@pytest.mark.parametrize(
    ("quiet", "expected"),
    [
        (("rules",), r"a note of the workflow\na warning of the workflow\n6 jobs done in .*\n"),
        ((), r"a note of the workflow\na warning of the workflow\n"),
        (("all",), r"a warning of the workflow\n"),
    ],
)
def test_less_is_shown_on_demand(workflow, quiet, expected) -> None:
    done = workflow.write(GOOD).run("--quiet", *quiet)

    assert done.returncode == 0
    assert re.fullmatch(expected, done.stderr)


def test_a_failure_is_shown_whatever_is_quiet(workflow) -> None:
    done = workflow.write(BAD).run("--quiet")

    assert done.returncode == 1
    assert re.search(r"^FAILED .* make  b/[xy]  \(exit status 7\)$", done.stderr, re.MULTILINE)
    assert re.search(r"^5 jobs: [12] failed, in ", done.stderr, re.MULTILINE)


def test_jobs_that_are_connected_by_a_pipe_are_counted_one_by_one(workflow) -> None:
    done = workflow.write(
        'rule take:\n    input: "p"\n    output: "x"\n    shell: "cat {input} > {output}"\n'
        'rule give:\n    output: pipe("p")\n    shell: "echo hello > {output}"\n'
    ).run()

    assert done.returncode == 0
    *jobs, summary = done.stderr.splitlines()
    assert [COUNTED.fullmatch(line)[1] for line in jobs] == ["1", "2"]
    assert {COUNTED.fullmatch(line)[4] for line in jobs} == {"give", "take"}
    assert summary.startswith("2 jobs done")


def test_a_terminal_shows_the_running_jobs_below_the_finished_ones(workflow) -> None:
    terminal = workflow.write(GOOD).run_in_terminal()

    assert re.search(r"\[0/6\] 2 running: train \w+/\w+ \d\.\d s \| train \w+/\w+ \d\.\d s", terminal.raw)
    assert "\x1b[32m" in terminal.raw
    assert "\x1b[?25l" not in terminal.raw, "a killed run would leave the terminal without a cursor"
    assert not [line for line in terminal.lines if "running:" in line], "the bottom line is gone in the end"
    assert [COUNTED.match(line)[1] for line in terminal.lines[3:-1]] == ["1", "2", "3", "4", "5", "6"]
    assert terminal.lines[-1].startswith("6 jobs done in ")


def test_a_terminal_without_colour(workflow) -> None:
    terminal = workflow.write(BAD).run_in_terminal("--keep-going", NO_COLOR="1")

    assert not re.search(r"\x1b\[[0-9;]*m", terminal.raw)
    assert any(re.fullmatch(r"FAILED .* make  b/x  \(exit status 7\)", line) for line in terminal.lines)
