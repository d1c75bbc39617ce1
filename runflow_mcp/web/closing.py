"""Closes the listeners and connections of a stopping server without losing a request that is on its way.

A proxy keeps connections open for later requests, and may send one at the moment in which the server closes.
"""

from aiohttp import web

from runflow_mcp import listening_sockets
from runflow_mcp.clock import Clock
from runflow_mcp.web.app_keys import SERVICES
from runflow_mcp.web.connection import Connection, Runner

#: Seconds between dropping new attempts to connect and closing the listener. An attempt under way needs one round trip
#: to the client, usually a proxy nearby. The kernel of a client whose attempt is dropped repeats it after a second.
HANDSHAKE_TIME = 0.02
#: Seconds without any request after which idle connections are closed. Until then, a proxy with requests to send uses
#: up the connections that it keeps, since every answer closes its connection. An idle server must end within 1.5 s.
QUIET_TIME = 0.7
#: Seconds without any new request after which requests in progress are abandoned.
BUSY_TIME = 1.0
#: Seconds between two checks of the connections, and of the queue of a listener.
INTERVAL, ACCEPT_INTERVAL = 0.02, 0.001


async def announce_close(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """An ``on_response_prepare`` signal: during a drain every answer closes its connection and announces it.

    If the client has pipelined further requests, the last of their answers does.
    """
    if isinstance(request, web.Request) and request.app[SERVICES].inflight.draining:
        connection = request.protocol
        if not (isinstance(connection, Connection) and connection.queued_requests):
            response.headers["Connection"] = "close"
            response.force_close()


async def stop_listening(runner: Runner, clock: Clock) -> None:
    """Accept every connection whose client has begun to connect, then close the listeners."""
    for listener in runner.listeners:
        listening_sockets.refuse_new(listener)
    if runner.listeners:
        await clock.sleep(HANDSHAKE_TIME)
    while listening_sockets.readable(listener.fileno() for listener in runner.listeners):
        await clock.sleep(ACCEPT_INTERVAL)  # the event loop accepts them
    runner.close_listeners()


async def close_connections(runner: Runner, clock: Clock) -> None:
    """Return once every connection is closed, except those whose requests take too long.

    Needs closed listeners. Idle connections are closed when no request has come for ``QUIET_TIME``.
    """
    requests, since = runner.requests_received, clock.monotonic()
    while runner.connections:
        await clock.sleep(INTERVAL)
        now = clock.monotonic()
        if runner.requests_received != requests:
            requests, since = runner.requests_received, now
        elif now - since >= QUIET_TIME:
            close_idle(runner)
            # A connection that was closed is gone after the next turn of the event loop.
            await clock.sleep(0)
            if now - since >= BUSY_TIME:
                return


def close_idle(runner: Runner) -> None:
    """Close the connections on which nothing has arrived since their last answer."""
    idle = {connection.descriptor: connection for connection in runner.connections if connection.is_idle}
    arrived = listening_sockets.readable(idle)
    for descriptor, connection in idle.items():
        if descriptor not in arrived:
            connection.force_close()
