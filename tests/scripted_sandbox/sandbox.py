"""The sandbox with a script, a record of requests and quirks."""

from collections import deque
from typing import assert_never

import attrs
import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from runflow_mcp.clock import Clock
from runflow_mcp.sandbox import Sandbox
from runflow_mcp.sandbox.api import DispatchResult, RunPage
from runflow_mcp.sandbox.catalog import CatalogModel
from runflow_mcp.sandbox.requests import RunListQuery, RunRequest
from runflow_mcp.sandbox.runs import DeduplicationKey, Run
from tests.scripted_sandbox.playing import play_script
from tests.scripted_sandbox.quirks import Idempotency, Quirks
from tests.scripted_sandbox.recording import RecordedRequest, record_requests
from tests.scripted_sandbox.script import Route, Script

MAX_REQUESTS = 10_000


class ScriptedSandbox(Sandbox):
    """``script`` decides which requests fail, ``requests`` are the latest that arrived, ``quirks`` may be replaced."""

    def __init__(
        self,
        *,
        clock: Clock,
        speed: float = 1.0,
        seed: int = 0,
        idempotency: Idempotency = Idempotency.HEADER,
        quirks: Quirks | None = None,
    ) -> None:
        self.script = Script()
        self.requests: deque[RecordedRequest] = deque(maxlen=MAX_REQUESTS)
        self.quirks = quirks or Quirks()
        self._idempotency = idempotency
        # Recording comes first, so that a request that fails by the script is recorded too.
        middlewares = [record_requests(self.requests, clock), play_script(self.script, clock), self._summarize]
        super().__init__(clock=clock, speed=speed, seed=seed, middlewares=middlewares)

    def parse_run_request(self, model: CatalogModel, body: bytes) -> RunRequest:
        return self.quirks.stored(super().parse_run_request(model, body))

    def deduplication_key(
        self, owner: str, request: RunRequest, idempotency_key: str | None
    ) -> DeduplicationKey | None:
        match self._idempotency:
            case Idempotency.HEADER:
                return super().deduplication_key(owner, request, idempotency_key)
            case Idempotency.CLIENT_REF:
                return None if request.client_ref is None else (owner, request.model.name, request.client_ref)
            case Idempotency.NONE:
                return None
            case _:
                assert_never(self._idempotency)

    def replay(self, original: Run, request: RunRequest) -> DispatchResult:
        if self._idempotency is Idempotency.CLIENT_REF:
            return DispatchResult(200, original, shown_at=self.clock.monotonic())
        return super().replay(original, request)

    def new_run(self, owner: str, request: RunRequest) -> Run:
        run = super().new_run(owner, request)
        return attrs.evolve(run, created_at=run.created_at + self.quirks.clock_skew)

    def list_runs(self, owner: str, query: RunListQuery) -> RunPage:
        start = 0 if self.quirks.endless_pages else query.start
        limit = min(query.limit, self.quirks.page or query.limit)
        return super().list_runs(owner, attrs.evolve(query, start=start, limit=limit))

    def find_runs(self, owner: str, query: RunListQuery) -> list[Run]:
        listed_until = self.clock.monotonic() - self.quirks.list_lag
        return [run for run in super().find_runs(owner, query) if run.created <= listed_until]

    @web.middleware
    async def _summarize(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if request.match_info.route.name == Route.LIST_RUNS and self.quirks.summaries:
            assert isinstance(response, web.Response)
            assert isinstance(response.body, bytes)
            page = orjson.loads(response.body)
            page["items"] = [self.quirks.listed(run) for run in page["items"]]
            response.body = orjson.dumps(page)
        return response
