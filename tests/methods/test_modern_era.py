"""What 2026-07-28 adds: discovery, cache hints, typed results, routing headers, cancelling by disconnect."""

import asyncio
from typing import Any

import pytest

from runflow_mcp import __version__
from runflow_mcp.protocol.revisions import SUPPORTED
from runflow_mcp.sandbox.catalog import skill_document
from tests import serving
from tests.methods.recorded_requests import caller_requests, dispatches, polls
from tests.scripted_sandbox import Respond, Route, ScriptedSandbox
from tests.serving import BOTH, INPUT, KEY, META, MODEL, MODERN, TASKS, Serve, Server, encoded, modern

SLOW = "sandbox/slow"
SERVER_INFO = f"{META}serverInfo"
GENERATE = {"name": "generate", "arguments": {"model": MODEL, "input": INPUT}}
COMPLETION = {
    "ref": {"type": "ref/prompt", "name": "smart-resize"},
    "argument": {"name": "resolution", "value": ""},
}
LEGACY_REVISIONS = {"MCP-Protocol-Version": "2025-11-25"}


# Discovery


async def test_discover_lists_the_supported_revisions_and_capabilities(server: Server) -> None:
    await server.services.clock.sleep(1)  # the live skill has come by then
    result = (await server.modern("server/discover")).result
    assert set(result) == {
        "resultType",
        "supportedVersions",
        "capabilities",
        "instructions",
        "ttlMs",
        "cacheScope",
        "_meta",
    }
    assert result["supportedVersions"] == list(SUPPORTED)
    assert result["capabilities"] == {
        "tools": {},
        "prompts": {"listChanged": True},
        "completions": {},
        "resources": {},
        "extensions": {TASKS: {}, "io.modelcontextprotocol/skills": {}},
    }
    assert result["_meta"][SERVER_INFO]["name"] == "Runflow"
    assert result["_meta"][SERVER_INFO]["version"] == __version__
    assert result["instructions"].endswith(skill_document().decode().strip())


async def test_discover_has_the_same_instructions_as_the_handshake(server: Server) -> None:
    discovered = (await server.modern("server/discover")).result
    initialized = (await server.rpc("initialize", {"protocolVersion": "2025-11-25"})).result
    assert discovered["instructions"] == initialized["instructions"]
    assert discovered["_meta"][SERVER_INFO] == initialized["serverInfo"]


async def test_discover_does_not_wait_for_the_network(serve: Serve, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CATALOG, Respond(503), times=None)
    sandbox.script.add(Route.SKILL, Respond(503), times=None)
    server = await serve()
    assert (await server.modern("server/discover")).result["resultType"] == "complete"
    assert server.services.clock.monotonic() == 0


async def test_discover_exists_in_the_modern_era_only(server: Server) -> None:
    answer = await server.rpc("server/discover", headers=LEGACY_REVISIONS)
    assert (answer.status, answer.error["code"]) == (200, -32601)


async def test_no_session_is_made_and_one_that_is_named_is_ignored(server: Server) -> None:
    answer = await server.modern("server/discover", headers={"Mcp-Session-Id": "x", "Last-Event-ID": "5"})
    assert answer.status == 200
    assert "Mcp-Session-Id" not in answer.headers


async def test_a_call_needs_no_handshake(server: Server) -> None:
    assert (await server.modern("tools/call", GENERATE)).structured["status"] == "succeeded"


# Cache hints


async def test_prompts_may_be_cached_until_the_catalog_is_refreshed(serve: Serve) -> None:
    server = await serve(MCP_CATALOG_TTL_MS="100000")
    await server.services.clock.sleep(1)
    ttls = []
    for pause in (0, 49, 29, 2):  # after 80 s the catalog is fetched anew
        await server.services.clock.sleep(pause)
        ttls.append((await server.modern("prompts/list")).result["ttlMs"])
    assert ttls == pytest.approx([99_000, 50_000, 21_000, 99_000], abs=1000)
    assert all(type(ttl) is int for ttl in ttls)


