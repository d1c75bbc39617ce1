"""The sandbox listens on a given port and frees it when it is closed."""

import pytest

from runflow_mcp.listening_sockets import ListenError
from runflow_mcp.sandbox import start
from tests.sandbox.api_client import Client
from tests.scripted_sandbox import ScriptedSandbox


async def test_a_port_in_use_is_an_error_and_leaves_the_other_sandbox_running(
    client: Client, sandbox: ScriptedSandbox
) -> None:
    port = int(client.url.rpartition(":")[2])
    with pytest.raises(ListenError, match="in use"):
        await start(sandbox, port=port)
    assert (await client.get("/v1/health")).status == 200


async def test_a_closed_sandbox_frees_its_port(sandbox: ScriptedSandbox) -> None:
    first = await start(sandbox)
    await first.close()
    second = await start(sandbox, port=int(first.url.rpartition(":")[2]))
    assert second.url == first.url
    await second.close()
