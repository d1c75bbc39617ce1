"""A fixed number of places, and an orderly queue for them that can be sent away as a whole."""

import asyncio
from collections import deque

import attrs


@attrs.define
class Places:
    """Places that are taken and given back; first come, first served."""

    free: int
    _queue: deque[asyncio.Future[bool]] = attrs.field(factory=deque, repr=False)

    async def take(self) -> bool:
        """Wait for a place; False when the queue was sent away, and there is none."""
        if self.free:
            self.free -= 1
            return True
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            return bool(await turn)
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.give_back()  # it had just been given a place
            raise

    def give_back(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        self.free += 1

    def send_away(self) -> None:
        """Let everyone in the queue go without a place."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(False)
