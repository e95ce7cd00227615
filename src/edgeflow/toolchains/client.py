"""The stage command: hands a job to the warm worker of its toolchain, or runs it cold in a process of its own.

Either way the job is a child that this process stands for: it forwards signals, ends with the job's exit code or by
the job's signal, and writes what the job cost. Every job starts one of these, so this file imports little of the
standard library, and of edgeflow nothing but whose a process is and what an error needs.

A request is one message with the descriptors 0 to 2: its length in decimal and a line feed, then texts that each end
with a zero byte (see `_request`). The worker answers `started PID`, then `ended STATUS USER_S SYSTEM_S MAXRSS_KIB`, a
line each. What ends before `started` has run nothing and runs cold instead.
"""

from __future__ import annotations

import array
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from edgeflow import host
from edgeflow.toolchains import CORE, system

HERE = os.path.dirname(os.path.abspath(__file__))
BOOTSTRAP = os.path.join(HERE, "bootstrap.py")
WORKER = os.path.join(HERE, "worker.py")
TYPES = ("__init__", "figures", "jobs", "ladder", "plain", "programs", "signatures", "variants", "verdicts")
HELD_BY_WORKERS = tuple(
    os.path.join(os.path.dirname(HERE), f"{name}.py")
    for name in ("__init__", *(f"types/{t}" for t in TYPES), "plugin", "written")
)

OFF = "EDGEFLOW_WARM"  # "0": no warm workers
IDLE = "EDGEFLOW_WARM_IDLE_S"  # how long a worker without jobs waits for the next one
IDLE_S = "60"
RUN = "EDGEFLOW_RUN"  # the Snakemake run that a job belongs to: its process id, or PID@MACHINE

FORWARDED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
# What an interpreter and the dynamic linker read when they start: a worker serves only jobs that would start alike.
STARTUP_VARIABLES = ("PYTHON", "LD_", "DYLD_")
# A job of a cluster must not run in the control group of another: the worker belongs to the allocation.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
ALLOCATIONS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID", "COBALT_JOBID", "OAR_JOB_ID")


def claim_run() -> None:
    """Have this process and what it starts count as one run, unless it is part of one.

    Jobs end with their run, however it ends, and workers with the last run that used them.
    """
    run = _run_here()
    if not run or not host.alive(run):
        os.environ[RUN] = f"{os.getpid()}@{machine()}"


def _run_here() -> int:
    """Process id of the run; 0 where there is none, or it is on another machine: clusters hand variables on."""
    pid, _, where = os.environ.get(RUN, "").partition("@")
    return int(pid) if pid.isdecimal() and where in ("", machine()) else 0


def machine() -> str:
    """Where process ids mean the same: a host, and on Linux the part of it that a container sees."""
    return host.place() or os.uname().nodename


class NoWorkerError(Exception):
    """There is no worker to hand a job to; the message says why. Nothing of the job has run."""


class WorkerLostError(Exception):
    """The worker went away while the job ran."""


class Job:
    """A running job: how to reach it, and when to end it."""

    def __init__(self) -> None:
        self.pid = 0
        self.worker = "cold"
        self._watched = _watched()
        for number in FORWARDED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._forward)

    def _forward(self, number: int, _frame: object) -> None:
        if self.pid:
            send(self.pid, number)
        else:
            _die_by(number)

    def wait(self, news: int) -> None:
        """Return when there are news of the job; end it when nobody is left to wait for it."""
        readable, _, _ = select.select([news, *self._watched], [], [])
        if news not in readable:
            if not self.pid:
                _die_by(signal.SIGKILL)
            send(self.pid, signal.SIGKILL)
            self._watched = ()


def _watched() -> tuple[int, ...]:
    """Descriptors that become readable when the Snakemake run of this job ends, or the shell that it started for it.

    None where a job is started by hand, since it may outlive its shell, and where the system has no such thing. Where
    the run has ended already, so does this process: the shell of a killed run goes on to its next command.
    """
    run = _run_here()
    if not run or not hasattr(os, "pidfd_open"):
        return ()
    descriptors = []
    for pid in (run, os.getppid()):
        try:
            descriptors.append(os.pidfd_open(pid))
        except ProcessLookupError:
            print("edgeflow: the run that this job belongs to has ended", file=sys.stderr)
            _die_by(signal.SIGKILL)
        except OSError:  # a parent outside this container has no number here
            continue
    return tuple(descriptors)


