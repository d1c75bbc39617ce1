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
    for id_ in (0, 1, -5, 2**63 - 1, "1", "", "a b ü"):
        answer = await server.post(PING | {"id": id_})
        assert (answer.status, answer.json) == (200, {"jsonrpc": "2.0", "id": id_, "result": {}})
        assert type(answer.json["id"]) is type(id_)


#: One row for each way to an error; which messages are malformed is in ``test_jsonrpc``.
#: what was sent → (HTTP status, JSON-RPC code, the id of the answer; None: left out)
ERRORS: dict[str, tuple[object, int, int, object]] = {
    "no JSON": (b"{", 400, -32700, None),
    "an empty body": (b"", 400, -32700, None),
    "no object": (5, 400, -32600, None),
    "jsonrpc 1.0": (PING | {"jsonrpc": "1.0"}, 400, -32600, 1),
    "an unreadable id": (PING | {"id": None}, 400, -32600, None),
    "an empty batch": ([], 400, -32600, None),
    "unknown method": (request("resources/nonsense"), 200, -32601, "r-1"),
    "an empty method": (request(""), 200, -32601, "r-1"),
    "subscriptions are not declared": (request("resources/subscribe"), 200, -32601, "r-1"),
    "logging is not declared": (request("logging/setLevel", level="info"), 200, -32601, "r-1"),
    "array params": (PING | {"params": [1]}, 200, -32602, 1),
    "unknown tool": (request("tools/call", name="paint", arguments={}), 200, -32602, "r-1"),
    "tool without a name": (request("tools/call", arguments={}), 200, -32602, "r-1"),
    "tool name as a number": (request("tools/call", name=5), 200, -32602, "r-1"),
    "arguments as an array": (request("tools/call", name="list_models", arguments=[]), 200, -32602, "r-1"),
    "initialize without a revision": (request("initialize"), 200, -32602, "r-1"),
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


@pytest.mark.parametrize(
    "message",
    [
        INITIALIZED,
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1, "reason": "x"}},
        {"jsonrpc": "2.0", "method": "notifications/unheard-of", "params": []},
        {"jsonrpc": "2.0", "method": "ping"},
        {"jsonrpc": "2.0", "id": 7, "result": {}},
        {"jsonrpc": "2.0", "id": 7, "error": {"code": 1, "message": "x"}},
    ],
    ids=["initialized", "cancelled", "unknown", "no id", "result", "error"],
)
@pytest.mark.parametrize("revision", LEGACY_REVISIONS)
async def test_notifications_and_responses_are_accepted_without_an_answer(
    server: Server, message: object, revision: str
) -> None:
    answer = await server.post(message, headers=protocol(revision))
    assert (answer.status, answer.content) == (202, b"")


# Revisions


@pytest.mark.parametrize("revision", LEGACY_REVISIONS)
async def test_every_legacy_revision_is_served_without_a_session(server: Server, revision: str) -> None:
    answer = await server.post(PING, headers={**protocol(revision), "Mcp-Session-Id": "x", "Last-Event-ID": "3"})
    assert (answer.status, answer.result) == (200, {})
    assert "Mcp-Session-Id" not in answer.headers


async def test_headers_of_the_modern_era_are_ignored_in_the_legacy_era(server: Server) -> None:
    """A widely used bridge sends them with every revision."""
    answer = await server.post(PING, headers={**protocol("2025-06-18"), "Mcp-Method": "tools/call", "Mcp-Name": "x"})
    assert (answer.status, answer.result) == (200, {})


@pytest.mark.parametrize("revision", ["2024-11-05", "2099-01-01", "latest", "2025-06-18,2025-11-25", "x" * 8_000])
@pytest.mark.parametrize("method", ["ping", "tools/list", "tools/call", "notifications/initialized"])
async def test_an_unknown_revision_in_the_header_is_answered_with_the_supported_ones(
    server: Server, revision: str, method: str
) -> None:
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if not method.startswith("notifications/"):
        message["id"] = 7
    answer = await server.post(message, headers=protocol(revision))
    assert (answer.status, answer.error["code"]) == (400, -32022)
    assert answer.json.get("id") == message.get("id")
    assert "2026-07-28" in answer.error["data"]["supported"]
    assert answer.error["data"]["requested"][:64] == revision[:64]
    assert len(answer.content) < 1000


async def test_initialize_does_not_depend_on_the_revision_in_the_header(server: Server) -> None:
    params = {"protocolVersion": "2025-06-18"}
    answer = await server.rpc("initialize", params, headers=protocol("2024-11-05"))
    assert answer.result["protocolVersion"] == "2025-06-18"
