"""The proxy in front of the conformance suite adds the key, and changes nothing that a scenario looks at."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import attrs
import pytest
from aiohttp import web

from tests.conformance.proxy import Proxy, run_proxy

KEY = "rf_live_sandbox"


@attrs.define
class Upstream:
    """A server that records its requests, and streams until the client leaves."""

    address: str = ""
    seen: list[web.Request] = attrs.field(factory=list)
    left: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        if request.path == "/mcp":
            return web.Response(status=418, text="short", headers={"X-Kept": "yes"})
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
        return response


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", upstream.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream.address = f"127.0.0.1:{runner.addresses[0][1]}"
    yield upstream
    await runner.cleanup()


@pytest.fixture
async def proxy(upstream: Upstream) -> AsyncIterator[Proxy]:
    async with run_proxy(upstream.address, KEY) as proxy:
        yield proxy


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_the_proxy_adds_the_key_and_keeps_everything_else(
    upstream: Upstream, proxy: Proxy, session: aiohttp.ClientSession
) -> None:
    headers = [("Mcp-Name", "a"), ("Mcp-Name", "b")]
    async with session.post(proxy.url, data=b"{}", headers=headers) as answer:
        assert (answer.status, answer.headers["X-Kept"], await answer.text()) == (418, "yes", "short")
    [seen] = upstream.seen
    assert seen.headers["Authorization"] == f"Bearer {KEY}"
    assert seen.headers.getall("Mcp-Name") == ["a", "b"]
    assert seen.method == "POST"


@pytest.mark.parametrize("address", ["own", "evil.example"])
async def test_the_proxy_rewrites_its_own_address_and_no_other(
    address: str, upstream: Upstream, proxy: Proxy, session: aiohttp.ClientSession
) -> None:
    sent = proxy.own if address == "own" else address
    expected = upstream.address if address == "own" else address
    async with session.post(proxy.url, headers={"Host": sent, "Origin": f"http://{sent}"}):
        pass
    [seen] = upstream.seen
    assert (seen.headers["Host"], seen.headers["Origin"]) == (expected, f"http://{expected}")


async def test_the_proxy_streams_and_passes_a_disconnect_on(
    upstream: Upstream, proxy: Proxy, session: aiohttp.ClientSession
) -> None:
    async with session.get(f"http://{proxy.own}/stream") as answer:
        assert await answer.content.readany() == b"first"
    await upstream.left.wait()
