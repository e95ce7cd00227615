"""Run in a toolchain: answer the evaluation samples with every released program, and say how many are right.

`python recheck.py JOBS.json RESULT.json`: jobs are [source folder of edgeflow, [[variant, backend, program, binding,
evaluation split], …]]; the result is {variant: accuracy}. It uses nothing of the stages that made the figures but the
runner, which is what executes on a device.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(jobs: str, result: str) -> None:
    """Answer, count, write."""
    source, cases = json.loads(Path(jobs).read_text("utf-8"))
    sys.path.insert(0, source)
    from edgeflow.runners import harness
    from edgeflow.runners.tensors import Split

    accuracies = {}
    for variant, backend, program, binding, evaluation in cases:
        split = Split(evaluation)
        (answers,) = harness.ask(backend, program, split.batches(harness.READ), binding).values()
        accuracies[variant] = float((answers.argmax(1) == split.labels()).mean())
    Path(result).write_text(json.dumps(accuracies), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
