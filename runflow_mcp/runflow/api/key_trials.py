"""Calls with keys that Runflow has not accepted yet: a key costs nothing to invent, so few may be tried at a time.

Knows what an answer says of a key; who is limited and how is decided by ``KeyLimits``.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine
from typing import Protocol

import attrs

from runflow_mcp.credentials import Bearer
from runflow_mcp.json_types import JSON
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError, meaning_of

#: Seconds after which a call that was not let through may be tried again: those ahead of it have an answer then.
PAUSE = 1.0

Request = Callable[[], Coroutine[None, None, JSON]]


class KeyLimits(Protocol):
    """Which keys Runflow has accepted, and how many others an address may try."""

    def knows(self, bearer: Bearer) -> bool: ...

    async def may_try(self, address: str, keys: int) -> bool: ...

    def accepted_key(self, bearer: Bearer) -> None: ...

    async def rejected_key(self, bearer: Bearer) -> None: ...


@attrs.frozen
class KeyTrials:
    """Tells the limits what Runflow thinks of each key."""

    limits: KeyLimits
    #: address → unknown key → calls under way.
    _under_way: defaultdict[str, Counter[str]] = attrs.field(factory=lambda: defaultdict(Counter), repr=False)
    _tasks: set[asyncio.Task[JSON]] = attrs.field(factory=set, repr=False)

    async def ask(self, bearer: Bearer, path: str, request: Request) -> JSON:
        """The outcome of one request to Runflow.

        Raises ``UpstreamError``, also when the address of the caller tries too many unknown keys: nothing was
        sent then.
        """
        if self.limits.knows(bearer):
            return await self._judged(bearer, request)
        # A task of its own: a caller that leaves before the answer must not keep it from being counted.
        task = asyncio.create_task(self._tried(bearer, path, request), name="try a key")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Stop what is still under way; the process ends."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[JSON]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen, even if the caller has left

    async def _tried(self, bearer: Bearer, path: str, request: Request) -> JSON:
        address = bearer.source.address
        keys = self._under_way[address]
        keys[bearer.digest] += 1
        try:
            # All that are under way may end as rejected: sent at the same moment, they must not pass the limit. A
            # request that has been counted already tries the same key again.
            if not bearer.source.rejected and not await self.limits.may_try(address, len(keys)):
                message = "Too many API keys that Runflow does not know were tried from your address."
                raise UpstreamError(
                    Outcome.NOT_SENT, path, message, code="rate_limited", message=message, retry_after=PAUSE
                )
            return await self._judged(bearer, request)
        finally:
            keys[bearer.digest] -= 1
            if not keys[bearer.digest]:
                del keys[bearer.digest]
            if not keys:
                self._under_way.pop(address, None)

    async def _judged(self, bearer: Bearer, request: Request) -> JSON:
        try:
            payload = await request()
        except UpstreamError as error:
            accepted = meaning_of(error.status).key_accepted
            if accepted:
                self.limits.accepted_key(bearer)
            elif accepted is False:
                await self.limits.rejected_key(bearer)
            raise
        self.limits.accepted_key(bearer)
        return payload
