"""The official TypeScript SDKs, which most editors and desktop hosts use: 1.x, and 2.x in both eras."""

import json
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import pytest

from runflow_mcp.protocol.revisions import LATEST_LEGACY
from tests.clients.typescript_host import Step, TypeScriptHost
from tests.eventually import eventually_async
from tests.methods.scripted_catalogs import entry, script
from tests.scripted_sandbox import Respond, Route, ScriptedSandbox
from tests.serving import KEY, MODERN, Serve, Server
from tests.virtual_time import VirtualClock

pytestmark = pytest.mark.real_time

every_host = pytest.mark.parametrize(("sdk", "era"), [("v1", "legacy"), ("v2", "legacy"), ("v2", "auto")])
one_of_each_era = pytest.mark.parametrize(("sdk", "era"), [("v1", "legacy"), ("v2", "auto")])


class Host(Protocol):
    def __call__(self, server: Server, step: str, *, key: str = KEY) -> AbstractAsyncContextManager[Step]: ...


@pytest.fixture
def host(typescript: TypeScriptHost, sdk: str, era: str) -> Host:
    def start(server: Server, step: str, *, key: str = KEY) -> AbstractAsyncContextManager[Step]:
        return typescript.step(step, sdk=sdk, era=era, url=server.url, key=key)

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


@every_host
async def test_a_host_lists_resources_and_reads_one_of_each_kind(host: Host, server: Server, sdk: str) -> None:
    met = await seen(host, server, "read")
    assert "error" not in met, met
    assert "skill://runflow/SKILL.md" in met["resources"]
    assert met["templates"] == ["runflow-model://{provider}/{+slug}", "runflow-run://{run_id}"]
    assert met["slugs"] == ["smart-resize"]
    assert met["skill"]["text"].startswith("---\nname: runflow\n")
    assert json.loads(met["model"]["text"])["model"] == "runflow/smart-resize"
    read_run = json.loads(met["run"]["text"])["outputs"]
    # Each read has links of its own, which are signed anew.
    paths = [[output["url"].partition("?")[0] for output in outputs] for outputs in (read_run, met["outputs"])]
    assert paths[0] == paths[1] != []
    assert met["link"]["text"] == met["outputs"][0]["url"]
    # The newer SDK shows the newer code in both eras.
    assert met["unknown"] == (-32002 if sdk == "v1" else -32602)


@pytest.mark.parametrize(("sdk", "era"), [("v2", "legacy"), ("v2", "auto")])
@pytest.mark.parametrize(
    ("markdown", "name"),
    [
        (None, "runflow"),
        ("---\nname: runflow-media\ndescription: Makes pictures.\nversion: 1.10\n---\n# A", "runflow-media"),
        ('---\ndescription: "Makes \\"pictures\\"."\nmore: {a: [1, 0x1f]}\n---\n# A', "runflow"),
        ("---\nname: runflow\ndescription: Use it for this: pictures.\n---\n# A", "runflow"),
        ("# \u202eمرحبا", "runflow"),
    ],
    ids=["as published", "another name", "no name", "not YAML", "no front matter"],
)
async def test_a_host_verifies_the_skill_before_it_loads_it(
    host: Host, serve: Serve, sandbox: ScriptedSandbox, markdown: str | None, name: str
) -> None:
    if markdown is not None:
        sandbox.script.add(Route.SKILL, Respond(200, markdown.encode(), {"Content-Type": "text/markdown"}), times=None)
    server = await serve()
    await eventually_async(lambda: server.services.skill.fresh_for() > 0)
    met = await seen(host, server, "skills")
    assert "error" not in met, met
    assert met["supported"] is True
    [skill] = met["skills"]
    assert skill["uri"] == f"skill://{name}/SKILL.md"
    assert (met["verified"], met["frontmatter"]) == (True, skill["frontmatter"])
    assert met["got"] == skill
    assert met["unknown"] == -32602


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
