"""Work of libraries that may end their process: done in a child, so that a crash is an answer and the job goes on.

The child is a fork: a process of its own would import the libraries again, a second for each job. Forking is safe as
long as this process has started no threads itself, so all that a library does for a stage is done in children.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from edgeflow.errors import StageError
from edgeflow.plugin import CRASHES, Runtime, Unsupported
from edgeflow.runners.harness import RefusedError

T = TypeVar("T")


class CrashError(StageError):
    """A child was ended by a signal that says that what ran in it is broken."""


def attempt(
    runtime: Runtime, doing: str, model: Path, work: Callable[[Path], T], probe: Callable[[Path], object] | None = None
) -> T | Unsupported:
    """`work(model)` in a child, or why the runtime and its tools cannot do it: they refuse, or they crash.

    `doing` says in a few words what they do, for the reason: "executing the optimized model". Where the runtime can cut
    its models, the operator is found that they crash at: `probe`, or else `work`, is done on ever closer beginnings.
    """
    answer: T | Unsupported
    try:
        answer = in_child(lambda: work(model), doing)
    except RefusedError as refusal:
        answer = Unsupported(str(refusal).removeprefix(f"{model}: "))
    except CrashError as crash:
        operator = _crashes_at(runtime, doing, model, probe or work)
        where = f"at operator {operator}" if operator else "at which operator is not known"
        answer = Unsupported(f"{runtime.description}: {crash}, {where}")
    if isinstance(answer, Unsupported):
        print(f"infeasible: {answer.reason}", file=sys.stderr, flush=True)
    return answer


def _crashes_at(runtime: Runtime, doing: str, model: Path, probe: Callable[[Path], object]) -> str:
    """The last operator of the shortest beginning that crashes, by bisection; empty where models cannot be cut."""
    if runtime.beginnings is None:
        return ""
    beginnings = runtime.beginnings(model)
    cut = model.with_name(f".cut-{os.getpid()}{model.suffix}")

    def crashes(at: int) -> bool:
        cut.write_bytes(beginnings[at][1]())
        try:
            in_child(lambda: probe(cut), doing, quiet=True)
        except CrashError:
            return True
        except Exception:  # noqa: BLE001 - whatever else is wrong with a part of a model, it is no crash
            return False
        return False

    try:
        good, bad = -1, len(beginnings) - 1
        if not crashes(bad):  # the whole model, written again
            return ""
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (good, middle) if crashes(middle) else (middle, bad)
        return beginnings[bad][0]
    finally:
        cut.unlink(missing_ok=True)


def in_child(work: Callable[[], T], doing: str, *, quiet: bool = False) -> T:
    """What `work` returns, done in a child; what it raises is raised here, and its files are there.

    Raises CrashError when the child crashes, StageError when it ends otherwise without an answer. `quiet`: the child
    says nothing.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(readable)
        _work(work, writable, quiet)
    os.close(writable)
    try:
        with os.fdopen(readable, "rb") as pipe:
            answer = pipe.read()
        status = os.waitpid(child, 0)[1]
    except BaseException:  # an interrupt: nobody waits for the child any more
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    found: T = _answer(answer, status, doing)
    return found


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


def _work(work: Callable[[], T], writable: int, quiet: bool) -> None:
    """In the child: do it, say what came of it, end; never returns."""
    try:
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


def _raised(error: BaseException) -> bytes:
    """An exception with its traceback as a note; one that cannot be sent, in words."""
    error.add_note("".join(traceback.format_tb(error.__traceback__)).rstrip())
    try:
        answer = pickle.dumps((None, error))
        pickle.loads(answer)
    except Exception:  # noqa: BLE001 - libraries' exceptions may have arguments of any kind
        words = RuntimeError(f"{type(error).__name__}: {error}")
        words.__notes__ = error.__notes__
        return pickle.dumps((None, words))
    return answer
