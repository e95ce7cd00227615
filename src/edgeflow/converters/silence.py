"""What libraries say to themselves is kept out of the log of a job; what they refuse is a sentence."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What converters raise at models that they have no way for: their authors did not foresee all of them.
REFUSALS = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    SystemExit,
)
# As MLIR says it: "failed to legalize operation 'mhlo.convolution'", "'tf.Lgamma' op is neither a custom op nor …"
OPERATOR = re.compile(r"failed to legalize operation '[\w.]+'|'\w+\.\w+' op (?:is|requires)\b[^\n:]*")


@contextmanager
def silenced(log: Path) -> Iterator[None]:
    """Both streams go into a file, also of what is not Python and writes past Python's streams."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = [os.dup(number) for number in (1, 2)]
    before = logging.root.manager.disable
    with log.open("ab") as file:
        try:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
            logging.disable(logging.WARNING)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            logging.disable(before)
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)


def first_line(error: BaseException) -> str:
    """What a library says in a line: of an operator that it has no way for, else first.

    With the kind of error where that is no sentence. What compilers say has paths of this machine around it.
    """
    if found := OPERATOR.search(str(error)):
        return found[0]
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return said if " " in said else f"{type(error).__name__}: {said}" if said else type(error).__name__
