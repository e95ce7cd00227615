"""Warm workers: what runs in them is a process like any other, and nothing of them is left behind."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conftest import wait_for_end
from tests.rights import heed_modes
from tests.toolchains.conftest import Stage

from edgeflow import host
from edgeflow.errors import ToolchainError
from edgeflow.toolchains import client
from edgeflow.toolchains.worker import NOUNS

TEXT = "print('to stdout'); print('to stderr', file=sys.stderr)\n"
ENDINGS = {
    "success": "",
    "an error of edgeflow": "raise DataError('bad data')",
    "an exception": "raise RuntimeError('boom')",
    "exit code": "sys.exit(42)",
    "exit text": "sys.exit('bye')",
    "SIGSEGV": "sys.stdout.flush(); os.kill(os.getpid(), signal.SIGSEGV)",
    "SIGKILL": "sys.stdout.flush(); os.kill(os.getpid(), signal.SIGKILL)",
    "SIGTERM": "sys.stdout.flush(); os.kill(os.getpid(), signal.SIGTERM)",
    "interrupt": "os.kill(os.getpid(), signal.SIGINT)",
    "a thread that is still at work": "import threading; threading.Timer(0.01, print, ['late']).start()",
    "a pool of threads that nobody closed": "from concurrent.futures import ThreadPoolExecutor as Pool\n"
    "pool = Pool(1); print(pool.submit(sum, [1, 2]).result())",
    "an exit handler": "import atexit; atexit.register(print, 'at exit')",
    "a finalizer": "import weakref; kept = weakref.finalize(job, print, 'finalized'); sys.modules['x'] = job",
}


@pytest.mark.parametrize("code", ENDINGS.values(), ids=ENDINGS)
def test_a_job_says_and_ends_as_in_a_process_of_its_own(warm: Stage, cold: Stage, code: str) -> None:
    expected, done = cold.run(TEXT + code), warm.run(TEXT + code)
    assert (done.returncode, done.stdout, done.stderr) == (expected.returncode, expected.stdout, expected.stderr)
    assert warm.job()["worker"] == "warm"
    assert "to stdout" in done.stdout


def test_a_job_inherits_what_a_process_inherits(warm: Stage, cold: Stage) -> None:
    code = """
umask = os.umask(0); os.umask(umask)
print(os.getcwd(), umask, sys.stdin.read(), os.environ["SOMETHING"], os.getpriority(os.PRIO_PROCESS, 0))
print(os.sched_getaffinity(0), signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGINT), sys.path[:2])
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), sorted(os.listdir("/proc/self/fd"))[:3], sys.stdout.line_buffering)
"""

    def prepare() -> None:
        os.umask(0o027)
        os.nice(3)
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    said = []
    for stage in (warm, cold):
        process = stage.with_variables(SOMETHING="a\nb=c").start(code, preexec_fn=prepare)
        said.append(process.communicate("given"))
        assert process.returncode == 0, said
    assert said[0] == said[1]
    assert f"23 given a\nb=c {os.getpriority(os.PRIO_PROCESS, 0) + 3}\n" in said[0][0]


def test_output_that_cannot_be_written_fails_a_job(warm: Stage, cold: Stage) -> None:
    code = "os.dup2(os.open('/dev/full', os.O_WRONLY), 1); print('lost')"  # what is buffered is written at the end
    buffered = [stage.with_variables(PYTHONUNBUFFERED="") for stage in (cold, warm)]
    assert [stage.run(code).returncode for stage in buffered] == [120, 120]


def test_limits_hold(warm: Stage) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))

    done = warm.run("bytearray(4 << 30)", preexec_fn=limit)
    assert done.returncode == 1
    assert "MemoryError" in done.stderr
    assert warm.run("bytearray(4 << 30)").returncode == 0


def test_a_job_may_no_more_than_who_gives_it(own: Stage, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.write_text("kept from others")
    closed.chmod(0)
    code = f"print(os.access({str(closed)!r}, os.R_OK))"
    assert own.run("pass").returncode == 0  # its worker may what these tests may
    assert own.run(code, preexec_fn=heed_modes).stdout == "False\n"


def test_warm_and_cold_write_the_same_bytes(warm: Stage, cold: Stage) -> None:
    assert warm.run("", "a").returncode == 0
    assert cold.run("", "b").returncode == 0
    assert warm.files("a") == cold.files("b")
    assert (warm.job("a")["worker"], cold.job("b")["worker"]) == ("warm", "cold")


# --- jobs do not disturb each other ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_crash_ends_that_job_alone(own: Stage, number: signal.Signals) -> None:
    worker = own.worker()
    other = own.start("print('began', flush=True); sys.stdin.read(); print(os.getppid())", "other")
    assert other.stdout is not None
    assert other.stdout.readline() == "began\n"
    assert own.run(f"os.kill(os.getpid(), {int(number)})").returncode == -number
    said, _ = other.communicate()
    assert (other.returncode, int(said)) == (0, worker)
    assert own.worker() == worker


NO_MORE_PROCESSES = """
import os, sys

