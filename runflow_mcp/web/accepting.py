"""Accepts connections several at a time, so that a busy process does not leave them waiting until they are reset."""

import asyncio
import os
import socket

#: How many connections are accepted in one turn of uvloop's loop: it takes one from each listener. When 9,000 streams
#: were opened within 30 s, a turn took 40 ms, so one listener accepted 25 connections a second; the kernel's queue
#: overflowed, and half of them were reset. Each listener beyond the first costs 1 µs for each connection.
LISTENERS = 16


def copies(listener: socket.socket) -> list[socket.socket]:
    """Further sockets to listen on, which share the queue of this one."""
    if not type(asyncio.get_running_loop()).__module__.startswith("uvloop"):
        return []  # asyncio's own loop accepts all that wait in the queue
    return [socket.socket(fileno=os.dup(listener.fileno())) for _ in range(LISTENERS - 1)]
