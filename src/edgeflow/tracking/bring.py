"""Bring single objects into DVC's cache. A script of its own for the toolchain `track`: it needs DVC alone.

Reads JSON from standard input, `{remote: [md5, …]}`, "" for the default remote. Of a folder only its list is brought:
`dvc fetch` and `dvc pull` go on to what a list names before anybody has looked at it, also to `../../.ssh`. What a
remote does not have is not there afterwards.
"""

from __future__ import annotations

import json
import sys

from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo


def main() -> None:
    """Bring what standard input asks for."""
    with Repo(".") as repo:
        for remote, digests in json.load(sys.stdin).items():
            repo.cloud.pull([HashInfo("md5", digest) for digest in digests], remote=remote or None)


if __name__ == "__main__":
    main()
