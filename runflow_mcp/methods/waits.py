"""The waiting calls of this process: how many there may be, until when each waits, and how all end at a drain."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from runflow_mcp.errors import ToolError, ToolErrorCode


@attrs.define
class Waits:
    """Every waiting call holds a deadline here; draining brings all of them forward."""

    limit: int
    _deadlines: set[asyncio.Timeout] = attrs.field(factory=set, repr=False)
    _cutoff: float | None = None
    #: Set when a drain has begun and the last waiting call has ended.
    idle: asyncio.Event = attrs.field(factory=asyncio.Event, repr=False)

    def __len__(self) -> int:
        return len(self._deadlines)

    @property
    def draining(self) -> bool:
        return self._cutoff is not None

    def drain(self, cutoff: float) -> None:
        """Let no call wait past ``cutoff`` (event-loop time), nor a new one begin."""
        self._cutoff = cutoff
        for deadline in self._deadlines:
            when = deadline.when()
            if when is not None and when > cutoff and not deadline.expired():
                deadline.reschedule(cutoff)
        if not self._deadlines:
            self.idle.set()

    @asynccontextmanager
    async def hold(self, deadline: float) -> AsyncIterator[None]:
        """A place among the waiting calls until ``deadline`` (event-loop time), when ``TimeoutError`` is raised.

        Raises ``ToolError`` when there is no place; nothing has been started then.
        """
        if self.draining:
            raise ToolError(ToolErrorCode.SERVER_DRAINING, "This server is about to stop, so nothing was started.")
        if len(self._deadlines) >= self.limit:
            raise ToolError(
                ToolErrorCode.SERVER_BUSY,
                f"This server already holds {self.limit} waiting calls, so nothing was started.",
            )
        async with asyncio.timeout_at(deadline) as scope:
            self._deadlines.add(scope)
            try:
                yield
            finally:
                self._deadlines.discard(scope)
                if self.draining and not self._deadlines:
                    self.idle.set()
