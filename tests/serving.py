"""A running server for tests: real HTTP on loopback, with one method per thing a client does."""

import asyncio
import base64
import contextlib
import itertools
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Protocol

import aiohttp
import attrs
import orjson
from aiohttp import web

from runflow_mcp import listening_sockets
from runflow_mcp.app import create_app
from runflow_mcp.clock import Clock
from runflow_mcp.methods.context import Services
from runflow_mcp.methods.router import MethodTable
from runflow_mcp.observability.metrics import Metrics
from runflow_mcp.protocol.inbound import NAME_PARAM
from runflow_mcp.serve import BACKLOG
from runflow_mcp.settings.config import Config
from runflow_mcp.web.app_keys import SERVICES
from runflow_mcp.web.connection import Runner

KEY = "rf_live_sandbox"
MODEL = "google/nano-banana-2"
INPUT = {"prompt": "a lighthouse at dusk"}
BOTH = "application/json, text/event-stream"
MODERN = "2026-07-28"
#: The namespace of the protocol's own members.
META = "io.modelcontextprotocol/"
TASKS = f"{META}tasks"


#: Below the ports that the system gives to outgoing connections (from 32768 on), and another part for each of
#: the processes that tests run in: nobody takes a port between its being found and its being used.
PORTS = itertools.cycle(range(20_000, 24_000))


