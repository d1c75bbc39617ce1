"""The agent skill: read whole as a resource, and listed with a manifest that a host can verify (SEP-2640)."""

import hashlib
from typing import Any

import pytest

from runflow_mcp.runflow.catalog.skill import bundled_skill
from runflow_mcp.sandbox.catalog import skill_document
from tests.scripted_sandbox import Hang, Respond, Route, ScriptedSandbox
from tests.serving import Serve, Server

LIVE = skill_document().decode().strip()
URI = "skill://runflow/SKILL.md"
EXTENSION = "io.modelcontextprotocol/skills"
LEGACY = ("2025-03-26", "2025-06-18", "2025-11-25")


async def live(serve: Serve, sandbox: ScriptedSandbox, markdown: str, **settings: str) -> Server:
    """A server that has fetched this skill."""
    sandbox.script.add(Route.SKILL, Respond(200, markdown.encode(), {"Content-Type": "text/markdown"}), times=None)
    server = await serve(**settings)
    await server.services.clock.sleep(1)
    return server


async def skills(server: Server) -> Any:
    return (await server.rpc("skills/list")).result["skills"]


async def read(server: Server, uri: str = URI) -> Any:
    [content] = (await server.rpc("resources/read", {"uri": uri})).result["contents"]
    return content


async def assert_verifiable(server: Server, name: str, description: str) -> str:
    """The text of the one skill, after what a host checks before it loads it."""
    [skill] = await skills(server)
    assert skill["uri"] == f"skill://{name}/SKILL.md"
    assert (skill["frontmatter"]["name"], skill["frontmatter"]["description"]) == (name, description)
    [file] = skill["resources"]
    content = await read(server, skill["uri"])
    raw = content["text"].encode()
    assert file == {"uri": skill["uri"], "digest": f"sha256:{hashlib.sha256(raw).hexdigest()}", "size": len(raw)}
    assert (content["uri"], content["mimeType"]) == (skill["uri"], "text/markdown")
    [listed] = [
        entry for entry in (await server.rpc("resources/list")).result["resources"] if entry["uri"] == skill["uri"]
    ]
    assert (listed["name"], listed["description"], listed["mimeType"]) == (name, description, "text/markdown")
    assert listed["size"] == len(raw)
    return str(content["text"])


@pytest.mark.parametrize("revision", LEGACY)
async def test_the_extension_is_declared_in_the_handshake(server: Server, revision: str) -> None:
    capabilities = (await server.rpc("initialize", {"protocolVersion": revision})).result["capabilities"]
    assert (capabilities["extensions"], capabilities["resources"]) == ({EXTENSION: {}}, {})


async def test_the_extension_is_declared_without_a_handshake(server: Server) -> None:
    capabilities = (await server.modern("server/discover")).result["capabilities"]
    assert (capabilities["extensions"][EXTENSION], capabilities["resources"]) == ({}, {})


async def test_the_skill_is_read_whole(server: Server) -> None:
    await server.services.clock.sleep(1)
    assert (await read(server))["text"] == LIVE
    text = (await server.rpc("initialize", {"protocolVersion": "2025-11-25"})).result["instructions"]
    assert text.endswith(LIVE)


async def test_a_host_can_verify_the_live_skill(server: Server) -> None:
    await server.services.clock.sleep(1)
    [skill] = await skills(server)
    assert skill["frontmatter"]["version"] == "1.0.0"
    assert await assert_verifiable(server, "runflow", skill["frontmatter"]["description"]) == LIVE


async def test_a_host_can_verify_the_bundled_skill(serve: Serve) -> None:
    server = await serve(RUNFLOW_SKILL_URL="")
    [skill] = await skills(server)
    assert await assert_verifiable(server, "runflow", skill["frontmatter"]["description"]) == bundled_skill().markdown


async def test_until_the_live_skill_arrives_the_bundled_one_is_listed(serve: Serve, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.SKILL, Hang(20))
    server = await serve()
    assert (await read(server))["text"] == bundled_skill().markdown
    answer = await server.modern("skills/list")
    assert answer.result["ttlMs"] == 0, "the live skill may arrive at any moment"
    await server.services.clock.sleep(120)
    assert (await read(server))["text"] == LIVE


async def test_a_changed_skill_has_another_digest(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_CATALOG_TTL_MS="60000")
    await server.services.clock.sleep(1)
    before = await skills(server)
    changed = "---\nname: runflow\ndescription: Something new.\n---\n# New"
    sandbox.script.add(Route.SKILL, Respond(200, changed.encode(), {"Content-Type": "text/markdown"}), times=None)
    await server.services.clock.sleep(61)
    assert await skills(server) != before
    assert await assert_verifiable(server, "runflow", "Something new.") == changed


