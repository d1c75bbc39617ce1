"""The work in progress in this process: slots of waiting calls, answers not written yet, and the drain of both.

Must not import a handler or HTTP.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import TypeVar

import attrs

from runflow_mcp.errors import ToolErrorCode

T = TypeVar("T")


class Drained(Exception):
    """A drain reached its cutoff before the work was done."""


@attrs.define
class WaitRefused(Exception):
    """A call got no slot, and started nothing. ``message``: a sentence for the caller."""

    code: ToolErrorCode
    message: str


@attrs.define
class InFlight:
    """Counts the slots and the pending answers, and interrupts all work at the cutoff of a drain."""

    #: Slots for waiting calls: in all, and for one API key.
    limit: int
    limit_per_key: int
    slots_used: int = 0
    #: Answers that must be written before a drain ends.
    pending_answers: int = 0
    _used_by_key: Counter[str] = attrs.field(factory=Counter, repr=False)
    _scopes: set[asyncio.Timeout] = attrs.field(factory=set, repr=False)
    #: Event-loop time at which a drain interrupts all work; None while this process is not draining.
    _cutoff: float | None = None

    def acquire_slot(self, key: str) -> None:
        """Count a waiting call of the API key with this digest. Raises ``WaitRefused``."""
        if self.draining:
            message = "This server is about to stop, so nothing was started."
            raise WaitRefused(ToolErrorCode.SERVER_DRAINING, message)
        if self._used_by_key[key] >= self.limit_per_key:
            raise _busy(self.limit_per_key, " with this API key")
        if self.slots_used >= self.limit:
            raise _busy(self.limit, "")
        self.slots_used += 1
        self._used_by_key[key] += 1

    def release_slot(self, key: str) -> None:
        self.slots_used -= 1
        self._used_by_key[key] -= 1
        if not self._used_by_key[key]:
            del self._used_by_key[key]

    @property
    def draining(self) -> bool:
        return self._cutoff is not None

    @property
    def interrupting(self) -> bool:
        """Whether a drain has reached its cutoff."""
        return self._cutoff is not None and asyncio.get_running_loop().time() >= self._cutoff

    def drain(self, cutoff: float) -> None:
        """Interrupt what is not done by ``cutoff`` (event-loop time), and give no slots from now on."""
        self._cutoff = cutoff
        for scope in self._scopes:
            if not scope.expired():
                scope.reschedule(cutoff)

    async def stop_on_drain(self, work: Awaitable[T]) -> T:
        """Await the work. Raises ``Drained`` when a drain reaches its cutoff first."""
        scope = asyncio.timeout_at(self._cutoff)
        try:
            async with scope:
                self._scopes.add(scope)
                try:
                    return await work
                finally:
                    self._scopes.discard(scope)
        except TimeoutError:
            if scope.expired():
                raise Drained from None
            raise


def _busy(limit: int, whose: str) -> WaitRefused:
    message = f"This server already holds {limit} waiting calls{whose}, so nothing was started."
    return WaitRefused(ToolErrorCode.SERVER_BUSY, message)


@attrs.define
class PendingAnswer:
    """One HTTP answer that is being made, with the slots that it holds until it has been written.

    A slot is held until then, not only while the call waits: a result may be megabytes, and stays in memory until
    its client has read it.
    """

    _inflight: InFlight
    #: The key of each slot.
    _slots: list[str] = attrs.field(factory=list, repr=False)
    _pending: bool = False

    def acquire_slot(self, key: str) -> None:
        """Count a waiting call of the API key with this digest. Raises ``WaitRefused``."""
        self._inflight.acquire_slot(key)
        self._slots.append(key)

    def stop_on_drain(self, work: Awaitable[T]) -> Awaitable[T]:
        """As ``InFlight.stop_on_drain``; from now on a drain does not end before the answer has been written."""
        if not self._pending:
            self._pending = True
            self._inflight.pending_answers += 1
        return self._inflight.stop_on_drain(work)

    def release(self) -> None:
        """The answer has been written, or its client has left."""
        for key in self._slots:
            self._inflight.release_slot(key)
        self._inflight.pending_answers -= self._pending
        self._slots, self._pending = [], False
