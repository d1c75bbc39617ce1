"""Many connections at once: uvloop accepts one from each listener in a turn of its loop."""

import asyncio
import socket
from contextlib import ExitStack

import pytest
from aiohttp import web

from runflow_mcp.serve import BACKLOG
from runflow_mcp.web.accepting import LISTENERS, add_listeners

uvloop = pytest.importorskip("uvloop")

CONNECTIONS = 10 * LISTENERS


async def turns_until_accepted() -> int:
    """The turns of the loop that it takes to accept ``CONNECTIONS`` connections, all of which wait in the queue."""
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=BACKLOG).start()
    await add_listeners(runner, BACKLOG)
    with ExitStack() as clients:
        for _ in range(CONNECTIONS):  # without a turn of the loop in between
            clients.enter_context(socket.create_connection(runner.addresses[0]))
        turns = 0
        while runner.server is not None and len(runner.server.connections) < CONNECTIONS:
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
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await add_listeners(runner, BACKLOG)
    assert len(runner.sites) == 1
    await runner.cleanup()


def test_the_further_listeners_close_with_the_first() -> None:
    async def address_after_cleanup() -> tuple[str, int]:
        runner = web.AppRunner(web.Application())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await add_listeners(runner, BACKLOG)
        address: tuple[str, int] = runner.addresses[0]
        await runner.cleanup()
        return address

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        address = loop.run(address_after_cleanup())
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
