"""The sandbox can be had at an address of one's choice."""

import pytest

from runflow_mcp.sandbox import Sandbox, start
from tests.sandbox.client import Client


async def test_a_taken_port_is_an_error_that_leaves_nothing_behind(client: Client, sandbox: Sandbox) -> None:
    port = int(client.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        await start(sandbox, port=port)
    assert (await client.get("/v1/health")).status == 200


async def test_a_closed_sandbox_frees_its_port(sandbox: Sandbox) -> None:
    first = await start(sandbox)
    await first.close()
    second = await start(sandbox, port=int(first.url.rpartition(":")[2]))
    assert second.url == first.url
    await second.close()
