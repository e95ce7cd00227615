"""Warm workers under Snakemake: retries, --keep-going, and what an interrupt leaves behind: nothing."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import wait_for_end
from tests.toolchains.conftest import Stage

pytestmark = pytest.mark.workflow

RULE = """
rule {name}:
    output: "{name}/train"
    log: "{name}/log"
    {more}
    shell: {command!r}
"""


def write(stage: Stage, **rules: tuple[str, str]) -> None:
    """A Snakefile with a rule per name: (what its job does, more lines of the rule)."""
    targets = ", ".join(repr(f"{name}/train") for name in rules)
    text = f"rule all:\n    input: {targets}\n"
    for name, (code, more) in rules.items():
        words = [sys.executable, "-m", "edgeflow", *stage.arguments(code, name)]
        command = shlex.join(words).replace("{", "{{").replace("}", "}}") + " > {log} 2>&1"
        text += RULE.format(name=name, more=more, command=command)
    (stage.folder / "Snakefile").write_text(text)


def start(stage: Stage, *arguments: str) -> subprocess.Popen[str]:
    """Snakemake as from a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
        cwd=stage.folder,
        env=stage.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no threads
    )


def test_a_failed_job_is_tried_again_and_the_others_go_on(own: Stage, tmp_path: Path) -> None:
    once = f"import pathlib; flag = pathlib.Path({str(tmp_path / 'flag')!r}); first = not flag.exists(); flag.touch()\n"
    write(
        own,
        crashes_once=(once + "if first: os.kill(os.getpid(), signal.SIGSEGV)", "retries: 1"),
        fails=("raise DataError('never')", ""),
        works=("print('fine')", ""),
    )
    with start(own, "--keep-going") as process:
        said, _ = process.communicate()
    assert process.returncode == 1, said
    assert "Trying to restart job" in said
    assert (tmp_path / "crashes_once/train").is_file()
    assert (tmp_path / "works/log").read_text() == "fine\n"
    assert (tmp_path / "fails/log").read_text() == "DataError: never\n"
    records = {name: json.loads((tmp_path / name / "job.json").read_text()) for name in ("crashes_once", "works")}
    assert {record["worker"] for record in records.values()} == {"warm"}


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("kind", ["own", "cold"])
def test_the_end_of_snakemake_is_the_end_of_its_jobs(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, how: str
) -> None:
    stage: Stage = request.getfixturevalue(kind)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    write(stage, waits=(f"open({str(fifo)!r}, 'w').write(str(os.getpid())); signal.pause()", ""))
    # as the project's Snakefile does it: the run is the process that reads it, and SIGTERM is heeded
    snakefile = tmp_path / "Snakefile"
    claim = "import os\nos.environ.pop('EDGEFLOW_RUN')\nfrom edgeflow.toolchains import client\nclient.claim_run()\n"
    # there is no configuration to make one of
    stop = "from edgeflow.workflow import Flow\nonstart:\n    Flow.begin(Flow.__new__(Flow))\n"
    snakefile.write_text(claim + stop + snakefile.read_text())
    with start(stage) as process:
        job = int(fifo.read_text())
        if how == "Ctrl-C":
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(getattr(signal, how))
        process.communicate()
    assert process.returncode != 0
    assert wait_for_end(job)
    assert not (tmp_path / "waits/train").exists()
