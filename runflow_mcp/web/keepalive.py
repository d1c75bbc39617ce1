"""Sends something whenever a response has been silent for too long, so that no proxy closes the connection."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

#: Seconds of silence after which something is sent.
KEEPALIVE_INTERVAL = 15.0
#: Seconds between two checks while a write is under way.
_RECHECK = 1.0


class Keepalive:
    """Calls ``send`` after each ``KEEPALIVE_INTERVAL`` seconds without a write, from ``since`` (event-loop time) on."""

    __slots__ = ("_last_write", "_loop", "_send", "_task", "_timer")

    def __init__(self, send: Callable[[], Coroutine[Any, Any, None]], since: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._last_write = since
        self._task: asyncio.Task[None] | None = None
        self._timer = self._loop.call_at(since + KEEPALIVE_INTERVAL, self._on_timer)

    def note_write(self) -> None:
        """Note that something else has just been sent."""
        self._last_write = self._loop.time()

    def cancel(self) -> None:
        """Start no more writes."""
        self._timer.cancel()

    async def stop(self) -> None:
        """Start no more writes, and wait for one that is under way."""
        self.cancel()
        if self._task is not None:
            await self._task

    def _on_timer(self) -> None:
        now = self._loop.time()
        # A write that has not returned means that the client is not reading; it gets no more.
        if self._last_write + KEEPALIVE_INTERVAL <= now and (self._task is None or self._task.done()):
            self._last_write = now
            self._task = self._loop.create_task(self._send())
        self._timer = self._loop.call_at(max(self._last_write + KEEPALIVE_INTERVAL, now + _RECHECK), self._on_timer)
