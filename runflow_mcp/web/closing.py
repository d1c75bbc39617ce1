"""How a stopping server leaves its clients: no request that is on its way meets a closed connection.

A proxy keeps connections open for later requests, and may send one at the moment in which the server closes.
"""

from aiohttp import web

from runflow_mcp import listening_sockets
from runflow_mcp.clock import Clock
from runflow_mcp.web.app_keys import SERVICES
from runflow_mcp.web.connection import Connection, Runner

#: Seconds from the last attempt to connect that is let through to the end of the listener: an attempt that has begun
#: takes one round trip to the client, which is a proxy near by. Clients that begin in this time wait for a second.
HANDSHAKE_TIME = 0.02
#: Seconds without any request after which idle connections are closed. A proxy that has requests to send uses up the
#: connections that it has kept within this time, since every answer closes its own. An idle server must end in 1.5 s.
QUIET_TIME = 0.7
#: Seconds without any new request after which those that have begun are no longer waited for.
BUSY_TIME = 1.0
#: Seconds between two looks at the connections, and at the queue of a listener.
INTERVAL, ACCEPT_INTERVAL = 0.02, 0.001


async def announce_close(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """An ``on_response_prepare`` signal: during a drain every answer is the last one of its connection, and says so.

    Except where the client has pipelined further requests: their answers follow first.
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
    """Return once every connection is closed, or only those are left whose requests take too long.

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
