"""The command ``serve``: what it prints, and its exit code; several processes are in ``serving_workers``."""

import argparse
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import attrs
import structlog
import uvloop

from runflow_mcp import open_files
from runflow_mcp.cli import extras, listen_errors, terminal
from runflow_mcp.cli.environment import USAGE_ERROR, load_config, read_environment
from runflow_mcp.cli.metrics import MetricsListenError, serving_metrics
from runflow_mcp.cli.serving_output import logging_to_stderr, printing
from runflow_mcp.cli.welcome import welcome
from runflow_mcp.listening_sockets import ListenError
from runflow_mcp.serve import serve
from runflow_mcp.settings.config import Config
from runflow_mcp.settings.survey import likely_typos
from runflow_mcp.settings.warnings import setting_warnings
from runflow_mcp.workers.errors import WorkersFailedError

log = structlog.get_logger(__name__)

#: Serves with this environment and these settings, and prints this text once clients can connect.
Serve = Callable[[Mapping[str, str], Config, str], Awaitable[None]]


def serve_command(arguments: argparse.Namespace) -> int:
    if arguments.worker:
        from runflow_mcp.cli.serving_workers import work  # noqa: PLC0415 - only for several processes

        return work()
    if arguments.sandbox and extras.lacks_pillow():
        terminal.print_error(extras.NEEDS_PILLOW)
        return USAGE_ERROR
    environ = read_environment()
    config = load_config(environ)
    if config is None:
        return USAGE_ERROR
    config = attrs.evolve(config, workers=config.workers or _cores())
    allowed_files = open_files.raise_limit()
    with logging_to_stderr(environ, config) as sink:
        _log_warnings(config, environ, allowed_files)

        async def alone(_environ: Mapping[str, str], config: Config, text: str) -> None:
            with printing(config, text) as (on_listening, on_draining), serving_metrics(config) as metrics:
                await serve(
                    config,
                    sink=sink,
                    metrics=metrics,
                    open_files=allowed_files,
                    on_listening=on_listening,
                    on_draining=on_draining,
                )

        if config.workers == 1:
            start: Serve = alone
        else:
            from runflow_mcp.cli.serving_workers import serve_with_workers as start  # noqa: PLC0415 - as above
        serving = _serve_sandboxed if arguments.sandbox else _serve_live
        try:
            uvloop.run(serving(environ, config, start))
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


def _cores() -> int:
    """The processor cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
    # The server in front of the real Runflow does not need it.
    from runflow_mcp.cli.embedded_sandbox import settings_for, start_embedded_sandbox  # noqa: PLC0415

    sandbox = await start_embedded_sandbox(config.port)
    try:
        environ = {**environ, **settings_for(sandbox)}
        config = attrs.evolve(Config.from_mapping(environ), workers=config.workers)
        await start(environ, config, welcome(config, _program(), sandbox=True))
    finally:
        await sandbox.close()


def _program() -> list[str]:
    """How to call this program from the working directory."""
    python = Path(sys.executable)
    script = python.with_name("runflow-mcp")
    words = [script] if script.exists() else [python, Path("-m"), Path("runflow_mcp")]
    here = Path.cwd()
    return [str(word.relative_to(here)) if word.is_relative_to(here) else str(word) for word in words]
