"""The commands: what each one does, and its exit code; ``serve`` is in ``serving``."""

import argparse
import asyncio
import getpass
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial

import attrs

from runflow_mcp.cli import config_report, connect_text, extras, listen_errors, terminal
from runflow_mcp.cli.arguments import check_client_name, make_parser
from runflow_mcp.cli.check_report import Collected
from runflow_mcp.cli.embedded_sandbox import settings_for
from runflow_mcp.cli.environment import USAGE_ERROR, load_config, read_egress, read_environment
from runflow_mcp.cli.server_url import endpoint_url
from runflow_mcp.cli.serving import run, serve_command
from runflow_mcp.cli.welcome import SANDBOX_KEY, client_url
from runflow_mcp.client_recipes import KEY_VARIABLE
from runflow_mcp.clock import SystemClock
from runflow_mcp.sandbox import Sandbox
from runflow_mcp.sandbox import start as start_sandbox
from runflow_mcp.settings.config import Config
from runflow_mcp.settings.survey import survey
from runflow_mcp.settings.warnings import setting_warnings

_EXAMPLE_URL = "https://mcp.example.com/mcp"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. The exit code is 0, 1 (it failed) or 2 (wrong arguments or settings)."""
    terminal.open_standard_streams()
    parser = make_parser(serve=serve_command, sandbox=_sandbox, check=_check, connect=_connect, config=_config)
    arguments = parser.parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    if sys.platform == "win32" and command in (serve_command, _sandbox):
        terminal.print_error("The server runs on Linux and macOS; on Windows run it under WSL. Nothing was started.")
        return USAGE_ERROR
    try:
        return command(arguments)
    except terminal.OutputError as error:
        if not isinstance(error.__cause__, BrokenPipeError):  # `runflow-mcp config | head` is not an error
            terminal.print_error(str(error))
        return 1


# sandbox


def _sandbox(arguments: argparse.Namespace) -> int:
    if extras.lacks_pillow():
        terminal.print_error(extras.NEEDS_PILLOW)
        return USAGE_ERROR
    try:
        run(_run_sandbox(arguments.host, arguments.port, arguments.speed))
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
