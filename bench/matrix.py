"""The default matrix from trained checkpoints: warm workers against a process per job; and the overhead of the demo.

Takes half an hour: thirty programs are timed on this host in each run.
"""

from __future__ import annotations

from bench.builds import CORES, Build, held, project
from bench.measure import Run, repeat, table


def main() -> None:
    """Print wall times from trained checkpoints, and the overhead of whole demos."""
    rows = []
    with project() as build, held() as holder:
        build.train()
        for name, environment in (
            ("workers already up", build.environment(warm=True, run=holder)),
            ("workers started by the run", build.environment(warm=True)),
            ("a process per job", build.environment(warm=False)),
        ):
            sample = repeat(lambda given=environment: _rest(build, given), warm_up=False)  # type: ignore[misc]
            rows.append((name, f"{sample.wall_s:.0f} s", sample.spread, f"{build.useful_s():.0f} s"))
        overheads: list[float] = []
        demo = repeat(lambda: _demo(build, overheads), warm_up=False)
        rows.append(("the demo, with training", f"{demo.wall_s:.0f} s", demo.spread, f"{build.useful_s():.0f} s"))
    print("\nthe default matrix from trained checkpoints:")
    print(table(("", "wall time", "min – max (runs)", "CPU time of the jobs"), rows))
    middle = sorted(overheads)[len(overheads) // 2]
    print(
        f"overhead of the demo, (wall × cores − CPU time of the jobs) / CPU time of the jobs: {middle:.0%} "
        f"({min(overheads):.0%} – {max(overheads):.0%}). "
        f"What is timed on this host keeps {CORES - 1} of {CORES} cores idle meanwhile"
    )


def _rest(build: Build, environment: dict[str, str]) -> Run:
    build.forget()
    return build.snakemake(environment)


def _demo(build: Build, overheads: list[float]) -> Run:
    build.forget(kept=())
    run = build.snakemake(build.environment(warm=True))
    useful = build.useful_s()
    overheads.append((run.wall_s * CORES - useful) / useful)
    return run
