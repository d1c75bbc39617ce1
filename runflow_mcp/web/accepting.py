"""Accepts several connections per turn of the event loop, so that the queue of a busy process does not overflow."""

import asyncio
import os
import socket

#: uvloop accepts one connection per listener in each turn of its loop. When 9,000 streams were opened within 30 s, a
#: turn took 40 ms, so one listener accepted 25 connections a second; the kernel's queue overflowed, and half of them
#: were reset. Each further listener costs 1 µs per connection.
LISTENERS = 16


def copies(listener: socket.socket) -> list[socket.socket]:
    """Further sockets to listen on, which share this one's queue; none where they are not needed."""
    if not type(asyncio.get_running_loop()).__module__.startswith("uvloop"):
        return []  # asyncio's own loop accepts the whole queue in one turn
    return [socket.socket(fileno=os.dup(listener.fileno())) for _ in range(LISTENERS - 1)]
