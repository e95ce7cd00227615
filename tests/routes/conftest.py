"""The table of routes at the end of a run: how far answers are from right, or why there are none."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Of the cells that were asked in this run."""
    cells: dict[tuple[str, str], dict[str, float | str]] = {}
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, value in getattr(report, "user_properties", ()):
                if name == "route" and report.when == "call":
                    net, source, runtime, cell = value
                    cells.setdefault((net, source), {})[runtime] = cell
    if not cells:
        return
    runtimes = list(dict.fromkeys(runtime for row in cells.values() for runtime in row))
    reasons: dict[str, int] = {}
    terminalreporter.section("routes: greatest difference / range of the answers")
    terminalreporter.write_line(f"{'net':22}{'from':14}" + "".join(f"{runtime:>14}" for runtime in runtimes))
    for (net, source), row in cells.items():
        shown = []
        for cell in (row.get(runtime, "not asked") for runtime in runtimes):
            note = f"no [{reasons.setdefault(cell, len(reasons) + 1)}]" if isinstance(cell, str) else f"{cell:.0e}"
            shown.append(f"{note:>14}")
        terminalreporter.write_line(f"{net:22}{source:14}" + "".join(shown))
    for reason, number in reasons.items():
        terminalreporter.write_line(f"[{number}] {reason.splitlines()[0]}")
