"""The simulated API over HTTP: one handler per route, and the listening socket.

Must not decide anything: what a request does is in ``api``, what a response looks like in ``rendering``.
"""

import asyncio

import attrs
from aiohttp import web

from runflow_mcp.sandbox import catalog, outputs
from runflow_mcp.sandbox.api import Sandbox
from runflow_mcp.sandbox.credentials import Caller, authenticate
from runflow_mcp.sandbox.json_types import JSONObject
from runflow_mcp.sandbox.rendering import render_run
from runflow_mcp.sandbox.requests import parse_run_list_query
from runflow_mcp.sandbox.responses import document_response, file_response, json_response, render_errors
from runflow_mcp.sandbox.runs import Run
from runflow_mcp.sandbox.scenarios import find_model

#: Inputs may contain media as data: URIs.
MAX_BODY_BYTES = 16 * 1024 * 1024
#: Seconds. A shutdown waits for nothing; aiohttp takes 0 as "no limit".
SHUTDOWN_TIMEOUT = 0.1


@attrs.frozen
class RunningSandbox:
    """A sandbox that listens at ``url`` (without a trailing slash)."""

    url: str
    _runner: web.AppRunner

    async def close(self) -> None:
        await self._runner.cleanup()


async def start(sandbox: Sandbox, *, host: str = "127.0.0.1", port: int = 0) -> RunningSandbox:
    """Serve ``sandbox``; port 0 takes a free one. Raises OSError if the port is in use."""
    runner = web.AppRunner(make_app(sandbox), access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return RunningSandbox(f"http://{host}:{runner.addresses[0][1]}", runner)


def make_app(sandbox: Sandbox) -> web.Application:
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[render_errors(), *sandbox.middlewares])
    routes = _Routes(sandbox)
    app.add_routes(
        [
            web.post("/v1/models/{provider}/{slug:.+}/runs", routes.create_run, name="create"),
            web.get("/v1/runs/{run_id}", routes.get_run, name="get_run"),
            web.get("/v1/runs", routes.list_runs, name="list_runs"),
            web.get(r"/outputs/{run_id}/{number:\d{1,2}}.{kind:png|webm|wav}", routes.get_output),
            web.get("/v1/health", _health),
            web.get("/v1/public/models", _public_models),
            web.get("/models-catalog.json", _catalog, name="catalog"),
            web.get("/.well-known/agent-skills/runflow/SKILL.md", _skill, name="skill"),
        ]
    )
    return app


@attrs.frozen
class _Routes:
    """The handlers that need the sandbox."""

    sandbox: Sandbox

    async def create_run(self, request: web.Request) -> web.Response:
        caller = _caller(request)
        caller.check_may_dispatch()
        model = find_model(f"{request.match_info['provider']}/{request.match_info['slug']}")
        idempotency_key = request.headers.get("Idempotency-Key")
        result = self.sandbox.dispatch(caller.organisation, model, await request.read(), idempotency_key)
        return json_response(await _rendered(result.run, result.shown_at, request), status=result.status)

    async def get_run(self, request: web.Request) -> web.Response:
        run = self.sandbox.get_run(_caller(request).organisation, request.match_info["run_id"])
        return json_response(await _rendered(run, self.sandbox.clock.monotonic(), request))

    async def list_runs(self, request: web.Request) -> web.Response:
        page = self.sandbox.list_runs(_caller(request).organisation, parse_run_list_query(request.query))
        now = self.sandbox.clock.monotonic()
        return json_response(
            {
                "items": [await _rendered(run, now, request) for run in page.runs],
                "next_pq": page.next_cursor,
                "prev_pq": page.previous_cursor,
            }
        )

    async def get_output(self, request: web.Request) -> web.Response:
        """Needs no key: like a presigned URL, the address is the secret."""
        number = int(request.match_info["number"])
        run = self.sandbox.runs.get(request.match_info["run_id"])
        if run is None or not run.state_at(self.sandbox.clock.monotonic()).succeeded:
            raise web.HTTPNotFound
        if number >= outputs.file_count(run.request):
            raise web.HTTPNotFound
        if outputs.file_name(run.request, number) != request.path.rpartition("/")[2]:
            raise web.HTTPNotFound
        content = await asyncio.to_thread(outputs.draw_file, run.request, number, inline=run.scenario.inline)
        return file_response(request, content, outputs.content_type(run.request))


def _caller(request: web.Request) -> Caller:
    return authenticate(request.headers.get("Authorization"))


async def _rendered(run: Run, now: float, request: web.Request) -> JSONObject:
    origin = f"{request.scheme}://{request.host}"
    # Inline media are drawn, which would block the event loop.
    if run.scenario.inline and run.state_at(now).succeeded:
        return await asyncio.to_thread(render_run, run, now, origin)
    return render_run(run, now, origin)


async def _health(_request: web.Request) -> web.Response:
    return json_response({"status": "ok"})


async def _public_models(_request: web.Request) -> web.Response:
    return web.Response(body=catalog.public_models_document(), content_type="application/json")


async def _catalog(request: web.Request) -> web.Response:
    return document_response(request, catalog.catalog_document(), "application/json")


async def _skill(request: web.Request) -> web.Response:
    return document_response(request, catalog.skill_document(), "text/markdown")
