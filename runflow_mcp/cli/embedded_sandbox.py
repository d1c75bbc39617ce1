"""The sandbox inside the server's process: which port it takes, and the settings that point the server at it."""

from contextlib import suppress

import structlog

from runflow_mcp.cli.arguments import SANDBOX_PORT
from runflow_mcp.clock import SystemClock
from runflow_mcp.listening_sockets import ListenError
from runflow_mcp.sandbox import RunningSandbox, Sandbox, start

log = structlog.get_logger(__name__)

#: How many ports, from ``SANDBOX_PORT`` on, are tried when other sandboxes run on this machine.
PORTS_TRIED = 20


async def start_embedded_sandbox(server_port: int) -> RunningSandbox:
    """Start a sandbox on its fixed port, or on the next free one that is not the server's."""
    for port in range(SANDBOX_PORT, SANDBOX_PORT + PORTS_TRIED):
        if port == server_port:
            continue
        with suppress(ListenError):
            running = await start(Sandbox(clock=SystemClock()), port=port)
            break
    else:
        running = await start(Sandbox(clock=SystemClock()))
    if not running.url.endswith(f":{SANDBOX_PORT}"):
        log.warning("sandbox_port_in_use", port=SANDBOX_PORT, sandbox=running.url)
    return running


def settings_for(sandbox: RunningSandbox) -> dict[str, str]:
    """The settings of a server whose upstream is this sandbox."""
    return {
        "RUNFLOW_API_URL": sandbox.url,
        "RUNFLOW_CATALOG_URL": f"{sandbox.url}/models-catalog.json",
        "RUNFLOW_SKILL_URL": f"{sandbox.url}/.well-known/agent-skills/runflow/SKILL.md",
    }
