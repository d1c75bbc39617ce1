"""A server with default settings outlives what strangers send: little memory, prompt probes, other callers served.

The loads are ten times those that once had a replica killed. ``OVERLOAD_LIMITS=off`` lifts the rate limits, as
callers from thousands of addresses would.
"""

import asyncio
import os
from pathlib import Path

import aiohttp
import orjson
import pytest

from tests.overload.hostile_upstream import hostile_upstream
from tests.overload.loads import LOADS, Load
from tests.overload.overloaded_server import OverloadedServer, overloaded_server

pytestmark = pytest.mark.real_time

MAX_PEAK_MIB = 400
MAX_PROBE_SECONDS = 0.25
LIFTED = {f"MCP_RATE_LIMIT_{name}": "1000000000" for name in ("PRE_AUTH_PER_IP", "PER_IP", "PER_KEY")}


async def customer(server: OverloadedServer) -> list[int]:
    """Another caller's statuses: a call every tenth of a second."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_models", "arguments": {}}}
    headers = {"Authorization": "Bearer rf_live_customer", "Content-Type": "application/json"}
    statuses = []
    async with aiohttp.ClientSession() as session:
        for _ in range(30):
            url = f"http://127.0.0.1:{server.port}/mcp"
            async with session.post(url, data=orjson.dumps(call), headers=headers) as response:
                await response.read()
                statuses.append(response.status)
            await asyncio.sleep(0.1)
    return statuses


@pytest.mark.parametrize("load", LOADS, ids=[load.__name__ for load in LOADS])
async def test_a_hostile_load_costs_neither_memory_nor_time_nor_other_callers(load: Load, tmp_path: Path) -> None:
    settings = LIFTED if os.environ.get("OVERLOAD_LIMITS") == "off" else {}
    async with (
        hostile_upstream() as (_, url),
        overloaded_server(url, tmp_path / "server.log", settings) as server,
    ):
        served, statuses = await asyncio.gather(customer(server), load(server))
        assert server.process.returncode is None, server.log.read_text()[-2000:]
        assert set(served) == {200}
        assert server.peak_mib < MAX_PEAK_MIB
        assert server.slowest_probe < MAX_PROBE_SECONDS, f"{server.slowest_probe} s, {statuses[:5]}"
