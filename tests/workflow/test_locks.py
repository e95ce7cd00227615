"""Two runs at once, what a killed one leaves, and checkouts that may only be read."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.workflow.conftest import Project, make_project

from edgeflow import layout

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

MATRIX = {"models": ["tiny_a"], "targets": ["linux_x86_ort"], "schemes": ["fp32"], "baseline": "fp32", "seed": 0}
GATED = """

rule gated:
    output:
        "results/gated.txt",
    shell:
        "touch began; text=$(cat gate); echo $text > {output:q}"


rule beside:
    output:
        "results/beside.txt",
    shell:
        "echo done > {output:q}"
"""  # it writes in one go, as stages do: what a kill leaves half written is what other tests are about
TARGET = "results/gated.txt"
NOBODY = 2**22 + 1  # beyond the greatest process id of Linux


@pytest.fixture
def gated(project: Path, tmp_path: Path) -> Project:
    """A project with a job that takes as long as the test wants: until somebody writes to `gate`."""
    made = make_project(tmp_path / "project", project, MATRIX)
    with (made.folder / "Snakefile").open("a") as snakefile:
        snakefile.write(GATED)
    os.mkfifo(made.folder / "gate")
    return made


@contextlib.contextmanager
def building(project: Project) -> Iterator[subprocess.Popen[str]]:
    """A run in the middle of its job, in a process group of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1", TARGET],
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        while not (project.folder / "began").exists():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.01)
                pytest.fail(f"ended before its job began: {process.communicate()[0]}")
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def locks(project: Project) -> list[Path]:
    """Snakemake's lock files."""
    return sorted((project.folder / layout.locks()["folder"]).glob("*.lock"))


def open_gate(project: Project) -> None:
    """From now on the job ends at once."""
    (project.folder / "gate").unlink()
    (project.folder / "gate").write_text("through\n")


def refusal(project: Project) -> str:
    """The one line in which a run says that it cannot begin."""
    done = project.run(TARGET, check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "Traceback" not in said
    assert "cannot be locked" not in said
    (line,) = (line for line in said.splitlines() if "--unlock" in line)
    return line


def test_the_second_of_two_runs_says_so_in_one_line_and_the_first_goes_on(gated: Project) -> None:
    with building(gated) as first:
        line = refusal(gated)
        whose = f"another run is building here, process {first.pid} on {os.uname().nodename}. Wait until it has ended"
        assert f"this folder is locked: {whose}" in line
        assert locks(gated)
        (gated.folder / "gate").write_text("through\n")
        said, _ = first.communicate()
        assert first.returncode == 0, said
    assert (gated.folder / TARGET).read_text() == "through\n"
    assert locks(gated) == []
    assert list((gated.folder / layout.locks()["runs"]).iterdir()) == []


def test_a_run_of_something_else_leaves_the_lock_of_the_first(gated: Project) -> None:
    """Snakemake lets it run, as they share no output; with what is done already, and with something to do."""
    with building(gated):
        before = locks(gated)
        assert before
        for _ in range(2):
            gated.run("results/beside.txt")
            assert locks(gated) == before
            assert "another run is building here" in refusal(gated)


def test_after_a_killed_run_the_next_one_works(gated: Project) -> None:
    with building(gated) as first:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert locks(gated)
    open_gate(gated)
    gated.run(TARGET)
    assert (gated.folder / TARGET).read_text() == "through\n"
    assert list((gated.folder / layout.locks()["runs"]).iterdir()) == []


def test_a_lock_of_whom_nobody_here_knows_stays_until_somebody_removes_it(gated: Project) -> None:
    """A run on another host that shares this folder, or before a power cut: here, nobody can say that it is dead."""
    with building(gated) as first:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    (record,) = (gated.folder / layout.locks()["runs"]).iterdir()
    record.rename(record.with_name(f"{'0' * 16}-{NOBODY}-7.json"))
    open_gate(gated)
    before = locks(gated)
    assert "another run is building here" in refusal(gated)
    for path in (gated.folder / layout.locks()["runs"]).iterdir():
        path.unlink()
    lock = before[0].relative_to(gated.folder)
    assert f"this folder is locked by {lock}, and nothing is known here" in refusal(gated)
    assert locks(gated) == before
    gated.run("--unlock")
    gated.run(TARGET)


def test_a_process_that_does_not_see_the_run_leaves_its_lock_alone(gated: Project) -> None:
    """As on another node, whose kernel does not know who holds a file locked here."""
    with building(gated):
        (gated.folder / layout.running()).unlink()
        before = locks(gated)
        gated.run("-n")
        assert locks(gated) == before


READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && cd "$1" && shift && exec "$@"'
ISOLATED = ["unshare", "--user", "--map-root-user", "--mount"]


def read_only(project: Project, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python where the project's folder cannot be written to, by root either."""
    return subprocess.run(
        [*ISOLATED, "sh", "-c", READ_ONLY, "sh", str(project.folder), sys.executable, "-B", *command],
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_reading_the_workflow_works_where_nothing_may_be_written(gated: Project) -> None:
    if not shutil.which("unshare") or subprocess.run([*ISOLATED, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make a namespace")
    with building(gated) as run:  # what it leaves may not be removed here
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    before = locks(gated)
    code = "from edgeflow import workflow; print(len(workflow.Flow(workflow.read_matrix(workflow.Path())).plan.cells))"
    done = read_only(gated, "-c", code)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    assert locks(gated) == before != []
