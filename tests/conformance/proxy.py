"""A loopback reverse proxy that adds the API key, because the suite has no way to send one.

Passes everything else on unchanged: streams, disconnects, repeated headers, and a Host or Origin that is not
the proxy's own (the suite plays an attacker with those).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import attrs
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})
_STOPPING = 0.1


@attrs.define
class Proxy:
    """``own`` and ``upstream``: host:port of the proxy and of the server behind it."""

    upstream: str
    bearer: str
    session: aiohttp.ClientSession
    own: str = ""

    @property
    def url(self) -> str:
        """The URL that the suite tests."""
        return f"http://{self.own}/mcp"

    def headers(self, received: CIMultiDictProxy[str]) -> CIMultiDict[str]:
        """The request's headers as they go on."""
        sent = _passed_on(received)
        for name, scheme in (("Host", ""), ("Origin", "http://")):
            if received.get(name) == f"{scheme}{self.own}":
                sent[name] = f"{scheme}{self.upstream}"
        sent.setdefault("Authorization", f"Bearer {self.bearer}")
        return sent

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """One exchange; the caller's disconnect cancels it, which closes the connection behind it."""
        async with self.session.request(
            request.method,
            f"http://{self.upstream}{request.raw_path}",
            headers=self.headers(request.headers),
            data=await request.read() or None,
            allow_redirects=False,
        ) as answer:
            response = web.StreamResponse(status=answer.status, headers=_passed_on(answer.headers))
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response


def _passed_on(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP)


@asynccontextmanager
async def run_proxy(upstream: str, bearer: str) -> AsyncIterator[Proxy]:
    """A proxy in front of ``upstream`` (host:port) on a free loopback port."""
    async with aiohttp.ClientSession(
        # One connection a request: a disconnect must show upstream, and no request may meet a closing connection.
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        timeout=aiohttp.ClientTimeout(total=None),
        skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
        auto_decompress=False,
    ) as session:
        proxy = Proxy(upstream, bearer, session)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", proxy.forward)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_STOPPING)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            proxy.own = f"127.0.0.1:{runner.addresses[0][1]}"
            yield proxy
        finally:
            await runner.cleanup()
