"""Backpressure: waiting calls past the limit, clients that do not read, huge answers."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import attrs
import orjson
import pytest

from runflow_mcp.sandbox import RunningSandbox
from runflow_mcp.serve import drain
from runflow_mcp.web.app_keys import UNREAD_BUDGET
from runflow_mcp.web.connection import Runner
from runflow_mcp.web.reply import WRITE_TIMEOUT
from tests.byte_units import MIB
from tests.methods.recorded_requests import dispatches, polls
from tests.scripted_sandbox import Delay, Respond, Route, ScriptedSandbox
from tests.serving import BOTH, KEY, MODEL, Serve, ServedApp, Server, upstream_settings
from tests.virtual_time import VirtualClock

#: What one connection may hold: the longest answer, or the high-water mark and a frame.
ANSWER_ROOM, FRAME_ROOM = MIB, MIB
#: An output with which an answer is as long as it can be: quotes are escaped, and once more in the text.
LONG_OUTPUT = {"texts": ['"' * 8000] * 100}
#: Seconds that a stop may take by default.
GRACE = 10.0


@attrs.frozen
class InspectedServer:
    """A server whose connections a test can inspect."""

    server: Server
    runner: Runner

    async def drain(self, *, at_once: bool = False) -> None:
        """Do what a signal starts, or a first and a second signal."""
        second = asyncio.Event()
        if at_once:
            second.set()
        await drain(self.runner, self.server.app, self.server.services.config, second)

    def buffered(self) -> list[int]:
        """Bytes that wait to be sent, for each connection that has some."""
        inner = self.runner.server
        assert inner is not None
        transports = [connection.transport for connection in inner.connections]
        writing = [transport for transport in transports if isinstance(transport, asyncio.WriteTransport)]
        return [size for size in (transport.get_write_buffer_size() for transport in writing) if size]


@pytest.fixture
async def inspected(upstream: RunningSandbox, clock: VirtualClock) -> AsyncIterator[InspectedServer]:
    served = await ServedApp.start(upstream_settings(upstream.url), clock, Random(0), send_buffer=4096)
    async with served.client() as server:
        yield InspectedServer(server, served.runner)
    await served.runner.cleanup()


@attrs.frozen
class SendOnlyClient:
    """A connection whose client sends and does not read."""

    server: Server
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *, accept: str | None, token: str | int = 1, **arguments: object) -> None:
        params = {"name": "generate", "arguments": {"input": {"prompt": "x"}, **arguments}}
        body = orjson.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params | {"_meta": {"progressToken": token}}}
        )
        head = [
            "POST /mcp HTTP/1.1",
            f"Host: {urlsplit(self.server.origin).netloc}",
            f"Authorization: Bearer {KEY}",
            f"Content-Length: {len(body)}",
            *([f"Accept: {accept}"] if accept else []),
            "",
            "",
        ]
        self.writer.write("\r\n".join(head).encode() + body)

    async def result(self) -> Any:
        """Begin to read after all, and read the whole of the answer."""
        self.writer.transport.resume_reading()  # type: ignore[attr-defined]
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        if b"content-length" in head:
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return orjson.loads(await self.reader.readexactly(length))["result"]
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        assert body.endswith(b"\n\n")
        return orjson.loads(body.split(b"data: ")[-1])["result"]


@asynccontextmanager
async def send_only_client(server: Server) -> AsyncIterator[SendOnlyClient]:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)  # noqa: FBT003 - the socket's own signature
        address = urlsplit(server.origin)
        await asyncio.get_running_loop().sock_connect(sock, (address.hostname, address.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        try:
            yield SendOnlyClient(server, reader, writer)
        finally:
            writer.transport.abort()


def run_of(sandbox: ScriptedSandbox, **members: object) -> Respond:
    [run] = sandbox.runs
    return Respond(200, orjson.dumps({"id": run.id, "client_ref": run.request.client_ref, **members}))


@pytest.mark.parametrize("accept", [BOTH, None], ids=["events", "json"])
async def test_a_huge_answer_that_is_not_read_is_dropped_after_a_minute(
    inspected: InspectedServer, sandbox: ScriptedSandbox, accept: str | None
) -> None:
    server = inspected.server
    clock = server.services.clock
    await server.generate(client_ref="huge", wait=False)
    huge = run_of(sandbox, status_code="succeeded", output=LONG_OUTPUT)
    sandbox.script.add(Route.GET_RUN, huge)
    before = set(asyncio.all_tasks())
    async with send_only_client(server) as client:
        client.send(accept=accept, model=MODEL, client_ref="huge")
        await clock.sleep(WRITE_TIMEOUT - 1)
        [size] = inspected.buffered()
        assert size < ANSWER_ROOM
        assert server.services.inflight.slots_used == 1, "a large answer takes a slot until it is read"
        await clock.sleep(2)
        assert inspected.buffered() == []
        assert server.services.inflight.slots_used == 0
    await clock.sleep(1)
    assert {task for task in asyncio.all_tasks() if task not in before and not task.done()} == set()


async def test_a_stream_that_is_not_read_holds_little_and_ends_after_a_minute(
    inspected: InspectedServer, sandbox: ScriptedSandbox
) -> None:
    """Each poll brings a big frame, for it repeats the client's token; they would pile up for all of the wait."""
    server = inspected.server
    clock = server.services.clock
    async with send_only_client(server) as client:
        client.send(accept=BOTH, token="x" * 250_000, model="sandbox/slow", client_ref="unread")
        largest = 0
        for _ in range(300):
            await clock.sleep(1)
            largest = max(largest, *inspected.buffered(), 0)
        assert largest < FRAME_ROOM
        assert server.services.inflight.slots_used == 0
        seen = len(polls(sandbox))
        await clock.sleep(300)
        assert len(polls(sandbox)) == seen
    again = await server.generate("sandbox/slow", client_ref="unread", wait=False)
    assert again.structured["run_id"] == next(iter(sandbox.runs)).id


