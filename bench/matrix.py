"""The default matrix from trained checkpoints: warm workers against a process per job; and the overhead of the demo.

Takes half an hour: thirty programs are timed on this host in each run.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from functools import partial

from bench.builds import CORES, KEPT, held, project
from bench.measure import Run, in_turn, table

DEMO = "the demo, with training"


def main() -> None:
    """Print wall times from trained checkpoints, and the overhead of whole demos."""
    useful: dict[str, list[float]] = {}  # CPU time of the jobs of each run

    def run(name: str, environment: Mapping[str, str], kept: tuple[str, ...] = KEPT) -> Run:
        build.forget(kept)
        done = build.snakemake(environment)
        useful.setdefault(name, []).append(build.useful_s())
        print(f"  {name}: {done.wall_s:.0f} s", flush=True)
        return done

    with project() as build, held() as holder:
        build.train()
        warm = build.environment(warm=True)
        environments = {
            "workers already up": build.environment(warm=True, run=holder),
            "workers started by the run": warm,
            "a process per job": build.environment(warm=False),
        }
        runs = {name: partial(run, name, environment) for name, environment in environments.items()}
        runs[DEMO] = partial(run, DEMO, warm, kept=())
        samples = dict(zip(runs, in_turn([*runs.values()]), strict=True))
    rows = [
        (name, f"{sample.wall_s:.0f} s", sample.spread, f"{statistics.median(useful[name]):.0f} s")
        for name, sample in samples.items()
    ]
    print("\nthe default matrix from trained checkpoints:")
    print(table(("", "wall time", "min – max (runs)", "CPU time of the jobs"), rows))
    overheads = [(of.wall_s * CORES - cpu) / cpu for of, cpu in zip(samples[DEMO].runs, useful[DEMO], strict=True)]
    print(
        "overhead of the demo, (wall × cores − CPU time of the jobs) / CPU time of the jobs: "
        f"{statistics.median(overheads):.0%} ({min(overheads):.0%} – {max(overheads):.0%}). "
        f"What is timed on this host keeps {CORES - 1} of {CORES} cores idle meanwhile"
    )
