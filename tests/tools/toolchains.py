"""Which toolchains the tests need, of those that this machine can have: their stamps, for Snakemake to make."""

from __future__ import annotations

import sys

from edgeflow import layout
from edgeflow.toolchains.environments import why_not

NEEDED = ("torch", "edge", "track", "tf", "onnx2tf")


def main() -> None:
    """Print the stamps in a line; what cannot be is said on the error stream, and its tests are skipped."""
    reasons = {toolchain: why_not(toolchain) for toolchain in NEEDED}
    for reason in filter(None, reasons.values()):
        print(f"skipped: {reason}", file=sys.stderr)
    print(*(layout.toolchain(toolchain)["stamp"] for toolchain, reason in reasons.items() if not reason))


if __name__ == "__main__":
    main()
