"""The servers under test: each a process of its own with the proxy in front, and a clean end that is checked."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import attrs

from tests.conformance.proxy import run_proxy
from tests.serving import KEY, free_port

ROOT = Path(__file__).parents[2]
#: module → what it serves.
PRODUCT = ("runflow_mcp", "serve", "--sandbox")
FIXTURES = ("tests.conformance.fixtures",)
#: One run sends several hundred requests a minute, all from one address and with one key.
NO_LIMITS = dict.fromkeys(
    ("MCP_RATE_LIMIT_PRE_AUTH_PER_IP", "MCP_RATE_LIMIT_PER_IP", "MCP_RATE_LIMIT_PER_KEY"), str(10**9)
)
STARTING = 30.0
STOPPING = 20.0


class ServerError(Exception):
    """A server did not start."""


@attrs.define
class Running:
    """A server behind its proxy. ``faults`` is filled once it has stopped."""

    url: str
    faults: list[str] = attrs.field(factory=list)


@asynccontextmanager
async def run_server(module: tuple[str, ...], folder: Path) -> AsyncIterator[Running]:
    """Serve until the end of the block; ``folder`` is the working directory and keeps the log."""
    port = free_port()
    log = folder / "server.log"
    settings = {"MCP_HOST": "127.0.0.1", "MCP_PORT": str(port), "MCP_LOG_LEVEL": "warning", "MCP_LOG_FORMAT": "json"}
    # A person's own settings, in the environment or in a .env file, are not what is tested.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MCP_", "RUNFLOW_"))}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *module,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=output,
            env={**clean, **NO_LIMITS, **settings, "PYTHONPATH": str(ROOT)},
        )
    try:
        await _ready(process, port, log)
        async with run_proxy(f"127.0.0.1:{port}", KEY) as proxy:
            running = Running(proxy.url)
            yield running
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOPPING):
                code = await process.wait()
        except TimeoutError:
            running.faults.append(f"the server had not ended {STOPPING:.0f} s after SIGTERM")
        else:
            running.faults.extend([f"the server ended with {code} at SIGTERM"] if code else [])
        # An unexpected fault is answered politely; only the log tells it from a refusal.
        running.faults.extend(line for line in _read(log) if '"level":"warning"' not in line)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _ready(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    deadline = asyncio.get_running_loop().time() + STARTING
    async with aiohttp.ClientSession() as session:
        while asyncio.get_running_loop().time() < deadline and process.returncode is None:
            try:
                async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    if answer.ok:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.1)
    raise ServerError("\n".join(["the server did not start:", *_read(log)]))


def _read(log: Path) -> list[str]:
    return log.read_text().splitlines()
