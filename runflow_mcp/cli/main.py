"""The commands ``serve``, ``sandbox``, ``check``, ``connect`` and ``config``: what each one does, and its exit code."""

import argparse
import asyncio
import getpass
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import structlog

from runflow_mcp import open_files
from runflow_mcp.cli import config_report, connect_text, extras, listen_errors, terminal
from runflow_mcp.cli.arguments import check_client_name, make_parser
from runflow_mcp.cli.check_report import Collected
from runflow_mcp.cli.embedded_sandbox import settings_for, start_embedded_sandbox
from runflow_mcp.cli.environment import USAGE_ERROR, load_config, read_egress, read_environment
from runflow_mcp.cli.metrics import MetricsListenError, serving_metrics
from runflow_mcp.cli.server_url import endpoint_url
from runflow_mcp.cli.welcome import SANDBOX_KEY, client_url, welcome
from runflow_mcp.client_recipes import KEY_VARIABLE
from runflow_mcp.clock import SystemClock
from runflow_mcp.observability import logs
from runflow_mcp.observability.sink import Sink
from runflow_mcp.sandbox import Sandbox
from runflow_mcp.sandbox import start as start_sandbox
from runflow_mcp.serve import ListenError, serve
from runflow_mcp.settings.config import Config
from runflow_mcp.settings.survey import likely_typos, survey
from runflow_mcp.settings.warnings import setting_warnings

log = structlog.get_logger(__name__)

