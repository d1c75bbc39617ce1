"""``initialize``, ``ping`` and the instructions: the preface that clients do not cut, then the skill."""

from typing import Any

import pytest

from runflow_mcp import __version__
from runflow_mcp.runflow.catalog.skill import bundled_skill
from runflow_mcp.sandbox.catalog import skill_document
from tests.scripted_sandbox import Hang, Respond, Route, ScriptedSandbox
from tests.serving import Serve, Server

LIVE = skill_document().decode().strip()
BUNDLED = bundled_skill().markdown
#: What the strictest client keeps, with a margin.
FIRST = 1800


async def initialize(server: Server, revision: str = "2025-11-25") -> Any:
    params = {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}
    return (await server.rpc("initialize", params)).result


async def instructions(server: Server) -> str:
    await server.services.clock.sleep(1)
    text: str = (await initialize(server))["instructions"]
    return text


@pytest.mark.parametrize("revision", ["2025-03-26", "2025-06-18", "2025-11-25"])
async def test_initialize_agrees_on_a_supported_revision(server: Server, revision: str) -> None:
    assert (await initialize(server, revision))["protocolVersion"] == revision


@pytest.mark.parametrize("revision", ["2024-11-05", "2026-07-28", "1.0", ""])
async def test_initialize_answers_any_other_revision_with_the_latest(server: Server, revision: str) -> None:
    assert (await initialize(server, revision))["protocolVersion"] == "2025-11-25"


async def test_initialize_names_the_server_and_its_capabilities(server: Server) -> None:
    result = await initialize(server)
    assert result["serverInfo"]["name"] == "Runflow"
    assert result["serverInfo"]["version"] == __version__
    assert set(result["capabilities"]) == {"tools", "prompts", "completions", "resources", "extensions"}
    assert not any("listChanged" in capability for capability in result["capabilities"].values())


async def test_initialize_makes_no_session(server: Server) -> None:
    answer = await server.rpc("initialize", {"protocolVersion": "2025-11-25"})
    assert "Mcp-Session-Id" not in answer.headers


@pytest.mark.parametrize("params", [None, {}, {"protocolVersion": 1}], ids=repr)
async def test_initialize_without_a_revision_is_invalid_params(server: Server, params: object) -> None:
    assert (await server.rpc("initialize", params)).error["code"] == -32602


async def test_ping_is_answered_with_an_empty_result(server: Server) -> None:
    assert (await server.rpc("ping")).result == {}


@pytest.mark.parametrize(
    "rule",
    ["Solution", "list_models", "generate", "client_ref", "wait=false", "URL", "next_action", "polling_timeout"],
)
async def test_the_preface_fits_into_what_every_client_keeps(server: Server, rule: str) -> None:
    assert rule in (await instructions(server)).removesuffix(LIVE)[:FIRST]


async def test_the_preface_is_short_and_the_live_skill_follows_whole(server: Server) -> None:
    text = await instructions(server)
    assert text.endswith(LIVE)
    assert len(text) - len(LIVE) <= FIRST


async def test_until_the_live_skill_arrives_the_bundled_one_is_used(serve: Serve, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.SKILL, Hang(20))
    server = await serve()
    assert (await initialize(server))["instructions"].endswith(BUNDLED)
    assert server.services.clock.monotonic() == 0
    await server.services.clock.sleep(120)
    assert (await instructions(server)).endswith(LIVE)


async def test_without_a_skill_url_the_bundled_one_is_used(serve: Serve, sandbox: ScriptedSandbox) -> None:
    assert (await instructions(await serve(RUNFLOW_SKILL_URL=""))).endswith(BUNDLED)
    assert not any(request.path.endswith("SKILL.md") for request in sandbox.requests)


async def test_the_skill_is_refreshed_with_the_catalog(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_CATALOG_TTL_MS="60000")
    assert (await instructions(server)).endswith(LIVE)
    sandbox.script.add(Route.SKILL, Respond(200, b"# New", {"Content-Type": "text/markdown"}), times=None)
    await server.services.clock.sleep(61)
    assert (await instructions(server)).endswith("# New")


@pytest.mark.parametrize("uri", ["runflow-model://", "runflow-run://", "skill://runflow/SKILL.md"])
async def test_the_preface_names_the_resources_since_hosts_do_not_show_templates(server: Server, uri: str) -> None:
    assert uri in (await instructions(server)).removesuffix(LIVE)[:FIRST]
