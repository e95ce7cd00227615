"""The spool of documents that wait for MLflow, and the process that brings them there."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeflow import files, host, layout
from edgeflow.tracking import dvc
from edgeflow.tracking.lock import exclusive
from edgeflow.tracking.runs import Document
from edgeflow.tracking.secrets import known, redacted

SCRIPT = Path(__file__).with_name("flush.py")
# MLflow's own defaults wait for minutes on a server that hangs. A flush that gives up goes on the next time.
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it asks a server for each run that it prints
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",  # seconds
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}


@dataclass(frozen=True)
class Flushed:
    """What a flush did to the store."""

    store: str
    created: int = 0
    replaced: int = 0
    kept: int = 0
    versions: int = 0
    error: str = ""  # why documents still wait; "" when none does

    def __str__(self) -> str:
        if self.error:
            return f"MLflow ({self.store}) did not take everything: {self.error}\nThe next 'edgeflow track' catches up"
        return (
            f"MLflow ({self.store}): {self.created} runs added, {self.replaced} replaced, {self.kept} as they were, "
            f"{self.versions} versions added"
        )


def put(document: Document, copy: bool = False) -> None:
    """Keep a document until it is in MLflow; a later one of the same build takes its place.

    `copy`: MLflow is to get the packages too, which it then does whenever it takes the document.
    """
    path = _spool() / f"{document['build']['id']}.json"
    with exclusive("spool_lock"):
        asked = path.is_file() and bool(files.read_json(path).get("copy"))
        files.write_json(path, {**document, "copy": copy or asked})


def _spool() -> Path:
    return Path(layout.tracking()["spool"])


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def waiting() -> list[Path]:
    """The documents that wait, oldest first."""
    return sorted(_spool().glob("[!.]*.json"), key=lambda path: path.stat().st_mtime_ns)


class Store:
    """A running process that has imported MLflow and takes one document after the other."""

    def __init__(self, process: subprocess.Popen[str], uri: str) -> None:
        self._process = process
        self._uri = uri

    def flush(self) -> Flushed:
        """Bring every document that waits into MLflow; one that gets there waits no more, and holds up no other.

        An error is part of the answer and never raised: MLflow shows results, it does not decide about them.
        """
        total = Flushed(redacted(self._uri, self._uri))
        with exclusive("flush_lock"):
            for path in waiting():
                asked = _version(path)
                answer = self._ask({"document": str(path)})
                if "error" in answer:
                    total = replace(total, error=redacted(str(answer["error"]).strip(), self._uri))
                    continue
                with exclusive("spool_lock"):
                    if _version(path) == asked:  # else a later one has taken its place meanwhile
                        path.unlink()
                total = replace(total, **{name: getattr(total, name) + count for name, count in answer.items()})
        return total

    def begin(self, copies: str, new: str) -> None:
        """Say where to, before the first document; not by the command line, which every user of this host can read."""
        secrets = known(self._uri)
        lock = layout.tracking()["store_lock"]
        self._tell({"uri": self._uri, "copies": copies, "lock": lock, "new": new, "secrets": secrets})

    def _ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        self._tell(request)
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            return {"error": f"the process that flushes ended; {layout.tracking()['log']} says why"}
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    def _tell(self, what: Mapping[str, Any]) -> None:
        with suppress(BrokenPipeError):  # then there is no answer either
            if self._process.stdin:
                self._process.stdin.write(json.dumps(what) + "\n")
                self._process.stdin.flush()


def _new_store() -> str:
    """What a new store is called until it is whole; what killed processes left of theirs is removed."""
    path = Path(layout.tracking()["store"])
    for left in path.parent.glob(f".{path.name}.*"):
        if files.abandoned(left):
            left.unlink(missing_ok=True)
    return f".{path.name}.{host.owner()}.new"


@contextmanager
def opened() -> Iterator[Store]:
    """Start the process, and end it with the block."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path(layout.tracking()['store']).absolute()}"
    copies = Path(layout.tracking()["copies"]).absolute().as_uri() if uri.startswith("sqlite:") else ""
    log = Path(layout.tracking()["log"])
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as said:
        process = subprocess.Popen(
            [str(dvc.python()), "-P", str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env={**SETTINGS, **dvc.environment()},
        )
    store = Store(process, uri)
    try:
        store.begin(copies, _new_store())
        yield store
    finally:
        with suppress(BrokenPipeError):  # it was killed
            if process.stdin:
                process.stdin.close()
        process.wait()
