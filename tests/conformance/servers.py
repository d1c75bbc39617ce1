"""The servers under test: each a process of its own with the proxy in front, and a clean end that is checked."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from tests.conformance.proxy import run_proxy
from tests.server_process import HOST, NO_RATE_LIMITS, ServerProcess
from tests.serving import KEY

#: The module to run, and its arguments.
PRODUCT = ("runflow_mcp", "serve", "--sandbox")
FIXTURES = ("tests.conformance.fixtures",)
#: One run sends several hundred requests a minute, all from one address and with one key.
SETTINGS = {"MCP_HOST": HOST, "MCP_LOG_LEVEL": "warning", "MCP_LOG_FORMAT": "json", **NO_RATE_LIMITS}


@attrs.define
class Running:
    """A server behind its proxy. ``errors`` is filled once it has stopped."""

    url: str
    errors: list[str] = attrs.field(factory=list)


@asynccontextmanager
async def run_server(program: tuple[str, ...], folder: Path) -> AsyncIterator[Running]:
    """Serve until the end of the block; ``folder`` is the working directory and keeps the log.

    Raises ``NotReadyError`` when the server does not start.
    """
    with ServerProcess.of(folder, *program, settings=SETTINGS, stdout=subprocess.DEVNULL) as process:
        await asyncio.to_thread(process.wait_until_ready)
        async with run_proxy(f"{HOST}:{process.port}", KEY) as proxy:
            running = Running(proxy.url)
            yield running
        code = await asyncio.to_thread(process.stop)
        running.errors.extend([f"the server ended with {code} at SIGTERM"] if code else [])
        # An unexpected error is answered politely; only the log tells it from a rejection.
        running.errors.extend(line for line in process.output.splitlines() if '"level":"warning"' not in line)
