"""Thousands of clients that disconnect, and the tasks, files and memory of this process before and after."""

import asyncio
import gc
import os
from pathlib import Path

import aiohttp
import attrs
import orjson

from tests.chaos.chaos_world import open_files
from tests.scripted_sandbox import Delay, Hang, Route, ScriptedSandbox
from tests.server_process import NO_RATE_LIMITS
from tests.serving import BOTH, KEY, Server
from tests.virtual_time import VirtualClock

SLOW = "sandbox/slow"
#: Kilobytes by which the memory of the process may be larger after any number of clients.
MAX_GROWTH = 3000
#: Idle connections to upstream, each with a task of the simulated one: aiohttp's pool ages by the machine's clock.
POOLED = 2
#: No rate limits, and no fetches in the background.
UNDISTURBED = {
    "MCP_CATALOG_TTL_MS": "86400000",
    "RUNFLOW_SKILL_URL": "",
    **NO_RATE_LIMITS,
}
#: Ways to leave: seconds after the request, the Accept header, and what upstream does then.
WAYS = [
    (0.0, BOTH, None),
    (0.001, BOTH, None),
    (0.001, None, None),
    (2.5, BOTH, None),
    (2.5, None, None),
    (17.0, None, None),
    (1.0, BOTH, (Route.LIST_RUNS, Hang(3))),
    (11.0, BOTH, (Route.LIST_RUNS, Hang(30))),
    (3.0, BOTH, (Route.GET_RUN, Delay(5))),
]


@attrs.frozen
class Held:
    """The resources of this process at a moment."""

    tasks: int
    files: int
    waits: int
    kilobytes: int


def resident_kilobytes() -> int:
    """The memory of this process, 0 where it cannot be read."""
    figures = Path("/proc/self/statm")
    pages = int(figures.read_text().split()[1]) if figures.exists() else 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


async def held(server: Server) -> Held:
    """Read the resources once everything has had time to end."""
    await server.services.clock.sleep(100)
    gc.collect()
    return Held(
        tasks=len(asyncio.all_tasks()),
        files=open_files(),
        waits=server.services.inflight.slots_used,
        kilobytes=resident_kilobytes(),
    )


def assert_flat(before: Held, after: Held) -> None:
    """Check that nothing was kept meanwhile."""
    what = f"{before} before, {after} after"
    assert after.waits == 0, what
    assert after.tasks <= before.tasks + POOLED, what
    assert after.files <= before.files + 2 * POOLED, what
    assert after.kilobytes - before.kilobytes < MAX_GROWTH, what


def endless(clock: VirtualClock) -> ScriptedSandbox:
    """A simulated Runflow whose slow runs take two weeks."""
    return ScriptedSandbox(clock=clock, speed=0.001)


async def come_and_go(server: Server, sandbox: ScriptedSandbox, times: int, *, first: int = 0) -> None:
    """Call for the same slow run again and again, each time leaving before the answer."""
    clock = server.services.clock
    for number in range(first, first + times):
        after, accept, failure = WAYS[number % len(WAYS)]
        sandbox.script.clear()
        sandbox.requests.clear()
        if failure is not None:
            sandbox.script.add(*failure)
        leaving = asyncio.create_task(ask(server, accept))
        await clock.sleep(after)
        leaving.cancel()
        await asyncio.wait([leaving])


async def ask(server: Server, accept: str | None) -> None:
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": "generate",
            "arguments": {"model": SLOW, "input": {}, "client_ref": "leaving"},
            "_meta": {"progressToken": 1},
        },
    }
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    if accept is not None:
        headers["Accept"] = accept
    # A connection of its own, which is closed when its client leaves.
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.url, data=orjson.dumps(body), headers=headers) as response,
    ):
        await response.read()
