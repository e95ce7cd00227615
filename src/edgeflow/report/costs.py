"""What the build cost: the job.json that every job leaves, summed up per stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeflow import files, layout
from edgeflow.errors import DataError
from edgeflow.types.jobs import JobCost

GREATEST = 5  # jobs that are named


@dataclass(frozen=True)
class Job:
    """One job and what it cost."""

    name: str  # "train digits_dscnn/base"
    cost: JobCost


@dataclass(frozen=True)
class Stage:
    """All jobs of one stage; sums and maxima are of those that are recorded."""

    stage: str
    planned: int
    recorded: int
    warm: int  # of the recorded, those that a warm worker ran
    cpu_s: float
    wall_s: float
    memory_peak_bytes: int


@dataclass(frozen=True)
class Costs:
    """Per stage in the order of the plan, and the jobs that took most CPU time."""

    stages: tuple[Stage, ...]
    greatest: tuple[Job, ...]

    @property
    def cpu_s(self) -> float:
        """CPU time of all recorded jobs."""
        return sum(stage.cpu_s for stage in self.stages)


def read(plan: Path, results: Path) -> Costs:
    """The costs of the jobs in the plan; a job without a record was made without one and is not counted.

    Raises DataError for a plan or a record that does not fit.
    """
    planned = _planned(plan)
    jobs = tuple(_recorded(planned, results))
    stages: dict[str, list[JobCost]] = {stage: [] for stage, *_ in planned}
    for job in jobs:
        stages[job.cost.stage].append(job.cost)
    counts = Counter(stage for stage, *_ in planned)
    greatest = sorted(jobs, key=lambda job: (-job.cost.cpu_s, job.name))[:GREATEST]
    return Costs(tuple(_stage(stage, counts[stage], costs) for stage, costs in stages.items()), tuple(greatest))


def _planned(plan: Path) -> Sequence[Sequence[str]]:
    content = files.read_json(plan)
    jobs = content.get("jobs") if isinstance(content, dict) else None
    if not isinstance(jobs, list):
        raise DataError(f"{plan}: expected 'jobs', a list, as 'edgeflow plan --output' writes it")
    return jobs


def _recorded(planned: Sequence[Sequence[str]], results: Path) -> Iterator[Job]:
    for stage, *key in planned:
        path = results / Path(layout.job(stage, *key)).relative_to(layout.RESULTS)
        if path.is_file():
            yield Job(f"{stage} {'/'.join(key)}", files.read_as(JobCost, path))


def _stage(stage: str, planned: int, costs: Sequence[JobCost]) -> Stage:
    return Stage(
        stage=stage,
        planned=planned,
        recorded=len(costs),
        warm=sum(cost.worker == "warm" for cost in costs),
        cpu_s=sum(cost.cpu_s for cost in costs),
        wall_s=sum(cost.wall_s for cost in costs),
        memory_peak_bytes=max((cost.memory_peak_bytes for cost in costs), default=0),
    )
