"""The command ``serve``: a single process, or a parent and its workers; what it prints, and its exit code."""

import argparse
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import attrs
import structlog

from runflow_mcp import listening_sockets, open_files, signals
from runflow_mcp.cli import extras, listen_errors, terminal
from runflow_mcp.cli.arguments import WORKER_OPTION
from runflow_mcp.cli.embedded_sandbox import settings_for, start_embedded_sandbox
from runflow_mcp.cli.environment import USAGE_ERROR, load_config, read_environment
from runflow_mcp.cli.metrics import MetricsListenError, serving_metrics, serving_worker_metrics, worker_metrics
from runflow_mcp.cli.welcome import drain_notice, welcome
from runflow_mcp.clock import SystemClock
from runflow_mcp.listening_sockets import ListenError
from runflow_mcp.observability import logs
from runflow_mcp.observability.sink import Sink
from runflow_mcp.serve import serve
from runflow_mcp.settings.config import Config
from runflow_mcp.settings.survey import likely_typos
from runflow_mcp.settings.warnings import setting_warnings
from runflow_mcp.signals import StopRequest
from runflow_mcp.workers.channel import ParentGoneError, ParentLink, Report, Start, StopCommand
from runflow_mcp.workers.parent import Parent, WorkersFailedError

log = structlog.get_logger(__name__)

#: Serves with this environment and these settings, and prints this text once clients can connect.
Serve = Callable[[Mapping[str, str], Config, str], Awaitable[None]]


def serve_command(arguments: argparse.Namespace) -> int:
    if arguments.worker:
        return _work()
    if arguments.sandbox and extras.lacks_pillow():
        terminal.print_error(extras.NEEDS_PILLOW)
        return USAGE_ERROR
    environ = read_environment()
    config = load_config(environ)
    if config is None:
        return USAGE_ERROR
    config = attrs.evolve(config, workers=config.workers or _cores())
    allowed_files = open_files.raise_limit()
    with _logging(environ, config) as sink:
        _log_warnings(config, environ, allowed_files)

        async def alone(_environ: Mapping[str, str], config: Config, text: str) -> None:
            with _printing(config, text) as (on_listening, on_draining), serving_metrics(config) as metrics:
                await serve(
                    config,
                    sink=sink,
                    metrics=metrics,
                    open_files=allowed_files,
                    on_listening=on_listening,
                    on_draining=on_draining,
                )

        start = alone if config.workers == 1 else _serve_with_workers
        try:
            run(_serve_sandboxed(environ, config, start) if arguments.sandbox else _serve_live(environ, config, start))
        except ListenError as error:
            terminal.print_error(listen_errors.explain(error.reason, config))
            return 1
        except MetricsListenError as error:
            terminal.print_error(listen_errors.explain_metrics(error.reason, config))
            return 1
        except WorkersFailedError as error:
            terminal.print_error(str(error))
            return error.exit_code
    return 0


def run(main_coroutine: Coroutine[Any, Any, None]) -> None:
    import uvloop  # noqa: PLC0415 - it does not exist on Windows, and short commands do not need it

    uvloop.run(main_coroutine)


def _cores() -> int:
    """The processor cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _logging(environ: Mapping[str, str], config: Config) -> AbstractContextManager[Sink]:
    return logs.configured(
        config,
        terminal.descriptor(sys.stderr),
        terminal=sys.stderr.isatty(),
        colors=terminal.wants_colors(sys.stderr, environ),
        process_id=os.getpid() if config.workers != 1 else None,
    )


def _log_warnings(config: Config, environ: Mapping[str, str], allowed_files: int) -> None:
    for name, nearest in likely_typos(environ):
        log.warning("unknown_setting", name=name, did_you_mean=nearest)
    needed = open_files.needed(config.max_waits)
    for warning in setting_warnings(config, open_files=allowed_files, files_needed=needed):
        log.warning("questionable_setting", **attrs.asdict(warning))


async def _serve_live(environ: Mapping[str, str], config: Config, start: Serve) -> None:
    # With a JSON log the output is usually read by a program: no welcome then, unless a terminal shows it.
    for_people = config.log_format != "json" or sys.stdout.isatty()
    await start(environ, config, welcome(config, _program(), sandbox=False) if for_people else "")


async def _serve_sandboxed(environ: Mapping[str, str], config: Config, start: Serve) -> None:
    """Serve in front of a sandbox in this process, which is the only one also where there are workers."""
    sandbox = await start_embedded_sandbox(config.port)
    try:
        environ = {**environ, **settings_for(sandbox)}
        config = attrs.evolve(Config.from_mapping(environ), workers=config.workers)
        await start(environ, config, welcome(config, _program(), sandbox=True))
    finally:
        await sandbox.close()


@contextmanager
def _printing(config: Config, text: str) -> Iterator[tuple[Callable[[], None], Callable[[int], None]]]:
    """What to call once clients can connect, and with the number of waiting calls when a drain begins."""
    # Through a sink, like the log: a reader that stops reading must not block the server.
    output = Sink(terminal.descriptor(sys.stdout))

    def show(line: str) -> None:
        if line:
            output.write(f"{line}\n".encode())

    def show_waits(waits: int) -> None:
        if sys.stdout.isatty():
            show(drain_notice(waits, config))

    try:
        yield lambda: show(text), show_waits
    finally:
        output.close(logs.FLUSH_TIMEOUT)


def _program() -> list[str]:
    """How to call this program from the working directory."""
    python = Path(sys.executable)
    script = python.with_name("runflow-mcp")
    words = [script] if script.exists() else [python, Path("-m"), Path("runflow_mcp")]
    here = Path.cwd()
    return [str(word.relative_to(here)) if word.is_relative_to(here) else str(word) for word in words]


# with workers


async def _serve_with_workers(environ: Mapping[str, str], config: Config, text: str) -> None:
    stop = StopRequest()
    signals.on_signal(stop.add_signal)
    reserved = listening_sockets.reserve(config.host, config.port)
    try:
        with _printing(config, text) as (on_listening, on_draining), serving_worker_metrics(config) as metrics:
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


def _work() -> int:
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
    with _logging(start.environ, attrs.evolve(config, workers=0)) as sink:
        try:
            run(_serve_as_worker(link, start, config, sink))
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
