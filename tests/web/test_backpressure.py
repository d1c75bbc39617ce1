"""Unread answers, on real sockets: which ones are dropped when there are too many, and which never are."""

import asyncio
import select
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
from runflow_mcp.web.backpressure import MAX_PER_ADDRESS, MAX_UNREAD, STALL_TIME, UnreadBudget
from runflow_mcp.web.connection import Runner
from tests.byte_units import KIB, MIB
from tests.serving import KEY, ServedApp, free_port, upstream_settings
from tests.virtual_time import VirtualClock

#: Bytes that the kernel of each end buffers; Linux gives twice as much, up to a maximum.
SEND_BUFFER, RECEIVE_BUFFER = 256 * KIB, 8 * KIB
#: Bytes of a TCP segment: fewer than the client's buffer, which its kernel reports as free in steps as large.
MAX_SEGMENT = 2 * KIB
#: Bytes of an answer that the kernels of both ends buffer at most, although nobody reads.
KERNEL_BUFFERS = MIB
#: Bytes that a client reads before it pauses: more than its kernel buffers, so that the server's sees each time.
PIECE = 32 * KIB


@attrs.frozen
class Served:
    """A server with one method, whose answer is as long as the caller asks for."""

    port: int
    runner: Runner
    clock: VirtualClock
    unread: UnreadBudget
    #: Released by each call.
    calls: asyncio.Semaphore

    @property
    def held(self) -> int:
        """Bytes that wait in the transports of all connections."""
        return self.runner.unsent_bytes

    def transports(self) -> list[asyncio.Transport]:
        server = self.runner.server
        assert server is not None
        return [connection.transport for connection in server.connections if connection.transport is not None]

    def kernels_are_full(self) -> bool:
        """Whether no kernel takes more of an answer, or has taken all of it."""
        waiting = [transport for transport in self.transports() if transport.get_write_buffer_size()]
        sockets = [transport.get_extra_info("socket") for transport in waiting]
        return select.select([], sockets, [], 0) == ([], [], [])


@pytest.fixture
async def served(clock: VirtualClock) -> AsyncIterator[Served]:
    calls = asyncio.Semaphore(0)

    async def big(request: Request, _call: RequestContext) -> Result:
        calls.release()
        size = request.params["size"]
        assert isinstance(size, int)
        return {"text": "x" * size}

    nowhere = upstream_settings(f"http://127.0.0.1:{free_port()}")
    table = {"big": Method("big", big)}
    started = await ServedApp.start(nowhere, clock, Random(0), table=table, send_buffer=SEND_BUFFER)
    yield Served(started.port, started.runner, clock, started.app[UNREAD_BUDGET], calls)
    await started.runner.cleanup()


@attrs.frozen
class Reader:
    """A client that has sent a request and reads as much of the answer as the test says."""

    served: Served
    socket: socket.socket

    async def read(self, *, pause: float = 0.0, most: int | None = None) -> int:
        """Read the answer, or ``most`` bytes of it, with a pause after each ``PIECE``; returns how many arrived."""
        received = 0
        while most is None or received < most:
            piece = await self._read_piece()
            received += piece
            if piece < PIECE:
                break
            await self.served.clock.sleep(pause)
        return received

    async def _read_piece(self) -> int:
        """Read a ``PIECE``, or less at the end of the answer."""
        received = 0
        with self.served.clock.stopped():
            while received < PIECE:
                try:
                    data = await asyncio.get_running_loop().sock_recv(self.socket, PIECE - received)
                except ConnectionError:
                    break
                if not data:
                    break
                received += len(data)
        acknowledge(self.socket)
        return received


def acknowledge(sock: socket.socket) -> None:
    """Acknowledge at once what Linux would acknowledge within 40 ms, for which a virtual clock does not wait."""
    if hasattr(socket, "TCP_QUICKACK"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


@asynccontextmanager
async def asking(served: Served, address: str, size: int) -> AsyncIterator[Reader]:
    """A client at this address whose request is being answered, and who does not read until the test says so."""
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, MAX_SEGMENT)
        sock.bind((address, 0))
        sock.setblocking(False)  # noqa: FBT003 - the socket's own signature
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "big", "params": {"size": size}})
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nAuthorization: Bearer {KEY}\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with served.clock.stopped():
            await loop.sock_connect(sock, ("127.0.0.1", served.port))
            await loop.sock_sendall(sock, head.encode() + body)
            await served.calls.acquire()
            await loop.sock_recv(sock, 1)

        def is_settled() -> bool:
            acknowledge(sock)
            return served.kernels_are_full()

        await served.clock.until(is_settled)
        yield Reader(served, sock)


