"""An upstream that answers with any bytes that a test gives it, even if they are not HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import repeat

import attrs

from tests.serving import free_port

#: The bytes that answer one request; they may be endless.
Reply = bytes | Callable[[], Iterator[bytes]]
CREATE, LIST, POLL = "POST /v1/models/", "GET /v1/runs?", "GET /v1/runs/"
#: Three times as much as is read of any answer. A reader that takes all of it has no limit.
ENOUGH = 24 * 1024 * 1024
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A well-formed answer with this body."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def chunks(*head: str, first: bytes = b"", forever: bytes) -> Callable[[], Iterator[bytes]]:
    """An answer whose body is longer than anything should read."""

    def pieces() -> Iterator[bytes]:
        yield "\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *head, "", ""]).encode()
        rest = repeat(forever, ENOUGH // len(forever))
        for chunk in (first, *rest) if first else rest:
            yield b"%x\r\n%s\r\n" % (len(chunk), chunk)

    return pieces


@attrs.define
class LyingUpstream:
    """``replies``: by how the request line begins. ``requests``: request lines so far. ``sent``: bytes so far."""

    replies: dict[str, Reply]
    url: str = ""
    requests: list[str] = attrs.field(factory=list)
    sent: int = 0

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line = head.partition("\r\n")[0]
            self.requests.append(line)
            reply = next((reply for beginning, reply in self.replies.items() if line.startswith(beginning)), NOT_FOUND)
            for piece in (reply,) if isinstance(reply, bytes) else reply():
                writer.write(piece)
                await writer.drain()
                self.sent += len(piece)
        writer.close()


@asynccontextmanager
async def lying_upstream(replies: dict[str, Reply]) -> AsyncIterator[LyingUpstream]:
    upstream = LyingUpstream(replies)
    port = free_port()
    server = await asyncio.start_server(upstream._answer, "127.0.0.1", port)  # noqa: SLF001 - its own server
    upstream.url = f"http://127.0.0.1:{port}"
    try:
        yield upstream
    finally:
        server.close()
        await server.wait_closed()