def send(pid: int, number: int) -> None:
    """Signal a job and its children: it leads a process group of its own, once it has come that far."""
    for reach in (os.killpg, os.kill):
        try:
            reach(pid, number)
        except ProcessLookupError:
            continue
        return


def run(stage: str, arguments: Sequence[str], toolchain: str, preload: str, record: str) -> int:
    """Run a stage in a toolchain; returns the exit code, or dies by the job's signal.

    `preload`: modules that the worker imports before, separated by commas. `record`: the job.json to write, or "".
    Raises ToolchainError when the toolchain is not installed as its lock says, or its worker dies under the job.
    """
    job = Job()
    begin, begin_s = time.time(), time.perf_counter()
    try:
        status, cpu_s, peak_bytes = _warm_or_cold(job, [stage, *arguments], toolchain, preload)
    except WorkerLostError as lost:
        from edgeflow.errors import ToolchainError

        raise ToolchainError(
            f"the warm worker of toolchain {toolchain!r} ended while {stage} ran: {lost}. The job was ended and wrote "
            f"nothing; run it again, or with {OFF}=0 in a process of its own"
        ) from None
    code = os.waitstatus_to_exitcode(status)
    if record:
        _write(
            record,
            stage=stage,
            toolchain=toolchain,
            worker=job.worker,
            started_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin)),
            wall_s=round(time.perf_counter() - begin_s, 4),
            cpu_s=round(cpu_s, 4),
            memory_peak_bytes=peak_bytes,
            exit_code=code,
        )
    if code < 0:
        _die_by(-code)
    return code


def _warm_or_cold(job: Job, argv: Sequence[str], toolchain: str, preload: str) -> tuple[int, float, int]:
    """Wait status, CPU seconds and peak resident bytes of the job."""
    if os.environ.get(OFF) != "0":
        reason = ""
        for _ in range(2):  # a worker may go home just when it is asked: the second time there is a new one
            try:
                return _warm(job, argv, toolchain, preload)
            except NoWorkerError as error:
                reason = str(error)
        print(f"edgeflow: no warm worker for toolchain {toolchain!r}: {reason}; running cold", file=sys.stderr)
    return _cold(job, argv, toolchain)


# --- warm ------------------------------------------------------------------------------------------------------------


def _warm(job: Job, argv: Sequence[str], toolchain: str, preload: str) -> tuple[int, float, int]:
    try:
        connection = _ask(toolchain, argv, preload)
        answers = _lines(job, connection)
        word, pid = next(answers).split()
    except StopIteration:
        raise NoWorkerError("it ended before the job began") from None
    except OSError as error:
        raise NoWorkerError(str(error)) from error
    if word != b"started":
        raise NoWorkerError(word.decode())
    job.worker = "warm"
    job.pid = int(pid)
    try:
        _, status, user_s, system_s, peak_kib = next(answers).split()
    except (StopIteration, OSError):
        send(job.pid, signal.SIGKILL)
        raise WorkerLostError("see the log beside its socket") from None
    return int(status), float(user_s) + float(system_s), int(peak_kib) * 1024


def _ask(toolchain: str, argv: Sequence[str], preload: str) -> socket.socket:
    """Send a request to the toolchain's worker; without arguments it imports, and runs nothing."""
    connection = _connect(toolchain)
    request = _request(argv, preload)
    descriptors = array.array("i", [0, 1, 2])
    sent = connection.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
    connection.sendall(request[sent:])
    return connection


def prepare_worker(toolchain: str, preload: str) -> None:
    """Have a worker import modules for jobs that will come; where that cannot be, those jobs say why."""
    from edgeflow.errors import ToolchainError

    if os.environ.get(OFF) == "0":
        return
    try:
        _ask(toolchain, (), preload).close()
    except (NoWorkerError, OSError, ToolchainError):
        return


