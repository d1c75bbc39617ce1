"""The command ``check``: its key, its report, and its exit code; ``check`` has the steps."""

import argparse
import asyncio
import getpass
import sys
from functools import partial

from runflow_mcp.cli import terminal
from runflow_mcp.cli.check import check
from runflow_mcp.cli.check_report import Collected
from runflow_mcp.cli.environment import USAGE_ERROR, read_egress, read_environment
from runflow_mcp.cli.screen import steps_report
from runflow_mcp.cli.server_url import endpoint_url
from runflow_mcp.client_recipes import KEY_VARIABLE


def check_command(arguments: argparse.Namespace) -> int:
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
