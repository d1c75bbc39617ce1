"""The simulated API without HTTP: the runs, and what a dispatch or a list of runs does.

Must not import the HTTP server.
"""

from collections.abc import Sequence

import attrs
from aiohttp.typedefs import Middleware

from runflow_mcp.clock import Clock
from runflow_mcp.sandbox.assets import AssetStore
from runflow_mcp.sandbox.catalog import CatalogModel
from runflow_mcp.sandbox.errors import idempotency_conflict, run_not_found
from runflow_mcp.sandbox.requests import RunListQuery, RunRequest, page_cursor, parse_run_request
from runflow_mcp.sandbox.runs import DeduplicationKey, Run, RunStore, new_run_id
from runflow_mcp.sandbox.scenarios import scenario_for


@attrs.frozen
class DispatchResult:
    """``status`` is the HTTP status; the response shows ``run`` as it is at the monotonic time ``shown_at``."""

    status: int
    run: Run
    shown_at: float


@attrs.frozen
class RunPage:
    """A page of a list of runs; a cursor is None where there is no such page."""

    runs: Sequence[Run]
    next_cursor: str | None
    previous_cursor: str | None


class Sandbox:
    """One simulated Runflow: ``speed`` divides every duration, ``seed`` varies the ids.

    ``runs``: its runs. ``assets``: the uploaded files.

    Subclasses override methods to simulate an upstream that departs from Runflow's documentation, and may put
    ``middlewares`` around its routes; they run inside the rendering of errors.
    """

    def __init__(
        self, *, clock: Clock, speed: float = 1.0, seed: int = 0, middlewares: Sequence[Middleware] = ()
    ) -> None:
        self.runs = RunStore()
        self.assets = AssetStore(seed=seed)
        self.clock = clock
        self.middlewares = middlewares
        self._speed = speed
        self._seed = seed

    def dispatch(self, owner: str, model: CatalogModel, body: bytes, idempotency_key: str | None) -> DispatchResult:
        """Create a run, or find the one that the same dispatch created before."""
        request = self.parse_run_request(model, body)
        key = self.deduplication_key(owner, request, idempotency_key)
        original = self.runs.with_deduplication_key(key)
        if original is not None:
            return self.replay(original, request)
        self.assets.check_references(owner, request.input)
        run = self.new_run(owner, request)
        self.runs.add(run, key, now=run.created)
        return DispatchResult(201, run, shown_at=run.created)

    def parse_run_request(self, model: CatalogModel, body: bytes) -> RunRequest:
        """The dispatch as it is stored."""
        return parse_run_request(model, body)

    def deduplication_key(
        self,
        owner: str,
        request: RunRequest,  # noqa: ARG002 - an upstream may look at it
        idempotency_key: str | None,
    ) -> DeduplicationKey | None:
        """Dispatches with equal keys create one run; one whose key is None always creates a run."""
        return None if idempotency_key is None else (owner, idempotency_key)

    def replay(self, original: Run, request: RunRequest) -> DispatchResult:
        """The result of a repeated dispatch; raises a 409 ``APIError`` if its body differs from the original's."""
        if original.request != request:
            raise idempotency_conflict()
        # The first response again, whatever the run's state is now.
        return DispatchResult(201, original, shown_at=original.created)

    def new_run(self, owner: str, request: RunRequest) -> Run:
        scenario = scenario_for(request.model, request.input)
        wall = self.clock.wall()
        return Run(
            id=new_run_id(seed=self._seed, number=self.runs.created_count, wall=wall),
            owner=owner,
            request=request,
            scenario=attrs.evolve(scenario, timeline=scenario.timeline.at_speed(self._speed)),
            created=self.clock.monotonic(),
            created_at=wall,
        )

    def pictures_of(self, run: Run) -> list[bytes]:
        """The pictures that were uploaded for a run."""
        return self.assets.pictures(run.owner, run.request.input)

    def get_run(self, owner: str, run_id: str) -> Run:
        """Raises a 404 ``APIError`` for an unknown run and for one of another owner."""
        run = self.runs.get(run_id)
        if run is None or run.owner != owner:
            raise run_not_found()
        return run

    def list_runs(self, owner: str, query: RunListQuery) -> RunPage:
        found = self.find_runs(owner, query)
        end = query.start + query.limit
        return RunPage(
            runs=found[query.start : end],
            next_cursor=page_cursor(end) if end < len(found) else None,
            previous_cursor=page_cursor(0) if query.start else None,
        )

    def find_runs(self, owner: str, query: RunListQuery) -> list[Run]:
        """The owner's runs that match the filter, in the order of the query."""
        candidates = self.runs if query.client_ref is None else self.runs.with_client_ref(query.client_ref)
        found = [run for run in candidates if run.owner == owner]
        return found[::-1] if query.newest_first else found
