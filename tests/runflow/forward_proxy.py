"""A real forward proxy on loopback: CONNECT tunnels and requests in absolute form, all passed to one upstream."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs


@attrs.define
class ForwardProxy:
    """``heads``: of every request received. The port ``tls`` or ``plain`` answers, whatever host a request names."""

    tls: int
    plain: int
    port: int = 0
    #: The answer to every request, and the credentials without which it is 407.
    status: int = 200
    authorization: str | None = None
    heads: list[str] = attrs.field(factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def targets(self) -> list[str]:
        return [head.split(" ")[1] for head in self.heads]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        method, target, _ = head.split("\r\n")[0].split(" ")
        status = self.status
        if self.authorization is not None and f"Proxy-Authorization: {self.authorization}\r\n" not in head:
            status = 407
        if status != 200:
            writer.write(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)
            await writer.drain()
            return
        tunnel = method == "CONNECT"
        inner, outer = await asyncio.open_connection("127.0.0.1", self.tls if tunnel else self.plain)
        try:
            if tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = "/" + target.partition("://")[2].partition("/")[2]
                lines = [line for line in head.split("\r\n") if not line.lower().startswith("proxy-")]
                outer.write("\r\n".join([f"{method} {path} HTTP/1.1", *lines[1:]]).encode())
            ways = [asyncio.create_task(_pipe(reader, outer)), asyncio.create_task(_pipe(inner, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)
        finally:
            outer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def forward_proxy(*, tls: int, plain: int) -> AsyncIterator[ForwardProxy]:
    proxy = ForwardProxy(tls, plain)
    server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
