"""Scripts that run where PyTorch is."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def run_script(
    tmp_path_factory: pytest.TempPathFactory, project: Path, torch_python: Path
) -> Callable[[str], dict[str, Any]]:
    """Run a script in an empty folder; gives the JSON that it writes."""

    def run(script: str) -> dict[str, Any]:
        done = subprocess.run(
            [str(torch_python), "-c", script],
            cwd=tmp_path_factory.mktemp("script"),
            env={**os.environ, "PYTHONPATH": f"{project / 'src'}:{project}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers: dict[str, Any] = json.loads(done.stdout)
        return answers

    return run