@pytest.mark.parametrize(("unread", "pause"), [(2 * MIB, 0.25), (400 * KIB, 0.25), (400 * KIB, 0.02)])
async def test_a_client_that_reads_steadily_gets_its_whole_answer_whatever_others_leave_unread(
    served: Served, unread: int, pause: float
) -> None:
    served.unread.limit = 8 * MIB
    async with AsyncExitStack() as stack:
        for number in range(20):
            await stack.enter_async_context(asking(served, f"127.0.0.{2 + number}", unread))
        await served.clock.sleep(1)
        customer = await stack.enter_async_context(asking(served, "127.0.0.200", 2 * MIB))
        reading = asyncio.create_task(customer.read(pause=pause))
        largest = 0
        for number in range(20, 60):
            await served.clock.sleep(0.2)
            await stack.enter_async_context(asking(served, f"127.0.0.{2 + number}", unread))
            largest = max(largest, served.held)
        assert await reading > 2 * MIB
        assert largest <= served.unread.limit


async def test_a_client_that_reads_slowly_is_not_stalled_while_the_kernel_takes_nothing_more(served: Served) -> None:
    """The kernel takes more of an answer once a third of its buffer is free, here every six seconds."""
    served.unread.limit = 8 * MIB
    async with AsyncExitStack() as stack:
        customer = await stack.enter_async_context(asking(served, "127.0.0.200", 3 * MIB // 2))
        await served.clock.sleep(1)
        reading = asyncio.create_task(customer.read(pause=1.4))
        for number in range(30):
            await stack.enter_async_context(asking(served, f"127.0.0.{2 + number}", 5 * MIB // 4))
            await served.clock.sleep(1)
        assert await reading > 3 * MIB // 2


async def test_one_address_holds_no_more_unread_bytes_than_its_share(served: Served) -> None:
    served.unread.limit_per_address = 4 * MIB
    async with AsyncExitStack() as stack:
        neighbour = await stack.enter_async_context(asking(served, "127.0.0.2", 3 * MIB))
        for _ in range(8):
            await stack.enter_async_context(asking(served, "127.0.0.3", 2 * MIB))
            await served.clock.sleep(1)
            assert served.held <= (4 + 3) * MIB
        assert await neighbour.read() > 3 * MIB


async def test_the_address_that_holds_most_loses_its_oldest_stalled_answer(served: Served) -> None:
    served.unread.limit = 8 * MIB
    async with AsyncExitStack() as stack:
        alone = await stack.enter_async_context(asking(served, "127.0.0.2", 2 * MIB))
        await served.clock.sleep(STALL_TIME)
        crowd = []
        for _ in range(4):
            crowd.append(await stack.enter_async_context(asking(served, "127.0.0.3", 2 * MIB)))
            await served.clock.sleep(STALL_TIME)
        last = await stack.enter_async_context(asking(served, "127.0.0.4", 2 * MIB))
        assert await crowd[0].read() < KERNEL_BUFFERS
        for reader in (alone, last, crowd[-1]):
            assert await reader.read() > 2 * MIB


async def test_without_a_stalled_client_the_slowest_reader_is_dropped(served: Served) -> None:
    async with AsyncExitStack() as stack:
        slow = await stack.enter_async_context(asking(served, "127.0.0.2", 2 * MIB))
        fast = await stack.enter_async_context(asking(served, "127.0.0.3", 2 * MIB))
        await served.clock.sleep(0.5)
        tasks = [asyncio.create_task(reader.read(pause=pause)) for reader, pause in ((slow, 0.8), (fast, 0.2))]
        await served.clock.sleep(2)
        served.unread.limit = served.held + MIB
        async with asking(served, "127.0.0.4", 2 * MIB) as newest:
            assert await newest.read() > 2 * MIB
        received = await asyncio.gather(*tasks)
    assert received[0] < 2 * MIB < received[1]


async def test_a_client_that_stops_reading_halfway_counts_as_stalled(served: Served) -> None:
    served.unread.limit = 5 * MIB
    async with AsyncExitStack() as stack:
        lazy = await stack.enter_async_context(asking(served, "127.0.0.2", 4 * MIB))
        await served.clock.sleep(0.5)
        await lazy.read(most=MIB)
        steady = await stack.enter_async_context(asking(served, "127.0.0.3", 2 * MIB))
        reading = asyncio.create_task(steady.read(pause=0.5))
        await served.clock.sleep(STALL_TIME + 1)
        async with asking(served, "127.0.0.4", 2 * MIB):
            assert await lazy.read() < KERNEL_BUFFERS
            assert await reading > 2 * MIB


def test_the_share_of_an_address_is_at_most_a_quarter() -> None:
    assert 4 * MAX_PER_ADDRESS <= MAX_UNREAD
