"""The three limits of this server, and the store that keeps them: what to count for whom, not how.

A store admits hits in several windows at once or in none; ``memory`` and ``redis`` implement it.
"""

from enum import StrEnum
from typing import Protocol

import attrs

from runflow_mcp.config import Config
from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.jsontypes import JSON
from runflow_mcp.ratelimit.windows import MICROSECONDS


class Scope(StrEnum):
    """What a window counts by."""

    PRE_AUTH = "pre"
    ADDRESS = "ip"
    KEY = "key"


@attrs.frozen
class Hit:
    """One caller in one scope."""

    scope: Scope
    caller: str


@attrs.frozen
class Verdict:
    """``wait``: microseconds until the hits would be admitted, 0 when they were; ``stamp``: when that was."""

    wait: int
    stamp: int = 0
    scope: Scope | None = None


class Store(Protocol):
    """Where the windows live."""

    async def admit(self, hits: tuple[Hit, ...], cost: int) -> Verdict:
        """Count ``cost`` in every window, or, when one of them is full, in none."""

    async def take_back(self, hits: tuple[Hit, ...], stamp: int) -> None:
        """Uncount one hit in each window."""

    async def meet(self) -> None:
        """Find out whether the store answers, before any request needs it; returns once it has."""

    def forget(self) -> None:
        """Release the memory of windows that have passed."""

    def state(self) -> dict[str, JSON]:
        """For the readiness probe: which store, and how it is."""

    async def close(self) -> None: ...


_WHO = {
    Scope.PRE_AUTH: "requests without an acceptable API key from your address",
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

    async def refused_bearer(self, address: str) -> None:
        """Count a request that brought no acceptable key."""
        await self._admit((Hit(Scope.PRE_AUTH, address),), 1)

    async def authenticated(self, address: str, fingerprint: str) -> Admission:
        """Count a request with an acceptable key, by address and by key."""
        hits = (Hit(Scope.ADDRESS, address), Hit(Scope.KEY, fingerprint))
        return Admission(hits, (await self._admit(hits, 1)).stamp)

    async def batch(self, admission: Admission, entries: int) -> None:
        """Count the further entries of a batch; a refused batch is not counted at all."""
        if entries <= 1:
            return
        try:
            await self._admit(admission.hits, entries - 1)
        except Rejection:
            await self.store.take_back(admission.hits, admission.stamp)
            raise

    async def _admit(self, hits: tuple[Hit, ...], cost: int) -> Verdict:
        verdict = await self.store.admit(hits, cost)
        if verdict.wait:
            seconds = -(-verdict.wait // MICROSECONDS)
            who = _WHO[verdict.scope or hits[0].scope]
            window = self.config.rate_limit_window_ms / 1000
            message = (
                f"Too many {who}: the limit for {window:g} s is reached. Wait {seconds} s, then try again; "
                "a run that is under way is not affected."
            )
            raise Rejection(RejectionCode.RATE_LIMITED, message, seconds)
        return verdict


def limit_of(scope: Scope, config: Config) -> int:
    """The configured limit of a scope."""
    return {
        Scope.PRE_AUTH: config.rate_limit_pre_auth_per_ip,
        Scope.ADDRESS: config.rate_limit_per_ip,
        Scope.KEY: config.rate_limit_per_key,
    }[scope]
