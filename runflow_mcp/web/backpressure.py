"""Answers that clients have not read yet, and bounds on how much of them is held in memory."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import attrs

MIB = 1024 * 1024
#: Bytes of answers held for clients that read slowly or not at all. Most answers are kilobytes; a run with
#: media in its output makes one of megabytes, which any caller can ask for again and again.
MAX_UNREAD = 256 * MIB
#: One address's share of them: four of the largest answers at once, and four addresses to fill everything.
MAX_PER_ADDRESS = 64 * MIB
#: Seconds without a byte read after which a client counts as not reading. On a slow line the kernel takes more of
#: an answer about once a second.
STALLED = 2.0
#: Seconds in which the kernels of both ends take what they have room for, whether or not the client reads.
FILLING = 0.1
#: Seconds before which nothing is said of a client.
TOO_EARLY = 0.5


@attrs.define(eq=False)
class Answer:
    """One answer that is being written."""

    transport: asyncio.Transport
    address: str
    size: int
    began: float
    #: Bytes that were left once the kernels had filled their buffers; what goes after that, the client has read.
    _first_left: int | None = None
    _left: int = 0
    _read_at: float = float("-inf")

    @property
    def held(self) -> int:
        """Bytes in memory now."""
        return min(self.size, self.transport.get_write_buffer_size())

    def filled(self) -> None:
        """From now on, fewer bytes held means that the client reads."""
        self._first_left = self._left = self.held

    def look(self, now: float) -> None:
        """Note whether the client has read since the last look."""
        if self._first_left is not None and self.held < self._left:
            self._left, self._read_at = self.held, now

    def stalled(self, now: float) -> bool:
        return now - self.began >= TOO_EARLY and now - self._read_at >= STALLED

    def rate(self, now: float) -> float:
        """Bytes a second that the client has read so far."""
        return ((self._first_left or 0) - self._left) / max(now - self.began, TOO_EARLY)


@attrs.define
class UnreadBudget:
    """The answers that are being written, at most one a connection, oldest first."""

    limit: int = MAX_UNREAD
    limit_per_address: int = MAX_PER_ADDRESS
    _answers: dict[asyncio.Transport, Answer] = attrs.field(factory=dict, repr=False)

    @contextmanager
    def reserve(self, transport: asyncio.Transport | None, address: str, size: int) -> Iterator[None]:
        """While an answer of so many bytes is written to a client; ``transport`` None when it has left already.

        When all together are too much, or those of one address, connections of clients that do not read are
        dropped; a run whose answer was lost is found again by its client_ref.
        """
        if transport is None:
            yield
            return
        loop = asyncio.get_running_loop()
        answer = self._answers[transport] = Answer(transport, address, size, loop.time())
        self._make_room(answer)
        filling = loop.call_later(FILLING, answer.filled)
        try:
            yield  # the answer is handed to the transport before anything else runs
        finally:
            filling.cancel()
            self._release(answer)

    def _make_room(self, newest: Answer) -> None:
        now = newest.began
        others = [one for one in self._answers.values() if one is not newest]
        for one in others:
            one.look(now)
        same = [one for one in others if one.address == newest.address]
        self._drop_until(newest.size + _held(same) - self.limit_per_address, same, now)
        rest = [one for one in others if one.transport in self._answers]
        self._drop_until(newest.size + _held(rest) - self.limit, rest, now)

    def _drop_until(self, excess: int, answers: list[Answer], now: float) -> None:
        """Drop answers until ``excess`` bytes are free, or none is left."""
        while excess > 0 and answers:
            dropped = _victim(answers, now)
            answers.remove(dropped)
            excess -= dropped.held
            self._release(dropped)
            dropped.transport.abort()

    def _release(self, answer: Answer) -> None:
        if self._answers.get(answer.transport) is answer:
            del self._answers[answer.transport]


def _held(answers: Iterable[Answer]) -> int:
    return sum(one.held for one in answers)


def _victim(answers: list[Answer], now: float) -> Answer:
    """Of the clients that do not read the oldest at the address that holds most; else the slowest reader."""
    stalled = [one for one in answers if one.stalled(now)]
    if not stalled:
        return min(answers, key=lambda one: one.rate(now))
    by_address: Counter[str] = Counter()
    for one in stalled:
        by_address[one.address] += one.held
    [(heaviest, _)] = by_address.most_common(1)
    return next(one for one in stalled if one.address == heaviest)
