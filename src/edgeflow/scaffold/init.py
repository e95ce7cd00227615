"""`edgeflow init`: a small project that works, to be changed into one's own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from edgeflow.scaffold import machine, project

MODEL, DATASET = "digits_dscnn", "digits_1x49x10"
BOARD = "cortex_m4_tflm"
SCHEMES = ("fp32", "int8_dynamic", "int8_static")
BUDGETS = """\
budgets:
  # At most one point below the trained float32 model.
  accuracy_drop: { max: 1 %, evidence: host }
  # Not slower than float32. 5 % is what side-by-side timing resolves on a shared host.
  latency_ratio_fp32: { max: 1.05, evidence: device }
  # What the application can spare: set these to what yours can.
  latency_p90_s: { max: 5 ms, evidence: device }
  size_bytes: { max: 1 MiB, evidence: host }
"""


def init(rest: Sequence[str]) -> int:
    """The command.

    Raises UsageError for a folder that is not empty.
    """
    parser = argparse.ArgumentParser(
        prog="edgeflow init",
        description="Write a small working project into an empty folder: a model that learns handwritten digits, this "
        "machine and a microcontroller, float32 and int8.",
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="empty or not there yet; by default this")
    folder: Path = parser.parse_args(rest).folder
    project.refuse_filled(folder)
    project.write(folder, content())
    enter = "" if folder.resolve() == Path.cwd() else f"cd {folder}\n  "
    print(f"{folder.resolve()} is a project. Build it, which takes a minute or two, and see what to ship:\n")
    print(f"  {enter}snakemake\n  edgeflow summary\n\nWhat is built is said in config/config.yaml; README.md has more.")
    return 0


def content() -> dict[str, str]:
    """Every file of the project: path → content."""
    here = machine.targets()
    title = "Handwritten digits on this machine and on a microcontroller"
    return {
        **project.frame(title),
        "config/config.yaml": project.matrix(title, [MODEL], [*(t.id for t in here), BOARD], SCHEMES, SCHEMES[0]),
        f"config/models/{MODEL}.yaml": project.installed(f"models/{MODEL}.yaml"),
        f"config/datasets/{DATASET}.yaml": project.installed(f"datasets/{DATASET}.yaml"),
        f"config/targets/{BOARD}.yaml": project.installed(f"targets/{BOARD}.yaml"),
        **{f"config/targets/{target.id}.yaml": machine.target_file(target, BUDGETS) for target in here},
        **({"config/devices/this_host.yaml": machine.device_file(here)} if here else {}),
        **{f"config/schemes/{scheme}.yaml": project.installed(f"schemes/{scheme}.yaml") for scheme in SCHEMES},
    }
