"""Error codes and HTTP statuses of the revisions up to 2025-11-25, as a running server sends them."""

from typing import Any

import pytest

from tests.serving import Server

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
LEGACY_REVISIONS = ("2025-03-26", "2025-06-18", "2025-11-25")


def request(method: str, **params: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": "r-1", "method": method, "params": params}


def protocol(revision: str) -> dict[str, str]:
    return {"MCP-Protocol-Version": revision}


async def test_a_request_is_answered_under_its_id(server: Server) -> None:
    for id_ in (0, 1, -5, "1", "", "a b"):
        answer = await server.post(PING | {"id": id_})
        assert (answer.status, answer.json) == (200, {"jsonrpc": "2.0", "id": id_, "result": {}})
        assert type(answer.json["id"]) is type(id_)


#: what was sent → (HTTP status, JSON-RPC code, the id of the answer; None: left out)
ERRORS: dict[str, tuple[object, int, int, object]] = {
    "no JSON": (b"{", 400, -32700, None),
    "an empty body": (b"", 400, -32700, None),
    "no object": (5, 400, -32600, None),
    "no jsonrpc": ({"id": 1, "method": "ping"}, 400, -32600, 1),
    "jsonrpc 1.0": (PING | {"jsonrpc": "1.0"}, 400, -32600, 1),
    "no method": ({"jsonrpc": "2.0", "id": 1}, 400, -32600, 1),
    "null id": (PING | {"id": None}, 400, -32600, None),
    "boolean id": (PING | {"id": True}, 400, -32600, None),
    "fractional id": (PING | {"id": 1.5}, 400, -32600, None),
    "an empty batch": ([], 400, -32600, None),
    "a batch of 51": ([PING] * 51, 400, -32600, None),
    "unknown method": (request("resources/nonsense"), 200, -32601, "r-1"),
    "logging is not declared": (request("logging/setLevel", level="info"), 200, -32601, "r-1"),
    "array params": (PING | {"params": [1]}, 200, -32602, 1),
    "unknown tool": (request("tools/call", name="paint", arguments={}), 200, -32602, "r-1"),
    "tool without a name": (request("tools/call", arguments={}), 200, -32602, "r-1"),
    "tool name as a number": (request("tools/call", name=5), 200, -32602, "r-1"),
    "arguments as an array": (request("tools/call", name="list_models", arguments=[]), 200, -32602, "r-1"),
    "unknown prompt": (request("prompts/get", name="nonsense"), 200, -32602, "r-1"),
    "prompt without a name": (request("prompts/get"), 200, -32602, "r-1"),
    "completion of an unknown prompt": (
        request(
            "completion/complete",
            ref={"type": "ref/prompt", "name": "nonsense"},
            argument={"name": "a", "value": ""},
        ),
        200,
        -32602,
        "r-1",
    ),
    "an unknown cursor of tools": (request("tools/list", cursor="x"), 200, -32602, "r-1"),
    "an unknown cursor of prompts": (request("prompts/list", cursor="x"), 200, -32602, "r-1"),
}


@pytest.mark.parametrize(("sent", "status", "code", "id_"), ERRORS.values(), ids=ERRORS)
async def test_an_error_has_its_code_its_status_and_the_id_of_its_request(
    server: Server, sent: object, status: int, code: int, id_: object
) -> None:
    answer = await server.post(sent)
    assert answer.headers["Content-Type"].startswith("application/json")
    assert (answer.status, answer.error["code"]) == (status, code)
    assert answer.json["jsonrpc"] == "2.0"
    assert answer.json.get("id", None) == id_
    assert ("id" in answer.json) == (id_ is not None)
    assert isinstance(answer.error["message"], str)


@pytest.mark.parametrize("revision", LEGACY_REVISIONS)
async def test_invalid_arguments_are_a_tool_error_in_every_revision(server: Server, revision: str) -> None:
    answer = await server.call("list_models", limit=0, headers=protocol(revision))
    assert (answer.status, answer.tool_error["code"]) == (200, "invalid_arguments")


@pytest.mark.parametrize("message", [INITIALIZED, {"jsonrpc": "2.0", "id": 7, "result": {}}], ids=["note", "response"])
@pytest.mark.parametrize("revision", LEGACY_REVISIONS)
async def test_notifications_and_responses_are_accepted_without_an_answer(
    server: Server, message: object, revision: str
) -> None:
    answer = await server.post(message, headers=protocol(revision))
    assert (answer.status, answer.content) == (202, b"")


async def test_a_cancellation_is_accepted_and_ignored(server: Server) -> None:
    answer = await server.post(
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1, "reason": "x"}}
    )
    assert (answer.status, answer.content) == (202, b"")


