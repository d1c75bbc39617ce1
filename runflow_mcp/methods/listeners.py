"""The open subscriptions of this process: their limits, their notifications, and how a drain ends them."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError

#: In all. A subscription holds a connection and a task for as long as its client wants.
MAX_SUBSCRIPTIONS = 2000
#: For one API key; an agent needs one for each open conversation.
MAX_PER_KEY = 50
#: For one address, since keys can be invented: enough for an office. A process has room for ten such addresses.
MAX_PER_ADDRESS = 200
#: Seconds after which a rejected client may try again.
RETRY_AFTER = 60


@attrs.define(eq=False)
class Subscription:
    """One client's subscription."""

    _change: asyncio.Event = attrs.field(factory=asyncio.Event)
    _closing: bool = False

    async def changed(self) -> bool:
        """Wait for the next change; False when the server ends the subscription."""
        await self._change.wait()
        self._change.clear()
        return not self._closing

    def notify(self) -> None:
        self._change.set()

    def close(self) -> None:
        self._closing = True
        self._change.set()


@attrs.define
class Subscriptions:
    """The subscriptions to changes of the prompts."""

    _open: set[Subscription] = attrs.field(factory=set)
    _by_key: Counter[str] = attrs.field(factory=Counter)
    _by_address: Counter[str] = attrs.field(factory=Counter)
    _draining: bool = False

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def subscribe(self, key: str, address: str) -> Iterator[Subscription]:
        """A subscription, open within the context. Raises ``ProtocolError`` when a limit is reached."""
        if limit := self._limit_reached(key, address):
            raise ProtocolError(
                ErrorCode.TOO_MANY_REQUESTS,
                f"The limit of open subscriptions {limit} is reached. Close one that is no longer needed, or call "
                "prompts/list again when its ttlMs has passed.",
                data={"code": "rate_limited", "retry_after_seconds": RETRY_AFTER},
            )
        subscription = Subscription()
        self._open.add(subscription)
        counts = ((self._by_key, key), (self._by_address, address))
        for count, holder in counts:
            count[holder] += 1
        if self._draining:
            subscription.close()
        try:
            yield subscription
        finally:
            self._open.discard(subscription)
            for count, holder in counts:
                count[holder] -= 1
                if not count[holder]:
                    del count[holder]

    def _limit_reached(self, key: str, address: str) -> str:
        """The limit that is reached, in words; empty when none is."""
        if self._by_key[key] >= MAX_PER_KEY:
            return f"with this API key ({MAX_PER_KEY})"
        if self._by_address[address] >= MAX_PER_ADDRESS:
            return f"from your address ({MAX_PER_ADDRESS})"
        return f"of this server ({MAX_SUBSCRIPTIONS})" if len(self._open) >= MAX_SUBSCRIPTIONS else ""

    def notify_all(self) -> None:
        for subscription in self._open:
            subscription.notify()

    def drain(self) -> None:
        """End every open subscription, and each later one at once."""
        self._draining = True
        for subscription in self._open:
            subscription.close()
