"""Unread answers, on real sockets: which ones are dropped when there are too many, and which never are."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import attrs
import orjson
import pytest

from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.router import Method
from runflow_mcp.protocol.jsonrpc import Request, Result
from runflow_mcp.web.app_keys import UNREAD_BUDGET
from runflow_mcp.web.backpressure import MAX_PER_ADDRESS, MAX_UNREAD, UnreadBudget
from runflow_mcp.web.connection import Runner
from tests.serving import KEY, ServedApp, free_port, upstream_settings
from tests.virtual_time import VirtualClock

MIB = 1024 * 1024
#: Bytes of an answer that the kernels of both ends buffer at most, although nobody reads.
KERNEL_BUFFERS = 8 * MIB


async def big(request: Request, _call: RequestContext) -> Result:
    size = request.params["size"]
    assert isinstance(size, int)
    return {"text": "x" * size}


@attrs.frozen
class Served:
    """A server with one method, whose answer is as long as the caller asks for."""

    port: int
    runner: Runner
    clock: VirtualClock
    unread: UnreadBudget

    @property
    def held(self) -> int:
        """Bytes that wait in the transports of all connections."""
        return self.runner.unsent_bytes


@pytest.fixture
async def served(clock: VirtualClock) -> AsyncIterator[Served]:
    nowhere = upstream_settings(f"http://127.0.0.1:{free_port()}")
    started = await ServedApp.start(nowhere, clock, Random(0), table={"big": Method("big", big)})
    yield Served(started.port, started.runner, clock, started.app[UNREAD_BUDGET])
    await started.runner.cleanup()


@attrs.frozen
class Reader:
    """A client that has sent a request and reads as much of the answer as the test says."""

    clock: VirtualClock
    stream: asyncio.StreamReader
    transport: asyncio.Transport

    async def read(self, *, pause: float = 0.0, most: int | None = None) -> int:
        """Read the answer, or ``most`` bytes of it, in pieces; returns how many bytes arrived."""
        received = 0
        self.transport.resume_reading()  # once: from here on the stream itself pauses the transport when it is full
        while most is None or received < most:
            try:
                data = await asyncio.wait_for(self.stream.read(256 * 1024), 5)
            except (ConnectionError, TimeoutError):
                break
            if not data:
                break
            received += len(data)
            await self.clock.sleep(pause)
        return received


@asynccontextmanager
async def asking(served: Served, address: str, size: int) -> AsyncIterator[Reader]:
    """A client at this address that has sent a request and does not read until the test says so."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
        sock.bind((address, 0))
        sock.setblocking(False)  # noqa: FBT003 - the socket's own signature
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", served.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=256 * 1024)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "big", "params": {"size": size}})
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nAuthorization: Bearer {KEY}\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        try:
            yield Reader(served.clock, reader, writer.transport)  # type: ignore[arg-type]
        finally:
            writer.transport.abort()


@pytest.mark.parametrize(("unread", "pause"), [(14 * MIB, 0.25), (3 * MIB, 0.25), (3 * MIB, 0.02)])
async def test_a_client_that_reads_steadily_gets_its_whole_answer_whatever_others_leave_unread(
    served: Served, unread: int, pause: float
) -> None:
    served.unread.limit = 64 * MIB
    async with AsyncExitStack() as stack:
        for number in range(20):
            await stack.enter_async_context(asking(served, f"127.0.0.{2 + number}", unread))
        await served.clock.sleep(1)
        customer = await stack.enter_async_context(asking(served, "127.0.0.200", 14 * MIB))
        reading = asyncio.create_task(customer.read(pause=pause))
        largest = 0
        for number in range(20, 60):
            await served.clock.sleep(0.2)
            await stack.enter_async_context(asking(served, f"127.0.0.{2 + number}", unread))
            largest = max(largest, served.held)
        assert await reading > 14 * MIB
        assert largest <= served.unread.limit


async def test_one_address_holds_no_more_unread_bytes_than_its_share(served: Served) -> None:
    served.unread.limit_per_address = 20 * MIB
    async with AsyncExitStack() as stack:
        neighbour = await stack.enter_async_context(asking(served, "127.0.0.2", 14 * MIB))
        for _ in range(8):
            await stack.enter_async_context(asking(served, "127.0.0.3", 8 * MIB))
            await served.clock.sleep(1)
            assert served.held <= (20 + 14) * MIB
        assert await neighbour.read() > 14 * MIB


async def test_the_address_that_holds_most_loses_its_oldest_stalled_answer(served: Served) -> None:
    served.unread.limit = 40 * MIB
    async with AsyncExitStack() as stack:
        alone = await stack.enter_async_context(asking(served, "127.0.0.2", 10 * MIB))
        await served.clock.sleep(1)
        crowd = []
        for _ in range(4):
            crowd.append(await stack.enter_async_context(asking(served, "127.0.0.3", 10 * MIB)))
            await served.clock.sleep(1)
        last = await stack.enter_async_context(asking(served, "127.0.0.4", 10 * MIB))
        await served.clock.sleep(1)
        assert await crowd[0].read() < KERNEL_BUFFERS
        for reader in (alone, last, crowd[-1]):
            assert await reader.read() > 10 * MIB


async def test_without_a_stalled_client_the_slowest_reader_is_dropped(served: Served) -> None:
    async with AsyncExitStack() as stack:
        slow = await stack.enter_async_context(asking(served, "127.0.0.2", 12 * MIB))
        fast = await stack.enter_async_context(asking(served, "127.0.0.3", 12 * MIB))
        await served.clock.sleep(0.5)
        tasks = [asyncio.create_task(reader.read(pause=pause)) for reader, pause in ((slow, 0.8), (fast, 0.2))]
        await served.clock.sleep(2)
        served.unread.limit = served.held + 10 * MIB
        async with asking(served, "127.0.0.4", 14 * MIB) as newest:
            assert await newest.read() > 14 * MIB
        received = await asyncio.gather(*tasks)
    assert received[0] < 12 * MIB < received[1]


async def test_a_client_that_stops_reading_halfway_counts_as_stalled(served: Served) -> None:
    served.unread.limit = 30 * MIB
    async with AsyncExitStack() as stack:
        lazy = await stack.enter_async_context(asking(served, "127.0.0.2", 14 * MIB))
        await served.clock.sleep(0.5)
        await lazy.read(most=6 * MIB)
        steady = await stack.enter_async_context(asking(served, "127.0.0.3", 14 * MIB))
        reading = asyncio.create_task(steady.read(pause=0.2))
        await served.clock.sleep(3)
        async with asking(served, "127.0.0.4", 14 * MIB):
            await served.clock.sleep(3)
            async with asking(served, "127.0.0.5", 14 * MIB):
                assert await reading > 14 * MIB


def test_the_share_of_an_address_is_at_most_a_quarter() -> None:
    assert 4 * MAX_PER_ADDRESS <= MAX_UNREAD
