"""The calls that wait for a run: how many there may be, until when each waits, and how all end at a drain."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from runflow_mcp.errors import ToolError, ToolErrorCode


@attrs.define
class Waits:
    """Every call that must not be cut off unanswered holds a deadline here; draining brings all of them forward."""

    limit: int
    _deadlines: set[asyncio.Timeout] = attrs.field(factory=set, repr=False)
    _waiting: int = 0
    _cutoff: float | None = None
    #: Set when a drain has begun and the last of the calls has ended.
    idle: asyncio.Event = attrs.field(factory=asyncio.Event, repr=False)

    def __len__(self) -> int:
        return self._waiting

    @property
    def draining(self) -> bool:
        return self._cutoff is not None

    def drain(self, cutoff: float) -> None:
        """Let no call go on past ``cutoff`` (event-loop time), nor a new one begin to wait."""
        self._cutoff = cutoff
        for deadline in self._deadlines:
            when = deadline.when()
            if (when is None or when > cutoff) and not deadline.expired():
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
        if self._waiting >= self.limit:
            raise ToolError(
                ToolErrorCode.SERVER_BUSY,
                f"This server already holds {self.limit} waiting calls, so nothing was started.",
            )
        self._waiting += 1
        try:
            async with self.until_drained(deadline):
                yield
        finally:
            self._waiting -= 1

    @asynccontextmanager
    async def until_drained(self, deadline: float | None = None) -> AsyncIterator[None]:
        """Go on until ``deadline``, if any, or the end of a drain, when ``TimeoutError`` is raised; takes no place."""
        ends = [when for when in (deadline, self._cutoff) if when is not None]
        async with asyncio.timeout_at(min(ends, default=None)) as scope:
            self._deadlines.add(scope)
            try:
                yield
            finally:
                self._deadlines.discard(scope)
                if self.draining and not self._deadlines:
                    self.idle.set()
