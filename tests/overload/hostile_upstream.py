"""A hostile Runflow: it hangs, echoes inputs, and sends outputs as large as it may, each by the model of the run."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import uuid4

import orjson
from aiohttp import web

#: The last is for ordinary callers: its runs succeed at once, with a small output.
MODELS = (
    "hostile/hangs",
    "hostile/echoes",
    "hostile/links",
    "hostile/international-links",
    "hostile/objects",
    "hostile/too-large",
    "harmless/picture",
)
#: Just below the 8 MiB that the server reads of one answer.
OUTPUT_BYTES = 8_000_000


def _filled(item: bytes) -> bytes:
    return b"[" + b",".join([item] * (OUTPUT_BYTES // (len(item) + 1))) + b"]"


def _numbered_links(host: str) -> bytes:
    link = f"https://{host}/%07d.png"
    size = len((link % 0).encode()) + len('"",')
    return orjson.dumps([link % number for number in range(OUTPUT_BYTES // size)])


class HostileUpstream:
    """The routes of the API that the server asks."""

    def __init__(self) -> None:
        self.dispatches = 0
        self._echoed: dict[str, tuple[str, bytes]] = {}
        self._outputs: Mapping[str, bytes] = {
            "hostile/links": _numbered_links("cdn.example.com"),
            "hostile/international-links": _numbered_links("bücher.example"),
            "hostile/objects": _filled(b"{}"),
            "hostile/too-large": b'"' + b"x" * (OUTPUT_BYTES + 1_000_000) + b'"',
            "harmless/picture": b'{"url":"https://cdn.example.com/1.png"}',
        }

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1024 * 1024)
        app.router.add_get("/models-catalog.json", self._catalog)
        app.router.add_post("/v1/models/{model:.+}/runs", self._create)
        app.router.add_get("/v1/runs", self._list)
        app.router.add_get("/v1/runs/{id}", self._read)
        return app

    async def _catalog(self, _request: web.Request) -> web.Response:
        models = [
            {"provider_slug": model.split("/")[0], "model_slug": model.split("/")[1], "category": "text-to-image"}
            for model in MODELS
        ]
        solution = {
            "provider_slug": "runflow",
            "model_slug": "configured",
            "inputs": [{"name": "config", "type": "json", "required": True}],
        }
        return web.json_response({"models": [*models, solution]})

    async def _create(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        model = request.match_info["model"]
        self.dispatches += 1
        if model == "hostile/hangs":
            await asyncio.Event().wait()  # until the client has gone: the handler is cancelled then
        run_id = str(uuid4())
        self._echoed[run_id] = (model, orjson.dumps({"client_ref": body["client_ref"], "input": body["input"]}))
        return self._run(run_id, status=201)

    async def _list(self, _request: web.Request) -> web.Response:
        return web.json_response({"items": [], "next_pq": None, "prev_pq": None})

    async def _read(self, request: web.Request) -> web.Response:
        return self._run(request.match_info["id"], status=200)

    def _run(self, run_id: str, *, status: int) -> web.Response:
        model, echoed = self._echoed[run_id]
        output = self._outputs.get(model)
        head = orjson.dumps({"id": run_id, "status_code": "succeeded" if output else "running"})
        members = b",".join([head[1:-1], echoed[1:-1], *([b'"output":' + output] if output else [])])
        return web.Response(body=b"{" + members + b"}", content_type="application/json", status=status)


@asynccontextmanager
async def hostile_upstream() -> AsyncIterator[tuple[HostileUpstream, str]]:
    """The upstream on a loopback port, and its URL."""
    upstream = HostileUpstream()
    runner = web.AppRunner(upstream.app(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield upstream, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
