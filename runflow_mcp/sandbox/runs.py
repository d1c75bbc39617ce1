"""A run, and the store of all runs in memory.

Owns the memory of the sandbox and keeps it bounded; must not import HTTP or the clock.
"""

from collections.abc import Iterator
from hashlib import sha256
from heapq import heappop, heappush
from typing import TypeAlias
from uuid import UUID

import attrs

from runflow_mcp.sandbox.requests import RunRequest
from runflow_mcp.sandbox.scenarios import Scenario
from runflow_mcp.sandbox.timeline import RunState

#: Above this number the finished run that ended first is dropped; unfinished runs never are.
MAX_RUNS = 10_000

#: Dispatches with equal keys create one run.
DeduplicationKey: TypeAlias = tuple[str, ...]


@attrs.frozen(kw_only=True, eq=False)
class Run:
    """One run. ``owner`` is an organisation; ``created`` is monotonic time, ``created_at`` Unix time."""

    id: str
    owner: str
    request: RunRequest
    scenario: Scenario
    created: float
    created_at: float

    @property
    def ends(self) -> float:
        """Monotonic time."""
        return self.created + self.scenario.timeline.seconds

    def state_at(self, now: float) -> RunState:
        return self.scenario.timeline.state_at(now - self.created)


def new_run_id(*, seed: int, number: int, wall: float) -> str:
    """A UUIDv7, the same for the same arguments: milliseconds, then ``number``, then a hash."""
    milliseconds = int(wall * 1000)
    noise = int.from_bytes(sha256(f"{seed}:{number}:{milliseconds}".encode()).digest()[:8])
    low = 0b10 << 62 | noise & (1 << 62) - 1
    high = milliseconds << 16 | 7 << 12 | number & 0xFFF
    return str(UUID(int=high << 64 | low))


class RunStore:
    """The runs in memory; iterates oldest first. ``created_count``: the number of runs ever created."""

    def __init__(self, limit: int = MAX_RUNS) -> None:
        self.created_count = 0
        self._limit = limit
        self._runs: dict[str, Run] = {}
        self._by_client_ref: dict[str, list[Run]] = {}
        self._by_deduplication_key: dict[DeduplicationKey, Run] = {}
        self._deduplication_keys: dict[str, DeduplicationKey] = {}
        self._endings: list[tuple[float, int, str]] = []

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def get(self, run_id: str) -> Run | None:
        return self._runs.get(run_id)

    def with_client_ref(self, client_ref: str) -> list[Run]:
        """The runs of all owners, oldest first."""
        return list(self._by_client_ref.get(client_ref, ()))

    def with_deduplication_key(self, key: DeduplicationKey | None) -> Run | None:
        return None if key is None else self._by_deduplication_key.get(key)

    def add(self, run: Run, key: DeduplicationKey | None, *, now: float) -> None:
        self.created_count += 1
        self._runs[run.id] = run
        if run.request.client_ref is not None:
            self._by_client_ref.setdefault(run.request.client_ref, []).append(run)
        if key is not None:
            self._by_deduplication_key[key] = run
            self._deduplication_keys[run.id] = key
        heappush(self._endings, (run.ends, self.created_count, run.id))
        while len(self._runs) > self._limit and self._endings[0][0] <= now:
            self._drop(heappop(self._endings)[-1])

    def _drop(self, run_id: str) -> None:
        run = self._runs.pop(run_id)
        key = self._deduplication_keys.pop(run_id, None)
        if key is not None:
            del self._by_deduplication_key[key]
        client_ref = run.request.client_ref
        if client_ref is not None:
            runs = self._by_client_ref[client_ref]
            runs.remove(run)
            if not runs:
                del self._by_client_ref[client_ref]
