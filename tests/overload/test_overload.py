"""A server with default settings survives hostile loads: little memory, prompt probes, other callers served.

The loads are many times those that once had a replica killed. ``OVERLOAD_SECONDS`` repeats each for so long, from other
addresses with other keys; ``OVERLOAD_LIMITS=off`` lifts the rate limits, as callers from thousands of addresses would.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from tests.observability.unwritable_logs import full, with_reader_that_stands_still, without_reader
from tests.overload.hostile_loads import LOADS, Load, Strangers, log_lines, some_log_lines
from tests.overload.hostile_upstream import HostileUpstream, hostile_upstream
from tests.overload.overloaded_server import OverloadedServer, overloaded_server
from tests.server_process import NO_RATE_LIMITS

pytestmark = pytest.mark.real_time

MAX_PEAK_MIB = 400
MAX_PROBE_SECONDS = 0.25

LIST_MODELS: Mapping[str, Any] = {"name": "list_models", "arguments": {}}
GENERATE: Mapping[str, Any] = {
    "name": "generate",
    "arguments": {"model": "harmless/picture", "input": {"prompt": "a lighthouse"}},
}
#: Calls that the other caller makes a tenth of a second apart. The later ones are a second apart, so that a minute has
#: no more of them than the limits allow.
CALLS = 20

#: Descriptors for standard error, the one to write to last; and a load that such a log cannot hold.
UNWRITABLE_LOGS: Mapping[str, tuple[Callable[[], tuple[int, ...]], Load]] = {
    "disk full": (lambda: (full(),), some_log_lines),
    "no reader": (lambda: (without_reader(),), some_log_lines),
    "reader stands still": (with_reader_that_stands_still, log_lines),
}


async def repeated(load: Load, port: int) -> list[int]:
    """Send the load, again and again for ``OVERLOAD_SECONDS``; all statuses."""
    until = asyncio.get_running_loop().time() + float(os.environ.get("OVERLOAD_SECONDS", "0"))
    statuses = []
    for turn in count():
        statuses += await load(Strangers(port, turn))
        if asyncio.get_running_loop().time() >= until:
            break
    return statuses


async def serve_other_caller(server: OverloadedServer, call: Mapping[str, Any], loading: asyncio.Task[Any]) -> int:
    """Make ``CALLS`` calls, and more while the load goes on, each of which must succeed; the number of calls."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    headers = {"Authorization": "Bearer rf_live_customer"}
    served = 0
    async with aiohttp.ClientSession() as session:
        while served < CALLS or not loading.done():
            async with session.post(f"{server.process.origin}/mcp", json=message, headers=headers) as response:
                assert response.status == 200
                answer = await response.json()
            assert not answer["result"].get("isError"), answer
            served += 1
            await asyncio.sleep(0.1 if served < CALLS else 1.0)
    return served


@attrs.frozen
class Overload:
    """The outcome of a load: the server, its upstream, the number of another caller's calls, the load's statuses."""

    server: OverloadedServer
    upstream: HostileUpstream
    served: int
    statuses: list[int]


@asynccontextmanager
async def overload(
    load: Load, folder: Path, *, call: Mapping[str, Any] = LIST_MODELS, stderr: int | None = None
) -> AsyncIterator[Overload]:
    """A server that has met the load, within its bounds and serving another caller's ``call`` meanwhile."""
    settings = NO_RATE_LIMITS if os.environ.get("OVERLOAD_LIMITS") == "off" else {}
    async with hostile_upstream() as (upstream, url), overloaded_server(url, folder, settings, stderr) as server:
        loading = asyncio.create_task(repeated(load, server.process.port))
        served = await serve_other_caller(server, call, loading)
        statuses = await loading
        assert server.process.exit_code is None, server.process.output[-2000:]
        assert server.peak_mib < MAX_PEAK_MIB
        assert server.slowest_probe < MAX_PROBE_SECONDS, f"{server.slowest_probe} s, {statuses[:5]}"
        yield Overload(server, upstream, served, statuses)


@pytest.mark.parametrize("load", LOADS, ids=[load.__name__ for load in LOADS])
async def test_a_hostile_load_costs_neither_memory_nor_time_nor_other_callers(load: Load, tmp_path: Path) -> None:
    async with overload(load, tmp_path):
        pass


@pytest.mark.parametrize(("descriptors", "load"), UNWRITABLE_LOGS.values(), ids=UNWRITABLE_LOGS)
async def test_a_log_that_cannot_be_written_costs_log_lines_and_nothing_else(
    descriptors: Callable[[], tuple[int, ...]], load: Load, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        opened = descriptors()
        for descriptor in opened:
            stack.callback(os.close, descriptor)
        async with overload(load, tmp_path, call=GENERATE, stderr=opened[-1]) as met:
            assert set(met.statuses) == {200}
            assert met.upstream.dispatches == met.served
            state = await met.server.log_state()
            assert state["state"] == "failing"
            assert state["dropped"] > 0
            # Every message has a line, and the pipe holds a few of them.
            assert state["dropped"] + state["queued"] > len(met.statuses) - 100
