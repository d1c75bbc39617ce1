"""``serve`` with several processes: the parent, and each of its workers."""

import sys
from collections.abc import Mapping

import attrs
import structlog
import uvloop

from runflow_mcp import listening_sockets, open_files, signals
from runflow_mcp.cli import listen_errors, terminal
from runflow_mcp.cli.arguments import WORKER_OPTION
from runflow_mcp.cli.environment import USAGE_ERROR, load_config
from runflow_mcp.cli.serving_output import logging_to_stderr, printing
from runflow_mcp.cli.worker_metrics import serving_worker_metrics, worker_metrics
from runflow_mcp.clock import SystemClock
from runflow_mcp.listening_sockets import ListenError
from runflow_mcp.observability.sink import Sink
from runflow_mcp.serve import serve, tune_interpreter
from runflow_mcp.settings.config import Config
from runflow_mcp.signals import StopRequest
from runflow_mcp.workers.channel import ParentGoneError, ParentLink, Report, Start, StopCommand
from runflow_mcp.workers.parent import Parent

log = structlog.get_logger(__name__)


async def serve_with_workers(environ: Mapping[str, str], config: Config, text: str) -> None:
    stop = StopRequest()
    signals.on_signal(stop.add_signal)
    tune_interpreter()
    reserved = listening_sockets.reserve(config.host, config.port)
    try:
        with printing(config, text) as (on_listening, on_draining), serving_worker_metrics(config) as metrics:
            parent = Parent(
                # As this process was called, so that it is the same program with the same options of Python.
                command=[sys.executable, *sys.orig_argv[1:], WORKER_OPTION],
                environ=environ,
                count=config.workers,
                grace=config.shutdown_grace,
                fatal_code=USAGE_ERROR,
                stop=stop,
                clock=SystemClock(),
                metrics=metrics,
                on_listening=on_listening,
                on_draining=on_draining,
            )
            await parent.run()
    finally:
        listening_sockets.close(reserved)
        signals.ignore()


def work() -> int:
    """Be a worker: serve with the parent's environment, until a signal or a command of the parent."""
    try:
        link = ParentLink.open()
    except OSError:
        terminal.print_error(f"{WORKER_OPTION} is for the server itself, which starts its workers with it.")
        return USAGE_ERROR
    try:
        start = link.start()
    except ParentGoneError:
        return 0
    config = load_config(start.environ)
    if config is None:
        return USAGE_ERROR
    with logging_to_stderr(start.environ, attrs.evolve(config, workers=0)) as sink:
        try:
            uvloop.run(_serve_as_worker(link, start, config, sink))
        except ListenError as error:
            log.error("cannot_listen", error=listen_errors.explain(error.reason, config))  # noqa: TRY400 - it says why
            return 1
    return 0


async def _serve_as_worker(link: ParentLink, start: Start, config: Config, sink: Sink) -> None:
    stop = StopRequest()

    def stop_on(command: StopCommand) -> None:
        # Not counted as a signal: a signal to the process group reaches this process directly and through the parent.
        stop.drain.set()
        if command == "stop":
            stop.now.set()

    link.on_command(stop_on)
    await serve(
        config,
        sink=sink,
        metrics=worker_metrics(start.metrics),
        open_files=open_files.raise_limit(),
        stop=stop,
        shared_port=True,
        on_listening=lambda: link.send(Report(listening=True)),
        on_draining=lambda waits: link.send(Report(waits=waits)),
    )
