"""A first-come, first-served queue for a fixed number of Redis connections.

Unlike a semaphore it can end every wait at once, as an outage requires. Imports only asyncio.
"""

import asyncio
from collections import deque

import attrs


@attrs.define
class ConnectionSlots:
    """One slot per connection. ``free``: slots that nobody holds."""

    free: int
    _waiters: deque[asyncio.Future[bool]] = attrs.field(factory=deque, repr=False)

    async def acquire(self) -> bool:
        """Wait for a slot. True: it is held and must be released. False: ``dismiss_waiters`` ended the wait."""
        if self.free:
            self.free -= 1
            return True
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return bool(await waiter)
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.result():
                self.release()  # the slot arrived at the same moment as the cancellation
            raise

    def release(self) -> None:
        """Hand the slot to the next waiter, or keep it free."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(True)
                return
        self.free += 1

    def dismiss_waiters(self) -> None:
        """End every wait without a slot."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(False)
