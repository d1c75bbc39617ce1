"""The entry point: reads the command line and runs one command, each of which is in a module of its own.

A command imports what it needs when it is called: a server that starts pays for no other command.
"""

import argparse
import gc
import sys
from collections.abc import Callable, Sequence

from runflow_mcp.cli import terminal
from runflow_mcp.cli.arguments import make_parser
from runflow_mcp.cli.environment import USAGE_ERROR


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


def _serve(arguments: argparse.Namespace) -> int:
    # Until ``serve.tune_interpreter``: what is imported stays, and visiting it again and again is a tenth of a start.
    gc.disable()
    try:
        _import_structlog_without_rich()
        from runflow_mcp.cli.serving import serve_command

        return serve_command(arguments)
    finally:
        gc.enable()


def _import_structlog_without_rich() -> None:
    """structlog imports Rich where it can, for tracebacks that no log of this server has: 40 ms and 3 MiB."""
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment] # an import of it fails
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]


def _sandbox(arguments: argparse.Namespace) -> int:
    from runflow_mcp.cli.simulating import sandbox_command

    return sandbox_command(arguments)


def _check(arguments: argparse.Namespace) -> int:
    from runflow_mcp.cli.checking import check_command

    return check_command(arguments)


def _connect(arguments: argparse.Namespace) -> int:
    from runflow_mcp.cli.connecting import connect_command

    return connect_command(arguments)


def _config(arguments: argparse.Namespace) -> int:
    from runflow_mcp.cli.configuring import config_command

    return config_command(arguments)