fork = os.fork


def fork_or_not():
    if os.path.basename(sys.orig_argv[2]) == "worker.py" and os.path.exists({flag!r}):
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()


os.fork = fork_or_not
"""


def test_a_job_that_cannot_be_forked_disturbs_no_other(own: Stage, tmp_path: Path) -> None:
    flag, site = tmp_path / "no more processes", tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(NO_MORE_PROCESSES.format(flag=str(flag)))
    stage = own.with_variables(PYTHONPATH=os.pathsep.join((str(site), os.environ.get("PYTHONPATH", ""))))
    worker = stage.worker()
    with _pausing(stage) as (process, _):
        flag.touch()
        done = stage.run("", "other")
        assert (done.returncode, stage.job("other")["worker"]) == (0, "cold"), done.stderr
        flag.unlink()
        process.communicate("")
        assert process.returncode == 0
    assert stage.worker() == worker


@pytest.fixture
def memory_group() -> object:
    """A control group that may use 200 MB; needs a machine that lets this user make one."""
    name = f"edgeflow-test-{os.getpid()}"
    for parent, limits in (
        ("/sys/fs/cgroup/memory", ("memory.limit_in_bytes",)),
        ("/sys/fs/cgroup", ("memory.max", "memory.swap.max")),
    ):
        folder = Path(parent) / name
        try:
            folder.mkdir()
            for limit in limits:
                (folder / limit).write_text("200000000" if "swap" not in limit else "0")
        except OSError:
            continue
        yield folder
        folder.rmdir()
        return
    pytest.skip("no control group with a memory limit can be made here")


def test_out_of_memory_ends_that_job_alone(own: Stage, memory_group: Path) -> None:
    def join() -> None:
        (memory_group / "cgroup.procs").write_text("0")

    first = own.run("print(os.getppid())", preexec_fn=join)
    worker = int(first.stdout)
    greedy = own.run("x = np.ones(400_000_000, np.uint8)", preexec_fn=join)
    assert greedy.returncode == -signal.SIGKILL, greedy.stderr
    again = own.run("print(os.getppid())", preexec_fn=join)
    assert int(again.stdout) == worker, again.stderr
    os.kill(worker, signal.SIGKILL)  # so that the group is empty
    assert wait_for_end(worker)


def test_a_job_gets_the_threads_of_its_rule(warm: Stage) -> None:
    code = "import threadpoolctl; print({pool['num_threads'] for pool in threadpoolctl.threadpool_info()})"
    for threads in ("1", "2"):
        stage = warm.with_variables(OMP_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads)
        assert stage.run(code).stdout == f"{{{threads}}}\n"


# --- which worker ----------------------------------------------------------------------------------------------------


def test_many_that_find_none_start_one(own: Stage) -> None:
    started = [own.start("print(os.getppid())", f"out{i}") for i in range(8)]
    said = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0] * 8, said
    assert {own.job(f"out{i}")["worker"] for i in range(8)} == {"warm"}
    assert len({out for out, _ in said}) == 1


def test_edited_code_counts_from_the_next_job_on(own: Stage, project: Path, tmp_path: Path) -> None:
    source = tmp_path / "src"
    shutil.copytree(project / "src", source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    stage = own.with_variables(PYTHONPATH=str(source))
    worker = stage.worker()
    module = source / "edgeflow/stages/prepare.py"
    module.write_text(module.read_text() + "\nprint('edited', __name__)\n")
    loader = tmp_path / "loader.py"
    loader.write_text(loader.read_text() + "\nprint('edited loader')\n")
    done = stage.run("print(os.getppid())")
    assert done.stdout.splitlines() == ["edited edgeflow.stages.prepare", "edited loader", str(worker)]


def test_edited_nouns_are_another_worker(own: Stage, project: Path, tmp_path: Path) -> None:
    source = tmp_path / "src"
    shutil.copytree(project / "src", source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    stage = own.with_variables(PYTHONPATH=str(source))
    code = "import edgeflow.types.figures as t, edgeflow.plugin as p; print(getattr(t, 'EDIT', 0), p.__name__)"
    before = stage.worker()
    assert stage.run(code).stdout == "0 edgeflow.plugin\n"
    with (source / "edgeflow/types/figures.py").open("a") as module:
        module.write("EDIT = 1\n")
    assert stage.run(code).stdout == "1 edgeflow.plugin\n"
    assert stage.worker() != before


def test_a_worker_holds_nothing_of_edgeflow_but_what_names_it(project: Path) -> None:
    """An edit of anything else that the nouns import would be no other worker, and would not count."""
    code = (
        "import importlib, sys\n[importlib.import_module(name) for name in sys.argv[1:]]\n"
        "print(*(module.__file__ for name, module in sorted(sys.modules.items()) if name.startswith('edgeflow')))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *NOUNS],
        env={"PYTHONPATH": str(project / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(done.stdout.split()) == sorted(map(str, client.HELD_BY_WORKERS))


def test_another_lock_is_another_worker(own: Stage, tmp_path: Path) -> None:
    lock = tmp_path / "envs/core.txt"
    lock.parent.mkdir()
    lock.write_text("numpy==2.4.0\n")
    before = own.worker()
    assert own.worker() == before
    lock.write_text("numpy==2.4.1\n")
    assert own.worker() != before
    before = own.worker()
    lock.with_suffix(".user.txt").write_text("einops==0.8.1\n")
    assert own.worker() != before


def test_another_allocation_of_a_cluster_is_another_worker(own: Stage) -> None:
    workers = [own.with_variables(SLURM_JOB_ID=job).worker() for job in ("1", "2", "1")]
    assert workers[0] != workers[1]
    assert workers[0] == workers[2]


def test_modules_are_imported_before_the_job(own: Stage) -> None:
    code = "print('wave' in sys.modules, 'no_such_module' in sys.modules)"
    assert own.run(code).stdout == "False False\n"
    assert own.run(code, "out", "--preload=wave,no_such_module").stdout == "True False\n"


def test_a_worker_may_import_before_there_is_a_job(own: Stage) -> None:
    code = "from edgeflow.toolchains.client import prepare_worker; prepare_worker('core', 'wave')"
    subprocess.run([sys.executable, "-c", code], cwd=own.folder, env=own.environment, check=True)
    assert own.run("print('wave' in sys.modules)").stdout == "True\n"
    cold = own.with_variables(EDGEFLOW_WARM="0", XDG_RUNTIME_DIR="/nowhere")
    subprocess.run([sys.executable, "-c", code], cwd=own.folder, env=cold.environment, check=True)


# --- endings ---------------------------------------------------------------------------------------------------------

PAUSE = "print(os.getpid(), flush=True); sys.stdin.read()"


@contextmanager
def _pausing(stage: Stage) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A client and its job, which waits for its input to end."""
    with stage.start(PAUSE) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("kind", ["warm", "cold"])