async def test_prompts_of_a_stale_catalog_are_not_to_be_cached(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_CATALOG_TTL_MS="100000")
    await server.services.clock.sleep(1)
    sandbox.script.add(Route.CATALOG, Respond(503), times=None)
    await server.services.clock.sleep(101)
    result = (await server.modern("prompts/list")).result
    assert result["prompts"]
    assert result["ttlMs"] == 0


async def test_an_empty_list_of_prompts_without_a_catalog_is_not_to_be_cached(
    serve: Serve, sandbox: ScriptedSandbox
) -> None:
    sandbox.script.add(Route.CATALOG, Respond(503), times=None)
    server = await serve()
    result = (await server.modern("prompts/list")).result
    assert (result["prompts"], result["ttlMs"]) == ([], 0)


async def test_discover_may_be_cached_as_long_as_the_catalog_and_the_skill(serve: Serve) -> None:
    server = await serve(MCP_CATALOG_TTL_MS="100000")
    result = (await server.modern("server/discover")).result
    assert result["ttlMs"] == 100_000


@pytest.mark.parametrize("method", ["server/discover", "tools/list", "prompts/list"])
async def test_a_result_that_is_equal_for_all_keys_may_be_cached_for_all(server: Server, method: str) -> None:
    first = await server.modern(method)
    of_another_key = await server.modern(method, key="rf_live_somebody_else")
    assert first.result == of_another_key.result
    assert first.result["cacheScope"] == "public"
    assert first.result["ttlMs"] > 0


@pytest.mark.parametrize("method", ["tools/list", "prompts/list"])
async def test_legacy_results_have_no_cache_hints(server: Server, method: str) -> None:
    legacy = (await server.rpc(method, headers=LEGACY_REVISIONS)).result
    modern_result = (await server.modern(method)).result
    assert {name: modern_result[name] for name in legacy} == legacy
    assert set(modern_result) - set(legacy) == {"resultType", "_meta", "ttlMs", "cacheScope"}


@pytest.mark.parametrize("method", ["tools/list", "prompts/list"])
async def test_a_cursor_that_was_never_issued_is_invalid_params(server: Server, method: str) -> None:
    assert (await server.modern(method, {"cursor": "x"})).error["code"] == -32602


# Results


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {"name": "list_models"}),
        ("tools/call", {"name": "list_models", "arguments": {"limit": 0}}),
        ("tools/call", GENERATE),
        ("tools/call", {"name": "generate", "arguments": {"model": "no/such-model", "input": {}}}),
        ("prompts/get", {"name": "smart-resize"}),
        ("completion/complete", COMPLETION),
    ],
    ids=["tool", "wrong arguments", "run", "refused run", "prompt", "completion"],
)
async def test_every_result_is_typed_and_names_the_server(server: Server, method: str, params: dict[str, Any]) -> None:
    result = (await server.modern(method, params)).result
    assert result["resultType"] == "complete"
    assert result["_meta"][SERVER_INFO]["name"] == "Runflow"


async def test_apart_from_type_and_server_a_result_is_the_same_in_both_eras(server: Server) -> None:
    arguments = {**GENERATE["arguments"], "client_ref": "mine"}  # type: ignore[dict-item]
    modern_result = (await server.modern("tools/call", {"name": "generate", "arguments": arguments})).result
    legacy = (await server.generate(client_ref="mine", headers={"MCP-Protocol-Version": "2025-11-25"})).result
    assert {name: value for name, value in modern_result.items() if name not in ("resultType", "_meta")} == legacy


async def test_a_run_streams_its_progress(server: Server) -> None:
    answer = await server.modern("tools/call", GENERATE, id="mine", meta={"progressToken": "t"})
    assert answer.is_stream
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert len(answer.progress) > 1
    assert {sent["progressToken"] for sent in answer.progress} == {"t"}
    assert answer.events[-1]["id"] == "mine"


async def test_no_log_messages_are_sent_even_when_asked_for(server: Server) -> None:
    """Two widely used clients ask for them with every request."""
    answer = await server.modern("tools/call", GENERATE, meta={f"{META}logLevel": "debug", "progressToken": 1})
    assert {event.get("method") for event in answer.events} == {"notifications/progress", None}


