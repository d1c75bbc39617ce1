"""The official Python SDK's client, as most Python hosts use it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import PromptsListChanged
from mcp.shared.exceptions import MCPError
from mcp_types import PromptReference, ResourceLink, TextContent
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from runflow_mcp.protocol.revisions import LATEST_LEGACY, Revision
from tests.eventually import eventually_async
from tests.methods.catalogs import entry, script
from tests.scripted_sandbox import ScriptedSandbox
from tests.server_process import SERVE, ServerProcess
from tests.serving import INPUT, KEY, MODEL, Serve, Server

pytestmark = pytest.mark.real_time

#: ``legacy`` begins with ``initialize``; ``auto`` asks for a later revision first and falls back.
MODES = ("auto", "legacy")
NEWEST_COMMON = max({*HANDSHAKE_PROTOCOL_VERSIONS, *MODERN_PROTOCOL_VERSIONS} & {str(one) for one in Revision})


@asynccontextmanager
async def connected(server: Server | str, *, key: str = KEY, mode: str = "auto") -> AsyncIterator[Client]:
    """A client of a server, or of whatever is at a URL."""
    url = server if isinstance(server, str) else server.url
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


@pytest.mark.parametrize(("mode", "revision"), [("auto", NEWEST_COMMON), ("legacy", LATEST_LEGACY)])
async def test_connecting(server: Server, mode: str, revision: str) -> None:
    async with connected(server, mode=mode) as client:
        assert client.server_info is not None
        assert client.server_info.name == "Runflow"
        assert client.protocol_version == revision
        assert "client_ref" in (client.instructions or "")


@pytest.mark.parametrize("mode", MODES)
async def test_what_there_is(server: Server, mode: str) -> None:
    async with connected(server, mode=mode) as client:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["generate", "list_models"]
        prompts = (await client.list_prompts()).prompts
        assert "object-removal-prompt" in [prompt.name for prompt in prompts]
        found = await client.call_tool("list_models", {"category": "solution"})
        assert found.structured_content is not None
        assert found.structured_content["total"] == len(prompts)


async def test_a_prompt_and_the_values_of_its_arguments(server: Server) -> None:
    async with connected(server) as client:
        prompt = await client.get_prompt("object-removal-prompt", {"image_url": "https://example.com/a.png"})
        content = prompt.messages[0].content
        assert isinstance(content, TextContent)
        assert '"image_url": "https://example.com/a.png"' in content.text
        ref = PromptReference(name="smart-resize")
        completed = await client.complete(ref, {"name": "aspect_ratio", "value": "1"})
        assert completed.completion.values == ["1:1", "16:9"]


@pytest.mark.parametrize("mode", MODES)
async def test_a_run_with_progress(server: Server, mode: str) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def callback(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async with connected(server, mode=mode) as client:
        result = await client.call_tool("generate", {"model": MODEL, "input": INPUT}, progress_callback=callback)
    assert not result.is_error
    assert result.structured_content is not None
    [link] = [one for one in result.content if isinstance(one, ResourceLink)]
    assert result.structured_content["outputs"] == [{"url": str(link.uri), "mime_type": "image/png"}]
    values = [value for value, _, _ in told]
    assert len(values) > 1
    assert values == sorted(set(values))
    assert told[-1][1] == values[-1]
    assert (told[-1][2] or "").startswith("succeeded, 3 of 3 steps")


@pytest.mark.parametrize("mode", MODES)
async def test_an_error_keeps_its_envelope(server: Server, mode: str) -> None:
    async with connected(server, key="rf_live_sandbox_no_credit", mode=mode) as client:
        result = await client.call_tool("generate", {"model": MODEL, "input": INPUT})
    assert result.is_error
    assert result.structured_content is not None
    assert result.structured_content["error"]["code"] == "insufficient_credits"
    [text] = result.content
    assert isinstance(text, TextContent)
    assert text.text.startswith("[insufficient_credits] ")


@pytest.mark.parametrize("mode", MODES)
async def test_a_refused_key_is_shown_with_what_to_do(server: Server, mode: str) -> None:
    refusal = pytest.RaisesExc(MCPError, match="it starts with rf_live_")
    with pytest.RaisesGroup(refusal, flatten_subgroups=True):
        async with connected(server, key="rf_svc_sandbox", mode=mode):
            pass


async def test_a_call_that_is_given_up_ends_its_wait(server: Server) -> None:
    """In the modern era the client closes the stream, which is how it cancels."""
    async with connected(server) as client:
        calling = asyncio.create_task(
            client.call_tool("generate", {"model": "sandbox/slow", "input": {}}, read_timeout_seconds=0.2)
        )
        await eventually_async(lambda: server.services.inflight.slots_used == 1)
        with pytest.raises(MCPError, match=r"[Tt]imed out"):
            await calling
        await eventually_async(lambda: server.services.inflight.slots_used == 0)
        assert (await client.list_tools()).tools


async def test_listening_for_changed_prompts(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_CATALOG_TTL_MS="5000")
    async with (
        connected(server) as client,
        client.listen(prompts_list_changed=True, tools_list_changed=True) as subscription,
    ):
        assert subscription.honored.model_dump(exclude_none=True) == {"prompts_list_changed": True}
        assert len((await client.list_prompts()).prompts) > 1
        script(sandbox, entry("runflow/headshots"))
        async with asyncio.timeout(5):
            assert isinstance(await anext(subscription), PromptsListChanged)
        # Not from the client's cache, although the list's freshness has not passed.
        assert [prompt.name for prompt in (await client.list_prompts()).prompts] == ["headshots"]
    await eventually_async(lambda: len(server.services.subscriptions) == 0)


async def test_a_stop_ends_listening_gracefully(server: Server) -> None:
    async with connected(server) as client:
        await client.list_prompts()  # the first catalog is there: it changes no prompts any more
        async with client.listen(prompts_list_changed=True) as subscription:
            server.services.subscriptions.drain()
            async with asyncio.timeout(5):
                assert [event async for event in subscription] == []
        # What comes after that is acknowledged and ended in one go.
        async with client.listen(prompts_list_changed=True) as late, asyncio.timeout(5):
            assert [event async for event in late] == []


async def test_a_process_that_is_stopped_ends_listening_gracefully(tmp_path: Path) -> None:
    with ServerProcess.of(tmp_path, *SERVE, "--sandbox", settings={}) as process:
        await asyncio.to_thread(process.wait_for_status, 200, "/healthz")
        url = f"{process.origin}/mcp"
        async with connected(url) as client, client.listen(prompts_list_changed=True) as subscription:
            process.send_signal()
            async with asyncio.timeout(5):
                # An embedded catalog may arrive only now; what matters is that no loss is reported.
                assert {type(event) for event in [event async for event in subscription]} <= {PromptsListChanged}
                assert await asyncio.to_thread(process.wait) == 0
