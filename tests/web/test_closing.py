"""A server that stops closes no connection on which a client may be writing."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import attrs
import pytest

from runflow_mcp import listening_sockets
from runflow_mcp.sandbox import RunningSandbox
from runflow_mcp.web import closing
from runflow_mcp.web.closing import BUSY_TIME, QUIET_TIME
from runflow_mcp.web.connection import Runner
from tests.serving import BOTH, ServedApp, Server, free_port, upstream_settings
from tests.virtual_time import VirtualClock
from tests.web.raw_connection import RawConnection, at, connect, message

PING = message()


@attrs.frozen
class Stopping:
    """A server that a test stops step by step."""

    server: Server
    runner: Runner
    clock: VirtualClock

    def drain(self) -> None:
        self.server.services.inflight.drain(self.clock.monotonic() + 8)

    @contextlib.asynccontextmanager
    async def idle(self) -> AsyncIterator[RawConnection]:
        """A connection that is kept open after an answer."""
        async with connect(self.server) as connection:
            await connection.send(at(self.server, PING))
            assert "Connection" not in (await connection.answer()).headers
            yield connection

    def close_connections(self) -> "asyncio.Task[None]":
        return asyncio.create_task(closing.close_connections(self.runner, self.clock))


@pytest.fixture
async def stopping(upstream: RunningSandbox, clock: VirtualClock) -> AsyncIterator[Stopping]:
    served = await ServedApp.start(upstream_settings(upstream.url), clock, Random(0))
    async with served.client() as server:
        yield Stopping(server, served.runner, clock)
    await served.runner.cleanup()


# Answers during a drain


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ({}, 200),
        ({"without": ("Authorization",)}, 401),
        ({"line": b"GET /readyz HTTP/1.1", "body": b""}, 503),
        ({"line": b"GET /nowhere HTTP/1.1", "body": b""}, 404),
    ],
    ids=["answer", "rejection", "probe", "unknown path"],
)
async def test_during_a_drain_every_answer_ends_its_connection(
    stopping: Stopping, head: dict[str, Any], status: int
) -> None:
    async with stopping.idle() as connection:
        stopping.drain()
        await connection.send(at(stopping.server, message(**head)))
        answer = await connection.answer()
        assert (answer.status, answer.headers["Connection"]) == (status, "close")
        assert await connection.closed()


async def test_during_a_drain_a_stream_says_that_it_ends_its_connection(stopping: Stopping) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"generate","arguments":%s}}'
    order = body % b'{"model":"google/nano-banana-2","input":{}}'
    async with connect(stopping.server) as connection:
        await connection.send(at(stopping.server, message(f"Accept: {BOTH}".encode(), body=order)))
        dispatching = asyncio.create_task(connection.reader.readuntil(b"\r\n\r\n"))
        while not stopping.server.services.inflight.slots_used:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
        stopping.drain()
        assert b"connection: close" in (await dispatching).lower()


async def test_during_a_drain_pipelined_requests_are_all_answered_before_the_connection_ends(
    stopping: Stopping,
) -> None:
    async with stopping.idle() as connection:
        stopping.drain()
        await connection.send(at(stopping.server, PING) * 5)
        answers = [await connection.answer() for _ in range(5)]
        assert [answer.headers.get("Connection") for answer in answers] == [None] * 4 + ["close"]
        assert await connection.closed()


# Idle connections


async def test_a_request_on_an_idle_connection_is_answered_while_the_server_closes(stopping: Stopping) -> None:
    async with stopping.idle() as first, stopping.idle() as second:
        stopping.drain()
        leaving = stopping.close_connections()
        for connection in (first, second):
            await stopping.clock.sleep(QUIET_TIME - 0.1)
            await connection.send(at(stopping.server, PING))
            assert (await connection.answer()).status == 200
        assert not leaving.done() or stopping.runner.connections == []
        await leaving


async def test_idle_connections_are_closed_after_a_quiet_time(stopping: Stopping) -> None:
    async with stopping.idle() as first, stopping.idle() as second:
        stopping.drain()
        began = stopping.clock.monotonic()
        await stopping.close_connections()
        assert QUIET_TIME <= stopping.clock.monotonic() - began < QUIET_TIME + 0.2
        assert await first.closed()
        assert await second.closed()


async def test_a_server_without_connections_stops_at_once(stopping: Stopping) -> None:
    await stopping.server.session.close()
    began = stopping.clock.monotonic()
    await stopping.close_connections()
    assert stopping.clock.monotonic() - began < 0.1


async def test_a_request_that_has_begun_to_arrive_is_waited_for(stopping: Stopping) -> None:
    begun = at(stopping.server, PING)
    async with stopping.idle() as connection:
        stopping.drain()
        await connection.send(begun[:30])
        leaving = stopping.close_connections()
        await stopping.clock.sleep(QUIET_TIME + 0.2)
        await connection.send(begun[30:])
        assert (await connection.answer()).status == 200
        await leaving


async def test_a_request_that_does_not_arrive_is_waited_for_only_so_long(stopping: Stopping) -> None:
    async with stopping.idle() as connection:
        stopping.drain()
        await connection.send(at(stopping.server, PING)[:30])
        await stopping.clock.sleep(0.01)
        began = stopping.clock.monotonic()
        await stopping.close_connections()
        assert BUSY_TIME <= stopping.clock.monotonic() - began < BUSY_TIME + 0.2


async def test_a_connection_on_which_something_has_arrived_is_not_closed_as_idle(stopping: Stopping) -> None:
    async with stopping.idle() as connection:
        stopping.drain()
        connection.writer.write(at(stopping.server, PING))  # sent at once, and not read before the next turn
        closing.close_idle(stopping.runner)
        assert (await connection.answer()).status == 200


# Listeners


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux filters packets for a socket")
@pytest.mark.real_time
def test_a_listener_that_refuses_new_attempts_keeps_the_connections_that_wait_in_its_queue() -> None:
    [listener] = listening_sockets.bind("127.0.0.1", 0)
    listener.listen()
    with contextlib.closing(listener):
        waiting = socket.create_connection(listener.getsockname())
        listening_sockets.refuse_new(listener)
        with pytest.raises(TimeoutError):
            socket.create_connection(listener.getsockname(), timeout=0.2)
        accepted, _ = listener.accept()
        waiting.sendall(b"hello")
        assert accepted.recv(5) == b"hello"
        for connection in (waiting, accepted):
            connection.close()


async def test_connections_in_the_queue_are_served_before_the_listener_closes(
    upstream: RunningSandbox, clock: VirtualClock
) -> None:
    served = await ServedApp.start(upstream_settings(upstream.url), clock, Random(0))
    bound = listening_sockets.bind("127.0.0.1", 0)
    port = bound[0].getsockname()[1]
    await served.runner.listen(bound, backlog=100)
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]  # blocks the event loop
    await closing.stop_listening(served.runner, clock)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    for client in clients:
        reader, writer = await asyncio.open_connection(sock=client)
        await RawConnection(reader, writer).send(PING.replace(b"@HOST", f"127.0.0.1:{served.port}".encode()))
        assert (await RawConnection(reader, writer).answer()).status == 200
        writer.close()
    await served.runner.cleanup()


def test_a_port_in_use_cannot_be_reserved() -> None:
    reserved = listening_sockets.reserve("127.0.0.1", 0)
    port = reserved[0].getsockname()[1]
    listening_sockets.close(reserved)
    [shared] = listening_sockets.bind("127.0.0.1", port, shared=True)
    shared.listen()
    with contextlib.closing(shared), pytest.raises(listening_sockets.ListenError):
        listening_sockets.reserve("127.0.0.1", port)


def test_a_reserved_port_can_be_shared_and_not_taken() -> None:
    port = free_port()
    reserved = listening_sockets.reserve("127.0.0.1", port)
    shared = listening_sockets.bind("127.0.0.1", port, shared=True)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    listening_sockets.close([*reserved, *shared])