async def test_a_capability_holds_for_its_own_request_alone(server: Server) -> None:
    assert (await server.modern("tools/call", GENERATE, extensions=(TASKS,))).result["resultType"] == "task"
    assert (await server.modern("tools/call", GENERATE)).result["resultType"] == "complete"


@pytest.mark.parametrize("name", ["nothing", ""])
async def test_an_unknown_tool_or_prompt_is_invalid_params(server: Server, name: str) -> None:
    for method in ("tools/call", "prompts/get"):
        assert (await server.modern(method, {"name": name})).error["code"] == -32602


@pytest.mark.parametrize(
    "method", ["tasks/result", "resources/unsubscribe", "resources/subscribe", "notifications/initialized"]
)
async def test_methods_that_the_modern_era_lacks_are_not_found(server: Server, method: str) -> None:
    answer = await server.modern(method)
    assert (answer.status, answer.error["code"]) == (404, -32601)


@pytest.mark.parametrize("id_", [0, -1, 2**53, "", "1", "server-discover-probe-1"], ids=repr)
@pytest.mark.parametrize("method", ["tools/list", "ping", "subscriptions/listen"])
async def test_an_answer_has_the_id_of_its_request(server: Server, id_: str | int, method: str) -> None:
    answer = await server.modern(method, id=id_)
    assert answer.json["id"] == id_
    assert type(answer.json["id"]) is type(id_)


# Routing headers


def without(headers: dict[str, str], name: str) -> dict[str, str]:
    return {header: value for header, value in headers.items() if header != name}


async def sent(server: Server, headers: dict[str, str], **params: Any) -> serving.Answer:
    """A ``tools/call`` of ``generate`` under these headers."""
    message, _ = modern("tools/call", {**GENERATE, **params})
    return await server.post(message, headers=headers)


RIGHT = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "generate"}


@pytest.mark.parametrize(
    "headers",
    [
        without(RIGHT, "MCP-Protocol-Version"),
        without(RIGHT, "Mcp-Method"),
        without(RIGHT, "Mcp-Name"),
        RIGHT | {"MCP-Protocol-Version": "2025-11-25"},
        RIGHT | {"Mcp-Method": "tools/list"},
        RIGHT | {"Mcp-Method": "Tools/Call"},
        RIGHT | {"Mcp-Method": encoded("tools/call")},
        RIGHT | {"Mcp-Name": "list_models"},
        RIGHT | {"Mcp-Name": "GENERATE"},
        RIGHT | {"Mcp-Name": ""},
        RIGHT | {"Mcp-Name": encoded("list_models")},
        RIGHT | {"Mcp-Name": "=?base64?Z2VuZXJhdGU?="},
        RIGHT | {"Mcp-Name": "=?base64?!!!!?="},
        RIGHT | {"Mcp-Name": "=?base64?/////w==?="},
        RIGHT | {"Mcp-Name": "Z2VuZXJhdGU="},
    ],
    ids=lambda headers: str([value for name, value in headers.items() if RIGHT[name] != value] or sorted(headers)),
)
async def test_headers_that_differ_from_the_body_are_rejected_and_nothing_starts(
    server: Server, sandbox: ScriptedSandbox, headers: dict[str, str]
) -> None:
    answer = await sent(server, headers)
    assert (answer.status, answer.error["code"]) == (400, -32020)
    assert answer.json["id"] == 1
    assert caller_requests(sandbox) == []


@pytest.mark.parametrize(
    "headers",
    [
        RIGHT,
        {name.lower(): value for name, value in RIGHT.items()},
        {name.upper(): value for name, value in RIGHT.items()},
        {name: f" {value}\t " for name, value in RIGHT.items()},
        RIGHT | {"Mcp-Name": encoded("generate")},
        RIGHT | {"Mcp-Name": f"  {encoded('generate')} "},
        RIGHT | {"Mcp-Param-Model": "something else"},
    ],
    ids=["plain", "lower", "upper", "padded", "encoded", "encoded and padded", "undeclared param"],
)
async def test_headers_that_repeat_the_body_are_accepted_in_any_spelling(
    server: Server, headers: dict[str, str]
) -> None:
    assert (await sent(server, headers)).structured["status"] == "succeeded"


