"""Bring single objects into DVC's cache. A script of its own for the toolchain `track`: it needs DVC alone.

Reads JSON from standard input, `{remote: [md5, …]}`, "" for the default remote. Of a folder only its list is brought:
`dvc fetch` and `dvc pull` go on to what a list names before anybody has looked at it, also to `../../.ssh`. What a
remote does not have is not there afterwards. What there is and cannot be brought (no access, a full disk) is an error:
a line that begins as DVC's own do, and exit code 1.
"""

from __future__ import annotations

import json
import logging
import sys

from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo


class Refusals(logging.Handler):
    """What the system said of objects that DVC could not copy: it only logs that, and goes on to the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[OSError] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the error of one record."""
        if record.exc_info and isinstance(record.exc_info[1], OSError):
            self.errors.append(record.exc_info[1])


def main() -> None:
    """Bring what standard input asks for."""
    refusals = Refusals()
    logging.getLogger("dvc_data").addHandler(refusals)
    with Repo(".") as repo:
        for remote, digests in json.load(sys.stdin).items():
            repo.cloud.pull([HashInfo("md5", digest) for digest in digests], remote=remote or None)
    if refusals.errors:
        sys.exit(f"ERROR: {refusals.errors[0]} ({len(refusals.errors)} objects did not come)")


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # noqa: BLE001 - the top of a process, and whatever the library of a remote raises
        sys.exit(f"ERROR: {error}")
