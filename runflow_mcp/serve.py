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
from runflow_mcp.methods.context import Services
from runflow_mcp.observability.sink import Sink
from runflow_mcp.open_files import UNLIMITED
from runflow_mcp.settings.config import Config
from runflow_mcp.web.app_keys import SERVICES
from runflow_mcp.web.connection import Runner

log = structlog.get_logger(__name__)

BACKLOG = 1024
SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: The share of the grace time after which the waits that remain are answered ``server_draining``; the rest
#: is for writing those answers.
WAIT_GRACE_SHARE = 0.8
#: Seconds that short calls under way get to end once every answer that counts is written; aiohttp waits twice as long.
SHUTDOWN_TIMEOUT = 1.0
#: Seconds between two looks at what clients have still to take.
DRAIN_POLL_INTERVAL = 0.05
#: Seconds between two log lines about the same trouble: without open files left, accepting fails again and again.
REPORT_INTERVAL = 10.0
#: Open files left when the limit counts as reached.
NEARLY = 8

Tell = Callable[[str], None]


class ListenError(Exception):
    """The address cannot be listened on; ``reason`` is the system's error."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def tell_nobody(_text: str) -> None:
    pass


async def serve(
    config: Config,
    *,
    sink: Sink | None = None,
    open_files: int = UNLIMITED,
    welcome: str = "",
    tell: Tell = tell_nobody,
    interactive: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT. ``open_files``: how many this process may have.

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
    runner = Runner(app, shutdown_timeout=SHUTDOWN_TIMEOUT)
    await runner.setup()
    trouble = Trouble(app[SERVICES].clock, open_files)
    loop.set_exception_handler(trouble.loop_error)
    runner.watch_descriptors(trouble.descriptor_used)
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
    grace = config.shutdown_grace
    waits = services.inflight.slots_used
    log.info("draining", waits=waits, grace_seconds=grace)
    if waits:
        runs = "1 run" if waits == 1 else f"{waits} runs"
        tell(f"Waiting for {runs} to finish, at most {grace:g} s. Press Ctrl-C again to stop now.")
    services.inflight.drain(asyncio.get_running_loop().time() + grace * WAIT_GRACE_SHARE)
    answered, told = asyncio.ensure_future(_answered(runner, services)), asyncio.ensure_future(stop_at_once.wait())
    await asyncio.wait((answered, told), timeout=grace, return_when=asyncio.FIRST_COMPLETED)
    if not answered.done():  # the time is over, or a second signal has come
        runner.abandon_handlers()
    for one in (answered, told):
        one.cancel()


async def _answered(runner: Runner, services: Services) -> None:
    # What a transport still holds for a client that reads slowly would go with the process.
    while services.inflight.pending or runner.unsent_bytes:
        await services.clock.sleep(DRAIN_POLL_INTERVAL)


@attrs.define
class Trouble:
    """What goes wrong below any request. Each kind is one line in ``REPORT_INTERVAL``, with what was left out since."""

    clock: Clock
    open_files: int = UNLIMITED
    _last: dict[str, float] = attrs.field(factory=dict)
    _left_out: dict[str, int] = attrs.field(factory=dict)

    def loop_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception handler of the event loop: errors that reach no caller, a failed ``accept`` for one."""
        error = context.get("exception")
        # The text of a system error names no data; any other could quote what was sent.
        shown = str(error) if isinstance(error, OSError) else type(error).__name__
        self._report("event_loop_error", what=context.get("message"), error=shown)

    def descriptor_used(self, number: int) -> None:
        """A connection has this file descriptor; the system gives out the lowest free one.

        Without one left, uvloop closes new connections and tells nobody.
        """
        if number >= self.open_files - NEARLY:
            fix = "raise the limit of open files (ulimit -n, LimitNOFILE=, ulimits:)"
            self._report("open_files_used_up", limit=self.open_files, why="new connections are refused", fix=fix)

    def _report(self, event: str, **values: object) -> None:
        now = self.clock.monotonic()
        if now - self._last.get(event, float("-inf")) < REPORT_INTERVAL:
            self._left_out[event] = self._left_out.get(event, 0) + 1
            return
        self._last[event] = now
        log.error(event, **values, left_out=self._left_out.pop(event, 0))
