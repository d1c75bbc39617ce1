"""Time as a value that can be injected: deadlines, rate windows and stamps all read it here.

Knows nothing but the event loop; nothing else in the package calls ``time`` or ``asyncio.sleep``.
"""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What the server needs to know about time; all figures are seconds."""

    def monotonic(self) -> float:
        """Seconds on the event loop's own scale, so that ``asyncio.timeout_at`` agrees with them."""

    def wall(self) -> float:
        """Unix time, for stamps that people and other machines read."""

    async def sleep(self, seconds: float) -> None:
        """Wait without holding the event loop."""


class SystemClock:
    """The real clock."""

    def monotonic(self) -> float:
        # The event loops of asyncio and uvloop count from the same origin; uvloop only in milliseconds.
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
