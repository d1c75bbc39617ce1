"""The limits of this server, and the store that keeps them: what to count for whom, not how.

A store admits hits in several windows at once or in none; ``memory`` and ``redis`` implement it.
"""

from enum import StrEnum
from typing import Protocol

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
    #: Of the requests in PRE_AUTH those whose key Runflow rejected. A window of its own: a client without a key
    #: must not keep the customers beside it, whose keys are new to this process, from their first call.
    REJECTED = "rejected"
    ADDRESS = "ip"
    KEY = "key"


@attrs.frozen
class Hit:
    """One caller in one scope. ``counted`` False: the window must have room, and nothing is added to it."""

    scope: Scope
    caller: str
    counted: bool = True


@attrs.frozen
class Decision:
    """``wait``: microseconds until the hits would be admitted, 0 when they were; ``stamp``: when that was."""

    wait: int
    stamp: int = 0
    scope: Scope | None = None


class Store(Protocol):
    """Where the windows live."""

    async def admit(self, hits: tuple[Hit, ...], cost: int) -> Decision:
        """Count ``cost`` in every window of a counted hit, or, when one of all has no room for it, in none."""

    async def refund(self, hits: tuple[Hit, ...], stamp: int) -> None:
        """Uncount one hit in each window."""

    async def probe(self) -> None:
        """Find out whether the store answers, before any request needs it; returns once it has."""

    def evict_expired(self) -> None:
        """Release the memory of windows that have passed."""

    def state(self) -> dict[str, JSON]:
        """For the readiness probe: which store, and how it is."""

    async def close(self) -> None: ...


_WHO = {
    Scope.PRE_AUTH: "requests without an acceptable API key from your address",
    Scope.REJECTED: "requests from your address with an API key that Runflow does not accept",
    Scope.ADDRESS: "requests from your address",
    Scope.KEY: "requests with this API key",
}


@attrs.frozen
class Admission:
    """The windows that an authenticated request was counted in, so that a batch can count its other entries."""

    hits: tuple[Hit, ...]
    stamp: int


@attrs.frozen
class Limits:
    """Admits requests or raises ``Rejection`` ``rate_limited``."""

    store: Store
    config: Config
    accepted: AcceptedKeys = attrs.field(factory=AcceptedKeys)

    async def count_unauthenticated(self, address: str) -> None:
        """Count a request that brought no acceptable key."""
        await self._admit((Hit(Scope.PRE_AUTH, address),), 1)

    async def count_authenticated(self, bearer: Bearer) -> Admission:
        """Count a request with an acceptable key, by address and by key.

        A key that Runflow has not accepted may be invented: from an address that tried too many of those, it is
        refused.
        """
        address = bearer.source.address
        # By the whole digest: two keys with one fingerprint are found within a minute.
        hits = (Hit(Scope.ADDRESS, address), Hit(Scope.KEY, bearer.digest))
        judged = hits if self.knows(bearer) else (*hits, Hit(Scope.REJECTED, address, counted=False))
        return Admission(hits, (await self._admit(judged, 1)).stamp)

    def knows(self, bearer: Bearer) -> bool:
        """Whether Runflow accepted this key when it was last asked by this process."""
        return bearer.digest in self.accepted

    async def may_try(self, address: str, keys: int) -> bool:
        """Whether Runflow may be asked about so many unknown keys of an address, should it reject all of them."""
        return not (await self.store.admit((Hit(Scope.REJECTED, address, counted=False),), keys)).wait

    def accepted_key(self, bearer: Bearer) -> None:
        """Remember a key that Runflow accepted."""
        self.accepted.add(bearer.digest)

    async def rejected_key(self, bearer: Bearer) -> None:
        """Count a request whose key Runflow did not accept: once, however often Runflow was asked for it."""
        self.accepted.discard(bearer.digest)
        if bearer.source.rejected:
            return
        bearer.source.rejected = True
        address = bearer.source.address
        # Each by itself: a window that is full already must not keep the other one from counting.
        await self.store.admit((Hit(Scope.REJECTED, address),), 1)
        await self.store.admit((Hit(Scope.PRE_AUTH, address),), 1)

    async def count_batch(self, admission: Admission, entries: int) -> None:
        """Count the further entries of a batch; a refused batch is not counted at all."""
        if entries <= 1:
            return
        try:
            await self._admit(admission.hits, entries - 1)
        except Rejection:
            await self.store.refund(admission.hits, admission.stamp)
            raise

    async def _admit(self, hits: tuple[Hit, ...], cost: int) -> Decision:
        verdict = await self.store.admit(hits, cost)
        if verdict.wait:
            seconds = -(-verdict.wait // MICROSECONDS)
            who = _WHO[verdict.scope or hits[0].scope]
            window = self.config.rate_limit_window
            message = (
                f"Too many {who}: the limit for {window:g} s is reached. Wait {seconds} s, then try again; "
                "a run that is under way is not affected."
            )
            raise Rejection(RejectionCode.RATE_LIMITED, message, seconds)
        return verdict


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
