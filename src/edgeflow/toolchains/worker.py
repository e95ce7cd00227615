"""The warm worker of a toolchain: a fork server that has imported its heavy libraries, and computes nothing itself.

`python -P worker.py PATH IDLE_S BOOTSTRAP DIGEST`, with the listening socket PATH.sock as descriptor 3.
It imports what jobs ask for, of third parties. Of edgeflow's own code it holds the nouns alone, dataclasses that take
longer to define than a small job takes to run; their contents are part of PATH, so an edit of them is another worker.
The rest is imported by every job afresh, and an edit of it counts from the next job on.
Each job is a forked child with the descriptors, environment and working folder of the client that asked (see client.py
for the messages), and ends with that client. The worker ends when it had no job for IDLE_S seconds, and when the last
Snakemake run that used it has ended.

Standard library only: it runs in every toolchain.
"""

from __future__ import annotations

import array
import atexit
import ctypes
import fcntl
import gc
import hashlib
import importlib
import os
import pathlib
import runpy
import selectors
import signal
import socket
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

# What every job imports or needs: the last one to set the number of threads.
STANDARD = (
    *("argparse", "ast", "difflib", "encodings.cp437", "enum", "hashlib", "importlib.metadata", "importlib.util"),
    *("inspect", "json", "logging", "mmap", "pathlib", "platform", "statistics", "subprocess", "tempfile", "typing"),
    *("warnings", "zipfile", "numpy", "threadpoolctl"),
)
NOUNS = (  # the files that client.py has in HELD_BY_WORKERS, in that order
    *("edgeflow", "edgeflow.types", "edgeflow.types.figures", "edgeflow.types.jobs", "edgeflow.types.ladder"),
    *("edgeflow.types.plain", "edgeflow.types.programs", "edgeflow.types.signatures", "edgeflow.types.variants"),
    *("edgeflow.types.verdicts", "edgeflow.plugin", "edgeflow.written"),
)
LISTENER = 3
RECEIVE_BYTES = 1 << 16
REQUEST_TIMEOUT_S = 10.0  # a client sends its request in one go
PDEATHSIG = 1  # prctl(2): PR_SET_PDEATHSIG
MORE_KILLABLE = 200  # oom_score_adj(5) of jobs above the worker: out of memory, a job goes and the worker stays


@dataclass(frozen=True)
class Request:
    """What a client asks for, and what its job inherits."""

    bootstrap: str
    folder: str
    preload: tuple[str, ...]
    run: int  # process id of the Snakemake run; 0 for a command by hand
    umask: int
    nice: int
    affinity: frozenset[int]
    ignored_signals: tuple[int, ...]
    argv: tuple[str, ...]  # empty: nothing is to be run, only imported
    environment: dict[str, str]
    descriptors: tuple[int, ...]

    @classmethod
    def receive(cls, connection: socket.socket) -> Request:
        """Read one request; ConnectionError when the client goes away before it is whole."""
        received, ancillary, _, _ = connection.recvmsg(RECEIVE_BYTES, socket.CMSG_SPACE(3 * array.array("i").itemsize))
        descriptors = array.array("i")
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(data)
        length, newline, body = received.partition(b"\n")
        parts = [body]
        missing = int(length or 0) - len(body)
        while missing > 0:
            parts.append(connection.recv(min(missing, RECEIVE_BYTES)))
            if not parts[-1]:
                raise ConnectionError("the client went away")
            missing -= len(parts[-1])
        if not newline or len(descriptors) != 3:
            raise ConnectionError("not a request")
        return cls._parse([os.fsdecode(field) for field in b"".join(parts).split(b"\0")[:-1]], tuple(descriptors))

    @classmethod
    def _parse(cls, fields: list[str], descriptors: tuple[int, ...]) -> Request:
        bootstrap, folder, preload, run, umask, nice, affinity, ignored, count, *rest = fields
        return cls(
            bootstrap=bootstrap,
            folder=folder,
            preload=tuple(filter(None, preload.split(","))),
            run=int(run or 0),
            umask=int(umask),
            nice=int(nice),
            affinity=frozenset(map(int, filter(None, affinity.split(",")))),
            ignored_signals=tuple(map(int, filter(None, ignored.split(",")))),
            argv=tuple(rest[: int(count)]),
            environment=dict(variable.split("=", 1) for variable in rest[int(count) :]),
            descriptors=descriptors,
        )


@dataclass(frozen=True)
class Job:
    """A running child and the client that waits for it."""

    pid: int
    connection: socket.socket


