"""`lengths_jobs.py FOLDER`: LiteRT is asked with 3 and with 5 values on axes of any length.

By the runner's backend, and by the runtime_litert.py that packages bring.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgeflow.runners import litert_backend

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "formats"), str(Path(litert_backend.__file__).parents[1] / "runtimes/examples")]


def main(folder: Path) -> None:
    """backend.npz and example.npz: the sum of a and b, float32[1, length], by length."""
    import runtime_litert
    import tflite_models as made

    program = folder / "net.tflite"
    tensors = [made.tensor(name, made.FLOAT, [1, -1]) for name in ("a", "b", "sum")]
    made.write(program, made.model(tensors, [(schema.BuiltinOperator.ADD, [0, 1], [2])], [[0, 1], [2]]))
    values = {n: np.arange(n, dtype=np.float32)[None] for n in (3, 5)}
    feeds = {str(n): {"a": x, "b": 10 * x} for n, x in values.items()}
    session, run = litert_backend.Session(str(program), 1), runtime_litert.load(program)
    asked = {n: session.decode(session.invoke(session.encode(feed))) for n, feed in feeds.items()}
    np.savez(folder / "backend.npz", **{n: answers["sum"] for n, answers in asked.items()})
    np.savez(folder / "example.npz", **{n: run(feed)["sum"] for n, feed in feeds.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
