"""The official Python SDK's client, as most Python hosts use it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import PromptsListChanged
from mcp.shared.exceptions import MCPError
from mcp_types import PromptReference, ResourceLink, ResourceTemplateReference, TextContent, TextResourceContents
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from runflow_mcp.protocol.revisions import LATEST_LEGACY, Revision
from tests.eventually import eventually_async
from tests.methods.scripted_catalogs import entry, script
from tests.scripted_sandbox import ScriptedSandbox
from tests.server_process import SERVE, ServerProcess
from tests.serving import INPUT, KEY, MODEL, Serve, Server

pytestmark = pytest.mark.real_time

#: ``legacy`` begins with ``initialize``; ``auto`` asks for a later revision first and falls back.
MODES = ("auto", "legacy")
NEWEST_COMMON = max(
    {*HANDSHAKE_PROTOCOL_VERSIONS, *MODERN_PROTOCOL_VERSIONS} & {str(revision) for revision in Revision}
)


@asynccontextmanager
async def connected(server: Server | str, *, key: str = KEY, mode: str = "auto") -> AsyncIterator[Client]:
    """A client of a server, or of the URL of one."""
    url = server if isinstance(server, str) else server.url
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


@pytest.mark.parametrize(("mode", "revision"), [("auto", NEWEST_COMMON), ("legacy", LATEST_LEGACY)])
async def test_a_client_connects_at_the_newest_common_revision(server: Server, mode: str, revision: str) -> None:
    async with connected(server, mode=mode) as client:
        assert client.server_info is not None
        assert client.server_info.name == "Runflow"
        assert client.protocol_version == revision
        assert "client_ref" in (client.instructions or "")


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_lists_tools_and_prompts(server: Server, mode: str) -> None:
    async with connected(server, mode=mode) as client:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["generate", "list_models"]
        prompts = (await client.list_prompts()).prompts
        assert "object-removal-prompt" in [prompt.name for prompt in prompts]
        found = await client.call_tool("list_models", {"category": "solution"})
        assert found.structured_content is not None
        assert found.structured_content["total"] == len(prompts)


async def test_a_prompt_is_filled_in_and_its_arguments_are_completed(server: Server) -> None:
    async with connected(server) as client:
        prompt = await client.get_prompt("object-removal-prompt", {"image_url": "https://example.com/a.png"})
        content = prompt.messages[0].content
        assert isinstance(content, TextContent)
        assert '"image_url": "https://example.com/a.png"' in content.text
        ref = PromptReference(name="smart-resize")
        completed = await client.complete(ref, {"name": "aspect_ratio", "value": "1"})
        assert completed.completion.values == ["1:1", "16:9"]


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_lists_resources_and_reads_one_of_each_kind(server: Server, mode: str) -> None:
    async def read(uri: str) -> str:
        [content] = (await client.read_resource(uri)).contents
        assert isinstance(content, TextResourceContents)
        assert str(content.uri) == uri
        return content.text

    async with connected(server, mode=mode) as client:
        ran = await client.call_tool("generate", {"model": MODEL, "input": INPUT})
        assert ran.structured_content is not None
        uris = [str(resource.uri) for resource in (await client.list_resources()).resources]
        assert "skill://runflow/SKILL.md" in uris
        assert (await read("skill://runflow/SKILL.md")).startswith("---\nname: runflow\n")
        templates = (await client.list_resource_templates()).resource_templates
        [of_models, of_runs] = [template.uri_template for template in templates]
        run_uri = of_runs.replace("{run_id}", ran.structured_content["run_id"])
        # Each read has links of its own, which are signed anew.
        read_again = json.loads(await read(run_uri))["outputs"]
        paths = [
            [output["url"].partition("?")[0] for output in outputs]
            for outputs in (read_again, ran.structured_content["outputs"])
        ]
        assert paths[0] == paths[1] != []
        ref = ResourceTemplateReference(uri=of_models)
        [slug] = (
            await client.complete(ref, {"name": "slug", "value": "smart-r"}, {"provider": "runflow"})
        ).completion.values
        model = json.loads(await read(of_models.replace("{provider}", "runflow").replace("{+slug}", slug)))
        assert model["example"]["arguments"]["model"] == "runflow/smart-resize"
        with pytest.raises(MCPError, match="no such run"):
            await client.read_resource("runflow-run://no-such-run")


@pytest.mark.parametrize("mode", MODES)
async def test_a_run_reports_progress_and_returns_its_result(server: Server, mode: str) -> None:
    progress_seen: list[tuple[float, float | None, str | None]] = []

    async def callback(progress: float, total: float | None, message: str | None) -> None:
        progress_seen.append((progress, total, message))

    async with connected(server, mode=mode) as client:
        result = await client.call_tool("generate", {"model": MODEL, "input": INPUT}, progress_callback=callback)
    assert not result.is_error
    assert result.structured_content is not None
    [link] = [block for block in result.content if isinstance(block, ResourceLink)]
    [output] = result.structured_content["outputs"]
    assert (output["url"], output["mime_type"]) == (str(link.uri), "image/png")
    assert output["expires_at"].endswith("Z")
    values = [value for value, _, _ in progress_seen]
    assert len(values) > 1
    assert values == sorted(set(values))
    assert progress_seen[-1][1] == values[-1]
    assert (progress_seen[-1][2] or "").startswith("succeeded, 3 of 3 steps")


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
async def test_a_rejected_key_is_shown_with_the_remedy(server: Server, mode: str) -> None:
    refusal = pytest.RaisesExc(MCPError, match="it starts with rf_live_")
    with pytest.RaisesGroup(refusal, flatten_subgroups=True):
        async with connected(server, key="rf_svc_sandbox", mode=mode):
            pass


async def test_a_call_that_times_out_at_the_client_ends_its_wait(server: Server) -> None:
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


async def test_a_client_that_listens_learns_of_changed_prompts(serve: Serve, sandbox: ScriptedSandbox) -> None:
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
        # A later subscription is acknowledged and ended at once.
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
