"""The open subscriptions of this process: how many there may be, who receives what, and how all end."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError

#: A subscription holds a connection and a task for as long as its client likes.
MAX_SUBSCRIPTIONS = 2000
#: One key's share of them; an agent needs one for each of its windows.
MAX_PER_KEY = 50
#: One address's share, since keys cost nothing to invent: room for an office, and for ten of them in a process.
MAX_PER_ADDRESS = 200
#: Seconds after which a refused client may ask again: places are given back as clients leave.
RETRY_AFTER = 60


@attrs.define(eq=False)
class Subscription:
    """One client's ear."""

    _news: asyncio.Event = attrs.field(factory=asyncio.Event)
    _closing: bool = False

    async def changed(self) -> bool:
        """Wait for the next change; False when the server ends the subscription."""
        await self._news.wait()
        self._news.clear()
        return not self._closing

    def notify(self) -> None:
        self._news.set()

    def close(self) -> None:
        self._closing = True
        self._news.set()


@attrs.define
class Subscriptions:
    """Everyone who wants to know when the prompts change."""

    _open: set[Subscription] = attrs.field(factory=set)
    _by_key: Counter[str] = attrs.field(factory=Counter)
    _by_address: Counter[str] = attrs.field(factory=Counter)
    _draining: bool = False

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def subscribe(self, key: str, address: str) -> Iterator[Subscription]:
        """A place among the subscriptions. Raises ``ProtocolError`` when there is none."""
        if whose := self._taken(key, address):
            raise ProtocolError(
                ErrorCode.TOO_MANY_REQUESTS,
                f"All places for subscriptions {whose} are taken. Close one that is not needed any more, or do "
                "without: ask for prompts/list again when its ttlMs has passed.",
                data={"code": "rate_limited", "retry_after_seconds": RETRY_AFTER},
            )
        subscription = Subscription()
        self._open.add(subscription)
        shares = ((self._by_key, key), (self._by_address, address))
        for share, holder in shares:
            share[holder] += 1
        if self._draining:
            subscription.close()
        try:
            yield subscription
        finally:
            self._open.discard(subscription)
            for share, holder in shares:
                share[holder] -= 1
                if not share[holder]:
                    del share[holder]

    def _taken(self, key: str, address: str) -> str:
        """Whose places are all taken; empty when there is one left."""
        if self._by_key[key] >= MAX_PER_KEY:
            return f"with this API key ({MAX_PER_KEY})"
        if self._by_address[address] >= MAX_PER_ADDRESS:
            return f"from your address ({MAX_PER_ADDRESS})"
        return f"of this server ({MAX_SUBSCRIPTIONS})" if len(self._open) >= MAX_SUBSCRIPTIONS else ""

    def notify_all(self) -> None:
        for subscription in self._open:
            subscription.notify()

    def drain(self) -> None:
        """End every subscription, and every new one at once."""
        self._draining = True
        for subscription in self._open:
            subscription.close()
