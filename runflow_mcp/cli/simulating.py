"""The command ``sandbox``: the simulated Runflow alone."""

import argparse
import asyncio
import signal

import uvloop

from runflow_mcp.cli import extras, listen_errors, terminal
from runflow_mcp.cli.embedded_sandbox import settings_for
from runflow_mcp.cli.environment import USAGE_ERROR
from runflow_mcp.cli.welcome import SANDBOX_KEY
from runflow_mcp.clock import SystemClock
from runflow_mcp.listening_sockets import ListenError
from runflow_mcp.sandbox import Sandbox, start


def sandbox_command(arguments: argparse.Namespace) -> int:
    if extras.lacks_pillow():
        terminal.print_error(extras.NEEDS_PILLOW)
        return USAGE_ERROR
    try:
        uvloop.run(_run_sandbox(arguments.host, arguments.port, arguments.speed))
    except ListenError as error:
        address = f"{arguments.host}:{arguments.port}"
        cause = listen_errors.reason(error.reason)
        terminal.print_error(f"Cannot listen on {address}: {cause}. Change --host or --port.")
        return 1
    return 0


async def _run_sandbox(host: str, port: int, speed: float) -> None:
    running = await start(Sandbox(clock=SystemClock(), speed=speed), host=host, port=port)
    terminal.print_line(f"The simulated Runflow listens at {running.url} and accepts the key {SANDBOX_KEY}.")
    terminal.print_line("Settings for the server:")
    for name, value in settings_for(running).items():
        terminal.print_line(f"  {name}={value}")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await running.close()
