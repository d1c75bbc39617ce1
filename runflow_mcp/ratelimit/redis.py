"""The store in Redis or Valkey, shared by processes: one script and one round trip per request, on Redis's clock.

During an outage requests are admitted by this process's own windows, and Redis is tried again every second. Needs the
extra ``redis``; imported only when the setting names such a store.
"""

from importlib.resources import files

import attrs
import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from runflow_mcp.clock import Clock
from runflow_mcp.json_types import JSON
from runflow_mcp.ratelimit.connection_slots import ConnectionSlots
from runflow_mcp.ratelimit.limits import Decision, Hit, limit_of, window_length
from runflow_mcp.ratelimit.memory import MemoryStore
from runflow_mcp.settings.config import Config
from runflow_mcp.settings.masking import mask_url_password

log = structlog.get_logger(__name__)

#: Seconds after which Redis counts as unavailable, since a limit must not delay a request noticeably. If this were much
#: shorter, a short stall of this process would look like an outage.
TIMEOUT = 0.5
#: Seconds between attempts during an outage: one request then waits for the answer, all others do not.
RETRY = 1.0
#: Each connection is busy for one script. A request that finds none free queues behind the scripts ahead of it, so
#: that a burst does not look like an outage.
MAX_CONNECTIONS = 128
#: The hash tag keeps all windows on one node of a cluster.
KEY = "runflow-mcp:{{limits}}:{scope}:{caller}"
_ERRORS = (RedisError, OSError, TimeoutError)
#: What a state means, for people.
_NOTES = {
    "unknown": "Redis has not answered yet. Until it does, this process counts by itself.",
    "fallback": "Redis does not answer. Until it does, this process counts by itself.",
}


@attrs.define
class RedisStore:
    """The shared windows, and local ones for outages.

    ``_retry_at``: None while Redis answers; during an outage, when to try it again.
    """

    url: str = attrs.field(repr=mask_url_password)
    config: Config = attrs.field(repr=False)
    clock: Clock = attrs.field(repr=False)
    local: MemoryStore = attrs.field(repr=False)
    _redis: Redis = attrs.field(repr=False)
    _admit: AsyncScript = attrs.field(repr=False)
    _refund: AsyncScript = attrs.field(repr=False)
    slots: ConnectionSlots = attrs.field(factory=lambda: ConnectionSlots(MAX_CONNECTIONS), repr=False)
    _retry_at: float | None = None
    _answered: bool = False
    outages: int = 0
    fallbacks: int = 0

    @classmethod
    def make(cls, config: Config, clock: Clock, *, timeout: float = TIMEOUT) -> "RedisStore":
        """A store that connects on first use. ``timeout``: seconds after which Redis counts as unavailable."""
        url = config.rate_limit_store
        pool = ConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
        )
        redis = Redis.from_pool(pool)
        scripts = files("runflow_mcp.ratelimit")
        return cls(
            url,
            config,
            clock,
            MemoryStore.make(config, clock),
            redis,
            redis.register_script(scripts.joinpath("admit.lua").read_text()),
            redis.register_script(scripts.joinpath("refund.lua").read_text()),
        )

    async def admit(self, hits: tuple[Hit, ...], cost: int) -> Decision:
        now = self.clock.monotonic()
        if self._retry_at is not None and now < self._retry_at:
            return await self._admit_locally(hits, cost)
        probing = self._retry_at is not None
        if probing:
            self._retry_at = now + RETRY  # only this request tries Redis; concurrent ones must not wait for it
        windows = [figure for hit in hits for figure in (limit_of(hit.scope, self.config), int(hit.counted))]
        answer = await self._run(self._admit, hits, [window_length(self.config), cost, *windows])
        if answer is None:
            return await self._admit_locally(hits, cost)
        wait, index, stamp = answer
        self._answered = True
        if probing:  # the answer to a request sent before the outage does not end it
            self._outage_ended()
        return Decision(int(wait), int(stamp), hits[int(index) - 1].scope)

    async def probe(self) -> None:
        warned = False
        while not self._answered and self._retry_at is None:
            try:
                await self._redis.ping()
            except _ERRORS as error:
                if not warned:
                    log.warning(
                        "limit_store_unknown", **self._log_fields, error=type(error).__name__, note=_NOTES["unknown"]
                    )
                    warned = True
                await self.clock.sleep(RETRY)
            else:
                self._answered = True

    async def refund(self, hits: tuple[Hit, ...], stamp: int) -> None:
        if self._retry_at is not None:
            await self.local.refund(hits, stamp)
        else:
            await self._run(self._refund, hits, [stamp])

    async def _run(self, script: AsyncScript, hits: tuple[Hit, ...], arguments: list[int]) -> JSON:
        """What the script returns; None when Redis is unavailable."""
        if not await self.slots.acquire():
            return None
        try:
            return await script([self._key(hit) for hit in hits], arguments)
        except _ERRORS as error:
            await self._outage(error)
            return None
        finally:
            self.slots.release()

    async def _admit_locally(self, hits: tuple[Hit, ...], cost: int) -> Decision:
        self.fallbacks += 1
        return await self.local.admit(hits, cost)

    def _key(self, hit: Hit) -> str:
        return KEY.format(scope=hit.scope.value, caller=hit.caller)

    async def _outage(self, error: BaseException) -> None:
        if self._retry_at is None:
            self.outages += 1
            log.warning("limit_store_unavailable", **self._log_fields, error=type(error).__name__)
        self._retry_at = self.clock.monotonic() + RETRY
        self.slots.dismiss_waiters()
        # Idle connections broke as well; each would look like a new outage at its next use.
        await self._redis.connection_pool.disconnect(inuse_connections=False)

    def _outage_ended(self) -> None:
        self._retry_at = None
        log.warning("limit_store_recovered", **self._log_fields, fallbacks=self.fallbacks)

    def evict_expired(self) -> None:
        self.local.evict_expired()

    def state(self) -> dict[str, JSON]:
        state = "fallback" if self._retry_at is not None else "ok" if self._answered else "unknown"
        note: dict[str, JSON] = {"note": _NOTES[state]} if state in _NOTES else {}
        return {"store": "redis", "state": state, **note, "outages": self.outages, "fallbacks": self.fallbacks}

    @property
    def _log_fields(self) -> dict[str, str]:
        return {"store": mask_url_password(self.url)}

    async def close(self) -> None:
        await self._redis.aclose()
