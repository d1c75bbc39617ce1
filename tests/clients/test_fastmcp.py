"""The client of fastmcp, which sends the key the way its users write it: ``auth="rf_live_…"``."""

from typing import Literal

import pytest
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import ToolError
from mcp_types import PromptReference, TextContent

from runflow_mcp.protocol.revisions import LATEST_LEGACY
from tests.serving import INPUT, KEY, MODEL, MODERN, Server

pytestmark = pytest.mark.real_time

Mode = Literal["auto", "legacy"]
both_eras = pytest.mark.parametrize("mode", ["auto", "legacy"])


def client_of(server: Server, mode: Mode, key: str = KEY) -> Client[StreamableHttpTransport]:
    return Client(StreamableHttpTransport(server.url, auth=key), mode=mode)


@both_eras
async def test_a_client_lists_tools_and_prompts(server: Server, mode: Mode) -> None:
    async with client_of(server, mode) as client:
        assert client.protocol_version == (MODERN if mode == "auto" else LATEST_LEGACY)
        assert client.server_info is not None
        assert client.server_info.name == "Runflow"
        assert [tool.name for tool in await client.list_tools()] == ["generate", "list_models"]
        prompts = await client.list_prompts()
        found = await client.call_tool("list_models", {"category": "solution", "limit": 3})
    assert found.structured_content is not None
    assert found.structured_content["returned"] == 3
    assert found.structured_content["total"] == len(prompts)


@both_eras
async def test_a_prompt_is_filled_in_and_its_arguments_are_completed(server: Server, mode: Mode) -> None:
    async with client_of(server, mode) as client:
        prompt = await client.get_prompt("smart-resize", {"image_url": "https://example.com/a.png"})
        completion = await client.complete(PromptReference(name="smart-resize"), {"name": "resolution", "value": "2"})
    content = prompt.messages[0].content
    assert isinstance(content, TextContent)
    assert '"model": "runflow/smart-resize"' in content.text
    assert completion.values == ["2K"]


@both_eras
async def test_a_run_reports_progress_and_returns_its_result(server: Server, mode: Mode) -> None:
    values: list[float] = []

    async def progress(value: float, _total: float | None, _message: str | None) -> None:
        values.append(value)

    async with client_of(server, mode) as client:
        result = await client.call_tool("generate", {"model": MODEL, "input": INPUT}, progress_handler=progress)
    assert result.structured_content is not None
    assert result.structured_content["status"] == "succeeded"
    assert len(values) > 1
    assert values == sorted(set(values))


@both_eras
async def test_an_error_keeps_its_envelope(server: Server, mode: Mode) -> None:
    arguments = {"model": MODEL, "input": INPUT}
    async with client_of(server, mode, "rf_live_sandbox_no_credit") as client:
        result = await client.call_tool("generate", arguments, raise_on_error=False)
        with pytest.raises(ToolError, match=r"^\[insufficient_credits\] "):
            await client.call_tool("generate", arguments)
    assert result.is_error
    assert result.structured_content is not None
    assert result.structured_content["error"]["code"] == "insufficient_credits"
