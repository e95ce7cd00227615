"""Planning, dry run, no-op run and one changed budget at 100, 1,000 and 10,000 variants, with stubs for stages."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench import synthetic
from bench.measure import RUNS, Run, Sample, once, repeat, table

SIZES = (100, 1_000, 10_000)
BASE = 1_000  # what the cost of a variant is compared with
LONG = 10_000  # from here on a run of Snakemake takes a minute or more: fewer runs, none of them to warm up
LONG_RUNS = 3
BIN = Path(sys.executable).parent
PLAN = [str(BIN / "edgeflow"), "plan"]
RUN = [str(BIN / "snakemake"), "--cores", "2"]
DRY_RUN = [*RUN, "--dry-run"]
AFTER_JUDGE = ("judge", "package")  # the rules that a changed budget makes run for each variant of its target


def main() -> None:
    """Print the table."""
    samples: dict[str, dict[int, Sample]] = {}
    with tempfile.TemporaryDirectory(prefix="edgeflow-bench-") as folder:
        for size in SIZES:
            for name, sample in _measure(Path(folder) / str(size), size):
                samples.setdefault(name, {})[size] = sample
                print(f"  {size:,} variants, {name}: {sample.wall_s:.2f} s", flush=True)
    print()
    header = ("wall time", "variants", "median", "min – max (runs)", "CPU", "peak memory", "a variant", f"to {BASE:,}")
    print(table(header, [_row(name, size, of) for name, of in samples.items() for size in of]))


def _measure(folder: Path, size: int) -> Iterator[tuple[str, Sample]]:
    times, warm_up = (LONG_RUNS, False) if size >= LONG else (RUNS, True)

    def snakemake(command: list[str], pending: dict[str, int]) -> Sample:
        return repeat(lambda: _expect(_run(command, folder), pending), times, warm_up=warm_up)

    synthetic.make(folder, size)
    yield "edgeflow plan", repeat(lambda: _run(PLAN, folder))
    begin = time.perf_counter()
    synthetic.finish(folder)
    print(f"{size:,} variants: finished state made in {time.perf_counter() - begin:.0f} s", flush=True)
    yield "snakemake, no-op", snakemake(RUN, {})
    yield "snakemake -n, no-op", snakemake(DRY_RUN, {})
    synthetic.change_budget(folder, 2)
    pending = {**dict.fromkeys(AFTER_JUDGE, size // len(synthetic.TARGETS)), "report": 1, "all": 1}
    yield "snakemake -n, one budget", snakemake(DRY_RUN, pending)


def _run(command: list[str], folder: Path) -> Run:
    return once(command, folder, synthetic.environment())


def _expect(run: Run, pending: dict[str, int]) -> Run:
    """The run itself; RuntimeError when Snakemake would run other jobs than these."""
    would_run = Counter(re.findall(r"^(?:local)?rule (\w+):", run.output, re.MULTILINE))
    if would_run != Counter(pending):
        raise RuntimeError(f"expected {pending or 'nothing'} to run, found {dict(would_run)}")
    return run


def _row(name: str, size: int, of: dict[int, Sample]) -> tuple[str, ...]:
    sample = of[size]
    each = sample.wall_s / size
    ratio = f"{each / (of[BASE].wall_s / BASE):.2f} ×" if BASE in of else "–"
    peak = f"{sample.peak_bytes / 2**20:.0f} MiB"
    figures = (f"{sample.wall_s:.2f} s", sample.spread, f"{sample.cpu_s:.2f} s", peak, f"{each * 1e3:.2f} ms", ratio)
    return name, f"{size:,}", *figures
