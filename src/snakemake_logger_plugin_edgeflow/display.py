"""From Snakemake's log records to lines: what is shown when."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import OutputSettingsLoggerInterface

from snakemake_logger_plugin_edgeflow import wording
from snakemake_logger_plugin_edgeflow.events import Events, FailedJob
from snakemake_logger_plugin_edgeflow.progress import Job, Progress
from snakemake_logger_plugin_edgeflow.screen import Screen

# Chatter of a run that goes well. What is not listed here is shown; all of it is in Snakemake's log file anyway.
_CHATTER = (
    "Assuming unrestricted shared filesystem usage.",
    "Building DAG of jobs...",
    "Complete log(s): ",
    "Conda environments: ignored",
    "DAG of jobs will be updated after completion.",
    "Elapsed time: ",
    "Group jobs: inactive",
    "Job rate limit reached",
    "Reasons:\n",
    "Removing output files of failed job",
    "Removing temporary output",
    "Rules with provenance triggered jobs:",
    "Select jobs to execute...",
    "Shutting down, this might take some time.",
    "Singularity containers: ignored",
    "Some jobs were triggered by provenance information",
    "This was a dry-run",
    "Touching output file",
    "Updating checkpoint dependencies.",
    "Using shell: ",
    "Would remove temporary output",
    "Write-protecting output file",
)
# Said when Ctrl-C or a signal has ended the run: what ends from then on has not failed.
_INTERRUPTED = "Terminating processes on user request"
# How a command ends that was stopped with its run; a shell says 128 + the signal's number of what it waited for.
_STOPS = ("SIGINT", "SIGTERM", "exit status 130", "exit status 143")
# Said by the summary, with names and numbers, once at least one job is known to have failed.
_FINAL = (
    "Exiting because a job execution failed. Look above for error messages",
    "WorkflowError:\nAt least one job did not complete successfully.",
)
# Comes before the record of a failed shell job and repeats its whole command; only how it ended is news.
_SHELL_ERROR = re.compile(
    r'RuleException:\nCalledProcessError in file ".*", line \d+:\n'
    r"Command '(?P<command>.*)' (?:returned non-zero (?P<status>exit status \d+)|"
    r"died with (?:<Signals\.)?(?P<signal>[\w ]+?)(?:: \d+>)?)\.",
    re.DOTALL,
)
# The one failure of a job that Snakemake reports as an error only, without a record of the job.
_MISSING_OUTPUT = re.compile(r"Job (?P<number>\d+) +completed successfully, but some output files are missing")

_VARIANT_WIDTH = 48  # of the column in a dry run; a longer name moves its reason to the right

_RESTART = re.compile(r"Trying to restart job (?P<number>\d+)\.")


class Display:
    """Follows one run of Snakemake. Times are those of the records."""

    def __init__(self, settings: OutputSettingsLoggerInterface, events: Path | None = None) -> None:
        """`events`: a file to write what went wrong to, for programs."""
        quiet = {choice.name for choice in settings.quiet or ()}
        self._settings = settings
        self._silent = "ALL" in quiet and not settings.dryrun
        # With `--quiet progress` Snakemake does not even say which jobs are done.
        self._counts = settings.dryrun or "PROGRESS" not in quiet
        self._job_lines = self._counts and not self._silent and (settings.dryrun or "RULES" not in quiet)
        self._with_reason = "REASON" not in quiet
        self._progress = Progress()
        self._screen = Screen(sys.stdout if settings.stdout else sys.stderr, not settings.nocolor, self._bottom)
        self._endings: dict[str, tuple[str, str]] = {}  # command of a shell job → how it ended, Snakemake's message
        self._began_s = self._last_s = time.time()
        self._has_errors = False
        self._interrupted = False
        self._events = Events(events)
        self._actions: dict[LogEvent | None, Callable[[Any], None]] = {
            LogEvent.WORKFLOW_STARTED: self._begin,
            LogEvent.RUN_INFO: self._plan,
            LogEvent.JOB_INFO: self._start,
            LogEvent.JOB_FINISHED: self._finish,
            LogEvent.JOB_ERROR: self._fail,
            LogEvent.GROUP_ERROR: self._fail_group,
            LogEvent.PROGRESS: self._count,
            LogEvent.ERROR: self._error,
        }

    def show(self, record: logging.LogRecord, snakemakes_text: Callable[[logging.LogRecord], str]) -> None:
        """Show what is new in a record; records without an action are shown in Snakemake's words, or not at all."""
        self._last_s = record.created
        action = self._actions.get(getattr(record, "event", None))
        if action is not None:
            action(record)
        elif record.getMessage().startswith(_INTERRUPTED):
            self._interrupted = True
            self._screen.write("Interrupted: ending the jobs that run.", "yellow")
        elif restart := _RESTART.fullmatch(record.getMessage()):
            self._retry(int(restart["number"]))
        elif self._is_news(record):
            if record.levelno >= logging.ERROR:
                self._write_error(snakemakes_text(record))
            else:
                self._screen.write(snakemakes_text(record), "yellow" if record.levelno >= logging.WARNING else "")

    def end(self) -> None:
        """Show the summary and, when the run failed, where Snakemake's log is."""
        self._screen.animate(False)
        for _, message in self._endings.values():  # a job whose failure was never reported
            self._write_error(message)
        failed = self._has_errors or bool(self._progress.failed)
        broken = failed or self._interrupted or bool(self._progress.stopped)
        if self._progress.total and (broken or (self._counts and not self._silent)):
            self._summary()
        if failed or (broken and not self._interrupted):
            for path in _snakemake_logs():
                self._screen.write(f"Snakemake's log: {path}")
        self._events.close()

    def _is_news(self, record: logging.LogRecord) -> bool:
        message, event = record.getMessage(), getattr(record, "event", None)
        if record.levelno >= logging.WARNING:
            known = self._progress.failed or self._progress.stopped or self._interrupted
            return not (known and message in _FINAL)
        if event == LogEvent.DEBUG_DAG:
            return self._settings.debug_dag
        if event == LogEvent.SHELLCMD:
            return self._settings.printshellcmds and getattr(record, "cmd", None) is not None
        if self._settings.verbose:
            return True
        return (
            event is None and record.levelno >= logging.INFO and not self._silent and not message.startswith(_CHATTER)
        )

    # --- events ----------------------------------------------------------------------------------------------------

    def _begin(self, record: Any) -> None:
        self._began_s = record.created

    def _plan(self, record: Any) -> None:
        counts = dict(record.stats)
        self._progress.plan(counts, counts.pop("total"))

    def _count(self, record: Any) -> None:
        self._progress.grow(record.total)

    def _start(self, record: Any) -> None:
        job = Job(
            number=record.jobid,
            stage=record.rule_name,
            variant=wording.variant(record.wildcards, record.rule_msg),
            started_s=record.created,
            command=(record.shellcmd or "").strip(),
            logs=_texts(record.log),
            outputs=tuple(record.output),
            wildcards={name: str(value) for name, value in record.wildcards.items()},
        )
        if self._settings.dryrun:
            self._line("", self._columns(job, wording.reason(record.reason) if self._with_reason else ""))
        else:
            self._progress.start(job)
        if self._settings.printshellcmds and self._job_lines and job.command:
            if not self._settings.dryrun:
                self._line("start", self._columns(job))
            self._screen.write(_indent(job.command.splitlines()), "dim")
        self._animate()

    def _finish(self, record: Any) -> None:
        job = self._progress.finish(record.job_id)
        self._events.finished(record.job_id)
        if job is not None and self._job_lines:
            took = wording.duration(record.created - job.started_s)
            self._line(self._counter(), f"{took:>11}  {self._columns(job)}", "green")
        self._animate()

    def _fail(self, record: Any) -> None:
        """A job failed: `record` has what its rule declares, and what the executor knows beside."""
        command = (record.shellcmd or "").strip()
        key = next((known for known in self._endings if command and known.endswith(command)), None)
        ending = self._endings.pop(key)[0] if key is not None else ""
        stopped = self._interrupted or ending in _STOPS
        unseen = Job(record.jobid, record.rule_name, "", record.created)
        job = self._progress.fail(record.jobid, unseen, stopped) or unseen
        logs = _texts(record.log)
        self._record(job, ending, logs, stopped)
        if stopped:
            self._stopped(job, ending, record.created)
            return
        notes = [record.rule_msg] if record.rule_msg else []
        notes += [f"{name}: {value}" for name, value in record.aux.items()]
        self._failure(job, ending, record.created, notes, logs)

    def _record(self, job: Job, ending: str, logs: tuple[str, ...], stopped: bool = False) -> None:
        """The same for programs."""
        self._events.failed(FailedJob(job.number, job.stage, job.wildcards, job.outputs, logs, ending, stopped))

    def _retry(self, number: int) -> None:
        job = self._progress.failed.get(number) or self._progress.stopped.get(number)
        self._line("again", f"{job.name if job else f'job {number}'}: trying once more")

    def _fail_group(self, record: Any) -> None:
        self._line("FAILED", f"group {record.groupid}; its jobs follow", "bold red")
        self._logs(record.aux_logs)

    def _error(self, record: Any) -> None:
        """Snakemake's own errors, and what it says beside the record of a failed job."""
        message = record.getMessage()
        if ended := _SHELL_ERROR.fullmatch(message):
            self._endings[ended["command"]] = ended["status"] or ended["signal"], message
        elif lost := _MISSING_OUTPUT.search(message):
            job = self._progress.fail(int(lost["number"]))
            if job is not None:
                self._record(job, "its output is missing", job.logs)
                self._failure(job, "its output is missing", record.created, message.splitlines(), job.logs)
            else:
                self._write_error(message)
        elif self._is_news(record):
            exception = str(getattr(record, "exception", None) or "")
            self._events.error(exception, message)
            self._write_error(wording.error(exception, message))
        self._animate()

    def _write_error(self, text: str) -> None:
        """An error that belongs to no job: nothing that comes later can mend it."""
        self._has_errors = True
        self._screen.write(text, "bold red")

    # --- lines -----------------------------------------------------------------------------------------------------

    def _failure(self, job: Job, ending: str, at_s: float, notes: Sequence[str], logs: Sequence[str]) -> None:
        took = wording.duration(at_s - job.started_s)
        self._line("FAILED", f"{took:>11}  {self._columns(job)}" + (f"  ({ending})" if ending else ""), "bold red")
        if notes:
            self._screen.write(_indent(notes))
        self._logs(logs)
        if job.outputs:
            self._screen.write(_indent([f"again: {wording.again(job.outputs, _arguments())}"]))
        self._animate()

    def _stopped(self, job: Job, ending: str, at_s: float) -> None:
        took = wording.duration(at_s - job.started_s)
        self._line("stopped", f"{took:>10}  {self._columns(job)}" + (f"  ({ending})" if ending else ""), "yellow")
        self._animate()

    def _logs(self, logs: Sequence[str]) -> None:
        for log in logs:
            try:
                lines = wording.tail(Path(log), None if self._settings.show_failed_logs else wording.TAIL_LINES)
            except OSError as error:
                self._screen.write(_indent([f"log: {log} ({error.strerror})"]))
            else:
                head = f"log: {log}" + ("" if lines else " (empty)")
                self._screen.write(_indent([head, *(f"  | {line}" for line in lines)]))

    def _line(self, tag: str, text: str, tag_style: str = "") -> None:
        """One line with a tag as wide as the counter before it."""
        width = max(len(self._counter()), len("FAILED"))
        self._screen.write(text, lead=f"{tag:<{width}} " if tag else "", lead_style=tag_style)

    def _counter(self) -> str:
        width = len(str(self._progress.total))
        return f"[{self._progress.done:>{width}}/{self._progress.total}]"

    def _columns(self, job: Job, last: str = "") -> str:
        width = max(map(len, self._progress.counts), default=0)
        return f"{job.stage:<{width}}  {job.variant:<{_VARIANT_WIDTH if last else 0}}  {last}".rstrip()

    def _animate(self) -> None:
        self._screen.animate(self._job_lines and self._progress.running(0)[0] > 0)

    def _bottom(self) -> str:
        """The jobs that run now, the longest first; drawn several times a second."""
        number, jobs = self._progress.running(at_most=4)
        if not jobs:
            return ""
        now_s = time.time()
        names = " | ".join(f"{job.name} {wording.duration(now_s - job.started_s)}" for job in jobs)
        return f"{self._counter()} {number} running: {names}"

    def _summary(self) -> None:
        progress, took = self._progress, wording.duration(self._last_s - self._began_s)
        if self._settings.dryrun:
            counts = ", ".join(f"{number} {stage}" for stage, number in progress.counts.items())
            self._screen.write(f"{wording.count(progress.total, 'job')} to run: {counts}")
            return
        unfinished = progress.running()[1] if self._counts else ()
        stopped = (*progress.stopped.values(), *unfinished)
        if not progress.failed and not stopped and progress.done >= progress.total:
            self._screen.write(f"{wording.count(progress.done, 'job')} done in {took}", "green")
            return
        parts = {"done": progress.done, "failed": len(progress.failed), "stopped": len(stopped)}
        if self._counts:
            parts["not run"] = progress.total - sum(parts.values())
        text = ", ".join(f"{number} {what}" for what, number in parts.items() if number > 0)
        jobs = wording.count(progress.total, "job")
        lead = "interrupted: " if self._interrupted else ""
        style = "yellow" if self._interrupted and not progress.failed else "bold red"
        self._screen.write(f"{lead}{jobs}: {text}, in {took}", style)
        for what, named in (("failed", progress.failed.values()), ("stopped", stopped)):
            for job in named:
                self._screen.write(_indent([f"{what}: {job.name}" + "".join(f"  {log}" for log in job.logs)]))


def _texts(logs: Sequence[str]) -> tuple[str, ...]:
    """The logs for people: a rule may name a record for programs beside them."""
    return tuple(log for log in logs if not log.endswith(".json"))


def _indent(lines: Sequence[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)


def _arguments() -> list[str]:
    """The command line of this Snakemake; nothing when another program uses Snakemake as a library."""
    return sys.argv[1:] if Path(sys.argv[0]).stem in ("snakemake", "__main__") else []


def _snakemake_logs() -> list[str]:
    """The files that Snakemake writes its own log to, as long as logging is not shut down."""
    handlers = logging.getLogger("snakemake.logging").handlers
    paths = [Path(handler.baseFilename) for handler in handlers if isinstance(handler, logging.FileHandler)]
    return [str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path) for path in paths]
