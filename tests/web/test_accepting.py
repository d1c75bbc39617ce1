"""Many connections at once: uvloop accepts one from each listener in a turn of its loop."""

import asyncio
import contextlib
import socket
from contextlib import ExitStack

import pytest

from runflow_mcp import listening_sockets
from runflow_mcp.app import create_app
from runflow_mcp.serve import BACKLOG
from runflow_mcp.settings.config import Config
from runflow_mcp.web.accepting import LISTENERS, copies
from runflow_mcp.web.connection import Runner
from tests.serving import free_port, upstream_settings

uvloop = pytest.importorskip("uvloop")

CONNECTIONS = 10 * LISTENERS


async def ready_runner() -> Runner:
    nowhere = upstream_settings(f"http://127.0.0.1:{free_port()}")
    runner = Runner(create_app(Config.from_mapping(nowhere)), shutdown_timeout=0.1)
    await runner.setup()
    return runner


async def listening_runner() -> tuple[Runner, int]:
    runner = await ready_runner()
    port = free_port()
    await runner.listen(listening_sockets.bind("127.0.0.1", port), BACKLOG)
    return runner, port


async def turns_until_accepted() -> int:
    """The turns of the loop that it takes to accept ``CONNECTIONS`` connections, all of which wait in the queue."""
    runner, port = await listening_runner()
    with ExitStack() as clients:
        for _ in range(CONNECTIONS):  # without a turn of the loop in between
            clients.enter_context(socket.create_connection(("127.0.0.1", port)))
        turns = 0
        while len(runner.connections) < CONNECTIONS:
            turns += 1
            assert turns < 10 * CONNECTIONS
            await asyncio.sleep(0)
    await runner.cleanup()
    return turns


def test_connections_that_come_together_are_accepted_many_at_a_time() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        # Some of the listeners may find the queue empty, or be served twice before a turn is counted.
        assert loop.run(turns_until_accepted()) < CONNECTIONS / 2


async def test_asyncios_own_loop_needs_no_further_listeners() -> None:
    with socket.socket() as listener:
        assert copies(listener) == []


def test_the_further_listeners_close_with_the_first() -> None:
    async def port_after_closing() -> int:
        runner, port = await listening_runner()
        runner.close_listeners()
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        await runner.cleanup()
        return port

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", loop.run(port_after_closing())))


def test_a_server_that_has_bound_the_port_of_another_one_before_it_listens_does_not_start() -> None:
    async def listen(second: socket.socket) -> None:
        runner = await ready_runner()
        try:
            await runner.listen([second], BACKLOG)
        finally:
            await runner.cleanup()

    [first] = listening_sockets.bind("127.0.0.1", 0)
    [second] = listening_sockets.bind("127.0.0.1", first.getsockname()[1])
    first.listen()
    with (
        contextlib.closing(first),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop,
        pytest.raises(listening_sockets.ListenError, match="in use"),
    ):
        loop.run(listen(second))
    assert second.fileno() == -1
