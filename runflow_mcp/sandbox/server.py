"""The sandbox on a loopback socket, for those who talk to it by URL.

Owns the listening socket and nothing of the simulation; must not import the modules behind ``api``.
"""

import attrs
from aiohttp import web

from runflow_mcp.sandbox.api import Sandbox

#: Nothing is worth waiting for at the end, least of all a scripted hang; aiohttp reads 0 as "for ever".
SHUTDOWN_SECONDS = 0.1


@attrs.frozen
class RunningSandbox:
    """A sandbox that listens at ``url`` (without a trailing slash)."""

    sandbox: Sandbox
    url: str
    _runner: web.AppRunner

    async def close(self) -> None:
        await self._runner.cleanup()


async def start(sandbox: Sandbox, *, host: str = "127.0.0.1", port: int = 0) -> RunningSandbox:
    """Serve ``sandbox``; port 0 takes a free one."""
    runner = web.AppRunner(sandbox.make_app(), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return RunningSandbox(sandbox, f"http://{host}:{runner.addresses[0][1]}", runner)
