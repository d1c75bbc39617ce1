"""The official TypeScript SDKs, which most editors and desktop hosts use: 1.x, and 2.x in both eras."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import pytest

from runflow_mcp.protocol.revisions import LATEST_LEGACY
from tests.clients.peer_programs import Talk, node_peers, talking
from tests.eventually import eventually_async
from tests.methods.catalogs import entry, script
from tests.scripted_sandbox import ScriptedSandbox
from tests.services import require
from tests.serving import KEY, MODERN, Serve, Server
from tests.virtual_time import VirtualClock

pytestmark = pytest.mark.real_time

every_host = pytest.mark.parametrize(("sdk", "era"), [("v1", "legacy"), ("v2", "legacy"), ("v2", "auto")])
one_of_each_era = pytest.mark.parametrize(("sdk", "era"), [("v1", "legacy"), ("v2", "auto")])


class Host(Protocol):
    def __call__(self, server: Server, step: str, *, key: str = KEY) -> AbstractAsyncContextManager[Talk]: ...


@pytest.fixture(scope="session")
def program() -> Path:
    return node_peers() / "typescript.mjs"


@pytest.fixture
def host(program: Path, sdk: str, era: str, tmp_path: Path) -> Host:
    def start(server: Server, step: str, *, key: str = KEY) -> AbstractAsyncContextManager[Talk]:
        return talking(require("node"), str(program), sdk, era, server.url, key, step, home=tmp_path)

    return start


async def seen(host: Host, server: Server, step: str, *, key: str = KEY) -> Any:
    """What the host saw in a step."""
    async with host(server, step, key=key) as talk:
        return await talk.hear()


@every_host
async def test_connecting_and_what_there_is(host: Host, server: Server, era: str) -> None:
    met = await seen(host, server, "meet")
    assert met["server"] == "Runflow"
    assert met["version"] == (MODERN if era == "auto" else LATEST_LEGACY)
    assert "client_ref" in met["instructions"]
    assert met["tools"] == ["generate", "list_models"]
    assert "object-removal-prompt" in met["prompts"]
    assert met["found"]["total"] == len(met["prompts"])
    assert '"image_url": "https://example.com/a.png"' in met["prompt"]
    assert met["values"] == ["2K"]


class TestARunThatTakesLongerThanTheHostWaits:
    @pytest.fixture
    def sandbox(self, clock: VirtualClock) -> ScriptedSandbox:
        return ScriptedSandbox(clock=clock, speed=6)

    @every_host
    async def test_progress_keeps_the_call_alive(self, host: Host, server: Server) -> None:
        met = await seen(host, server, "run")
        assert "fault" not in met, met
        assert met["took"] > met["timeout"]
        assert met["result"]["structuredContent"]["status"] == "succeeded"
        assert [one["type"] for one in met["result"]["content"]] == ["text", "resource_link"]
        told = [one["progress"] for one in met["told"]]
        assert len(told) > 5
        assert told == sorted(set(told))
        assert met["told"][-1]["message"].startswith("succeeded, 3 of 3 steps")


@every_host
async def test_an_error_passes_the_hosts_check_of_the_output_schema(host: Host, server: Server) -> None:
    result = (await seen(host, server, "error", key="rf_live_sandbox_no_credit"))["result"]
    assert result["isError"] is True
    assert result["structuredContent"]["error"]["code"] == "insufficient_credits"
    assert result["content"][0]["text"].startswith("[insufficient_credits] ")


@one_of_each_era
async def test_a_refused_key_is_shown_with_what_to_do(host: Host, server: Server, era: str) -> None:
    fault = (await seen(host, server, "meet", key="rf_svc_sandbox"))["fault"]
    if era == "auto":  # this one shows its own words and the status
        assert "401" in fault
    else:
        assert "it starts with rf_live_" in fault


@one_of_each_era
async def test_a_call_that_the_host_gives_up(host: Host, server: Server, era: str) -> None:
    """A modern host closes the stream, which ends the wait at once; a legacy one leaves it open until it ends."""
    async with host(server, "leave") as talk:
        await eventually_async(lambda: server.services.inflight.slots_used == 1)
        assert "timed out" in (await talk.hear())["fault"]
        if era == "auto":
            await eventually_async(lambda: server.services.inflight.slots_used == 0)
        await talk.say("enough")
    await eventually_async(lambda: server.services.inflight.slots_used == 0)


@pytest.mark.parametrize(("sdk", "era"), [("v2", "auto")])
async def test_listening_for_changed_prompts(host: Host, serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_CATALOG_TTL_MS="5000")
    async with host(server, "listen") as talk:
        assert await talk.hear() == {"honoured": {"promptsListChanged": True}}
        script(sandbox, entry("runflow/headshots"))
        assert await talk.hear() == {"prompts": ["headshots"]}
        server.services.subscriptions.drain()
        assert await talk.hear() == {"closed": "graceful"}