_EXAMPLE_URL = "https://mcp.example.com/mcp"
#: Serves with a config and a welcome text.
Start = Callable[[Config, str], Awaitable[None]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. The exit code is 0, 1 (it failed) or 2 (wrong arguments or settings)."""
    terminal.open_standard_streams()
    parser = make_parser(serve=_serve, sandbox=_sandbox, check=_check, connect=_connect, config=_config)
    arguments = parser.parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    if sys.platform == "win32" and command in (_serve, _sandbox):
        terminal.print_error("The server runs on Linux and macOS; on Windows run it under WSL. Nothing was started.")
        return USAGE_ERROR
    try:
        return command(arguments)
    except terminal.OutputError as error:
        if not isinstance(error.__cause__, BrokenPipeError):  # `runflow-mcp config | head` is not an error
            terminal.print_error(str(error))
        return 1


# serve


def _serve(arguments: argparse.Namespace) -> int:
    if arguments.sandbox and extras.lacks_pillow():
        terminal.print_error(extras.NEEDS_PILLOW)
        return USAGE_ERROR
    environ = read_environment()
    config = load_config(environ)
    if config is None:
        return USAGE_ERROR
    allowed_files = open_files.raise_limit()
    with logs.configured(
        config,
        terminal.descriptor(sys.stderr),
        terminal=sys.stderr.isatty(),
        colors=terminal.wants_colors(sys.stderr, environ),
    ) as sink:
        _log_warnings(config, environ, allowed_files)
        start = partial(_serve_with_output, sink, allowed_files)
        try:
            _run(_serve_sandboxed(environ, config.port, start) if arguments.sandbox else _serve_live(config, start))
        except ListenError as error:
            terminal.print_error(listen_errors.explain(error.reason, config))
            return 1
        except MetricsListenError as error:
            terminal.print_error(listen_errors.explain_metrics(error.reason, config))
            return 1
    return 0


def _log_warnings(config: Config, environ: Mapping[str, str], allowed_files: int) -> None:
    for name, nearest in likely_typos(environ):
        log.warning("unknown_setting", name=name, did_you_mean=nearest)
    needed = open_files.needed(config.max_waits)
    for warning in setting_warnings(config, open_files=allowed_files, files_needed=needed):
        log.warning("questionable_setting", **attrs.asdict(warning))


async def _serve_live(config: Config, start: Start) -> None:
    # With a JSON log the output is usually read by a program: no welcome then, unless a terminal shows it.
    for_people = config.log_format != "json" or sys.stdout.isatty()
    await start(config, welcome(config, _program(), sandbox=False) if for_people else "")


async def _serve_sandboxed(environ: Mapping[str, str], port: int, start: Start) -> None:
    sandbox = await start_embedded_sandbox(port)
    try:
        config = Config.from_mapping({**environ, **settings_for(sandbox)})
        await start(config, welcome(config, _program(), sandbox=True))
    finally:
        await sandbox.close()


async def _serve_with_output(sink: Sink, allowed_files: int, config: Config, text: str) -> None:
    # Through a sink, like the log: a reader that stops reading must not block the server.
    output = Sink(terminal.descriptor(sys.stdout))

    def print_line(line: str) -> None:
        output.write(f"{line}\n".encode())

    try:
        with serving_metrics(config) as metrics:
            await serve(
                config,
                sink=sink,
                metrics=metrics,
                open_files=allowed_files,
                welcome=text,
                print_line=print_line,
                interactive=sys.stdout.isatty(),
            )
    finally:
        output.close(logs.FLUSH_TIMEOUT)


def _program() -> list[str]:
    """How to call this program from the working directory."""
    python = Path(sys.executable)
    script = python.with_name("runflow-mcp")
    words = [script] if script.exists() else [python, Path("-m"), Path("runflow_mcp")]
    here = Path.cwd()
    return [str(word.relative_to(here)) if word.is_relative_to(here) else str(word) for word in words]


def _run(main_coroutine: Coroutine[Any, Any, None]) -> None:
    import uvloop  # noqa: PLC0415 - it does not exist on Windows, and short commands do not need it

    uvloop.run(main_coroutine)


# sandbox


def _sandbox(arguments: argparse.Namespace) -> int:
    if extras.lacks_pillow():
        terminal.print_error(extras.NEEDS_PILLOW)
        return USAGE_ERROR
    try:
        _run(_run_sandbox(arguments.host, arguments.port, arguments.speed))
    except OSError as error:
        address = f"{arguments.host}:{arguments.port}"
        cause = listen_errors.reason(error)
        terminal.print_error(f"Cannot listen on {address}: {cause}. Change --host or --port.")
        return 1
    return 0


async def _run_sandbox(host: str, port: int, speed: float) -> None:
    running = await start_sandbox(Sandbox(clock=SystemClock(), speed=speed), host=host, port=port)
    terminal.print_line(f"The simulated Runflow listens at {running.url} and accepts the key {SANDBOX_KEY}.")
    terminal.print_line("Settings for the server:")
    for name, value in settings_for(running).items():
        terminal.print_line(f"  {name}={value}")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await running.close()


# check


def _check(arguments: argparse.Namespace) -> int:
    # Only this command needs these imports.
    from runflow_mcp.cli.check import check  # noqa: PLC0415
    from runflow_mcp.cli.screen import steps_report  # noqa: PLC0415

    environ = read_environment()
    egress = read_egress(environ)
    try:
        key = arguments.key if arguments.key is not None else environ.get(KEY_VARIABLE, "").strip() or _ask_for_key()
        run_check = partial(check, arguments.url, key, arguments.generate, egress=egress)
        if arguments.json:
            collected = Collected()
            ok = asyncio.run(run_check(collected))
            terminal.print_line(collected.as_json(_shown_url(arguments.url)))
        else:
            with steps_report(environ) as report:
                ok = asyncio.run(run_check(report))
    except (KeyboardInterrupt, EOFError):
        return 1
    return 0 if ok else 1


def _ask_for_key() -> str:
    if not sys.stdin.isatty():
        terminal.print_error(f"No API key. Set {KEY_VARIABLE}, or run this command in a terminal to be asked for it.")
        raise SystemExit(USAGE_ERROR)
    return getpass.getpass("Runflow API key (not shown): ").strip()


def _shown_url(url: str) -> str:
    """The URL that was tested; one that cannot be used as it was typed, without the password that it may have."""
    try:
        return str(endpoint_url(url))
    except ValueError:
        return url.rpartition("@")[2]


# connect


def _connect(arguments: argparse.Namespace) -> int:
    from runflow_mcp.cli import screen  # noqa: PLC0415 - the server does not need it

    check_client_name(arguments)
    environ = read_environment()
    if arguments.url is None:
        config = load_config(environ)
        if config is None:
            return USAGE_ERROR
        url = client_url(config)
    else:
        try:
            url = str(endpoint_url(arguments.url))
        except ValueError:
            terminal.print_error(f"This URL cannot be used. Write it like {_EXAMPLE_URL}, without a user name.")
            return USAGE_ERROR
    text = connect_text.instructions(arguments.client, url) if arguments.client else connect_text.overview(url)
    screen.print_text(text, environ, connect_text.COLORS)
    return 0


# config


def _config(arguments: argparse.Namespace) -> int:
    if arguments.markdown:
        terminal.print_line(config_report.as_markdown())
        return 0
    environ = read_environment()
    rows = [
        attrs.evolve(row, error=row.error or extras.missing_package(row.name, row.value)) for row in survey(environ)
    ]
    wrong = [row.name for row in rows if row.error is not None]
    if arguments.json:
        terminal.print_line(config_report.as_json(rows))
    elif arguments.env:
        terminal.print_line(config_report.as_env(rows, environ))
    else:
        from runflow_mcp.cli import screen  # noqa: PLC0415 - as above

        warnings = [] if wrong else setting_warnings(Config.from_mapping(environ))
        screen.print_text(config_report.as_text(rows, warnings), environ, config_report.COLORS)
    if wrong:
        terminal.print_error(f"Wrong: {', '.join(wrong)}. The server does not start with these settings.")
    return USAGE_ERROR if wrong else 0