async def test_a_header_that_is_sent_twice_is_rejected(server: Server, sandbox: ScriptedSandbox) -> None:
    message, headers = modern("tools/call", GENERATE)
    for name, value in headers.items():
        fields = [*headers.items(), (name, value), ("Authorization", f"Bearer {KEY}"), ("Accept", BOTH)]
        async with server.session.post(server.url, json=message, headers=fields) as response:
            assert response.status == 400, name
            assert (await response.json())["error"]["code"] == -32020
    assert caller_requests(sandbox) == []


@pytest.mark.parametrize("name", ["köpfe", " padded ", "=?base64?x?=", "日本"])
async def test_a_name_outside_ascii_is_sent_encoded(server: Server, name: str) -> None:
    """The header is compared decoded; the unknown prompt is reported later."""
    answer = await server.modern("prompts/get", {"name": name})
    assert answer.error["code"] == -32602
    refused = await server.modern("prompts/get", {"name": name}, headers={"Mcp-Name": encoded(name + "x")})
    assert (refused.status, refused.error["code"]) == (400, -32020)


async def test_meta_headers_version_method_and_params_are_checked_in_this_order(server: Server) -> None:
    """Meta, then headers, then the version, then the method, then its params."""
    mangled: dict[str, Any] = {"meta": {f"{META}clientCapabilities": None}}
    unsupported: dict[str, Any] = {"meta": {f"{META}protocolVersion": "2099-01-01"}}
    wrong = {"Mcp-Method": "wrong"}
    later = {"MCP-Protocol-Version": "2099-01-01"}
    answers = [
        await server.modern("nonsense", headers=wrong, **mangled),
        await server.modern("nonsense", headers=wrong, **unsupported),
        await server.modern("nonsense", headers=later, **unsupported),
        await server.modern("nonsense", {"name": 5}),
        await server.modern("tools/call", {"name": 5}),
    ]
    assert [answer.error["code"] for answer in answers] == [-32602, -32020, -32022, -32601, -32602]
    assert [answer.status for answer in answers][:4] == [400, 400, 400, 404]


async def test_routing_headers_on_a_legacy_request_are_ignored(server: Server) -> None:
    headers = {"MCP-Protocol-Version": "2025-06-18", "Mcp-Method": "tools/list", "Mcp-Name": "x"}
    answer = await server.rpc("tools/call", GENERATE, headers=headers)
    assert answer.structured["status"] == "succeeded"
    assert "resultType" not in answer.result


# Cancelling


@pytest.mark.parametrize("accept", [BOTH, None], ids=["events", "json"])
@pytest.mark.parametrize("after", [1.0, 40.0])
async def test_closing_the_stream_ends_the_wait_at_once_and_not_the_run(
    server: Server, sandbox: ScriptedSandbox, accept: str | None, after: float
) -> None:
    params = {"name": "generate", "arguments": {"model": SLOW, "input": INPUT, "client_ref": "left"}}
    leaving = asyncio.create_task(server.modern("tools/call", params, accept=accept, meta={"progressToken": 1}))
    await server.services.clock.sleep(after)
    assert server.services.inflight.slots_used == 1
    leaving.cancel()
    await asyncio.wait([leaving])
    await server.services.clock.sleep(0.1)
    assert server.services.inflight.slots_used == 0
    seen = len(polls(sandbox))
    await server.services.clock.sleep(300)
    assert len(polls(sandbox)) == seen
    again = await server.modern("tools/call", {**params, "arguments": {**params["arguments"], "wait": False}})  # type: ignore[dict-item]
    assert again.structured["status"] == "running"
    assert len(dispatches(sandbox)) == 1


async def test_a_cancelled_notification_is_accepted_and_ends_nothing(server: Server) -> None:
    """Ids of different clients collide in a server without sessions; closing the stream is what cancels here."""
    waiting = asyncio.create_task(server.modern("tools/call", GENERATE))
    await server.services.clock.sleep(1)
    message, headers = modern("notifications/cancelled", {"requestId": 1})
    del message["id"]
    answer = await server.post(message, headers=headers)
    assert (answer.status, answer.content) == (202, b"")
    assert (await waiting).structured["status"] == "succeeded"
