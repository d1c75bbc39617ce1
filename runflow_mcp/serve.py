"""The life of a serving process: bind, serve, drain on a signal, close connections, stop. Only ``cli`` imports it.

In a drain readiness is 503, the listener stays open while calls wait, and every waiting call is answered within the
grace time; then connections are closed as ``web.closing`` describes. A second signal stops at once.
"""

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from aiohttp import web

from runflow_mcp import listening_sockets, signals
from runflow_mcp.app import create_app
from runflow_mcp.clock import Clock
from runflow_mcp.methods.context import Services
from runflow_mcp.observability.metrics import Metrics
from runflow_mcp.observability.sink import Sink
from runflow_mcp.open_files import UNLIMITED
from runflow_mcp.process_errors import ProcessErrors
from runflow_mcp.settings.config import Config
from runflow_mcp.signals import StopRequest
from runflow_mcp.web import closing
from runflow_mcp.web.app_keys import SERVICES
from runflow_mcp.web.connection import Runner

log = structlog.get_logger(__name__)

#: Connections that wait to be accepted: what Linux allows by default, since thousands of clients may return at once.
BACKLOG = 4096
#: The share of the grace time after which the remaining waits are answered ``server_draining``; the rest is for
#: writing those answers.
WAIT_GRACE_SHARE = 0.8
#: Minimum seconds for closing connections after the drain, also when the grace time is used up.
CLOSE_TIME = 1.5
#: Seconds that short calls get to end once all waiting calls are answered; aiohttp waits twice as long.
SHUTDOWN_TIMEOUT = 1.0
#: When the garbage collector runs: the number of new containers, and how often it visits the older generations.
#: With Python's defaults 2,000 waiting calls, which are 160,000 objects, are all visited every few seconds, and the
#: event loop stands still for a quarter of a second. Hardly anything here is freed by the collector: cycles that would
#: hold an answer are avoided.
GC_THRESHOLDS = (10_000, 10, 1_000)
#: Seconds after which a thread must let another one run. Large answers of Runflow are parsed in a thread; with
#: Python's default of 5 ms, each turn of the event loop would wait that long for it.
SWITCH_INTERVAL = 0.001
#: Seconds between two checks whether all answers have been sent.
DRAIN_POLL_INTERVAL = 0.05


def do_nothing(*_values: object) -> None:
    pass


async def serve(
    config: Config,
    *,
    sink: Sink | None = None,
    metrics: Metrics | None = None,
    open_files: int = UNLIMITED,
    stop: StopRequest | None = None,
    shared_port: bool = False,
    on_listening: Callable[[], None] = do_nothing,
    on_draining: Callable[[int], None] = do_nothing,
) -> None:
    """Serve until SIGTERM or SIGINT, or until ``stop`` is requested otherwise.

    ``sink``: where the log goes, for the readiness probe. ``metrics``: what counts, None for nothing. ``open_files``:
    this process's limit. ``shared_port``: other processes listen on the port too. ``on_listening`` is called once
    clients can connect, ``on_draining`` with the number of waiting calls; neither may block. Raises ``ListenError``.
    """
    stop = stop or StopRequest()
    loop = asyncio.get_running_loop()
    signals.on_signal(stop.add_signal)
    app = create_app(config, sink=sink, metrics=metrics)
    runner = Runner(app, shutdown_timeout=SHUTDOWN_TIMEOUT)
    await runner.setup()
    errors = ProcessErrors(app[SERVICES].clock, open_files)
    loop.set_exception_handler(errors.on_loop_error)
    runner.watch_descriptors(errors.on_connection)
    tune_interpreter()
    try:
        await runner.listen(listening_sockets.bind(config.host, config.port, shared=shared_port), BACKLOG)
        log.info("listening", host=config.host, port=config.port)
        on_listening()
        await stop.drain.wait()
        clock = app[SERVICES].clock
        end = clock.monotonic() + config.shutdown_grace
        await drain(runner, app, config, stop.now, on_draining)
        await _unless(stop.now, _close(runner, clock), seconds=max(CLOSE_TIME, end - clock.monotonic()))
    finally:
        await runner.cleanup()
        signals.ignore()
    log.info("stopped")


def tune_interpreter() -> None:
    """Keep the event loop from standing still: for the garbage collector, or for a thread. Turns the collector on.

    Whatever exists is never visited again, which is what was imported. What the imports have left behind is not
    collected before: it would make 0.7 MiB usable again, and take a tenth of the start.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()


async def drain(
    runner: Runner,
    app: web.Application,
    config: Config,
    stop_now: asyncio.Event,
    on_draining: Callable[[int], None] = do_nothing,
) -> None:
    """Wait until every answer is sent, at most for the grace time and until ``stop_now``."""
    services = app[SERVICES]
    services.subscriptions.drain()
    grace = config.shutdown_grace
    waits = services.inflight.slots_used
    log.info("draining", waits=waits, grace_seconds=grace)
    on_draining(waits)
    services.inflight.drain(services.clock.monotonic() + grace * WAIT_GRACE_SHARE)
    if not await _unless(stop_now, _all_sent(runner, services), seconds=grace):
        runner.abandon_handlers()


async def _all_sent(runner: Runner, services: Services) -> None:
    # Bytes that a transport holds for a slow reader are lost when the process ends. So are answers on their way to a
    # client that has pipelined requests: closing a connection with unread requests resets it.
    while services.inflight.pending_answers or runner.unsent_bytes or runner.queued_requests:
        await services.clock.sleep(DRAIN_POLL_INTERVAL)


async def _close(runner: Runner, clock: Clock) -> None:
    await closing.stop_listening(runner, clock)
    await closing.close_connections(runner, clock)


async def _unless(stop_now: asyncio.Event, work: Coroutine[Any, Any, None], seconds: float | None = None) -> bool:
    """Do the work until ``stop_now``, for at most ``seconds``; returns whether it was completed."""
    working = asyncio.create_task(work)
    stopped = asyncio.create_task(stop_now.wait())
    await asyncio.wait((working, stopped), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    done = working.done()
    for task in (working, stopped):
        task.cancel()
    await asyncio.wait((working, stopped))
    return done