# Batches


async def test_a_batch_is_answered_in_order(server: Server) -> None:
    answer = await server.post([PING, INITIALIZED, PING | {"id": "b"}, 5, request("nonsense")])
    assert answer.status == 200
    assert [(response.get("id"), response.get("error", {}).get("code")) for response in answer.json] == [
        (1, None),
        ("b", None),
        (None, -32600),
        ("r-1", -32601),
    ]


async def test_a_batch_of_fifty_is_answered(server: Server) -> None:
    answer = await server.post([PING | {"id": number} for number in range(50)])
    assert [response["id"] for response in answer.json] == list(range(50))


async def test_a_batch_of_notifications_gets_no_answer(server: Server) -> None:
    answer = await server.post([INITIALIZED, INITIALIZED])
    assert (answer.status, answer.content) == (202, b"")


async def test_initialize_is_rejected_in_a_batch_and_the_rest_is_answered(server: Server) -> None:
    initialize = request("initialize", protocolVersion="2025-03-26", capabilities={}, clientInfo={})
    answer = await server.post([initialize, PING])
    assert [(response["id"], response.get("error", {}).get("code")) for response in answer.json] == [
        ("r-1", -32600),
        (1, None),
    ]


@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
@pytest.mark.parametrize("batch", [[PING], [INITIALIZED], []], ids=["ping", "note", "empty"])
async def test_later_revisions_reject_a_batch(server: Server, revision: str, batch: object) -> None:
    answer = await server.post(batch, headers=protocol(revision))
    assert (answer.status, answer.error["code"]) == (400, -32600)
    assert "id" not in answer.json


# Revisions


@pytest.mark.parametrize("revision", LEGACY_REVISIONS)
async def test_initialize_agrees_on_a_supported_revision(server: Server, revision: str) -> None:
    answer = await server.rpc("initialize", {"protocolVersion": revision, "capabilities": {}, "clientInfo": {}})
    assert answer.result["protocolVersion"] == revision
    assert {"capabilities", "serverInfo"} <= set(answer.result)
    assert "Mcp-Session-Id" not in answer.headers


@pytest.mark.parametrize("revision", ["2024-11-05", "2026-07-28", "nonsense"])
async def test_initialize_answers_an_unknown_revision_with_the_latest(server: Server, revision: str) -> None:
    answer = await server.rpc("initialize", {"protocolVersion": revision, "capabilities": {}, "clientInfo": {}})
    assert (answer.status, answer.result["protocolVersion"]) == (200, "2025-11-25")


async def test_initialize_without_a_revision_is_invalid(server: Server) -> None:
    answer = await server.rpc("initialize", {"capabilities": {}})
    assert (answer.status, answer.error["code"]) == (200, -32602)


@pytest.mark.parametrize("revision", LEGACY_REVISIONS)
async def test_every_legacy_revision_is_served_without_a_session(server: Server, revision: str) -> None:
    answer = await server.post(PING, headers={**protocol(revision), "Mcp-Session-Id": "x", "Last-Event-ID": "3"})
    assert (answer.status, answer.result) == (200, {})
    assert "Mcp-Session-Id" not in answer.headers


@pytest.mark.parametrize("revision", ["1999-01-01", "nonsense"])
async def test_an_unknown_revision_in_the_header_is_a_bad_request(server: Server, revision: str) -> None:
    answer = await server.post(PING, headers=protocol(revision))
    assert answer.status == 400
    assert answer.error["code"] in (-32600, -32602, -32022)


async def test_headers_of_the_modern_era_are_ignored_in_the_legacy_era(server: Server) -> None:
    """A widely used bridge sends them with every revision."""
    answer = await server.post(PING, headers={**protocol("2025-06-18"), "Mcp-Method": "tools/call", "Mcp-Name": "x"})
    assert (answer.status, answer.result) == (200, {})