def test_a_signal_for_the_command_reaches_the_job(
    request: pytest.FixtureRequest, kind: str, number: signal.Signals
) -> None:
    with _pausing(request.getfixturevalue(kind)) as (process, job):
        process.send_signal(number)
        assert process.wait() == -number
        assert wait_for_end(job)


@pytest.mark.parametrize("kind", ["warm", "cold"])
def test_a_job_ends_with_its_command(request: pytest.FixtureRequest, kind: str) -> None:
    with _pausing(request.getfixturevalue(kind)) as (process, job):
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert wait_for_end(job)


def test_a_job_ends_with_its_run(own: Stage) -> None:
    with (
        subprocess.Popen(["cat"], stdin=subprocess.PIPE) as run,
        _pausing(own.with_variables(EDGEFLOW_RUN=str(run.pid))) as (process, job),
    ):
        run.kill()
        assert process.wait() == -signal.SIGKILL
        assert wait_for_end(job)


def test_a_job_of_a_run_that_has_ended_does_not_start(own: Stage) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as run:
        run.kill()
    for kind in ("0", "1"):
        done = own.with_variables(EDGEFLOW_RUN=str(run.pid), EDGEFLOW_WARM=kind).run("print('began')")
        assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")
        assert done.stderr == "edgeflow: the run that this job belongs to has ended\n"
    assert not (own.folder / "out").exists()