class Worker:
    """The server: accepts requests, forks jobs, reaps them, and knows when to go."""

    def __init__(self, path: str, idle_s: float) -> None:
        self._path = path
        self._idle_s = idle_s
        self._listener = socket.socket(fileno=LISTENER)
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._jobs: dict[int, Job] = {}  # by process id
        self._runs: dict[int, int] = {}  # live Snakemake runs: process id → descriptor that becomes readable at its end
        self._had_runs = False
        self._imported: set[str] = set()
        self._threads: Any = None
        self._watch_children()

    def _watch_children(self) -> None:
        readable, writable = os.pipe()
        for end in (readable, writable):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wakeup, self._wakeup_writable = readable, writable
        self._selector.register(readable, selectors.EVENT_READ, self._drain)

    def serve(self) -> None:
        """Work until it is time to go."""
        self._import(STANDARD)
        while True:
            events = self._selector.select(self._idle_s)
            for key, _ in events:
                key.data(key.fileobj)
            self._reap()
            unused = not events or (self._had_runs and not self._runs)
            if not self._jobs and unused and self._leave():
                return

    def _leave(self) -> bool:
        """Give the socket up, unless somebody starts a worker or waits to be served at this moment."""
        with open(os.path.join(os.path.dirname(self._path), "lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._selector.select(0):
                return False
            os.unlink(self._path + ".sock")
        log = self._path + ".log"
        if not os.path.getsize(log):
            os.unlink(log)
        return True

    # --- requests ---

    def _accept(self, _: object) -> None:
        try:
            connection, _address = self._listener.accept()
        except BlockingIOError:
            return
        connection.settimeout(REQUEST_TIMEOUT_S)
        try:
            request = Request.receive(connection)
        except (OSError, ValueError) as error:
            print(f"refused a request: {error}", flush=True)
            connection.close()
            return
        self._watch_run(request.run)
        self._import(request.preload)
        try:
            if request.argv:
                self._fork(request, connection)
            else:
                connection.close()
        except OSError as error:  # no process or memory left for one more: this job's trouble, and not that of others
            print(f"cannot fork: {error}", flush=True)
            connection.close()
        for descriptor in request.descriptors:
            os.close(descriptor)

    def _import(self, modules: tuple[str, ...]) -> None:
        """Import what is missing; what cannot be imported is for the job to complain about."""
        missing = [name for name in modules if name not in self._imported]
        for name in missing:
            try:
                importlib.import_module(name)
            except Exception as error:  # noqa: BLE001 - whatever a library raises when it is imported
                print(f"{name}: {type(error).__name__}: {error}", flush=True)
            self._imported.add(name)
        if missing:
            if control := sys.modules.get("threadpoolctl"):
                self._threads = control.ThreadpoolController()  # finds the libraries, which takes as long as the fork
            gc.collect()
            gc.freeze()  # the collector would write into every page, and so copy it, in every job

    def _fork(self, request: Request, connection: socket.socket) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            connection.close()  # else processes that a job leaves behind would keep its client waiting
            run_job(request, parent, self._threads, self._forget)
        self._jobs[pid] = Job(pid, connection)
        self._selector.register(connection, selectors.EVENT_READ, self._client_left)
        self._tell(connection, f"started {pid}")

    def _forget(self) -> None:
        """In the child: close what is the worker's own. Libraries may hold descriptors too; those stay."""
        signal.set_wakeup_fd(-1)
        for key in self._selector.get_map().values():
            os.close(key.fd)
        self._selector.close()
        os.close(self._wakeup_writable)

    @staticmethod
    def _tell(connection: socket.socket, line: str) -> None:
        try:
            connection.sendall(line.encode() + b"\n")
        except OSError:  # the client is gone: its job is ended when that is noticed
            return

    # --- endings ---

    def _drain(self, _: object) -> None:
        try:
            os.read(self._wakeup, RECEIVE_BYTES)
        except BlockingIOError:
            return

    def _reap(self) -> None:
        while self._jobs:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if not pid:
                return
            job = self._jobs.pop(pid, None)
            if job is None:  # a library's own
                continue
            self._tell(job.connection, f"ended {status} {usage.ru_utime} {usage.ru_stime} {_kib(usage.ru_maxrss)}")
            self._selector.unregister(job.connection)
            job.connection.close()

    def _client_left(self, connection: object) -> None:
        """Nobody waits for its job any more."""
        (job,) = (job for job in self._jobs.values() if job.connection is connection)
        for reach in (os.killpg, os.kill):  # it leads a process group, once it has come that far
            try:
                reach(job.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            return

    def _watch_run(self, pid: int) -> None:
        """Notice when a Snakemake run ends, however it ends; only Linux tells without asking again and again."""
        if not pid or pid in self._runs or not hasattr(os, "pidfd_open"):
            return
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:  # it has ended already
            return
        self._had_runs = True
        self._runs[pid] = descriptor
        self._selector.register(descriptor, selectors.EVENT_READ, self._run_ended)

    def _run_ended(self, descriptor: object) -> None:
        (pid,) = (run for run, watched in self._runs.items() if watched == descriptor)
        self._selector.unregister(self._runs[pid])
        os.close(self._runs.pop(pid))


def _kib(maxrss: int) -> int:
    return maxrss // 1024 if sys.platform == "darwin" else maxrss  # getrusage(2): bytes on macOS, KiB on Linux


# --- in the child ----------------------------------------------------------------------------------------------------


def run_job(request: Request, parent: int, threads: Any, forget: Callable[[], None]) -> None:
    """Become the process that the client would have started, and end as it would have ended; never returns.

    `threads`: controls the thread pools, where there are any. `forget` closes what is the worker's own.
    """
    code, interrupted = 1, False
    try:
        forget()
        _inherit(request, parent)
        _limit_threads(request.environment, threads)
        code = _run(request)
    except BaseException as error:  # noqa: BLE001 - the top of an interpreter: all of it goes to stderr
        interrupted = isinstance(error, KeyboardInterrupt)
        error.__traceback__ = _of_the_job(error.__traceback__, request.bootstrap)
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        code = _finish() or code
        if interrupted:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)  # as an interpreter ends after an interrupt
        os._exit(code)


def _of_the_job(trace: TracebackType | None, bootstrap: str) -> TracebackType | None:
    """A traceback without the frames of the worker."""
    job = trace
    while job is not None and job.tb_frame.f_code.co_filename != bootstrap:
        job = job.tb_next
    return job or trace


def _inherit(request: Request, parent: int) -> None:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for ignored in request.ignored_signals:
        signal.signal(ignored, signal.SIG_IGN)
    # Finalizers of the worker's objects are the worker's: torch has thousands, 30 ms at the end of every job.
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]
    _end_with(parent)
    for target, source in enumerate(request.descriptors):
        os.dup2(source, target)
        os.close(source)
    os.environ.clear()
    os.environ.update(request.environment)
    os.umask(request.umask)
    os.chdir(request.folder)
    if request.affinity:
        os.sched_setaffinity(0, request.affinity)
    os.setpriority(os.PRIO_PROCESS, 0, max(request.nice, os.getpriority(os.PRIO_PROCESS, 0)))
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr] # as an interpreter starts


