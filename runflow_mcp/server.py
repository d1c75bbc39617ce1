"""The life of a serving process: bind, serve, drain on a signal, stop.

Drain: readiness turns 503, the listener stays open while waits remain, every waiting call gets its answer
within the grace time. A second signal stops at once.
"""

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import Any

import attrs
import structlog
from aiohttp import web

from runflow_mcp.app import create_app
from runflow_mcp.clock import Clock
from runflow_mcp.config import Config
from runflow_mcp.methods.call import Services
from runflow_mcp.observability.sink import Sink
from runflow_mcp.web.connection import Runner
from runflow_mcp.web.keys import SERVICES

log = structlog.get_logger(__name__)

BACKLOG = 1024
SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: The share of the grace time after which the waits that remain are answered ``server_draining``; the rest
#: is for writing those answers.
WAIT_SHARE = 0.8
#: Seconds that short calls under way get to end once every answer that counts is written; aiohttp waits twice as long.
CLOSING = 1.0
#: Seconds between two looks at what clients have still to take.
LOOK_AGAIN = 0.05
#: Seconds between two log lines about errors of the event loop: without open files left, accepting fails for ever.
LOOP_ERROR_INTERVAL = 10.0

Tell = Callable[[str], None]


class ListenError(Exception):
    """The address cannot be listened on; ``reason`` is the system's error."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def tell_nobody(_text: str) -> None:
    pass


async def serve(
    config: Config, *, sink: Sink | None = None, welcome: str = "", tell: Tell = tell_nobody, interactive: bool = False
) -> None:
    """Serve until SIGTERM or SIGINT.

    ``tell`` takes text for the person who started the server and never blocks: ``welcome`` once clients can
    connect and, when ``interactive``, what a stop waits for. Raises ``ListenError``.
    """
    stop = asyncio.Event()
    stop_at_once = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        (stop_at_once if stop.is_set() else stop).set()

    for name in SIGNALS:
        loop.add_signal_handler(name, on_signal)
    app = create_app(config, sink=sink)
    runner = Runner(app, shutdown_timeout=CLOSING)
    await runner.setup()
    loop.set_exception_handler(LoopErrors(app[SERVICES].clock))
    try:
        await listen(runner, config.host, config.port)
        log.info("listening", host=config.host, port=config.port)
        if welcome:
            tell(welcome)
        await stop.wait()
        await drain(runner, app, config, stop_at_once, tell if interactive else tell_nobody)
    finally:
        await runner.cleanup()
        # One more signal while the process ends must not change how it ends.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        for name in SIGNALS:
            loop.remove_signal_handler(name)
            signal.signal(name, signal.SIG_IGN)
    log.info("stopped")


async def listen(runner: Runner, host: str, port: int) -> None:
    """Accept connections; on ``::`` IPv4 ones too, whatever the system's default. Raises ``ListenError``."""
    try:
        if host != "::":
            await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
            return
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6, dualstack_ipv6=socket.has_dualstack_ipv6(), backlog=BACKLOG
        )
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
    except OSError as error:
        raise ListenError(error) from error


async def drain(
    runner: Runner, app: web.Application, config: Config, stop_at_once: asyncio.Event, tell: Tell = tell_nobody
) -> None:
    """Let every call end and its answer be read, within the grace time or until told to stop at once."""
    services = app[SERVICES]
    services.subscriptions.drain()
    grace = config.shutdown_grace_ms / 1000
    waits = services.waits.places
    log.info("draining", waits=waits, grace_seconds=grace)
    if waits:
        runs = "1 run" if waits == 1 else f"{waits} runs"
        tell(f"Waiting for {runs} to finish, at most {grace:g} s. Press Ctrl-C again to stop now.")
    services.waits.drain(asyncio.get_running_loop().time() + grace * WAIT_SHARE)
    answered, told = asyncio.ensure_future(_answered(runner, services)), asyncio.ensure_future(stop_at_once.wait())
    await asyncio.wait((answered, told), timeout=grace, return_when=asyncio.FIRST_COMPLETED)
    if not answered.done():  # the time is over, or a second signal has come
        runner.hurry()
    for one in (answered, told):
        one.cancel()


async def _answered(runner: Runner, services: Services) -> None:
    # What a transport still holds for a client that reads slowly would go with the process.
    while services.waits.pending or runner.unsent:
        await services.clock.sleep(LOOK_AGAIN)


@attrs.define
class LoopErrors:
    """An exception handler of the event loop: errors that reach no caller, a failed ``accept`` for one.

    One line in ``LOOP_ERROR_INTERVAL``, with the number of those left out since the last.
    """

    clock: Clock
    _quiet_until: float = float("-inf")
    _left_out: int = 0

    def __call__(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        now = self.clock.monotonic()
        if now < self._quiet_until:
            self._left_out += 1
            return
        error = context.get("exception")
        log.error(
            "event_loop_error",
            what=context.get("message"),
            # The text of a system error names no data; any other could quote what was sent.
            error=str(error) if isinstance(error, OSError) else type(error).__name__,
            left_out=self._left_out,
        )
        self._quiet_until, self._left_out = now + LOOP_ERROR_INTERVAL, 0
