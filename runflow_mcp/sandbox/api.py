"""The simulated API: the mutable state, and one handler per route.

What the handlers decide lives in the pure modules beside it; must not know about sockets.
"""

import asyncio
from collections import deque

import attrs
import orjson
from aiohttp import web

from runflow_mcp.clock import Clock
from runflow_mcp.sandbox import listing, orders, outputs
from runflow_mcp.sandbox.behaviour import behaviour_of, find_model
from runflow_mcp.sandbox.downloads import respond
from runflow_mcp.sandbox.edge import SeenRequest, answer_problems, inject_faults, record_requests
from runflow_mcp.sandbox.faults import Faults, Route
from runflow_mcp.sandbox.habits import Habits
from runflow_mcp.sandbox.idempotency import Idempotency, mark
from runflow_mcp.sandbox.keys import authenticate
from runflow_mcp.sandbox.ledger import Ledger
from runflow_mcp.sandbox.orders import Order
from runflow_mcp.sandbox.payload import JsonObject
from runflow_mcp.sandbox.problems import Problem, run_not_found
from runflow_mcp.sandbox.publications import catalog_page, health, public_models, skill_page
from runflow_mcp.sandbox.rendering import render
from runflow_mcp.sandbox.runs import Run, run_id

#: Inputs may carry media as data: URIs.
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_SEEN_REQUESTS = 10_000


class Sandbox:
    """One simulated Runflow. ``speed`` divides every duration; ``seed`` varies the ids; ``habits`` its behaviour.

    ``runs`` and ``requests`` are there to be inspected, ``faults`` to be scripted.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        speed: float = 1.0,
        idempotency: Idempotency = Idempotency.HEADER,
        seed: int = 0,
        habits: Habits | None = None,
    ) -> None:
        self.runs = Ledger()
        self.requests: deque[SeenRequest] = deque(maxlen=MAX_SEEN_REQUESTS)
        self.faults = Faults()
        self.clock = clock
        self._speed = speed
        self._idempotency = idempotency
        self._seed = seed
        self.habits = habits or Habits()

    def make_app(self) -> web.Application:
        app = web.Application(
            client_max_size=MAX_BODY_BYTES,
            # Faults strike innermost, so that a request that meets one is still recorded.
            middlewares=[
                answer_problems(),
                record_requests(self.requests, self.clock),
                inject_faults(self.faults, self.clock),
            ],
        )
        app.add_routes(
            [
                web.post("/v1/models/{provider}/{slug:.+}/runs", self._create, name=Route.CREATE),
                web.get("/v1/runs/{run_id}", self._get_run, name=Route.GET_RUN),
                web.get("/v1/runs", self._list_runs, name=Route.LIST_RUNS),
                web.get(r"/outputs/{run_id}/{number:\d{1,2}}.{kind:png|webm|wav}", self._get_output),
                web.get("/v1/health", health),
                web.get("/v1/public/models", public_models),
                web.get("/models-catalog.json", catalog_page, name=Route.CATALOG),
                web.get("/.well-known/agent-skills/runflow/SKILL.md", skill_page, name=Route.SKILL),
            ]
        )
        return app

    async def _create(self, request: web.Request) -> web.Response:
        caller = authenticate(request.headers.get("Authorization"))
        caller.check_dispatch()
        model = find_model(f"{request.match_info['provider']}/{request.match_info['slug']}")
        order = self.habits.order(orders.parse(model, await request.read()))
        repeat = mark(self._idempotency, caller.organisation, order, request.headers.get("Idempotency-Key"))
        original = self.runs.original(repeat)
        if original is None:
            run = self._begin(order, caller.organisation)
            self.runs.add(run, repeat, now=run.created)
            return await _rendered(request, run, run.created, status=201)
        if self._idempotency is Idempotency.CLIENT_REF:
            return await _rendered(request, original, self.clock.monotonic())
        if original.order != order:
            raise Problem(409, "CONFLICT", "Idempotency-Key was used with another request body")
        # The replay is the first answer again, however far the run has come since.
        return await _rendered(request, original, original.created, status=201)

    def _begin(self, order: Order, owner: str) -> Run:
        behaviour = behaviour_of(order.model, order.input)
        wall = self.clock.wall()
        return Run(
            id=run_id(seed=self._seed, number=self.runs.created, wall=wall),
            owner=owner,
            order=order,
            behaviour=attrs.evolve(behaviour, course=behaviour.course.at_speed(self._speed)),
            created=self.clock.monotonic(),
            created_at=wall + self.habits.clock_skew,
        )

    async def _get_run(self, request: web.Request) -> web.Response:
        caller = authenticate(request.headers.get("Authorization"))
        run = self.runs.get(request.match_info["run_id"])
        if run is None or run.owner != caller.organisation:
            raise run_not_found()
        return await _rendered(request, run, self.clock.monotonic())

    async def _list_runs(self, request: web.Request) -> web.Response:
        caller = authenticate(request.headers.get("Authorization"))
        wanted = listing.parse(request.query)
        candidates = self.runs if wanted.client_ref is None else self.runs.with_client_ref(wanted.client_ref)
        now = self.clock.monotonic()
        listed_until = now - self.habits.list_lag
        own = [run for run in candidates if run.owner == caller.organisation and run.created <= listed_until]
        if wanted.newest_first:
            own.reverse()
        start = 0 if self.habits.endless_pages else wanted.start
        end = start + min(wanted.limit, self.habits.page or wanted.limit)
        items = [self.habits.listed(await _render(run, now, _origin(request))) for run in own[start:end]]
        return _json(
            {
                "items": items,
                "next_pq": listing.cursor(end) if end < len(own) else None,
                "prev_pq": listing.cursor(0) if start else None,
            }
        )

    async def _get_output(self, request: web.Request) -> web.Response:
        """Needs no key: the address is the secret, as with a presigned one."""
        number = int(request.match_info["number"])
        run = self.runs.get(request.match_info["run_id"])
        if run is None or not run.at(self.clock.monotonic()).succeeded or number >= outputs.count(run):
            raise web.HTTPNotFound
        if outputs.file_name(run, number) != request.path.rpartition("/")[2]:
            raise web.HTTPNotFound
        content = await asyncio.to_thread(outputs.draw, run, number)
        return respond(request, content, outputs.content_type(run))


async def _rendered(request: web.Request, run: Run, now: float, *, status: int = 200) -> web.Response:
    return _json(await _render(run, now, _origin(request)), status=status)


async def _render(run: Run, now: float, origin: str) -> JsonObject:
    # Inline media are drawn, which would hold the event loop.
    if run.behaviour.inline and run.at(now).succeeded:
        return await asyncio.to_thread(render, run, now, origin)
    return render(run, now, origin)


def _json(value: object, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")


def _origin(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"
