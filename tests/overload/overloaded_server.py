"""A server process under a hostile load, its memory, and how long a health probe waits for it.

Peak resident memory is the kernel's ``VmHWM``; delays are measured by ``health_probe``.
"""

import asyncio
import resource
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import attrs

from tests.byte_units import MIB
from tests.server_process import ServerProcess
from tests.serving import upstream_settings

#: Address space of the process: memory that a leak would take is refused long before the machine is short of it.
ADDRESS_SPACE = 2048 * MIB


@attrs.define
class OverloadedServer:
    """``slowest_probe``: seconds of the server's own computing while the slowest health probe waited."""

    process: ServerProcess
    slowest_probe: float = 0.0
    probes: int = 0

    @property
    def peak_mib(self) -> float:
        """Peak resident memory of the process so far, in MiB."""
        status = Path(f"/proc/{self.process.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    async def log_state(self) -> Any:
        """What ``/readyz`` reports of the log."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.process.origin}/readyz") as response:
            return (await response.json())["log"]

    async def probe_health(self) -> None:
        """Ask ``/healthz`` again and again, and keep the worst delay."""
        command = (
            sys.executable,
            "-m",
            "tests.overload.health_probe",
            str(self.process.port),
            str(self.process.process.pid),
        )
        prober = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        try:
            assert prober.stdout is not None
            async for line in prober.stdout:
                self.slowest_probe = max(self.slowest_probe, float(line))
                self.probes += 1
        finally:
            with suppress(ProcessLookupError):
                prober.kill()
            await prober.wait()


@asynccontextmanager
async def overloaded_server(
    upstream_url: str, folder: Path, settings: Mapping[str, str], stderr: int | None = None
) -> AsyncIterator[OverloadedServer]:
    """A server process in front of ``upstream_url``, with default settings but for ``settings``.

    Its log goes to ``folder``, or to the descriptor ``stderr``.
    """
    process = ServerProcess.of(
        folder,
        settings={**upstream_settings(upstream_url), **settings},
        stderr=stderr,
        before_exec=lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE)),
    )
    with process:
        await asyncio.to_thread(process.wait_until_ready)
        server = OverloadedServer(process)
        probing = asyncio.create_task(server.probe_health())
        try:
            yield server
            assert not probing.done(), f"the probe ended: {probing.exception()!r}"
        finally:
            probing.cancel()
            await asyncio.wait([probing])
