"""Accepts connections several at a time, so that a busy process does not leave them waiting until they are reset."""

import asyncio
import os
import socket
from typing import cast

from aiohttp import web

#: How many connections are accepted in one turn of uvloop's loop: it takes one from each listener. When 9,000 streams
#: were opened within 30 s, a turn took 40 ms, so one listener accepted 25 connections a second; the kernel's queue
#: overflowed, and half of them were reset. Each listener beyond the first costs 1 µs for each connection.
LISTENERS = 16


async def add_listeners(runner: web.BaseRunner, backlog: int) -> None:
    """Listen on copies of the runner's sockets too, which share one queue. The runner closes them with its own."""
    if not type(asyncio.get_running_loop()).__module__.startswith("uvloop"):
        return  # asyncio's own loop accepts all that wait in the queue
    for site in list(runner.sites):
        server = cast("asyncio.Server", site._server)  # noqa: SLF001 - see ``connection``
        for listener in server.sockets:
            for _ in range(LISTENERS - 1):
                copy = socket.socket(fileno=os.dup(listener.fileno()))
                await web.SockSite(runner, copy, backlog=backlog).start()
