"""Windows shared through Redis or Valkey: one script, one round trip, Redis's own clock.

While Redis is away, requests are admitted under this process's own windows; it is asked again by itself.
"""

from importlib.resources import files

import attrs
import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from runflow_mcp.clock import Clock
from runflow_mcp.json_types import JSON
from runflow_mcp.ratelimit.limits import Decision, Hit, limit_of, window_length
from runflow_mcp.ratelimit.memory import MemoryStore
from runflow_mcp.ratelimit.places import Places
from runflow_mcp.settings.config import Config
from runflow_mcp.settings.parsers import mask_url_password

log = structlog.get_logger(__name__)

#: A limit must not cost more than a moment; a Redis slower than this counts as away. Much shorter, and a
#: short stall of this process would read as Redis's.
TIMEOUT = 0.5
#: Seconds between attempts while it is away: one request then waits for the answer, the others do not.
RETRY = 1.0
#: Connections; each is busy for the length of one script. Who finds none free waits in turn, at most for as long as
#: the scripts ahead of it may take: a burst is not an outage.
MAX_CONNECTIONS = 128
#: The hash tag keeps a caller's windows on one node of a cluster.
KEY = "runflow-mcp:{{limits}}:{scope}:{caller}"
_FAULTS = (RedisError, OSError, TimeoutError)
#: What a state means, for people.
_NOTES = {
    "unknown": "Redis has not answered yet. Until it does, this process counts by itself.",
    "fallback": "Redis does not answer. Until it does, this process counts by itself.",
}


@attrs.define
class RedisStore:
    """The shared windows, and the local ones for when they cannot be reached."""

    url: str = attrs.field(repr=mask_url_password)
    config: Config = attrs.field(repr=False)
    clock: Clock = attrs.field(repr=False)
    local: MemoryStore = attrs.field(repr=False)
    _redis: Redis = attrs.field(repr=False)
    _admit: AsyncScript = attrs.field(repr=False)
    _take_back: AsyncScript = attrs.field(repr=False)
    connections: Places = attrs.field(factory=lambda: Places(MAX_CONNECTIONS), repr=False)
    _away_until: float | None = None
    _answered: bool = False
    outages: int = 0
    fallbacks: int = 0

    @classmethod
    def make(cls, config: Config, clock: Clock, *, timeout: float = TIMEOUT) -> "RedisStore":
        """A store that counts Redis as away after ``timeout`` seconds; it connects when it is first asked."""
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
            redis.register_script(scripts.joinpath("take_back.lua").read_text()),
        )

    async def admit(self, hits: tuple[Hit, ...], cost: int) -> Decision:
        now = self.clock.monotonic()
        if self._away_until is not None and now < self._away_until:
            return await self._locally(hits, cost)
        probing = self._away_until is not None
        if probing:
            self._away_until = now + RETRY  # this request asks; the ones beside it do not wait with it
        windows = [number for hit in hits for number in (limit_of(hit.scope, self.config), int(hit.counted))]
        answer = await self._run(self._admit, hits, [window_length(self.config), cost, *windows])
        if answer is None:
            return await self._locally(hits, cost)
        wait, which, stamp = answer
        self._answered = True
        if probing:  # an answer to what was asked before the outage says nothing of its end
            self._found()
        return Decision(int(wait), int(stamp), hits[int(which) - 1].scope)

    async def probe(self) -> None:
        warned = False
        while not self._answered and self._away_until is None:
            try:
                await self._redis.ping()
            except _FAULTS as error:
                if not warned:
                    log.warning(
                        "limit_store_unknown", **self._shown, error=type(error).__name__, note=_NOTES["unknown"]
                    )
                    warned = True
                await self.clock.sleep(RETRY)
            else:
                self._answered = True

    async def refund(self, hits: tuple[Hit, ...], stamp: int) -> None:
        if self._away_until is not None:
            await self.local.refund(hits, stamp)
        else:
            await self._run(self._take_back, hits, [stamp])

    async def _run(self, script: AsyncScript, hits: tuple[Hit, ...], arguments: list[int]) -> JSON:
        """What the script returns; None when Redis is away."""
        if not await self.connections.take():
            return None
        try:
            return await script([self._key(hit) for hit in hits], arguments)
        except _FAULTS as error:
            await self._lost(error)
            return None
        finally:
            self.connections.give_back()

    async def _locally(self, hits: tuple[Hit, ...], cost: int) -> Decision:
        self.fallbacks += 1
        return await self.local.admit(hits, cost)

    def _key(self, hit: Hit) -> str:
        return KEY.format(scope=hit.scope.value, caller=hit.caller)

    async def _lost(self, error: BaseException) -> None:
        if self._away_until is None:
            self.outages += 1
            log.warning("limit_store_away", **self._shown, error=type(error).__name__)
        self._away_until = self.clock.monotonic() + RETRY
        self.connections.send_away()
        # Idle connections broke as well; each would read as an outage of its own when it is used next.
        await self._redis.connection_pool.disconnect(inuse_connections=False)

    def _found(self) -> None:
        self._away_until = None
        log.warning("limit_store_back", **self._shown, fallbacks=self.fallbacks)

    def evict_expired(self) -> None:
        self.local.evict_expired()

    def state(self) -> dict[str, JSON]:
        state = "fallback" if self._away_until is not None else "ok" if self._answered else "unknown"
        note: dict[str, JSON] = {"note": _NOTES[state]} if state in _NOTES else {}
        return {"store": "redis", "state": state, **note, "outages": self.outages, "fallbacks": self.fallbacks}

    @property
    def _shown(self) -> dict[str, str]:
        return {"store": mask_url_password(self.url)}

    async def close(self) -> None:
        await self._redis.aclose()
