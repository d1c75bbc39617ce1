"""Bounds the log lines of events that strangers or an outage can multiply: the first of each second, then a count.

Unbounded, they could fill the disk.
"""

import asyncio

import attrs
import structlog

log = structlog.get_logger(__name__)

#: Lines per second: enough to see every mistake in a client's configuration, and under a megabyte a minute.
MAX_LINES = 50
SECOND = 1.0


@attrs.define
class LineBudget:
    """Decides which lines are written, and counts those left out. ``event``: the event of the line with the count."""

    event: str
    _until: float = float("-inf")
    _lines: int = 0
    _left_out: int = 0

    def count_line(self) -> bool:
        """Count one line; returns whether it may be written."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now >= self._until:
            self.report()
            self._until, self._lines = now + SECOND, 0
        if self._lines < MAX_LINES:
            self._lines += 1
            return True
        if not self._left_out:
            loop.call_at(self._until, self.report)
        self._left_out += 1
        return False

    def report(self) -> None:
        """Log how many lines were left out, if any were."""
        if self._left_out:
            log.warning(self.event, count=self._left_out)
            self._left_out = 0
