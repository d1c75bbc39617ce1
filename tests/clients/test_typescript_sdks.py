"""The official TypeScript SDKs, which most editors and desktop hosts use: 1.x, and 2.x in both eras."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import pytest

from runflow_mcp.protocol.revisions import LATEST_LEGACY
from tests.clients.peer_programs import Conversation, conversation, node_peers
from tests.eventually import eventually_async
from tests.methods.scripted_catalogs import entry, script
from tests.required_programs import require
from tests.scripted_sandbox import ScriptedSandbox
from tests.serving import KEY, MODERN, Serve, Server
from tests.virtual_time import VirtualClock

pytestmark = pytest.mark.real_time

every_host = pytest.mark.parametrize(("sdk", "era"), [("v1", "legacy"), ("v2", "legacy"), ("v2", "auto")])
one_of_each_era = pytest.mark.parametrize(("sdk", "era"), [("v1", "legacy"), ("v2", "auto")])


class Host(Protocol):
    def __call__(self, server: Server, step: str, *, key: str = KEY) -> AbstractAsyncContextManager[Conversation]: ...


@pytest.fixture(scope="session")
def program() -> Path:
    return node_peers() / "typescript.mjs"


@pytest.fixture
def host(program: Path, sdk: str, era: str, tmp_path: Path) -> Host:
    def start(server: Server, step: str, *, key: str = KEY) -> AbstractAsyncContextManager[Conversation]:
        return conversation(require("node"), str(program), sdk, era, server.url, key, step, home=tmp_path)

    return start


async def seen(host: Host, server: Server, step: str, *, key: str = KEY) -> Any:
    """What the host saw in a step."""
    async with host(server, step, key=key) as talk:
        return await talk.receive()


@every_host
async def test_a_host_connects_and_lists_tools_and_prompts(host: Host, server: Server, era: str) -> None:
    met = await seen(host, server, "meet")
    assert met["server"] == "Runflow"
    assert met["version"] == (MODERN if era == "auto" else LATEST_LEGACY)
    assert "client_ref" in met["instructions"]
    assert met["tools"] == ["generate", "list_models"]
    assert "object-removal-prompt" in met["prompts"]
    assert met["found"]["total"] == len(met["prompts"])
    assert '"image_url": "https://example.com/a.png"' in met["prompt"]
    assert met["values"] == ["2K"]


class TestARunLongerThanTheTimeoutOfTheHost:
    @pytest.fixture
    def sandbox(self, clock: VirtualClock) -> ScriptedSandbox:
        return ScriptedSandbox(clock=clock, speed=6)

    @every_host
    async def test_progress_keeps_the_call_alive(self, host: Host, server: Server) -> None:
        met = await seen(host, server, "run")
        assert "error" not in met, met
        assert met["took"] > met["timeout"]
        assert met["result"]["structuredContent"]["status"] == "succeeded"
        assert [block["type"] for block in met["result"]["content"]] == ["text", "resource_link"]
        figures = [notification["progress"] for notification in met["progress"]]
        assert len(figures) > 5
        assert figures == sorted(set(figures))
        assert met["progress"][-1]["message"].startswith("succeeded, 3 of 3 steps")


@every_host
async def test_an_error_passes_the_hosts_check_of_the_output_schema(host: Host, server: Server) -> None:
    result = (await seen(host, server, "error", key="rf_live_sandbox_no_credit"))["result"]
    assert result["isError"] is True
    assert result["structuredContent"]["error"]["code"] == "insufficient_credits"
    assert result["content"][0]["text"].startswith("[insufficient_credits] ")


@one_of_each_era
async def test_a_rejected_key_is_shown_with_the_remedy(host: Host, server: Server, era: str) -> None:
    error = (await seen(host, server, "meet", key="rf_svc_sandbox"))["error"]
    if era == "auto":  # this SDK shows its own message and the status
        assert "401" in error
    else:
        assert "it starts with rf_live_" in error


@one_of_each_era
async def test_a_call_that_the_host_abandons_frees_its_slot(host: Host, server: Server, era: str) -> None:
    """A modern host closes the stream, which ends the wait at once; a legacy one leaves it open until it ends."""
    async with host(server, "leave") as talk:
        await eventually_async(lambda: server.services.inflight.slots_used == 1)
        assert "timed out" in (await talk.receive())["error"]
        if era == "auto":
            await eventually_async(lambda: server.services.inflight.slots_used == 0)
        await talk.send("enough")
    await eventually_async(lambda: server.services.inflight.slots_used == 0)


@pytest.mark.parametrize(("sdk", "era"), [("v2", "auto")])
async def test_a_host_that_listens_learns_of_changed_prompts(
    host: Host, serve: Serve, sandbox: ScriptedSandbox
) -> None:
    server = await serve(MCP_CATALOG_TTL_MS="5000")
    async with host(server, "listen") as talk:
        assert await talk.receive() == {"honoured": {"promptsListChanged": True}}
        script(sandbox, entry("runflow/headshots"))
        assert await talk.receive() == {"prompts": ["headshots"]}
        server.services.subscriptions.drain()
        assert await talk.receive() == {"closed": "graceful"}
