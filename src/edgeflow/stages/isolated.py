"""Work of libraries that may end their process: done in a child, so that a crash is an answer and the job goes on.

The child is a fork: a process of its own would import the libraries again, a second for each job. Threads are not in
the fork, and what they hold is held for ever in it. Those that libraries start when they are imported wait and hold
nothing; those that compute could, so all that a library computes for a stage is done in children.
"""

from __future__ import annotations

import ctypes
import errno
import faulthandler
import os
import pickle
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from edgeflow.errors import EdgeflowError, StageError, storage_error
from edgeflow.plugin import CRASHES, Executor, Unsupported
from edgeflow.runners.harness import RefusedError

T = TypeVar("T")

PDEATHSIG = 1  # prctl(2): PR_SET_PDEATHSIG
# Libraries refuse with the same exceptions what they have no kernel for and what this machine has no memory for.
NO_MEMORY = (
    os.strerror(errno.ENOMEM),
    *("bad_alloc", "bad allocation", "Failed to allocate memory", "can't allocate memory"),
)


class CrashError(StageError):
    """A child was ended by a signal that says that what ran in it is broken."""


def attempt(
    runtime: Executor, doing: str, model: Path, work: Callable[[Path], T], probe: Callable[[Path], object] | None = None
) -> T | Unsupported:
    """`work(model)` in a child, or why the runtime and its tools cannot do it: they refuse, or they crash.

    `doing` says in a few words what they do, for the reason: "executing the optimized model". With a `probe`, and where
    the runtime can cut its models, the operator is found that they crash at: it is done on ever closer beginnings.
    Raises StageError or StorageError where this machine has too little memory or disk, and StageError for a crash that
    does not happen again: that is not of the model, and the next run tries it again.
    """
    answer: T | Unsupported
    try:
        answer = in_child(lambda: work(model), doing)
    except RefusedError as refusal:
        answer = Unsupported(str(refusal).removeprefix(f"{model}: "))
    except CrashError as crash:
        if _ending(lambda: work(model), doing) is not CrashError:
            raise StageError(f"{crash}, and not when it was done again; give the same command again") from crash
        operator = _crashes_at(runtime, doing, model, probe) if probe else ""
        where = f"at operator {operator}" if operator else "at which operator is not known"
        answer = Unsupported(f"{runtime.description}: {crash}, {where}")
    if isinstance(answer, Unsupported):
        if full := storage_error(RefusedError(answer.reason)):
            raise full
        if any(words in answer.reason for words in NO_MEMORY):
            raise StageError(f"{doing}: {answer.reason}; this machine has too little memory: free some, and run again")
        print(f"cannot be done: {answer.reason}", file=sys.stderr, flush=True)
    return answer


def _crashes_at(runtime: Executor, doing: str, model: Path, probe: Callable[[Path], object]) -> str:
    """The last operator of the shortest beginning that crashes, by bisection; empty where that is not known.

    It is not where models cannot be cut, or where the beginning before that one fails in another way: then nothing
    says that it would not crash.
    """
    if runtime.beginnings is None:
        return ""
    beginnings = runtime.beginnings(model)
    with tempfile.TemporaryDirectory(prefix="edgeflow-") as folder:
        cut = Path(folder) / f"cut{model.suffix}"

        def ending(at: int) -> type[Exception] | None:
            cut.write_bytes(beginnings[at][1]())
            return _ending(lambda: probe(cut), doing)

        good, bad, before = -1, len(beginnings) - 1, None
        if ending(bad) is not CrashError:  # the whole model, written again
            return ""
        while bad - good > 1:
            middle = (good + bad) // 2
            ended = ending(middle)
            if ended is CrashError:
                bad = middle
            else:
                good, before = middle, ended
        return beginnings[bad][0] if before is None else ""


def _ending(work: Callable[[], object], doing: str) -> type[Exception] | None:
    """What becomes of work in a child that says nothing: None where it is done."""
    try:
        answer = in_child(work, doing, quiet=True)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a part of a model
        return type(error)
    return RefusedError if isinstance(answer, Unsupported) else None


def in_child(work: Callable[[], T], doing: str, *, quiet: bool = False) -> T:
    """What `work` returns, done in a child; what it raises is raised here, and its files are there.

    Raises CrashError when the child crashes, StageError when it ends otherwise without an answer. `quiet`: the child
    says nothing. Its temporary files are removed however it ends.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with tempfile.TemporaryDirectory(prefix="edgeflow-") as folder:
        answer, status = _forked(work, folder, quiet)
    result: T = _answer(answer, status, doing)
    return result


def _forked(work: Callable[[], T], folder: str, quiet: bool) -> tuple[bytes, int]:
    """What the child said of its work, and the status that it ended with."""
    parent = os.getpid()
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(readable)
        _work(work, parent, writable, folder, quiet)
    os.close(writable)
    try:
        with os.fdopen(readable, "rb") as pipe:
            answer = pipe.read()
        return answer, os.waitpid(child, 0)[1]
    except BaseException:  # an interrupt: nobody waits for the child any more
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise


def check_ending(code: int, doing: str) -> None:
    """Raise CrashError for the exit code −n of a process that crashed, StageError where another signal ended it."""
    if code >= 0:
        return
    name = signal.Signals(-code).name
    if -code in CRASHES:
        raise CrashError(f"{doing} ends in a crash ({name}, signal {-code})")
    hint = ": is there too little memory?" if name == "SIGKILL" else ""
    raise StageError(f"{doing} was ended by {name}, signal {-code}{hint}")


def _answer(answer: bytes, status: int, doing: str) -> Any:
    code = os.waitstatus_to_exitcode(status)
    check_ending(code, doing)
    if not answer:
        raise StageError(f"{doing} ended its process with exit code {code}")
    # this program's own words to itself: no file and nobody else could have written them
    result, error = pickle.loads(answer)
    if error is not None:
        raise error
    return result


def _work(work: Callable[[], T], parent: int, writable: int, folder: str, quiet: bool) -> None:
    """In the child: do it, say what came of it, end, with the parent at the latest; never returns."""
    try:
        _end_with(parent)
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        if quiet:
            faulthandler.disable()
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
        else:
            faulthandler.enable(2)
        try:
            answer = pickle.dumps((work(), None))
        except BaseException as error:  # noqa: BLE001 - the top of this process: all of it goes to the parent
            answer = _raised(error)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with os.fdopen(writable, "wb") as pipe:
            pipe.write(answer)
    finally:
        os._exit(0)


def _end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, where it can: else it would write on into its files.

    What toolchains/client.py does for jobs; imported from there, an edit of that file would have all stages made again.
    """
    prctl: Callable[..., int] | None = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before it could be said
            os._exit(128 + signal.SIGKILL)


def _raised(error: BaseException) -> bytes:
    """An exception with its traceback as a note; one that cannot be sent, in words.

    What it came from stays behind, so where that is a full disk, it is said here.
    """
    trace = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    if not isinstance(error, EdgeflowError | OSError):
        error = storage_error(error) or error
    error.add_note(trace)
    try:
        answer = pickle.dumps((None, error))
        pickle.loads(answer)
    except Exception:  # noqa: BLE001 - libraries' exceptions may have arguments of any kind
        words = RuntimeError(f"{type(error).__name__}: {error}")
        words.__notes__ = error.__notes__
        return pickle.dumps((None, words))
    return answer
