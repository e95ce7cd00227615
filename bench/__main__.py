"""`python -m bench [NAME …]`: run benchmarks, all of them where none is named."""

from __future__ import annotations

import argparse
import importlib
import os
import platform

BENCHMARKS = ("jobs", "one_model", "realistic", "scale", "matrix", "tracking")  # modules of this package with `main()`
ON_REQUEST = ("techniques", "mixed_precision", "quantization", "torture")  # about accuracy and faults, not speed


def main() -> None:
    """Run them one after the other: they share the machine's cores."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Run benchmarks and print their figures.")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join((*BENCHMARKS, *ON_REQUEST))}; without, all that are about speed",
    )
    names = parser.parse_args().names
    if unknown := [name for name in names if name not in (*BENCHMARKS, *ON_REQUEST)]:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join((*BENCHMARKS, *ON_REQUEST))}")
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.2f}, Python {platform.python_version()}, {platform.platform()}")
    for name in names or BENCHMARKS:
        importlib.import_module(f"bench.{name}").main()


if __name__ == "__main__":
    main()
