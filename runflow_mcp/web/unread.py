"""Answers that clients have not read yet, and an end to how much of them is held in memory."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

#: Bytes of answers held for clients that read slowly or not at all. Most answers are kilobytes; a run with
#: media in its output makes one of megabytes, which any caller can ask for again and again.
MAX_UNREAD = 256 * 1024 * 1024


@attrs.define
class Unread:
    """The answers that are being written, one a connection, oldest first."""

    limit: int = MAX_UNREAD
    _held: dict[asyncio.Transport, int] = attrs.field(factory=dict, repr=False)
    _total: int = 0

    @contextmanager
    def holding(self, transport: asyncio.Transport | None, size: int) -> Iterator[None]:
        """While an answer of so many bytes is written to a client; None when it has gone already.

        When all together are too much, the connections that have taken longest are dropped; a run whose answer
        was lost is found again by its client_ref.
        """
        if transport is None:
            yield
            return
        self._held[transport] = size
        self._total += size
        while self._total > self.limit and len(self._held) > 1:
            oldest = next(iter(self._held))
            self._release(oldest)
            oldest.abort()
        try:
            yield
        finally:
            self._release(transport)

    def _release(self, transport: asyncio.Transport) -> None:
        self._total -= self._held.pop(transport, 0)
