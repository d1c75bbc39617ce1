"""The store in this process's memory: exact for one process, not shared. No I/O."""

import attrs

from runflow_mcp.clock import Clock
from runflow_mcp.json_types import JSON
from runflow_mcp.ratelimit.limits import Decision, Hit, Scope, limit_of, window_length
from runflow_mcp.ratelimit.windows import MICROSECONDS, Window
from runflow_mcp.settings.config import Config


@attrs.frozen
class MemoryStore:
    """One ``Window`` per scope. Nothing here awaits, so every admission is atomic."""

    clock: Clock
    windows: dict[Scope, Window]

    @classmethod
    def make(cls, config: Config, clock: Clock) -> "MemoryStore":
        length = window_length(config)
        return cls(clock, {scope: Window(limit_of(scope, config), length) for scope in Scope})

    async def admit(self, hits: tuple[Hit, ...], cost: int) -> Decision:
        now = self._now()
        longest = 0
        scope = None
        for hit in hits:
            wait = self.windows[hit.scope].wait(hit.caller, cost, now)
            if wait > longest:
                longest, scope = wait, hit.scope
        if longest:
            return Decision(longest, scope=scope)
        for hit in hits:
            if hit.counted:
                self.windows[hit.scope].add(hit.caller, cost, now)
        return Decision(0, stamp=now)

    async def refund(self, hits: tuple[Hit, ...], stamp: int) -> None:
        for hit in hits:
            self.windows[hit.scope].refund(hit.caller, stamp)

    async def probe(self) -> None:
        """Memory always answers."""

    def evict_expired(self) -> None:
        now = self._now()
        for window in self.windows.values():
            window.evict_expired(now)

    def state(self) -> dict[str, JSON]:
        return {"store": "memory"}

    async def close(self) -> None:
        """Nothing to close."""

    def _now(self) -> int:
        return int(self.clock.monotonic() * MICROSECONDS)
