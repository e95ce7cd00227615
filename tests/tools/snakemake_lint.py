"""`snakemake --lint` with one exception: rules name no conda environment or container.

The environments are nodes of the graph (rules/toolchain.smk), pinned by envs/*.txt, so that they are built by the same
run and their locks are part of every fingerprint.
"""

from __future__ import annotations

import json
import subprocess
import sys

EXPECTED = "No environment/container directive"


def main() -> int:
    """Print every other finding; the exit code is 1 when there is one."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint", "json"], capture_output=True, text=True, check=False
    )
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:
        print(done.stdout, done.stderr, file=sys.stderr)
        return 1
    findings = [
        f"{rule.get('rule', 'workflow')}: {lint['title']}: {lint['body']}"
        for part in report.values()
        for rule in part
        for lint in rule["lints"]
        if not lint["title"].startswith(EXPECTED)
    ]
    print("\n".join(findings) or f"snakemake --lint: nothing but {EXPECTED!r}, by design")
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main())
