"""Reading a file that nobody vouches for: in a child that may take only so much memory and time.

Each format checks by itself what a file says before it believes it. This is for what such checks do not see: a library
that crashes over a damaged file, or that a few bytes make allocate for ever.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edgeflow.errors import DataError
from edgeflow.types.plain import from_json, to_json

T = TypeVar("T")

MEMORY_BYTES = 384 * 2**20  # more than what this process has already; with it below 512 MiB in all
CPU_S = 120
WAIT_S = 600  # in all, on a machine that has others to do: a library may wait for what never comes
MOST_BYTES = 16 * 2**20  # of an answer


def contained(kind: type[T], read: Callable[[Path], T], path: Path) -> T:
    """`read(path)`, which is a `kind`, done in a child; what it says comes back as JSON, and nothing else.

    Raises DataError: what `read` raises, or that it took too much memory or time, or crashed.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(readable)
        _work(read, path, writable)
    os.close(writable)
    try:
        with os.fdopen(readable, "rb") as pipe:
            said = pipe.read(MOST_BYTES + 1)
        status = os.waitpid(child, 0)[1]
    except BaseException:  # an interrupt: nobody waits for the child any more
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    if len(said) > MOST_BYTES:
        raise DataError(f"{path}: what it takes and gives fills more than {MOST_BYTES:,} bytes: no model is that large")
    code = os.waitstatus_to_exitcode(status)
    if code != 0 or not said:
        raise DataError(f"{path}: {_ending(code)}")
    answer = json.loads(said)
    if "refused" in answer:
        raise DataError(answer["refused"])
    result: T = from_json(kind, answer["answer"])
    return result


def _ending(code: int) -> str:
    if code >= 0:
        return f"reading it ended its process with exit code {code}: it is damaged"
    name = signal.Signals(-code).name
    if name == "SIGXCPU":
        return f"reading it takes more than {CPU_S} s of computing: it is damaged, or made to do that"
    if name == "SIGALRM":
        return f"reading it takes more than {WAIT_S} s: it is damaged, or made to do that"
    return f"reading it ends in a crash ({name}): it is damaged, or made to do that"


def _work(read: Callable[[Path], object], path: Path, writable: int) -> None:
    """In the child: read, say what came of it, end; never returns."""
    try:
        _limit()
        faulthandler.disable()  # where a library crashes over a file is of no use to who brought it
        try:
            said = {"answer": to_json(read(path))}
        except DataError as refusal:
            said = {"refused": str(refusal)}
        except MemoryError:
            said = {"refused": f"{path}: reading it takes more than {MEMORY_BYTES // 2**20} MiB of memory"}
        except RecursionError:
            said = {"refused": f"{path}: it is nested too deep: it is damaged, or made to be"}
        with os.fdopen(writable, "wb") as pipe:
            pipe.write(json.dumps(said).encode())
    except BaseException:  # noqa: BLE001 - the top of this process: the traceback is for whoever mends edgeflow
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    finally:
        os._exit(0)


def _limit() -> None:
    """Let this process take little memory and time, where the system keeps to that: Linux."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    used_s = resource.getrusage(resource.RUSAGE_SELF)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(WAIT_S)
    _lower(resource.RLIMIT_CPU, int(used_s.ru_utime + used_s.ru_stime) + CPU_S)
    if sys.platform == "linux":  # elsewhere the limit does not hold, or cannot be set below what is taken
        status = Path("/proc/self/status").read_text()
        taken_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData:"))
        _lower(resource.RLIMIT_DATA, taken_kib * 1024 + MEMORY_BYTES)


def _lower(limit: int, to: int) -> None:
    soft, hard = resource.getrlimit(limit)
    if soft == resource.RLIM_INFINITY or soft > to:
        resource.setrlimit(limit, (to, hard))