def _end_with(parent: int) -> None:
    """Have the kernel kill this job when the worker dies, where it can: Linux."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PDEATHSIG, signal.SIGKILL)
        with open("/proc/self/oom_score_adj", "r+") as score:
            score.write(str(min(int(score.read()) + MORE_KILLABLE, 1000)))
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


def _limit_threads(environment: dict[str, str], control: Any) -> None:
    """As many threads as Snakemake gave the job: the libraries read these variables when they were loaded."""
    threads = environment.get("OMP_NUM_THREADS", "")
    if not threads.isdecimal():
        return
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(int(threads))
    if control is not None:
        control.limit(limits=int(threads))


def _run(request: Request) -> int:
    sys.argv = [request.bootstrap, *request.argv]
    try:
        runpy.run_path(request.bootstrap, run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    return 0


def _finish() -> int:
    """What an interpreter does at its end, less taking apart the modules; its exit code where that fails, else 0."""
    threading._shutdown()  # type: ignore[attr-defined] # ends the threads of executors, and waits for the others
    atexit._run_exitfuncs()
    failed = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # a full disk, or nobody reads any more
            failed = 120  # as an interpreter ends then
        except ValueError:  # the job has closed it
            continue
    return failed


def load_nouns(bootstrap: str, digest: str) -> None:
    """Import the nouns; SystemExit when they are no longer those that PATH stands for."""
    runpy.run_path(bootstrap)["load_edgeflow"]()
    files = [pathlib.Path(importlib.import_module(name).__file__ or "") for name in NOUNS]
    contents = b"".join(file.read_bytes() for file in files)
    if hashlib.blake2b(contents, digest_size=8).hexdigest() != digest:
        sys.exit("edgeflow's nouns were edited while the worker started")


def main(path: str, idle_s: str, bootstrap: str, digest: str) -> None:
    """Serve jobs on the socket that is open as descriptor 3."""
    os.chdir("/")  # no folder is held; what PYTHONPATH says has been made absolute by now
    load_nouns(bootstrap, digest)
    Worker(path, float(idle_s)).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