def free_port() -> int:
    """A port that nothing listens on."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 3
    for port in PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port + 4_000 * worker))
            return port + 4_000 * worker
    raise AssertionError("the ports have no end")


def encoded(text: str) -> str:
    """A header value in its base64 sentinel."""
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


def modern(
    method: str,
    params: Mapping[str, Any] | None = None,
    *,
    id: str | int = 1,  # noqa: A002 - the message's own word
    extensions: tuple[str, ...] = (),
    meta: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], dict[str, str]]:
    """A request of 2026-07-28 whose client declares these extensions, and the headers that repeat its body."""
    capabilities: dict[str, Any] = {"extensions": {name: {} for name in extensions}} if extensions else {}
    own = {f"{META}protocolVersion": MODERN, f"{META}clientCapabilities": capabilities}
    sent: dict[str, Any] = {**(params or {}), "_meta": {**own, **(meta or {})}}
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
    name = sent.get(NAME_PARAM.get(method, ""))
    if isinstance(name, str):
        plain = name.isascii() and name.isprintable() and name == name.strip() and not name.startswith("=?")
        headers["Mcp-Name"] = name if plain else encoded(name)
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": sent}, headers


@attrs.frozen
class Answer:
    """One HTTP answer, read to its end. ``events``: the messages of a stream, in order."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.content)

    @property
    def is_stream(self) -> bool:
        return self.headers.get("Content-Type", "").startswith("text/event-stream")

    @property
    def events(self) -> list[Any]:
        lines = self.content.split(b"\n")
        return [orjson.loads(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data: ")]

    @property
    def message(self) -> Any:
        """The JSON-RPC response, from a plain answer or the end of a stream."""
        return self.events[-1] if self.is_stream else self.json

    @property
    def result(self) -> Any:
        return self.message["result"]

    @property
    def error(self) -> Any:
        """The JSON-RPC error."""
        return self.message["error"]

    @property
    def structured(self) -> Any:
        return self.result["structuredContent"]

    @property
    def tool_error(self) -> Any:
        """The envelope of a tool error."""
        assert self.result["isError"] is True
        return self.structured["error"]

    @property
    def progress(self) -> list[Any]:
        return [event["params"] for event in self.events if event.get("method") == "notifications/progress"]


@attrs.frozen
class Server:
    """A server under test and a client session that talks to it."""

    app: web.Application
    origin: str
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    @property
    def services(self) -> Services:
        return self.app[SERVICES]

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, data: bytes | None = None
    ) -> Answer:
        async with self.session.request(method, f"{self.origin}{path}", headers=headers, data=data) as response:
            return Answer(response.status, response.headers.copy(), await response.read())

    async def post(
        self,
        body: object,
        *,
        key: str | None = KEY,
        accept: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """POST a message (bytes as they are, anything else as JSON)."""
        sent = {"Content-Type": "application/json"}
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        if accept is not None:
            sent["Accept"] = accept
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        return await self.request("POST", "/mcp", headers={**sent, **(headers or {})}, data=data)

    async def rpc(self, method: str, params: object = None, **options: Any) -> Answer:
        message = {"jsonrpc": "2.0", "id": 1, "method": method}
        return await self.post(message if params is None else {**message, "params": params}, **options)

    async def modern(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        accept: str | None = BOTH,
        key: str = KEY,
        **options: Any,
    ) -> Answer:
        """Send a request of 2026-07-28; ``options`` are those of ``modern``, ``headers`` replace its own."""
        message, repeated = modern(method, params, **options)
        return await self.post(message, key=key, accept=accept, headers={**repeated, **(headers or {})})

    async def call(self, tool: str, /, token: str | int | None = None, **options: Any) -> Answer:
        """Call a tool; ``options`` of ``post`` go through, everything else are arguments."""
        passed = {name: options.pop(name) for name in ("key", "accept", "headers") if name in options}
        params: dict[str, Any] = {"name": tool, "arguments": options}
        if token is not None:
            params["_meta"] = {"progressToken": token}
        return await self.rpc("tools/call", params, **passed)

    async def generate(self, model: str = MODEL, input: object = INPUT, **options: Any) -> Answer:  # noqa: A002
        return await self.call("generate", model=model, input=input, **options)


class Serve(Protocol):
    def __call__(self, **settings: str) -> Awaitable[Server]: ...


@attrs.frozen
class ServedApp:
    """The product's application on a loopback port, as ``runflow-mcp serve`` runs it, and in this process."""

    app: web.Application
    runner: Runner
    port: int

    @classmethod
    async def start(
        cls,
        settings: Mapping[str, str],
        clock: Clock,
        random: Random,
        *,
        table: MethodTable | None = None,
        metrics: Metrics | None = None,
        prepare: Callable[[web.Application], object] = lambda _app: None,
        shutdown_timeout: float = 0.1,
        send_buffer: int | None = None,
    ) -> "ServedApp":
        """``table``: in place of the product's methods. ``prepare``: what is done to the application before it starts.

        ``send_buffer``: bytes that the system takes for a client that does not read, on each connection.
        """
        config = Config.from_mapping({"MCP_PORT": str(free_port()), **settings})
        app = create_app(config, clock=clock, random=random, table=table, metrics=metrics)
        prepare(app)
        runner = Runner(app, shutdown_timeout=shutdown_timeout)
        await runner.setup()
        try:
            if config.host == "127.0.0.1" and send_buffer is None:
                # A few turns of the event loop longer: for most tests the catalog has then arrived.
                await web.TCPSite(runner, config.host, config.port).start()
            else:
                listeners = listening_sockets.bind(config.host, config.port)
                if send_buffer is not None:
                    for listener in listeners:  # connections inherit it
                        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
                await runner.listen(listeners, BACKLOG)
        except BaseException:
            await runner.cleanup()
            raise
        return cls(app, runner, config.port)

    async def stop(self) -> None:
        """Stop, also while a client in another process connects.

        A connection that asyncio accepts in the moment in which its listener closes is left open and never served, so
        nothing is accepted any more before that.
        """
        loop = asyncio.get_running_loop()
        sites = [site._server for site in self.runner.sites if isinstance(site._server, asyncio.Server)]  # noqa: SLF001
        for listener in (*self.runner.listeners, *(listener for site in sites for listener in site.sockets)):
            loop.remove_reader(listener)
        for _ in range(3):  # turns that it takes to complete what was accepted
            await asyncio.sleep(0)
        await self.runner.cleanup()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Server]:
        """A client session that talks to it."""
        # As many connections as a test likes: a hundred open streams are aiohttp's default.
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
            yield Server(self.app, f"http://127.0.0.1:{self.port}", session)


def upstream_settings(url: str, *, skill: bool = False) -> dict[str, str]:
    """The settings of a server in front of a simulated Runflow at ``url``."""
    path = "/.well-known/agent-skills/runflow/SKILL.md"
    return {
        "RUNFLOW_API_URL": url,
        "RUNFLOW_CATALOG_URL": f"{url}/models-catalog.json",
        "RUNFLOW_SKILL_URL": f"{url}{path}" if skill else "",
    }


@asynccontextmanager
async def run_server(upstream: str, clock: Clock, random: Random, settings: Mapping[str, str]) -> AsyncIterator[Server]:
    served = await ServedApp.start({**upstream_settings(upstream, skill=True), **settings}, clock, random)
    try:
        async with served.client() as server:
            yield server
    finally:
        await served.stop()
