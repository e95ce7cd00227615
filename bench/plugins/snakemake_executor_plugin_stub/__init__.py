"""A Snakemake executor that runs nothing: it writes the outputs of a job inside Snakemake's own process.

What Snakemake does around a job, its records of params, code and checksums among it, is real.
"""

from __future__ import annotations

from pathlib import Path

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.real import RealExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.settings import CommonSettings

common_settings = CommonSettings(non_local_exec=False, implies_no_shared_fs=False, job_deploy_sources=False)


class Executor(RealExecutor):
    """Found by Snakemake by this name."""

    def run_job(self, job: JobExecutorInterface) -> None:
        """Write what the job would make, with the path as content: no two files are the same."""
        for output in job.output:
            path = Path(output)
            if output.is_directory:
                path.mkdir(parents=True, exist_ok=True)
                path = path / "package.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{path}\n", encoding="utf-8")
        info = SubmittedJobInfo(job=job)
        self.report_job_submission(info)
        self.report_job_success(info)

    def cancel(self) -> None:
        """Nothing runs."""

    def shutdown(self) -> None:
        """Nothing runs."""

    def get_exec_mode(self) -> None:
        """Nothing is spawned."""
        raise NotImplementedError

    def get_python_executable(self) -> str:
        """Nothing is spawned."""
        raise NotImplementedError

    @property
    def cores(self) -> int:
        """As given on the command line."""
        return int(self.workflow.resource_settings.cores)
