"""Errors of the process itself, below any request: the event loop's, and running out of open files.

Each kind is logged at most once per ``REPORT_INTERVAL``. Must not import HTTP; ``serve`` connects it to the loop.
"""

import asyncio
from typing import Any

import attrs
import structlog

from runflow_mcp.clock import Clock
from runflow_mcp.open_files import UNLIMITED

log = structlog.get_logger(__name__)

#: Seconds between two log lines of one kind: when no open file is left, every ``accept`` fails.
REPORT_INTERVAL = 10.0
#: With this many open files left, the limit counts as reached.
RESERVED_FILES = 8


@attrs.define
class ProcessErrors:
    """Logs errors; each line has the count of those left out before it. ``open_files``: the process's limit."""

    clock: Clock
    open_files: int = UNLIMITED
    _last_report: dict[str, float] = attrs.field(factory=dict)
    _left_out: dict[str, int] = attrs.field(factory=dict)

    def on_loop_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception handler for the event loop: errors without a caller, such as a failed ``accept``."""
        error = context.get("exception")
        # The text of an OSError is the system's; any other could quote what a client sent.
        text = str(error) if isinstance(error, OSError) else type(error).__name__
        self._report("event_loop_error", message=context.get("message"), error=text)

    def on_connection(self, descriptor: int) -> None:
        """A connection was accepted with this file descriptor, which is always the lowest free one.

        When no descriptor is left, uvloop closes new connections without reporting it.
        """
        if descriptor >= self.open_files - RESERVED_FILES:
            fix = "raise the limit of open files (ulimit -n, LimitNOFILE=, ulimits:)"
            self._report("open_files_used_up", limit=self.open_files, effect="new connections fail", fix=fix)

    def _report(self, event: str, **values: object) -> None:
        now = self.clock.monotonic()
        if now - self._last_report.get(event, float("-inf")) < REPORT_INTERVAL:
            self._left_out[event] = self._left_out.get(event, 0) + 1
            return
        self._last_report[event] = now
        log.error(event, **values, left_out=self._left_out.pop(event, 0))
