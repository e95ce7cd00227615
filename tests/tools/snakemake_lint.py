"""`snakemake --lint` with one exception: rules name no conda environment or container.

The environments are nodes of the graph (rules/toolchain.smk), pinned by envs/*.txt, so that they are built by the same
run and their locks are part of every fingerprint.
"""

from __future__ import annotations

import re
import subprocess
import sys

EXPECTED = "Specify a conda environment or container for each rule."
CLEAN = "Congratulations, your workflow is in a good condition!"


def main() -> int:
    """Print every other finding; the exit code is 1 when there is one, or when Snakemake says something unknown."""
    done = subprocess.run([sys.executable, "-m", "snakemake", "--lint"], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    findings = re.findall(r"^ {4}\* (.+?):?$", said, re.MULTILINE)
    others = [finding for finding in findings if finding != EXPECTED]
    if others or not (findings or CLEAN in said):
        print(said)
        return 1
    print(f"snakemake --lint: {len(findings)} × {EXPECTED!r}, by design, and nothing else")
    return 0


if __name__ == "__main__":
    sys.exit(main())
