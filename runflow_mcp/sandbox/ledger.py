"""The runs that were created, in order, with the look-ups the routes and the tests need.

Owns the memory of the sandbox and keeps it bounded; knows neither HTTP nor the clock.
"""

from collections.abc import Iterator
from heapq import heappop, heappush

from runflow_mcp.sandbox.idempotency import Mark
from runflow_mcp.sandbox.runs import Run

#: Beyond so many runs the one that ended first is forgotten; runs that still go on never are.
MAX_RUNS = 10_000


class Ledger:
    """Iterates over the remembered runs, oldest first."""

    def __init__(self, limit: int = MAX_RUNS) -> None:
        self.created = 0
        self._limit = limit
        self._runs: dict[str, Run] = {}
        self._by_client_ref: dict[str, list[Run]] = {}
        self._originals: dict[Mark, Run] = {}
        self._marks: dict[str, Mark] = {}
        self._endings: list[tuple[float, int, str]] = []

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def get(self, run_id: str) -> Run | None:
        return self._runs.get(run_id)

    def with_client_ref(self, client_ref: str) -> list[Run]:
        """Of whatever owner, oldest first."""
        return list(self._by_client_ref.get(client_ref, ()))

    def original(self, mark: Mark) -> Run | None:
        """The run that an earlier dispatch with this mark created."""
        return None if mark is None else self._originals.get(mark)

    def add(self, run: Run, mark: Mark, *, now: float) -> None:
        self.created += 1
        self._runs[run.id] = run
        if run.order.client_ref is not None:
            self._by_client_ref.setdefault(run.order.client_ref, []).append(run)
        if mark is not None:
            self._originals[mark] = run
            self._marks[run.id] = mark
        heappush(self._endings, (run.ends, self.created, run.id))
        while len(self._runs) > self._limit and self._endings[0][0] <= now:
            self._forget(heappop(self._endings)[-1])

    def _forget(self, run_id: str) -> None:
        run = self._runs.pop(run_id)
        self._originals.pop(self._marks.pop(run_id, None), None)
        client_ref = run.order.client_ref
        if client_ref is not None:
            namesakes = self._by_client_ref[client_ref]
            namesakes.remove(run)
            if not namesakes:
                del self._by_client_ref[client_ref]
