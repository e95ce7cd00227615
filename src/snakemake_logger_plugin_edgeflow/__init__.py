"""A progress display for Snakemake: one line a job, failures in full, walls of text in Snakemake's own log file.

Snakemake finds the package by its name: `snakemake --logger edgeflow`, or `logger: edgeflow` in a profile.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

if TYPE_CHECKING:
    from snakemake_logger_plugin_edgeflow.display import Display


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """The options of this plugin: `--logger-edgeflow-…`."""

    events: Path | None = field(
        default=None,
        metadata={"help": "File for what went wrong, one JSON object a line (see events.py).", "type": Path},
    )


class LogHandler(LogHandlerBase):
    """What Snakemake makes of this plugin: it gets every log record, in order, in one thread of its own."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True  # `--quiet` is applied here: Snakemake's own filter would hide errors too
    has_formatter = False
    needs_rulegraph = False

    _display: Display | None = None

    def __post_init__(self) -> None:
        # Every Snakemake process imports every logger plugin; only one that uses this plugin should pay for rich.
        from snakemake_logger_plugin_edgeflow.display import Display

        settings = self.settings
        events = settings.events if isinstance(settings, LogHandlerSettings) else None
        self._display = Display(self.common_settings, events)

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record. Nothing is raised: an exception would end the thread that shows all later ones."""
        try:
            if self._display is not None:
                self._display.show(record, self.format)
        except Exception:  # noqa: BLE001 - handleError prints the traceback and the record, so neither is lost
            self.handleError(record)

    def close(self) -> None:
        """Show the summary, once: Snakemake closes its handlers, and so does Python when it exits."""
        display, self._display = self._display, None
        if display is not None:
            display.end()
        super().close()
