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
        now = int(self.clock.monotonic() * MICROSECONDS)
        windows = self.windows
        for scope, caller, _counted in hits:
            if windows[scope].wait_us(caller, cost, now):
                return self._refusal(hits, cost, now)
        for scope, caller, counted in hits:
            if counted:
                windows[scope].add(caller, cost, now)
        return Decision(0, now)

    def _refusal(self, hits: tuple[Hit, ...], cost: int, now: int) -> Decision:
        """The longest wait of several windows of which at least one has no room."""
        waits = {scope: self.windows[scope].wait_us(caller, cost, now) for scope, caller, _counted in hits}
        longest = max(waits, key=lambda scope: waits[scope])
        return Decision(waits[longest], scope=longest)

    async def refund(self, hits: tuple[Hit, ...], stamp: int) -> None:
        for hit in hits:
            self.windows[hit.scope].refund(hit.caller, stamp)

    async def probe(self) -> None:
        """Memory always answers."""

    def evict_expired(self) -> None:
        now = int(self.clock.monotonic() * MICROSECONDS)
        for window in self.windows.values():
            window.evict_expired(now)

    def state(self) -> dict[str, JSON]:
        return {"store": "memory"}

    async def close(self) -> None:
        """Nothing to close."""
