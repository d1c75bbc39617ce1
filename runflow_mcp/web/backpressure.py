"""Bounds the memory of answers that clients have not read yet, by dropping the clients that read least."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import attrs

from runflow_mcp.web.send_queue import unacknowledged_bytes

#: Bytes of answers held for clients that read slowly or not at all. Most answers are kilobytes; a run with
#: inline data in its output makes one of megabytes, which any caller can request again and again.
MAX_UNREAD = 256 * 1024 * 1024
#: The share of one address: four of the largest answers at once. Four addresses can use up ``MAX_UNREAD``.
MAX_PER_ADDRESS = 64 * 1024 * 1024
#: Seconds without a byte acknowledged after which a client counts as stalled. The kernel of a client that reads slowly
#: acknowledges in steps of about a sixteenth of its buffer, commonly 0.4 MiB, so 80 KiB/s are always enough.
STALL_TIME = 5.0
#: Seconds in which the kernels of both ends fill their buffers, whether or not the client reads.
KERNEL_FILL_TIME = 0.1
#: Bytes that must be acknowledged before a client counts as reading; kernels may fill smaller gaps without it.
MIN_READ = 64 * 1024


@attrs.define(eq=False)
class UnreadAnswer:
    """One answer that is being written."""

    transport: asyncio.Transport
    address: str
    size: int
    started_at: float
    #: Unacknowledged bytes once the kernels' buffers are full; a smaller number then means that the client reads.
    _unread_at_start: int | None = None
    _unread_before: int = 0
    _last_read: float = attrs.field(default=attrs.Factory(lambda self: self.started_at, takes_self=True))

    @property
    def held(self) -> int:
        """Bytes in this process's memory now."""
        return min(self.size, self.transport.get_write_buffer_size())

    def start_measuring(self) -> None:
        self._unread_at_start = self._unread_before = unacknowledged_bytes(self.transport)

    def measure(self, now: float) -> None:
        """Note whether the client has read since the last measurement."""
        unread = unacknowledged_bytes(self.transport)
        if self._unread_at_start is not None and unread <= self._unread_before - MIN_READ:
            self._unread_before, self._last_read = unread, now

    def is_stalled(self, now: float) -> bool:
        return now - self._last_read >= STALL_TIME

    def time_to_read(self, now: float) -> float:
        """Seconds until the client has read what is held, at its rate so far."""
        read = (self._unread_at_start or 0) - self._unread_before
        return self.held * (now - self.started_at) / max(read, 1)


@attrs.define
class UnreadBudget:
    """The answers that are being written, at most one per connection, oldest first."""

    limit: int = MAX_UNREAD
    limit_per_address: int = MAX_PER_ADDRESS
    _answers: dict[asyncio.Transport, UnreadAnswer] = attrs.field(factory=dict, repr=False)

    @property
    def held(self) -> int:
        """Bytes in memory now, of all these answers."""
        return _total_held(self._answers.values())

    @contextmanager
    def reserve(self, transport: asyncio.Transport | None, address: str, size: int) -> Iterator[None]:
        """Account for an answer of ``size`` bytes while it is written; ``transport`` is None if its client has left.

        When all answers, or those of one address, would exceed their limit, connections are dropped. A run whose
        answer was lost is found again by its client_ref.
        """
        if transport is None:
            yield
            return
        loop = asyncio.get_running_loop()
        answer = self._answers[transport] = UnreadAnswer(transport, address, size, loop.time())
        self._make_room(answer)
        timer = loop.call_later(KERNEL_FILL_TIME, answer.start_measuring)
        try:
            yield  # the answer is handed to the transport before anything else runs
        finally:
            timer.cancel()
            self._release(answer)

    def _make_room(self, newest: UnreadAnswer) -> None:
        now = newest.started_at
        older = [answer for answer in self._answers.values() if answer is not newest]
        for answer in older:
            answer.measure(now)
        same_address = [answer for answer in older if answer.address == newest.address]
        self._drop_until_free(newest.size + _total_held(same_address) - self.limit_per_address, same_address, now)
        remaining = [answer for answer in older if answer.transport in self._answers]
        self._drop_until_free(newest.size + _total_held(remaining) - self.limit, remaining, now)

    def _drop_until_free(self, excess: int, answers: list[UnreadAnswer], now: float) -> None:
        """Drop answers until ``excess`` bytes are free, or none is left."""
        while excess > 0 and answers:
            dropped = _select_victim(answers, now)
            answers.remove(dropped)
            excess -= dropped.held
            self._release(dropped)
            dropped.transport.abort()

    def _release(self, answer: UnreadAnswer) -> None:
        if self._answers.get(answer.transport) is answer:
            del self._answers[answer.transport]


def _total_held(answers: Iterable[UnreadAnswer]) -> int:
    return sum(answer.held for answer in answers)


def _select_victim(answers: list[UnreadAnswer], now: float) -> UnreadAnswer:
    """The oldest answer of the address whose stalled answers hold most bytes.

    If no answer is stalled: of the address whose answers take longest to read.
    """
    stalled = [answer for answer in answers if answer.is_stalled(now)]
    weights: dict[str, float] = defaultdict(float)
    for answer in stalled or answers:
        weights[answer.address] += answer.held if stalled else answer.time_to_read(now)
    heaviest = max(weights, key=lambda address: weights[address])
    return next(answer for answer in stalled or answers if answer.address == heaviest)
