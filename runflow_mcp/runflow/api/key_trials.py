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
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError

UNAUTHORIZED = 401
#: Answers that may come before anybody has looked at the key, beside all 5xx.
_UNDECIDED = frozenset({408, 429})
#: Seconds after which a call that was not let through may be tried again: those ahead of it have an answer then.
PAUSE = 1.0

Request = Callable[[], Coroutine[None, None, JSON]]


class KeyLimits(Protocol):
    """Which keys Runflow has accepted, and how many others an address may try."""

    def is_accepted(self, bearer: Bearer) -> bool: ...

    async def may_try_keys(self, address: str, keys: int) -> bool: ...

    def key_accepted(self, bearer: Bearer) -> None: ...

    async def key_rejected(self, bearer: Bearer) -> None: ...


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
        if self.limits.is_accepted(bearer):
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
            if not bearer.source.rejected and not await self.limits.may_try_keys(address, len(keys)):
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
            await self._answered(bearer, error.status)
            raise
        self.limits.key_accepted(bearer)
        return payload

    async def _answered(self, bearer: Bearer, status: int | None) -> None:
        if status == UNAUTHORIZED:
            await self.limits.key_rejected(bearer)
        elif status is not None and status < 500 and status not in _UNDECIDED:  # noqa: PLR2004 - no 5xx
            self.limits.key_accepted(bearer)
