"""The life of a serving process: bind, serve, drain on a signal, stop.

Drain: readiness turns 503, the listener stays open while waits remain, every waiting call gets its answer
within the grace time. A second signal stops at once.
"""

import asyncio
import signal

import structlog
from aiohttp import web

from runflow_mcp.app import create_app
from runflow_mcp.config import Config
from runflow_mcp.methods.call import Services
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


async def serve(config: Config, *, announce: str = "") -> None:
    """Serve until SIGTERM or SIGINT. ``announce`` is printed once clients can connect.

    Raises ``OSError`` when the address cannot be had.
    """
    stop = asyncio.Event()
    stop_at_once = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        (stop_at_once if stop.is_set() else stop).set()

    for name in SIGNALS:
        loop.add_signal_handler(name, on_signal)
    app = create_app(config)
    runner = Runner(app, shutdown_timeout=CLOSING)
    await runner.setup()
    try:
        await web.TCPSite(runner, config.host, config.port, backlog=BACKLOG).start()
        log.info("listening", host=config.host, port=config.port)
        if announce:
            print(announce, flush=True)
        await stop.wait()
        await drain(runner, app, config, stop_at_once)
    finally:
        await runner.cleanup()
        # One more signal while the process ends must not change how it ends.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        for name in SIGNALS:
            loop.remove_signal_handler(name)
            signal.signal(name, signal.SIG_IGN)
    log.info("stopped")


async def drain(runner: Runner, app: web.Application, config: Config, stop_at_once: asyncio.Event) -> None:
    """Let every call end and its answer be read, within the grace time or until told to stop at once."""
    services = app[SERVICES]
    services.subscriptions.drain()
    grace = config.shutdown_grace_ms / 1000
    log.info("draining", waits=services.waits.places, grace_seconds=grace)
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
