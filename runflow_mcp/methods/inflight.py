"""The calls under way: how many may wait for a run, until when each does, and how all are answered at a drain."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from runflow_mcp.errors import ToolError, ToolErrorCode


@attrs.define
class InFlight:
    """What is under way in this process. Calls that wait for upstream have deadlines, which a drain brings forward."""

    limit: int
    #: One key's share of them.
    limit_per_key: int
    #: Waiting calls, each with a place of its own.
    slots_used: int = 0
    #: Answers that a drain must not cut off.
    pending: int = 0
    _by_key: Counter[str] = attrs.field(factory=Counter, repr=False)
    _deadlines: set[asyncio.Timeout] = attrs.field(factory=set, repr=False)
    _cutoff: float | None = None

    def acquire_slot(self, key: str) -> None:
        """Count a call with this key (its digest). Raises ``ToolError`` when there is no place."""
        if self.draining:
            raise ToolError(ToolErrorCode.SERVER_DRAINING, "This server is about to stop, so nothing was started.")
        if self._by_key[key] >= self.limit_per_key:
            raise _busy(self.limit_per_key, " with this API key")
        if self.slots_used >= self.limit:
            raise _busy(self.limit, "")
        self.slots_used += 1
        self._by_key[key] += 1

    def release_slot(self, key: str) -> None:
        self.slots_used -= 1
        self._by_key[key] -= 1
        if not self._by_key[key]:
            del self._by_key[key]

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

    @asynccontextmanager
    async def until(self, deadline: float | None) -> AsyncIterator[None]:
        """Go on until ``deadline`` (event-loop time), if any, or the end of a drain; then ``TimeoutError``."""
        ends = [when for when in (deadline, self._cutoff) if when is not None]
        async with asyncio.timeout_at(min(ends, default=None)) as scope:
            self._deadlines.add(scope)
            try:
                yield
            finally:
                self._deadlines.discard(scope)


def _busy(limit: int, whose: str) -> ToolError:
    message = f"This server already holds {limit} waiting calls{whose}, so nothing was started."
    return ToolError(ToolErrorCode.SERVER_BUSY, message)


@attrs.define
class PendingAnswer:
    """One HTTP answer in the making, and what it counts for until it has been written.

    A result may be megabytes, and is held until its client has read it: a wait that still weighs is one that
    still counts.
    """

    _waits: InFlight
    #: The key of each place.
    _places: list[str] = attrs.field(factory=list, repr=False)
    _pending: bool = False

    def acquire_slot(self, key: str) -> None:
        """Count as a call that waits. Raises ``ToolError`` when there is no place; nothing has been started then."""
        self._waits.acquire_slot(key)
        self._places.append(key)

    @asynccontextmanager
    async def stop_on_drain(self, deadline: float | None = None) -> AsyncIterator[None]:
        """Go on until ``deadline`` (event-loop time), if any, or the end of a drain; then ``TimeoutError``.

        From now on a drain does not end before the answer is written.
        """
        if not self._pending:
            self._pending = True
            self._waits.pending += 1
        async with self._waits.until(deadline):
            yield

    def end(self) -> None:
        """The answer has been written, or nobody is there to read it."""
        for key in self._places:
            self._waits.release_slot(key)
        self._waits.pending -= self._pending
        self._places, self._pending = [], False
