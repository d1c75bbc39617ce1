"""What is counted for whom, and the ``Store`` that does the counting.

A store admits hits to several windows at once or to none; ``memory`` and ``redis`` implement it. No HTTP here.
"""

from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, Protocol

import attrs

from runflow_mcp.credentials import Bearer
from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.json_types import JSON
from runflow_mcp.ratelimit.accepted import AcceptedKeys
from runflow_mcp.ratelimit.windows import MICROSECONDS
from runflow_mcp.settings.config import Config


class Scope(StrEnum):
    """What a window counts by."""

    PRE_AUTH = "pre"
    #: The part of PRE_AUTH whose key Runflow rejected. It has a window of its own: otherwise a client without a key
    #: could block the first call of every new key that shares its address.
    REJECTED = "rejected"
    ADDRESS = "ip"
    KEY = "key"

    #: Enum's own is Python code, and windows are found by their scope several times for each request.
    __hash__ = str.__hash__


class Hit(NamedTuple):
    """One caller in one scope. ``counted`` False: the window must have room, but the hit is not added to it."""

    scope: Scope
    caller: str
    counted: bool = True


class Decision(NamedTuple):
    """What a store decided about some hits.

    ``wait_us``: microseconds until they would be admitted, 0 when they were. ``stamp``: when they were admitted.
    ``scope``: the scope with the longest wait.
    """

    wait_us: int
    stamp: int = 0
    scope: Scope | None = None


class Store(Protocol):
    """Where the windows are kept."""

    async def admit(self, hits: tuple[Hit, ...], cost: int) -> Decision:
        """Add ``cost`` to the window of every counted hit, or to none if any window has no room."""

    async def refund(self, hits: tuple[Hit, ...], stamp: int) -> None:
        """Remove one hit, admitted at ``stamp``, from each window."""

    async def probe(self) -> None:
        """Ask the store until it answers, so that its state is known before the first request."""

    def evict_expired(self) -> None:
        """Free the memory of expired windows."""

    def state(self) -> dict[str, JSON]:
        """The ``limits`` member of ``/readyz``: which store it is, and whether it works."""

    async def close(self) -> None: ...


_COUNTED = {
    Scope.PRE_AUTH: "requests without an acceptable API key from your address",
    Scope.REJECTED: "requests from your address with an API key that Runflow does not accept",
    Scope.ADDRESS: "requests from your address",
    Scope.KEY: "requests with this API key",
}


@attrs.frozen
class Limits:
    """Admits requests, or raises ``Rejection`` ``rate_limited``."""

    store: Store
    config: Config
    accepted: AcceptedKeys = attrs.field(factory=AcceptedKeys)

    async def count_unauthenticated(self, address: str) -> None:
        """Count a request without an acceptable key."""
        await self._admit((Hit(Scope.PRE_AUTH, address),), 1)

    async def count_authenticated(self, bearer: Bearer) -> int:
        """Count a request with an acceptable key, by address and by key. Returns when it was counted.

        Anyone can invent a key: one that Runflow has not accepted yet is refused when its address has used too many
        rejected ones.
        """
        accepted, unknown = _hits(bearer.source.address, bearer.digest)
        hits = accepted if bearer.digest in self.accepted else unknown
        decision = await self.store.admit(hits, 1)
        if decision.wait_us:
            raise self._rejection(decision, hits)
        return decision.stamp

    def is_accepted(self, bearer: Bearer) -> bool:
        """Whether Runflow accepted this key when this process last used it."""
        return bearer.digest in self.accepted

    async def may_try_keys(self, address: str, keys: int) -> bool:
        """Whether this many unknown keys of an address may be sent to Runflow, even if it rejects all of them."""
        return not (await self.store.admit((Hit(Scope.REJECTED, address, counted=False),), keys)).wait_us

    def key_accepted(self, bearer: Bearer) -> None:
        """Remember a key that Runflow accepted."""
        self.accepted.add(bearer.digest)

    async def key_rejected(self, bearer: Bearer) -> None:
        """Count a request whose key Runflow rejected: once, however many upstream calls it made."""
        self.accepted.discard(bearer.digest)
        if bearer.source.rejected:
            return
        bearer.source.rejected = True
        address = bearer.source.address
        # One call each: when one window is full, the other must still count.
        await self.store.admit((Hit(Scope.REJECTED, address),), 1)
        await self.store.admit((Hit(Scope.PRE_AUTH, address),), 1)

    async def count_batch(self, bearer: Bearer, stamp: int, entries: int) -> None:
        """Count the other entries of a batch whose first was counted at ``stamp``; if refused, none of it counts."""
        if entries <= 1:
            return
        hits, _ = _hits(bearer.source.address, bearer.digest)
        try:
            await self._admit(hits, entries - 1)
        except Rejection:
            await self.store.refund(hits, stamp)
            raise

    async def _admit(self, hits: tuple[Hit, ...], cost: int) -> None:
        decision = await self.store.admit(hits, cost)
        if decision.wait_us:
            raise self._rejection(decision, hits)

    def _rejection(self, decision: Decision, hits: tuple[Hit, ...]) -> Rejection:
        seconds = -(-decision.wait_us // MICROSECONDS)
        counted = _COUNTED[decision.scope or hits[0].scope]
        message = (
            f"Too many {counted}: the limit for {self.config.rate_limit_window:g} s is reached. "
            f"Wait {seconds} s, then try again; runs in progress are not affected."
        )
        return Rejection(RejectionCode.RATE_LIMITED, message, seconds)


@lru_cache(maxsize=4096)
def _hits(address: str, digest: str) -> tuple[tuple[Hit, ...], tuple[Hit, ...]]:
    """What a request with an acceptable key counts as: with a key that Runflow accepted, and with any other."""
    # By the whole digest: two keys with the same fingerprint can be found within a minute.
    accepted = (Hit(Scope.ADDRESS, address), Hit(Scope.KEY, digest))
    return accepted, (*accepted, Hit(Scope.REJECTED, address, counted=False))


def window_length(config: Config) -> int:
    """The length of every window, in microseconds."""
    return round(config.rate_limit_window * MICROSECONDS)


def limit_of(scope: Scope, config: Config) -> int:
    """The configured limit of a scope."""
    return {
        Scope.PRE_AUTH: config.rate_limit_pre_auth_per_ip,
        Scope.REJECTED: config.rate_limit_pre_auth_per_ip,
        Scope.ADDRESS: config.rate_limit_per_ip,
        Scope.KEY: config.rate_limit_per_key,
    }[scope]