@asynccontextmanager
async def slow_reader(server: Server, sandbox: ScriptedSandbox, accept: str | None) -> AsyncIterator[SendOnlyClient]:
    """A client whose long answer is ready for it to read."""
    await server.generate(client_ref="huge", wait=False)
    huge = run_of(sandbox, status_code="succeeded", output=LONG_OUTPUT)
    sandbox.script.add(Route.GET_RUN, huge)
    async with send_only_client(server) as client:
        client.send(accept=accept, model=MODEL, client_ref="huge")
        await server.services.clock.sleep(1)
        yield client


@pytest.mark.parametrize("accept", [BOTH, None], ids=["events", "json"])
async def test_a_client_that_reads_slowly_but_reads_gets_all_of_it(
    inspected: InspectedServer, sandbox: ScriptedSandbox, accept: str | None
) -> None:
    server = inspected.server
    async with slow_reader(server, sandbox, accept) as client:
        await server.services.clock.sleep(WRITE_TIMEOUT - 10)
        assert (await client.result())["structuredContent"]["status"] == "succeeded"


@pytest.mark.parametrize("accept", [BOTH, None], ids=["events", "json"])
async def test_a_stop_gives_a_client_that_reads_slowly_the_grace_to_read_all_of_it(
    inspected: InspectedServer, sandbox: ScriptedSandbox, accept: str | None
) -> None:
    server = inspected.server
    async with slow_reader(server, sandbox, accept) as client:
        stopping = asyncio.create_task(inspected.drain())
        await server.services.clock.sleep(GRACE - 1)
        assert not stopping.done()
        assert (await client.result())["structuredContent"]["status"] == "succeeded"
        await stopping
        assert inspected.buffered() == []
    assert server.services.clock.monotonic() <= 1 + GRACE


async def test_the_oldest_connection_is_dropped_when_all_unread_answers_exceed_the_budget(
    inspected: InspectedServer, sandbox: ScriptedSandbox
) -> None:
    """Also the answers of calls that take no slot."""
    server = inspected.server
    server.app[UNREAD_BUDGET].limit = 2 * MIB
    await server.generate(client_ref="huge", wait=False)
    huge = run_of(sandbox, status_code="succeeded", output=LONG_OUTPUT)
    sandbox.script.add(Route.GET_RUN, huge, times=None)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(send_only_client(server)) for _ in range(4)]
        for client in clients:
            client.send(accept=None, model=MODEL, client_ref="huge", wait=False)
            await server.services.clock.sleep(1)
        assert len(inspected.buffered()) == 2
        assert server.services.inflight.slots_used == 0
        for client in clients[2:]:
            assert (await client.result())["structuredContent"]["status"] == "succeeded"
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await clients[0].result()


async def test_a_stop_waits_no_longer_than_the_grace_for_a_client_that_does_not_read(
    inspected: InspectedServer, sandbox: ScriptedSandbox
) -> None:
    clock = inspected.server.services.clock
    async with slow_reader(inspected.server, sandbox, BOTH):
        began = clock.monotonic()
        await inspected.drain()
        assert clock.monotonic() - began == pytest.approx(GRACE)


async def test_a_second_signal_stops_at_once_although_calls_wait(inspected: InspectedServer) -> None:
    clock = inspected.server.services.clock
    waiting = asyncio.create_task(inspected.server.generate("sandbox/slow"))
    await clock.sleep(1)
    began = clock.monotonic()
    await inspected.drain(at_once=True)
    await inspected.runner.cleanup()
    assert clock.monotonic() - began < 0.2
    with pytest.raises(aiohttp.ClientError):
        await waiting


async def test_calls_past_the_wait_slots_are_server_busy_and_start_nothing(
    serve: Serve, sandbox: ScriptedSandbox
) -> None:
    server = await serve(MCP_MAX_WAITS="10")
    sandbox.script.add(Route.CREATE, Delay(2, created=True), times=None)
    answers = await asyncio.gather(
        *(server.generate(accept=BOTH, token=number, key=f"{KEY}{number % 2}") for number in range(60))
    )
    held = [answer for answer in answers if not answer.result["isError"]]
    busy = [answer.tool_error["code"] for answer in answers if answer.result["isError"]]
    assert (len(held), busy) == (10, ["server_busy"] * 50)
    assert len(dispatches(sandbox)) == len(sandbox.runs) == 10
    assert server.services.inflight.slots_used == 0
    assert (await server.generate()).structured["status"] == "succeeded"