def test_the_number_of_a_run_on_another_machine_means_nothing(own: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as ended:
        ended.kill()
    there = f"{ended.pid}@elsewhere"
    stage = own.with_variables(EDGEFLOW_RUN=there, EDGEFLOW_WARM_IDLE_S="0.05")
    assert wait_for_end(stage.worker())
    mine, outside = f"{os.getpid()}@{client.machine()}", f"{os.getppid()}@{client.machine()}"
    for outer, expected in ((there, mine), (outside, outside), (str(ended.pid), mine)):
        monkeypatch.setenv(client.RUN, outer)
        client.claim_run()
        assert os.environ[client.RUN] == expected


def test_a_worker_of_another_host_or_container_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may share the folder of its socket: it would answer with process ids that mean other processes here."""
    here = client._key("core", sys.executable)
    assert client._key("core", sys.executable) == here
    monkeypatch.setattr(host, "place", lambda: "0123456789abcdef")
    assert client._key("core", sys.executable) != here


def test_a_worker_that_dies_under_a_job_is_an_error_and_the_retry_works(own: Stage) -> None:
    worker = own.worker()
    with _pausing(own) as (process, job):
        os.kill(worker, signal.SIGKILL)
        _, said = process.communicate()
    assert process.returncode == ToolchainError.exit_code
    assert said.startswith("ToolchainError: the warm worker of toolchain 'core' ended while prepare ran")
    assert "EDGEFLOW_WARM=0" in said
    assert wait_for_end(job)
    assert own.worker() != worker


def test_a_worker_ends_with_the_last_run_that_used_it(own: Stage) -> None:
    with (
        subprocess.Popen(["cat"], stdin=subprocess.PIPE) as first,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE) as last,
    ):
        worker = own.with_variables(EDGEFLOW_RUN=str(first.pid)).worker()
        assert own.with_variables(EDGEFLOW_RUN=str(last.pid)).worker() == worker
        first.kill()
        first.wait()
        assert own.with_variables(EDGEFLOW_RUN=str(last.pid)).worker() == worker
        last.kill()
        last.wait()
        assert wait_for_end(worker)
    assert not list(Path(own.variables["XDG_RUNTIME_DIR"]).rglob("*.sock"))


def test_a_worker_ends_when_it_is_idle(own: Stage) -> None:
    stage = own.with_variables(EDGEFLOW_RUN="", EDGEFLOW_WARM_IDLE_S="0.05")
    worker = stage.worker()
    assert wait_for_end(worker)
    assert stage.worker() != worker


# --- where none can be had -------------------------------------------------------------------------------------------


def test_a_folder_that_others_can_enter_is_not_used(own: Stage, cold: Stage) -> None:
    folder = Path(own.variables["XDG_RUNTIME_DIR"]) / f"edgeflow-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o755)
    done = own.run("", "a")
    assert done.returncode == 0
    assert f"no warm worker for toolchain 'core': {folder} is not a folder that is yours alone" in done.stderr
    assert own.job("a")["worker"] == "cold"
    assert cold.run("", "b").returncode == 0
    assert own.files("a") == cold.files("b")


def test_a_folder_that_is_not_here_is_not_used(own: Stage, tmp_path: Path) -> None:
    place = own.variables["XDG_RUNTIME_DIR"]
    assert own.with_variables(XDG_RUNTIME_DIR=str(tmp_path / "of another machine"), TMPDIR=place).worker()
    assert list(Path(place).rglob("*.sock"))


def test_without_a_place_for_sockets_jobs_run_cold(own: Stage, tmp_path: Path) -> None:
    place = tmp_path / ("too long for the address of a socket " * 3)
    place.mkdir()
    done = own.with_variables(XDG_RUNTIME_DIR=str(place)).run("")
    assert done.returncode == 0
    assert "running cold" in done.stderr
    assert own.job()["worker"] == "cold"


def test_a_worker_that_cannot_start_leaves_the_job_cold(own: Stage, project: Path, tmp_path: Path) -> None:
    source = tmp_path / "src"
    shutil.copytree(project / "src", source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (source / "edgeflow/toolchains/worker.py").write_text("raise SystemExit('broken')\n")
    done = own.with_variables(PYTHONPATH=str(source)).run("")
    assert done.returncode == 0
    assert "no warm worker for toolchain 'core'" in done.stderr
    assert own.job()["worker"] == "cold"


def test_a_toolchain_that_is_not_installed_says_what_to_do(warm: Stage) -> None:
    done = warm.run("", "out", "--toolchain", "nowhere")
    assert done.returncode == ToolchainError.exit_code
    assert done.stderr == (
        "ToolchainError: toolchain 'nowhere' is not installed here: run 'edgeflow toolchain nowhere'\n"
    )


def test_a_library_that_the_toolchain_lacks_says_what_to_do(warm: Stage) -> None:
    done = warm.run("import no_such_library")
    assert done.returncode == ToolchainError.exit_code
    assert "prepare needs the module 'no_such_library'" in done.stderr
    assert "--toolchain" in done.stderr


# --- what a job costs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["warm", "cold"])
def test_time_and_memory_of_a_job_are_recorded(request: pytest.FixtureRequest, kind: str) -> None:
    stage: Stage = request.getfixturevalue(kind)
    code = "x = np.ones(300_000_000, np.uint8)\nwhile time.process_time() < .5: pass"
    assert stage.run(code).returncode == 0
    job = stage.job()
    assert (job["stage"], job["toolchain"], job["worker"], job["exit_code"]) == ("prepare", "core", kind, 0)
    assert 300_000_000 < job["memory_peak_bytes"] < 1_000_000_000
    assert 0.5 <= job["cpu_s"] < job["wall_s"] * 4
    assert stage.run("").returncode == 0
    assert stage.job()["memory_peak_bytes"] < 300_000_000


def test_the_command_loads_little_and_nothing_of_third_parties(project: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(project / 'src')!r}); import edgeflow.__main__, edgeflow.errors, "
        "edgeflow.stages, edgeflow.layout, edgeflow.toolchains.client; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"argparse", "ast", "dataclasses", "inspect", "json", "pathlib", "re", "subprocess", "typing"}
