"""The life of a serving process: bind, serve, drain on a signal, stop. Only ``cli`` imports it.

In a drain readiness is 503, the listener stays open while calls wait, and every waiting call is answered within the
grace time. A second signal stops at once.
"""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable

import structlog
from aiohttp import web

from runflow_mcp.app import create_app
from runflow_mcp.methods.context import Services
from runflow_mcp.observability.metrics import Metrics
from runflow_mcp.observability.sink import Sink
from runflow_mcp.open_files import UNLIMITED
from runflow_mcp.process_errors import ProcessErrors
from runflow_mcp.settings.config import Config
from runflow_mcp.web.accepting import add_listeners
from runflow_mcp.web.app_keys import SERVICES
from runflow_mcp.web.connection import Runner

log = structlog.get_logger(__name__)

#: Connections that wait to be accepted: what Linux allows by default, since thousands of clients may return at once.
BACKLOG = 4096
SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: The share of the grace time after which the remaining waits are answered ``server_draining``; the rest is for
#: writing those answers.
WAIT_GRACE_SHARE = 0.8
#: Seconds that short calls get to end once all waiting calls are answered; aiohttp waits twice as long.
SHUTDOWN_TIMEOUT = 1.0
#: When the garbage collector runs: after so many new containers, and how often it goes on to the older generations.
#: With Python's own figures 2,000 waiting calls, which are 160,000 objects, are all visited every few seconds, and the
#: event loop stands still for a quarter of a second. Hardly anything here is freed by the collector: cycles that would
#: hold an answer are avoided.
GC_THRESHOLDS = (10_000, 10, 1_000)
#: Seconds after which a thread must let another one run. Large answers of Runflow are parsed in a thread: with Python's
#: own 5 ms, each of the event loop's turns would wait for it that long.
SWITCH_INTERVAL = 0.001
#: Seconds between two checks whether all answers have been sent.
DRAIN_POLL_INTERVAL = 0.05

PrintLine = Callable[[str], None]


class ListenError(Exception):
    """The address cannot be bound; ``reason`` is the system's error."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def print_nothing(_text: str) -> None:
    pass


async def serve(
    config: Config,
    *,
    sink: Sink | None = None,
    metrics: Metrics | None = None,
    open_files: int = UNLIMITED,
    welcome: str = "",
    print_line: PrintLine = print_nothing,
    interactive: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT.

    ``sink``: where the log goes, for the readiness probe. ``metrics``: what counts, None for nothing.
    ``open_files``: this process's limit.
    ``print_line`` prints for the person who started the server and must not block: ``welcome`` once clients can
    connect and, when ``interactive``, what a stop waits for. Raises ``ListenError``.
    """
    stop = asyncio.Event()
    stop_now = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        (stop_now if stop.is_set() else stop).set()

    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal)
    app = create_app(config, sink=sink, metrics=metrics)
    runner = Runner(app, shutdown_timeout=SHUTDOWN_TIMEOUT)
    await runner.setup()
    errors = ProcessErrors(app[SERVICES].clock, open_files)
    loop.set_exception_handler(errors.on_loop_error)
    runner.watch_descriptors(errors.on_connection)
    tune_interpreter()
    try:
        await listen(runner, config.host, config.port)
        log.info("listening", host=config.host, port=config.port)
        if welcome:
            print_line(welcome)
        await stop.wait()
        await drain(runner, app, config, stop_now, print_line if interactive else print_nothing)
    finally:
        await runner.cleanup()
        # Another signal while the process exits must not change its exit code.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
    log.info("stopped")


def tune_interpreter() -> None:
    """Keep the event loop from standing still: for the garbage collector, or for a thread."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def listen(runner: Runner, host: str, port: int) -> None:
    """Accept connections; ``::`` accepts IPv4 as well, whatever the system's default. Raises ``ListenError``."""
    try:
        if host != "::":
            await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        else:
            listener = socket.create_server(
                (host, port), family=socket.AF_INET6, dualstack_ipv6=socket.has_dualstack_ipv6(), backlog=BACKLOG
            )
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
        await add_listeners(runner, BACKLOG)
    except OSError as error:
        raise ListenError(error) from error


async def drain(
    runner: Runner,
    app: web.Application,
    config: Config,
    stop_now: asyncio.Event,
    print_line: PrintLine = print_nothing,
) -> None:
    """Wait until every answer is sent, at most for the grace time and until ``stop_now``."""
    services = app[SERVICES]
    services.subscriptions.drain()
    grace = config.shutdown_grace
    waits = services.inflight.slots_used
    log.info("draining", waits=waits, grace_seconds=grace)
    if waits:
        runs = "1 run" if waits == 1 else f"{waits} runs"
        print_line(f"Waiting for {runs} to finish, at most {grace:g} s. Press Ctrl-C again to stop now.")
    services.inflight.drain(services.clock.monotonic() + grace * WAIT_GRACE_SHARE)
    sent = asyncio.create_task(_all_sent(runner, services))
    stopped = asyncio.create_task(stop_now.wait())
    await asyncio.wait((sent, stopped), timeout=grace, return_when=asyncio.FIRST_COMPLETED)
    if not sent.done():  # the grace time is over, or a second signal came
        runner.abandon_handlers()
    for task in (sent, stopped):
        task.cancel()


async def _all_sent(runner: Runner, services: Services) -> None:
    # Bytes that a transport still holds for a slow reader would be lost with the process. So would all that is on its
    # way to a client that has pipelined requests: a connection that closes over unread requests is reset.
    while services.inflight.pending_answers or runner.unsent_bytes or runner.queued_requests:
        await services.clock.sleep(DRAIN_POLL_INTERVAL)
