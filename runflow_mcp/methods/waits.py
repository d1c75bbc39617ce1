"""The calls under way: how many may wait for a run, until when each does, and how all are answered at a drain."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import attrs

from runflow_mcp.errors import ToolError, ToolErrorCode


@attrs.define
class Waits:
    """Every call that waits for upstream holds a deadline here; draining brings all of them forward."""

    limit: int
    _deadlines: set[asyncio.Timeout] = attrs.field(factory=set, repr=False)
    #: Places taken, and answers that are being made.
    places: int = 0
    answers: int = 0
    _cutoff: float | None = None
    #: Set when a drain has begun and the last of the answers has been written.
    idle: asyncio.Event = attrs.field(factory=asyncio.Event, repr=False)

    def __len__(self) -> int:
        return self.places

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
        if not self.answers:
            self.idle.set()

    def answering(self) -> "Answering":
        """One HTTP answer, from when its request has been read until it is written."""
        return Answering(self)

    @asynccontextmanager
    async def until_drained(self, deadline: float | None = None) -> AsyncIterator[None]:
        """Go on until ``deadline`` (event-loop time), if any, or the end of a drain; then ``TimeoutError``."""
        ends = [when for when in (deadline, self._cutoff) if when is not None]
        async with asyncio.timeout_at(min(ends, default=None)) as scope:
            self._deadlines.add(scope)
            try:
                yield
            finally:
                self._deadlines.discard(scope)


@attrs.define
class Answering:
    """Keeps a drain from ending before the answer is written, and the places of its waits until then.

    A result may be megabytes, and is held until its client has read it: a wait that still weighs is one that
    still counts.
    """

    _waits: Waits
    _places: int = 0

    def __enter__(self) -> Self:
        self._waits.answers += 1
        return self

    def __exit__(self, *_fault: object) -> None:
        waits = self._waits
        waits.answers -= 1
        waits.places -= self._places
        if waits.draining and not waits.answers:
            waits.idle.set()

    def take_place(self) -> None:
        """Count as a call that waits. Raises ``ToolError`` when there is no place; nothing has been started then."""
        waits = self._waits
        if waits.draining:
            raise ToolError(ToolErrorCode.SERVER_DRAINING, "This server is about to stop, so nothing was started.")
        if len(waits) >= waits.limit:
            raise ToolError(
                ToolErrorCode.SERVER_BUSY,
                f"This server already holds {waits.limit} waiting calls, so nothing was started.",
            )
        self._places += 1
        waits.places += 1
