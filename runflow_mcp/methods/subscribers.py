"""The open subscriptions of this process: how many there may be, who is told of what, and how all end."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from runflow_mcp.protocol.jsonrpc import Code, ProtocolError

#: A subscription holds a connection and a task for as long as its client likes.
MAX_SUBSCRIPTIONS = 2000
#: One key's share of them; an agent needs one for each of its windows.
MAX_PER_KEY = 50


@attrs.define(eq=False)
class Subscription:
    """One client's ear."""

    _news: asyncio.Event = attrs.field(factory=asyncio.Event)
    _closing: bool = False

    async def news(self) -> bool:
        """Wait for the next change; False when the server ends the subscription."""
        await self._news.wait()
        self._news.clear()
        return not self._closing

    def tell(self) -> None:
        self._news.set()

    def close(self) -> None:
        self._closing = True
        self._news.set()


@attrs.define
class Subscriptions:
    """Everyone who wants to know when the prompts change."""

    _open: set[Subscription] = attrs.field(factory=set)
    _by_key: Counter[str] = attrs.field(factory=Counter)
    _draining: bool = False

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def subscribe(self, key: str) -> Iterator[Subscription]:
        """A place among the subscriptions. Raises ``ProtocolError`` when there is none."""
        if len(self._open) >= MAX_SUBSCRIPTIONS or self._by_key[key] >= MAX_PER_KEY:
            raise ProtocolError(
                Code.INTERNAL_ERROR,
                "This server holds as many subscriptions as it can; ask for the list again when its ttlMs has passed.",
            )
        subscription = Subscription()
        self._open.add(subscription)
        self._by_key[key] += 1
        if self._draining:
            subscription.close()
        try:
            yield subscription
        finally:
            self._open.discard(subscription)
            self._by_key[key] -= 1
            if not self._by_key[key]:
                del self._by_key[key]

    def prompts_changed(self) -> None:
        for subscription in self._open:
            subscription.tell()

    def drain(self) -> None:
        """End every subscription, and every new one at once."""
        self._draining = True
        for subscription in self._open:
            subscription.close()