def _lines(job: Job, connection: socket.socket) -> Iterator[bytes]:
    pending = b""
    while True:
        job.wait(connection.fileno())
        received = connection.recv(4096)
        if not received:
            return
        *lines, pending = (pending + received).split(b"\n")
        yield from lines


def _request(argv: Sequence[str], preload: str) -> bytes:
    """Everything that a process inherits and that a forked job would otherwise have from the worker."""
    mask = os.umask(0)
    os.umask(mask)
    fields = [
        BOOTSTRAP,
        os.getcwd(),
        preload,
        str(_run_here()),
        str(mask),
        str(os.getpriority(os.PRIO_PROCESS, 0)),
        ",".join(map(str, sorted(os.sched_getaffinity(0)))) if hasattr(os, "sched_getaffinity") else "",
        ",".join(str(int(n)) for n in FORWARDED if signal.getsignal(n) is signal.SIG_IGN),
        str(len(argv)),
        *argv,
        *(f"{name}={value}" for name, value in os.environ.items()),
    ]
    body = b"".join(os.fsencode(field) + b"\0" for field in fields)
    return b"%d\n" % len(body) + body


def _connect(toolchain: str) -> socket.socket:
    """A connection to the toolchain's worker, started when there is none.

    The lock makes one of many that find none start it, and keeps a worker from going home meanwhile.
    """
    python = _interpreter(toolchain)
    path = os.path.join(private_folder(), f"{toolchain}-{_key(toolchain, python)}")
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path + ".sock")
    except (FileNotFoundError, ConnectionRefusedError):
        import fcntl

        with open(os.path.join(os.path.dirname(path), "lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                connection.connect(path + ".sock")
            except (FileNotFoundError, ConnectionRefusedError):
                _check_installed(toolchain)
                _start(python, path)
                connection.connect(path + ".sock")
    return connection


def private_folder() -> str:
    """Where the sockets are: a folder that nobody else can enter.

    Raises NoWorkerError when somebody else made it.
    """
    bases = (os.environ.get("XDG_RUNTIME_DIR", ""), os.environ.get("TMPDIR", ""))
    base = next(filter(os.path.isdir, bases), "/tmp")  # a node of a cluster need not have the folder of the login node
    folder = os.path.join(base, f"edgeflow-{os.getuid()}")
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        status = os.lstat(folder)
        if status.st_uid != os.getuid() or status.st_mode & 0o170077 != 0o040000:
            raise NoWorkerError(f"{folder} is not a folder that is yours alone; remove it") from None
    return folder


def _key(toolchain: str, python: str) -> str:
    """Names the worker: other code, another lock, toolchain, interpreter, host, allocation, niceness, or other limits
    or rights is another.
    """
    from edgeflow import layout

    paths = layout.toolchain(toolchain)
    parts = [os.fsencode(python), os.fsencode(HERE), _contents(WORKER, *HELD_BY_WORKERS)]
    parts.append(machine().encode())  # its socket may be in a folder that another container has too
    parts.append(b"%d" % os.getpriority(os.PRIO_PROCESS, 0))  # a job can be made nicer than its worker only
    user = f"{layout.LOCKS}/{toolchain}.user.txt"
    for path in (paths["lock"], user):  # there are none where stages run by hand, outside a project
        parts.append(_contents(path) if os.path.exists(path) else b"")
    # what says that libraries were changed: the stamp, or in an environment that somebody else keeps, their folder
    packages = f"{sys.prefix}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    for path in (paths["stamp"], packages if python == sys.executable else ""):
        if os.path.exists(path):
            stamp = os.stat(path)
            parts.append(b"%d %d" % (stamp.st_ino, stamp.st_mtime_ns))
    for name in sorted(os.environ):
        if name.startswith(STARTUP_VARIABLES) or name in ALLOCATIONS:
            parts.append(os.fsencode(f"{name}={os.environ[name]}"))
    if "PYTHONPATH" in os.environ:  # it may be relative
        parts.append(os.fsencode(os.getcwd()))
    for name in sorted(vars(resource)):
        if name.startswith("RLIMIT_"):
            parts.append(b"%d %d" % resource.getrlimit(getattr(resource, name)))
    return _digest(b"\0".join([*parts, *_rights()]))


def _rights() -> list[bytes]:
    """What this process may do beside what its user may: a job must not have more of it from its worker."""
    try:
        with open("/proc/self/status", "rb") as stream:
            return [line for line in stream if line.startswith((b"Groups", b"Cap", b"NoNewPrivs"))]
    except FileNotFoundError:  # Linux only
        return []


def _contents(*paths: str) -> bytes:
    contents = []
    for path in paths:
        with open(path, "rb") as stream:
            contents.append(stream.read())
    return b"".join(contents)


def _digest(content: bytes) -> str:
    from _blake2 import blake2b  # hashlib would load OpenSSL first, which takes longer than the rest of this file

    return blake2b(content, digest_size=8).hexdigest()


def _start(python: str, path: str) -> None:
    """Start the worker with a listening socket: who connects from now on is served as soon as it has imported.

    Forked twice, so that it is nobody's child.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        new = f"{path}.{os.getpid()}"
        listener.bind(new)
        listener.listen(512)
        os.rename(new, path + ".sock")
        pid = os.fork()
        if pid == 0:
            try:
                if os.fork() == 0:
                    os.setsid()
                    _become_worker(python, path, listener.fileno())
            finally:
                os._exit(0)
        os.waitpid(pid, 0)


def _become_worker(python: str, path: str, listener: int) -> None:
    for number in FORWARDED:
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(path + ".log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    # in two steps: a target may be one of the sources
    sources = [os.dup(fd) if fd < 4 else fd for fd in (nothing, log, log, listener)]
    for target, source in enumerate(sources):
        os.dup2(source, target)
    os.closerange(4, 1024)  # locks and pipes of whoever started this command
    # Libraries must not start threads before the fork; each job sets the number that it may use.
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    # -P: the folder of the script must not be importable, it would shadow modules of the same name
    arguments = [path, os.environ.get(IDLE, IDLE_S), BOOTSTRAP, _digest(_contents(*HELD_BY_WORKERS))]
    os.execve(python, [python, "-P", WORKER, *arguments], environment)


# --- cold ------------------------------------------------------------------------------------------------------------


def _cold(job: Job, argv: Sequence[str], toolchain: str) -> tuple[int, float, int]:
    _check_installed(toolchain)
    python = _interpreter(toolchain)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            end_with(parent)
            for number in FORWARDED:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, signal.SIG_DFL)
            os.execve(python, [python, "-P", BOOTSTRAP, *argv], dict(os.environ))
        except OSError as error:
            print(f"edgeflow: {python}: {error.strerror}", file=sys.stderr, flush=True)
        finally:
            os._exit(127)
    job.pid = pid
    if hasattr(os, "pidfd_open"):
        job.wait(os.pidfd_open(pid))
    _, status, usage = os.wait4(pid, 0)
    scale = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes on macOS, KiB on Linux
    return status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * scale


def end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, where it can: Linux."""
    import ctypes

    set_parent_death_signal = 1  # prctl(2): PR_SET_PDEATHSIG
    prctl: Callable[..., int] | None = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(set_parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent:  # it died before it could be said
            os._exit(128 + signal.SIGKILL)


# --- both ------------------------------------------------------------------------------------------------------------


def _interpreter(toolchain: str) -> str:
    if toolchain == CORE or system():
        return sys.executable
    from edgeflow import layout

    return os.path.abspath(f"{layout.toolchain(toolchain)['environment']}/bin/python")


def _check_installed(toolchain: str) -> None:
    """ToolchainError unless the toolchain is installed as its lock says."""
    from edgeflow.toolchains import environments

    environments.python_of(toolchain)


def _write(path: str, **figures: str | float) -> None:
    """Write job.json, whole or not at all. It holds numbers and ids, so nothing needs escaping."""
    text = ",\n".join(f'  "{name}": ' + (f'"{v}"' if isinstance(v, str) else f"{v}") for name, v in figures.items())
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    new = f"{path}.{host.owner()}"
    with open(new, "w") as stream:
        stream.write(f"{{\n{text}\n}}\n")
    os.replace(new, path)


def _die_by(number: int) -> None:
    """End as the job ended, so that whoever waits sees what it would see of the job; without a core of this process."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
