"""When reads of runs may begin: in their order, a limited number at a time and in each turn of the event loop."""

import asyncio
from collections import deque
from typing import Self

import attrs

#: Reads under way at a time, each with a connection to Runflow. Where an answer takes 0.1 s, 5,000 reads a second, more
#: than a process can make; and few enough that after an outage not every call that waits opens a connection.
MAX_UNDER_WAY = 500
#: Reads that begin in one turn of the event loop, about 5 ms. Without this limit a process that has more to read than
#: it has time for would begin hundreds in a turn, and new requests would wait for seconds.
MAX_PER_TURN = 64


@attrs.define
class ReadSlots:
    """An asynchronous context manager; entering it waits for a slot, which the read inside then holds."""

    max_under_way: int = MAX_UNDER_WAY
    max_per_turn: int = MAX_PER_TURN
    _under_way: int = 0
    _begun: int = 0
    _waiting: deque[asyncio.Future[None]] = attrs.field(factory=deque, repr=False)

    async def __aenter__(self) -> Self:
        if self._is_free() and not self._waiting:
            self._begin()
        else:
            await self._wait()
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._end()

    async def _wait(self) -> None:
        slot = asyncio.get_running_loop().create_future()
        self._waiting.append(slot)
        try:
            await slot
        except asyncio.CancelledError:
            if not slot.cancelled():  # it was given while the call was cancelled
                self._end()
            raise

    def _is_free(self) -> bool:
        return self._under_way < self.max_under_way and self._begun < self.max_per_turn

    def _begin(self) -> None:
        if not self._begun:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._begun += 1
        self._under_way += 1

    def _end(self) -> None:
        self._under_way -= 1
        self._give_slots()

    def _next_turn(self) -> None:
        self._begun = 0
        self._give_slots()

    def _give_slots(self) -> None:
        while self._waiting and self._is_free():
            slot = self._waiting.popleft()
            if not slot.done():
                self._begin()
                slot.set_result(None)
