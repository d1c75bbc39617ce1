"""Requests with API keys that Runflow has not accepted yet: few at a time, since a key costs nothing to invent.

Reports to ``KeyLimits`` what each answer says about its key; ``KeyLimits`` decides who is limited, and how.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine
from typing import Protocol

import attrs

from runflow_mcp.credentials import Bearer
from runflow_mcp.json_types import JSON
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError, meaning_of

#: Seconds after which a rejected trial may be repeated: by then those ahead of it are answered.
RETRY_AFTER = 1.0

Exchange = Callable[[], Coroutine[None, None, JSON]]


class KeyLimits(Protocol):
    """Which keys Runflow has accepted, and how many others an address may try."""

    def is_accepted(self, bearer: Bearer) -> bool: ...

    async def may_try_keys(self, address: str, keys: int) -> bool: ...

    def key_accepted(self, bearer: Bearer) -> None: ...

    async def key_rejected(self, bearer: Bearer) -> None: ...


@attrs.frozen
class KeyTrials:
    """Limits the requests with unknown keys, and reports whether Runflow accepted the key of each request."""

    limits: KeyLimits
    #: address → digest of an unknown key → requests under way.
    _under_way: defaultdict[str, Counter[str]] = attrs.field(factory=lambda: defaultdict(Counter), repr=False)
    _tasks: set[asyncio.Task[JSON]] = attrs.field(factory=set, repr=False)

    async def run(self, bearer: Bearer, path: str, exchange: Exchange) -> JSON:
        """The result of one exchange with Runflow.

        Raises ``UpstreamError``, also when the caller's address tries too many unknown keys; nothing was sent then.
        """
        if self.limits.is_accepted(bearer):
            return await self._send(bearer, exchange)
        # A task of its own: a caller that leaves before the answer must not keep it from being counted.
        task = asyncio.create_task(self._try_key(bearer, path, exchange), name="try a key")
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        try:
            return await asyncio.shield(task)
        finally:
            del task  # an error holds this frame, and the task holds the error: a cycle that would keep an answer alive

    async def close(self) -> None:
        """Cancel what is still under way; the process ends."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_done(self, task: asyncio.Task[JSON]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved even if the caller has left

    async def _try_key(self, bearer: Bearer, path: str, exchange: Exchange) -> JSON:
        address = bearer.source.address
        keys = self._under_way[address]
        keys[bearer.digest] += 1
        try:
            # Every key under way may turn out to be rejected: together they must not exceed the limit. A request that
            # has been counted already tries the same key again.
            if not bearer.source.rejected and not await self.limits.may_try_keys(address, len(keys)):
                message = "Too many API keys that Runflow does not know were tried from your address."
                raise UpstreamError(
                    Outcome.NOT_SENT, path, message, code="rate_limited", message=message, retry_after=RETRY_AFTER
                )
            return await self._send(bearer, exchange)
        finally:
            keys[bearer.digest] -= 1
            if not keys[bearer.digest]:
                del keys[bearer.digest]
            if not keys:
                self._under_way.pop(address, None)

    async def _send(self, bearer: Bearer, exchange: Exchange) -> JSON:
        try:
            result = await exchange()
        except UpstreamError as error:
            accepted = error.answered or meaning_of(error.status).key_accepted
            if accepted:
                self.limits.key_accepted(bearer)
            elif accepted is False:
                await self.limits.key_rejected(bearer)
            raise
        self.limits.key_accepted(bearer)
        return result
