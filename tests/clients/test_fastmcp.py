"""The client of fastmcp, which sends the key the way its users write it: ``auth="rf_live_…"``."""

import pytest
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import ToolError
from mcp_types import PromptReference, TextContent

from tests.serving import INPUT, KEY, MODEL, Server

pytestmark = pytest.mark.real_time


def client_of(server: Server, key: str = KEY) -> Client[StreamableHttpTransport]:
    return Client(StreamableHttpTransport(server.url, auth=key))


async def test_what_there_is(server: Server) -> None:
    async with client_of(server) as client:
        assert [tool.name for tool in await client.list_tools()] == ["generate", "list_models"]
        prompts = await client.list_prompts()
        found = await client.call_tool("list_models", {"category": "solution", "limit": 3})
    assert found.structured_content is not None
    assert found.structured_content["returned"] == 3
    assert found.structured_content["total"] == len(prompts)


async def test_a_prompt_and_the_values_of_its_arguments(server: Server) -> None:
    async with client_of(server) as client:
        prompt = await client.get_prompt("smart-resize", {"image_url": "https://example.com/a.png"})
        completion = await client.complete(PromptReference(name="smart-resize"), {"name": "resolution", "value": "2"})
    content = prompt.messages[0].content
    assert isinstance(content, TextContent)
    assert '"model": "runflow/smart-resize"' in content.text
    assert completion.values == ["2K"]


async def test_a_run_with_progress(server: Server) -> None:
    told: list[float] = []

    async def progress(value: float, _total: float | None, _message: str | None) -> None:
        told.append(value)

    async with client_of(server) as client:
        result = await client.call_tool("generate", {"model": MODEL, "input": INPUT}, progress_handler=progress)
    assert result.structured_content is not None
    assert result.structured_content["status"] == "succeeded"
    assert len(told) > 1
    assert told == sorted(set(told))


async def test_an_error_keeps_its_envelope(server: Server) -> None:
    arguments = {"model": MODEL, "input": INPUT}
    async with client_of(server, "rf_live_sandbox_no_credit") as client:
        result = await client.call_tool("generate", arguments, raise_on_error=False)
        with pytest.raises(ToolError, match=r"^\[insufficient_credits\] "):
            await client.call_tool("generate", arguments)
    assert result.is_error
    assert result.structured_content is not None
    assert result.structured_content["error"]["code"] == "insufficient_credits"
