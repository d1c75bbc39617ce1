"""Several server processes that share their limits: real commands, a real Redis, over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from tests.eventually import PATIENCE
from tests.ratelimit.conftest import RedisServer
from tests.server_process import ServerProcess
from tests.serving import KEY, free_port, upstream_settings

pytestmark = pytest.mark.real_time

PAUSE = 0.05
LIMIT = 6
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


def warnings_of(server: ServerProcess) -> list[str]:
    """The events about the limit store, in order."""
    return [line["event"] for line in server.log_lines if line["event"].startswith("limit_store")]


@attrs.frozen
class Fleet:
    """Two servers that share their limits, in front of one sandbox."""

    servers: list[ServerProcess]
    redis: RedisServer
    session: aiohttp.ClientSession

    async def ping(self, server: ServerProcess, key: str | None = KEY) -> aiohttp.ClientResponse:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with self.session.post(f"{server.origin}/mcp", json=PING, headers=headers) as response:
            await response.read()
            return response

    async def alternately(self, times: int, key: str | None = KEY) -> list[int]:
        """The statuses of so many requests, one to each server in turn."""
        return [(await self.ping(self.servers[turn % len(self.servers)], key)).status for turn in range(times)]

    async def limits(self, server: ServerProcess) -> Any:
        """What the readiness probe says of the limit store."""
        async with self.session.get(f"{server.origin}/readyz") as response:
            assert response.status == 200
            return (await response.json())["limits"]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(int(PATIENCE / PAUSE)):
        if await condition():
            return
        await asyncio.sleep(PAUSE)
    raise AssertionError(f"not fulfilled within {PATIENCE:g} s")


@pytest.fixture
async def fleet(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Fleet]:
    port = free_port()
    sandbox = ServerProcess.of(
        tmp_path, "runflow_mcp", "sandbox", "--port", str(port), settings={"MCP_PORT": str(port)}, ready_path=None
    )
    settings = {
        **upstream_settings(sandbox.origin),
        "MCP_RATE_LIMIT_STORE": redis_server.url,
        "MCP_RATE_LIMIT_PER_KEY": str(LIMIT),
        "MCP_RATE_LIMIT_PRE_AUTH_PER_IP": "4",
    }
    servers = [ServerProcess.of(tmp_path, settings=settings) for _ in range(2)]
    async with AsyncExitStack() as stack:
        for process in (sandbox, *servers):
            stack.enter_context(process)
        for process in (sandbox, *servers):
            await asyncio.to_thread(process.wait_until_ready)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Fleet(servers, redis_server, session)


async def test_the_servers_count_together_and_a_request_is_one_command(fleet: Fleet) -> None:
    assert await fleet.alternately(LIMIT + 2) == [200] * LIMIT + [429] * 2
    refused = await fleet.ping(fleet.servers[0])
    assert refused.status == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    # A key of one's own has a window of its own.
    assert await fleet.alternately(2, "rf_live_another_key") == [200, 200]
    assert await fleet.alternately(6, None) == [401] * 4 + [429] * 2
    fleet.redis.reset()
    assert await fleet.alternately(2, "rf_live_another_key") == [200, 200]
    assert await fleet.alternately(2, None) == [429, 429]
    assert await fleet.alternately(2) == [429, 429]
    assert fleet.redis.calls()["evalsha"] == 6
    assert [await fleet.limits(server) for server in fleet.servers] == [
        {"store": "redis", "state": "ok", "outages": 0, "fallbacks": 0}
    ] * 2


async def test_when_redis_is_killed_each_server_counts_by_itself_until_redis_is_back(fleet: Fleet) -> None:
    assert await fleet.alternately(LIMIT + 1) == [200] * LIMIT + [429]
    fleet.redis.kill()
    # Each server now has the whole limit to give, and no more than it.
    assert await fleet.alternately(2 * LIMIT + 4) == [200] * (2 * LIMIT) + [429] * 4
    for server in fleet.servers:
        limits = await fleet.limits(server)
        assert limits["state"] == "fallback"
        assert limits["outages"] == 1
        assert limits["fallbacks"] == LIMIT + 2

        async def warned(server: ServerProcess = server) -> bool:
            return warnings_of(server) == ["limit_store_unavailable"]

        await until(warned)
    fleet.redis.start()
    for server in fleet.servers:

        async def back(server: ServerProcess = server) -> bool:
            await fleet.ping(server, "rf_live_somebody")
            return bool((await fleet.limits(server))["state"] == "ok")

        await until(back)

        async def recovered(server: ServerProcess = server) -> bool:
            return warnings_of(server) == ["limit_store_unavailable", "limit_store_recovered"]

        await until(recovered)
        assert (await fleet.limits(server))["outages"] == 1
    # The new Redis knows nothing of before; from here on they count together again.
    assert await fleet.alternately(LIMIT + 2) == [200] * LIMIT + [429] * 2
