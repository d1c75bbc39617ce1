"""Clients that each wait for one ``generate``: thousands in one process, without an HTTP library."""

import asyncio
import time
from collections.abc import Callable
from typing import cast

import attrs

from tests.bench.fast_upstream import CALL, SENT
from tests.bench.rows import Request, Row
from tests.serving import KEY

#: Bytes at the end of what was received that are kept, to find the result in and to report when there is none.
TAIL = 4096
#: Each key holds at most half of the waits, so the callers are several.
KEYS = 20


def generate_request(number: int, revision: str, *, named: bool = False) -> Request:
    """The call of one client, with progress. ``named``: with a client_ref of its own, by which it can come back."""
    token = {"progressToken": number}
    arguments = {**CALL, "client_ref": f"bench-{number}"} if named else CALL
    row = Row("generate", "tools/call", {"name": "generate", "arguments": arguments, "_meta": token})
    request = row.request(revision)
    return attrs.evolve(request, headers={**request.headers, "Authorization": f"Bearer {KEY}_{number % KEYS}"})


def as_bytes(request: Request, port: int) -> bytes:
    """The request as it goes over the connection."""
    headers = {"Host": f"127.0.0.1:{port}", **request.headers, "Content-Length": str(len(request.body))}
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(["POST /mcp HTTP/1.1", *lines, "", ""]).encode() + request.body


@attrs.define
class Wave:
    """What has become of the clients of one wave, in ms.

    ``delays``: from the upstream's answer to the client. ``first_bytes``: from the start of connecting to the first
    byte of the answer.
    """

    delays: list[float] = attrs.field(factory=list)
    first_bytes: list[float] = attrs.field(factory=list)
    failures: list[str] = attrs.field(factory=list)
    progress: int = 0
    waiting: "set[StreamClient]" = attrs.field(factory=set, repr=False)

    @property
    def ended(self) -> int:
        return len(self.delays) + len(self.failures)


class StreamClient(asyncio.Protocol):
    """Sends its request, reads its stream to the end, closes."""

    def __init__(self, request: bytes, wave: Wave) -> None:
        self._request = request
        self._wave = wave
        self._tail = b""
        self._delay: float | None = None
        self._began = time.monotonic_ns()
        self._answered = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has the methods and not the class
        self._transport.write(self._request)
        self._request = b""
        self._wave.waiting.add(self)

    def data_received(self, data: bytes) -> None:
        if not self._answered:
            self._answered = True
            self._wave.first_bytes.append((time.monotonic_ns() - self._began) / 1e6)
        self._wave.progress += data.count(b"notifications/progress")
        self._tail = (self._tail + data)[-TAIL:]
        if self._delay is None and (sent := SENT.search(self._tail)):
            self._delay = (time.monotonic_ns() - int(sent[1])) / 1e6
        if self._tail.endswith((b"\r\n0\r\n\r\n", b"}")) and self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._wave.waiting.discard(self)
        if self._delay is None:
            self._wave.failures.append(f"{exc!r} after {self._tail[-300:]!r}")
        else:
            self._wave.delays.append(self._delay)

    def leave(self) -> None:
        """Break the connection off, as a client whose network is gone."""
        if self._transport is not None:
            self._transport.abort()


async def start_clients(make: Callable[[int], bytes], port: int, count: int, ramp: float, wave: Wave) -> None:
    """Start ``count`` clients, spread over ``ramp`` seconds."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            late = began + ramp * number / count - loop.time()
            if late > 0:
                await asyncio.sleep(late)
            group.create_task(_start(make(number), port, wave))


async def _start(request: bytes, port: int, wave: Wave) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.create_connection(lambda: StreamClient(request, wave), "127.0.0.1", port)
    except OSError as error:
        wave.failures.append(repr(error))
