"""The simulated API over HTTP: one handler per route, and the listening socket.

Must not decide anything: what a request does is in ``api``, what a response looks like in ``rendering``.
"""

import asyncio

import attrs
from aiohttp import web

from runflow_mcp import listening_sockets
from runflow_mcp.sandbox import catalog, outputs
from runflow_mcp.sandbox.api import Sandbox
from runflow_mcp.sandbox.assets import MAX_FILE_BYTES, UPLOAD_SECONDS, Asset
from runflow_mcp.sandbox.credentials import Caller, authenticate
from runflow_mcp.sandbox.errors import bad_request
from runflow_mcp.sandbox.json_types import JSONObject
from runflow_mcp.sandbox.rendering import View, render_asset, render_run
from runflow_mcp.sandbox.requests import parse_run_list_query
from runflow_mcp.sandbox.responses import document_response, file_response, json_response, render_errors
from runflow_mcp.sandbox.runs import Run
from runflow_mcp.sandbox.scenarios import find_model
from runflow_mcp.sandbox.signing import check, sign

#: A little more than a file, so that an upload which is slightly too large gets a helpful answer.
MAX_BODY_BYTES = MAX_FILE_BYTES + 1024 * 1024
#: Seconds. A shutdown waits for nothing; aiohttp takes 0 as "no limit".
SHUTDOWN_TIMEOUT = 0.1
#: Connections that wait to be accepted.
BACKLOG = 128


@attrs.frozen
class RunningSandbox:
    """A sandbox that listens at ``url`` (without a trailing slash)."""

    url: str
    _runner: web.AppRunner

    async def close(self) -> None:
        await self._runner.cleanup()


async def start(sandbox: Sandbox, *, host: str = "127.0.0.1", port: int = 0) -> RunningSandbox:
    """Serve ``sandbox``; port 0 takes a free one. Raises ``ListenError`` if the port is in use."""
    listeners = listening_sockets.bind(host, port)
    listening_sockets.listen(listeners, BACKLOG)
    runner = web.AppRunner(make_app(sandbox), access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT)
    await runner.setup()
    for listener in listeners:
        await web.SockSite(runner, listener).start()
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
            web.get("/assets/{asset_id}/{filename}", routes.get_asset_file),
            web.post("/v1/asset-uploads", routes.prepare_upload, name="create_upload"),
            web.put("/uploads/{asset_id}", routes.receive_upload, name="put_upload"),
            web.post("/v1/asset-uploads/{asset_id}/confirmations", routes.confirm_upload, name="confirm_upload"),
            web.get("/v1/assets/{asset_id}", routes.get_asset),
            web.get("/v1/billing/balance", _balance, name="balance"),
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
        return json_response(await self._rendered(result.run, result.shown_at, request), status=result.status)

    async def get_run(self, request: web.Request) -> web.Response:
        run = self.sandbox.get_run(_caller(request).organisation, request.match_info["run_id"])
        return json_response(await self._rendered(run, self.sandbox.clock.monotonic(), request))

    async def list_runs(self, request: web.Request) -> web.Response:
        page = self.sandbox.list_runs(_caller(request).organisation, parse_run_list_query(request.query))
        now = self.sandbox.clock.monotonic()
        return json_response(
            {
                "items": [await self._rendered(run, now, request) for run in page.runs],
                "next_pq": page.next_cursor,
                "prev_pq": page.previous_cursor,
            }
        )

    async def get_output(self, request: web.Request) -> web.Response:
        """Needs no key: the link is signed."""
        check(request.path, request.query, self.sandbox.clock.wall())
        number = int(request.match_info["number"])
        run = self.sandbox.runs.get(request.match_info["run_id"])
        if run is None or not run.state_at(self.sandbox.clock.monotonic()).succeeded:
            raise web.HTTPNotFound
        if number >= outputs.file_count(run.request):
            raise web.HTTPNotFound
        if outputs.file_name(run.request, number) != request.path.rpartition("/")[2]:
            raise web.HTTPNotFound
        content = await asyncio.to_thread(
            outputs.draw_file,
            run.request,
            number,
            inline=run.scenario.inline,
            pictures=self.sandbox.pictures_of(run),
        )
        return file_response(request, content, outputs.content_type(run.request))

    async def prepare_upload(self, request: web.Request) -> web.Response:
        caller = _caller(request)
        caller.check_may_upload()
        wall = self.sandbox.clock.wall()
        asset = self.sandbox.assets.prepare(caller.organisation, await request.read(), wall=wall)
        url = _origin(request) + sign(f"/uploads/{asset.id}", wall, seconds=UPLOAD_SECONDS)
        return json_response({"asset_id": asset.id, "upload_url": url}, status=201)

    async def receive_upload(self, request: web.Request) -> web.Response:
        """Needs no key, and takes none: storage refuses a request that is authorized in two ways."""
        if "Authorization" in request.headers:
            raise bad_request("Only one way of authorization is allowed: the signature in the URL")
        check(request.path, request.query, self.sandbox.clock.wall())
        asset = self.sandbox.assets.expected(request.match_info["asset_id"], request.headers.get("Content-Type"))
        self.sandbox.assets.receive(asset, await request.read())
        return web.Response()

    async def confirm_upload(self, request: web.Request) -> web.Response:
        caller = _caller(request)
        caller.check_may_upload()
        asset = self.sandbox.assets.confirm(caller.organisation, request.match_info["asset_id"])
        return json_response(self._rendered_asset(asset, request), status=201)

    async def get_asset(self, request: web.Request) -> web.Response:
        asset = self.sandbox.assets.get(_caller(request).organisation, request.match_info["asset_id"])
        return json_response(self._rendered_asset(asset, request))

    async def get_asset_file(self, request: web.Request) -> web.Response:
        """Needs no key: the link is signed."""
        check(request.path, request.query, self.sandbox.clock.wall())
        asset = self.sandbox.assets.find(request.match_info["asset_id"])
        if asset is None:
            raise web.HTTPNotFound
        return file_response(request, asset.content, asset.mime_type)

    async def _rendered(self, run: Run, now: float, request: web.Request) -> JSONObject:
        view = View(now, self.sandbox.clock.wall(), _origin(request))
        # Inline media are drawn, which would block the event loop.
        if run.scenario.inline and run.state_at(now).succeeded:
            view = attrs.evolve(view, pictures=self.sandbox.pictures_of(run))
            return await asyncio.to_thread(render_run, run, view)
        return render_run(run, view)

    def _rendered_asset(self, asset: Asset, request: web.Request) -> JSONObject:
        path = f"/assets/{asset.id}/file{asset.suffix}"
        return render_asset(asset, _origin(request) + sign(path, self.sandbox.clock.wall()))


def _caller(request: web.Request) -> Caller:
    return authenticate(request.headers.get("Authorization"))


def _origin(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


async def _balance(request: web.Request) -> web.Response:
    return json_response({"balance": _caller(request).balance, "currency": "USD"})


async def _health(_request: web.Request) -> web.Response:
    return json_response({"status": "ok"})


async def _public_models(_request: web.Request) -> web.Response:
    return web.Response(body=catalog.public_models_document(), content_type="application/json")


async def _catalog(request: web.Request) -> web.Response:
    return document_response(request, catalog.catalog_document(), "application/json")


async def _skill(request: web.Request) -> web.Response:
    return document_response(request, catalog.skill_document(), "text/markdown")
