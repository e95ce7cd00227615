"""Where text goes: finished lines, and on a terminal one line below them that is redrawn."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text


class _Console(Console):
    def show_cursor(self, show: bool = True) -> bool:
        """Leave the cursor visible: a run that is killed could not bring it back."""
        return False


class _Bottom:
    """The bottom line, made anew whenever it is drawn."""

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text

    def __rich__(self) -> Text:
        return Text(self._text(), style="dim", no_wrap=True, overflow="crop")


class Screen:
    """A stream of lines. Without a terminal it is plain text: no escape codes, whatever the environment says."""

    def __init__(self, stream: TextIO, colour: bool, bottom: Callable[[], str]) -> None:
        """`bottom` gives the line to draw below the others; it is called from another thread."""
        terminal = stream.isatty()
        drawable = terminal and os.environ.get("TERM") != "dumb"
        self._console = _Console(
            file=stream,
            force_terminal=terminal,
            force_interactive=drawable,
            color_system="auto" if drawable and colour and not os.environ.get("NO_COLOR") else None,
            soft_wrap=True,
            markup=False,
            emoji=False,
            highlight=False,
        )
        self._live: Live | None = None
        if drawable:
            self._live = Live(
                _Bottom(bottom),
                console=self._console,
                refresh_per_second=4,
                transient=True,
                # What a Snakefile prints is not ours to redirect.
                redirect_stdout=False,
                redirect_stderr=False,
            )

    def write(self, text: str, style: str = "", lead: str = "", lead_style: str = "") -> None:
        """Print a line or more, in full, above the bottom line; `lead` goes before it in a style of its own."""
        self._console.print(Text.assemble((lead, lead_style), (text, style)))

    def animate(self, running: bool) -> None:
        """Draw the bottom line now, and again and again from then on; or remove it."""
        if self._live is None:
            return
        if not running:
            self._live.stop()
        elif self._live.is_started:
            self._live.refresh()
        else:
            self._live.start(refresh=True)
