"""HTTP connections whose bytes a test writes itself, for what no HTTP library would send."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import attrs
from multidict import CIMultiDict

from tests.serving import KEY, Answer, Server

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


@attrs.frozen
class RawConnection:
    """One client connection whose bytes the test writes itself."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, bodyless: bool = False) -> Answer:
        """The next HTTP response. ``bodyless``: it answers a HEAD."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status_line, *lines = head.rstrip("\r\n").split("\r\n")
        headers: CIMultiDict[str] = CIMultiDict()
        for line in lines:
            name, _, value = line.partition(": ")
            headers.add(name, value)
        version, status_code, *_ = status_line.split()
        assert version in ("HTTP/1.0", "HTTP/1.1")
        status = int(status_code)
        length = 0 if bodyless or status < 200 else int(headers.get("Content-Length", "0"))
        return Answer(status, headers, await self.reader.readexactly(length))

    async def closed(self) -> bool:
        """Whether the server closes the connection without sending anything more."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True


@asynccontextmanager
async def connect(server: Server) -> AsyncIterator[RawConnection]:
    address = urlsplit(server.origin)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def at(server: Server, data: bytes) -> bytes:
    """The bytes with ``@HOST`` replaced by the server's host and port."""
    return data.replace(b"@HOST", urlsplit(server.origin).netloc.encode())


def message(
    *extra: bytes, line: bytes = b"POST /mcp HTTP/1.1", without: Sequence[str] = (), body: bytes = PING
) -> bytes:
    """A valid request with what the test changes; ``without``: ordinary headers that are left out."""
    headers = {
        "Host": "@HOST",
        "Authorization": f"Bearer {KEY}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }
    kept = [f"{name}: {value}".encode() for name, value in headers.items() if name not in without]
    return b"\r\n".join([line, *kept, *extra, b"", body])


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)


async def exchange(server: Server, data: bytes, *, bodyless: bool = False) -> Answer:
    """The response to these bytes on a connection of their own."""
    async with connect(server) as connection:
        await connection.send(at(server, data))
        return await connection.answer(bodyless=bodyless)