async def test_a_skill_without_a_name_is_runflow(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await live(serve, sandbox, "---\ndescription: Makes pictures.\nlicense: MIT\n---\n\n# Whole")
    assert (await assert_verifiable(server, "runflow", "Makes pictures.")).endswith("\n# Whole")


async def test_a_skill_without_front_matter_gets_what_hosts_require(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await live(serve, sandbox, "# Whole")
    [skill] = await skills(server)
    assert "Runflow" in skill["frontmatter"]["description"]
    assert (await assert_verifiable(server, "runflow", skill["frontmatter"]["description"])).endswith("\n# Whole")


async def test_a_skill_with_another_name_is_listed_under_it_and_still_read_at_the_known_uri(
    serve: Serve, sandbox: ScriptedSandbox
) -> None:
    markdown = "---\nname: runflow-media\ndescription: Makes pictures.\n---\n\n# Whole"
    server = await live(serve, sandbox, markdown)
    assert await assert_verifiable(server, "runflow-media", "Makes pictures.") == markdown
    assert await read(server) == {"uri": URI, "mimeType": "text/markdown", "text": markdown}
    [skill] = await skills(server)
    assert (await server.rpc("skills/get", {"uri": skill["uri"]})).result == {"skill": skill}
    # The entry of a skill has the URI that was asked for, so there is none for this one.
    assert (await server.rpc("skills/get", {"uri": URI})).error["code"] == -32602


async def test_a_skill_in_a_right_to_left_script_stays_as_it_is(serve: Serve, sandbox: ScriptedSandbox) -> None:
    markdown = "---\nname: runflow\ndescription: \u202eصور ومقاطع فيديو <b>\u2069\n---\n\nمرحبا"
    server = await live(serve, sandbox, markdown)
    assert await assert_verifiable(server, "runflow", "\u202eصور ومقاطع فيديو <b>\u2069") == markdown


async def test_skills_get_returns_the_listed_entry(server: Server) -> None:
    [skill] = await skills(server)
    for ask in (server.rpc, server.modern):
        result = (await ask("skills/get", {"uri": skill["uri"]})).result
        assert result["skill"] == skill
        assert "nextCursor" not in result


async def test_the_results_of_2026_say_how_long_they_may_be_kept(server: Server) -> None:
    await server.services.clock.sleep(60)
    for method, params in (("skills/list", {}), ("skills/get", {"uri": URI}), ("resources/read", {"uri": URI})):
        result = (await server.modern(method, params)).result
        assert (result["resultType"], result["cacheScope"]) == ("complete", "public")
        assert 235_000 < result["ttlMs"] <= 240_000
        legacy = (await server.rpc(method, params)).result
        assert not {"ttlMs", "cacheScope", "resultType"} & set(legacy)


@pytest.mark.parametrize(
    "uri",
    [
        *("", "skill://", "skill://runflow", "skill://runflow/", "skill://runflow/skill.md", "skill://other/SKILL.md"),
        *("skill://runflow/../runflow/SKILL.md", "skill://runflow/SKILL.md\0", "skill://runflow/SKILL.md?x", URI[1:]),
        *("https://example.com/SKILL.md", "runflow-run://x", "skill://runflow%2FSKILL.md", "skill://" + "x" * 5000),
    ],
    ids=lambda uri: ascii(uri[:40]),
)
async def test_a_uri_that_is_no_skill_is_invalid_params_in_every_revision(server: Server, uri: str) -> None:
    for revision in LEGACY:
        answer = await server.rpc("skills/get", {"uri": uri}, headers={"MCP-Protocol-Version": revision})
        assert (answer.status, answer.error["code"], answer.error["data"]) == (200, -32602, {"uri": uri[:1024]})
    assert (await server.modern("skills/get", {"uri": uri})).error["code"] == -32602


@pytest.mark.parametrize("params", [{}, {"uri": None}, {"uri": 5}, {"uri": [URI]}], ids=str)
async def test_skills_get_without_a_uri_is_invalid_params(server: Server, params: dict[str, object]) -> None:
    assert (await server.rpc("skills/get", params)).error["code"] == -32602


async def test_skills_list_has_one_page(server: Server) -> None:
    assert "nextCursor" not in (await server.rpc("skills/list", {"cursor": None})).result
    assert (await server.rpc("skills/list", {"cursor": "2"})).error["code"] == -32602


async def test_the_method_for_directories_does_not_exist(server: Server) -> None:
    """The extension makes it optional; the skill is one file."""
    answer = await server.rpc("resources/directory/read", {"uri": "skill://runflow"})
    assert answer.error["code"] == -32601
