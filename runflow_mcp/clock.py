"""Time as a value that can be injected, for deadlines, rate windows and timestamps.

Must import nothing of the package; no other module calls ``time`` or ``asyncio.sleep``. ``monotonic`` must agree with
the event loop's own time, which asyncio's timeouts use: replace both (tests run on a virtual loop) or neither.
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import Protocol


class Clock(Protocol):
    """A source of time; all values are seconds."""

    def monotonic(self) -> float:
        """The event loop's time, as ``asyncio.timeout_at`` takes it."""

    def wall(self) -> float:
        """Unix time, for timestamps that leave the process."""

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait without blocking the event loop."""


class SystemClock:
    """The real clock."""

    def monotonic(self) -> float:
        # The loops of asyncio and uvloop have the same origin; uvloop counts whole milliseconds.
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> Awaitable[None]:
        return asyncio.sleep(seconds)
