"""A server process under a hostile load, what it weighs, and how long it keeps a health probe waiting.

Not a test module. The figures come from the kernel: peak resident memory is ``VmHWM``. A probe's delay counts only as
far as the server itself was computing meanwhile, so that a busy machine does not read as a busy server.
"""

import asyncio
import os
import resource
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import attrs

from tests.serving import free_port

MIB = 1024 * 1024
#: Address space of the process: memory that a leak would take is refused long before the machine is short of it.
ADDRESS_SPACE = 2048 * MIB
PATIENCE = 20.0
PROBE_INTERVAL = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")


@attrs.define
class OverloadedServer:
    """``slowest_probe``: seconds of the server's own computing while the slowest health probe waited."""

    process: asyncio.subprocess.Process
    port: int
    log: Path
    slowest_probe: float = 0.0
    probes: int = 0

    @property
    def peak_mib(self) -> float:
        """Peak resident memory of the process so far, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    async def wait_until_ready(self) -> None:
        async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as session:
            while True:
                assert self.process.returncode is None, self.log.read_text()
                with suppress(aiohttp.ClientError):
                    async with session.get(f"http://127.0.0.1:{self.port}/readyz") as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(0.05)

    async def log_state(self) -> Any:
        """What ``/readyz`` says of the log."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.port}/readyz") as response,
        ):
            return (await response.json())["log"]

    async def probe_health(self) -> None:
        """Ask ``/healthz`` again and again, and keep the worst delay."""
        async with aiohttp.ClientSession() as session:
            while True:
                began, cpu = asyncio.get_running_loop().time(), self.cpu_seconds
                async with session.get(f"http://127.0.0.1:{self.port}/healthz") as response:
                    assert response.status == 200
                waited = asyncio.get_running_loop().time() - began
                self.slowest_probe = max(self.slowest_probe, min(waited, self.cpu_seconds - cpu))
                self.probes += 1
                await asyncio.sleep(PROBE_INTERVAL)


@asynccontextmanager
async def overloaded_server(
    upstream_url: str, log: Path, settings: Mapping[str, str] | None = None, stderr: int | None = None
) -> AsyncIterator[OverloadedServer]:
    """A server process in front of ``upstream_url``, with default settings but for ``settings``.

    Its log goes to ``log``, or to the descriptor ``stderr``.
    """
    port = free_port()
    environ = {
        **os.environ,
        "MCP_PORT": str(port),
        "RUNFLOW_API_URL": upstream_url,
        "RUNFLOW_CATALOG_URL": f"{upstream_url}/models-catalog.json",
        "RUNFLOW_SKILL_URL": "",
        **(settings or {}),
    }
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "runflow_mcp",
            "serve",
            env=environ,
            stdout=sink,
            stderr=sink if stderr is None else stderr,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE)),
        )
    server = OverloadedServer(process, port, log)
    try:
        await server.wait_until_ready()
        probing = asyncio.create_task(server.probe_health())
        try:
            yield server
            assert not probing.done(), f"the probe ended: {probing.exception()!r}"
        finally:
            probing.cancel()
            await asyncio.wait([probing])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
