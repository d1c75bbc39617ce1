"""An upstream that says whatever a test wants, byte by byte, down to what is no HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import repeat

import attrs

from tests.serving import free_port

#: What goes over the wire in answer to one request; it may never end.
Saying = bytes | Callable[[], Iterator[bytes]]
CREATE, LIST, POLL = "POST /v1/models/", "GET /v1/runs?", "GET /v1/runs/"
#: Three times as much as is read of any answer: who takes all of it would take everything.
ENOUGH = 24 * 1024 * 1024
NOTHING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A well-formed answer with this body."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def chunks(*head: str, first: bytes = b"", forever: bytes) -> Callable[[], Iterator[bytes]]:
    """An answer whose body has no end, as far as anybody should listen."""

    def said() -> Iterator[bytes]:
        yield "\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *head, "", ""]).encode()
        rest = repeat(forever, ENOUGH // len(forever))
        for chunk in (first, *rest) if first else rest:
            yield b"%x\r\n%s\r\n" % (len(chunk), chunk)

    return said


@attrs.define
class Liar:
    """What it says, by how the request line begins; and how often it was asked, and how much it could say."""

    says: dict[str, Saying]
    url: str = ""
    asked: list[str] = attrs.field(factory=list)
    sent: int = 0

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line = head.partition("\r\n")[0]
            self.asked.append(line)
            saying = next((said for begins, said in self.says.items() if line.startswith(begins)), NOTHING)
            for piece in (saying,) if isinstance(saying, bytes) else saying():
                writer.write(piece)
                await writer.drain()
                self.sent += len(piece)
        writer.close()


@asynccontextmanager
async def lying(says: dict[str, Saying]) -> AsyncIterator[Liar]:
    liar = Liar(says)
    port = free_port()
    server = await asyncio.start_server(liar._answer, "127.0.0.1", port)  # noqa: SLF001 - its own server
    liar.url = f"http://127.0.0.1:{port}"
    try:
        yield liar
    finally:
        server.close()
        await server.wait_closed()
