"""Error codes and HTTP statuses of 2026-07-28, as a running server sends them."""

import pytest

from tests.serving import Answer, Server

MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


async def send(server: Server, method: str, meta: object = META, *, version: str = MODERN) -> Answer:
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": {"_meta": meta}}
    return await server.post(body, headers={"MCP-Protocol-Version": version, "Mcp-Method": method})


def status_and_code(answer: Answer) -> tuple[int, int]:
    assert answer.json["id"] == 7
    return answer.status, answer.error["code"]


async def test_a_result_has_a_type_and_names_the_server(server: Server) -> None:
    answer = await send(server, "tools/list")
    assert answer.status == 200
    assert answer.result["resultType"] == "complete"
    assert answer.result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "Runflow"
    assert isinstance(answer.result["ttlMs"], int)
    assert answer.result["cacheScope"] in ("public", "private")


@pytest.mark.parametrize(
    "method", ["initialize", "ping", "logging/setLevel", "resources/subscribe", "tasks/list", "nonsense"]
)
async def test_a_removed_or_unknown_method_is_not_found(server: Server, method: str) -> None:
    assert status_and_code(await send(server, method)) == (404, -32601)


async def test_a_request_without_its_meta_is_a_bad_request(server: Server) -> None:
    assert status_and_code(await send(server, "tools/list", {})) == (400, -32602)


async def test_headers_that_differ_from_the_body_are_a_bad_request(server: Server) -> None:
    assert status_and_code(await send(server, "tools/list", version="2025-11-25")) == (400, -32020)


async def test_an_unsupported_version_is_a_bad_request(server: Server) -> None:
    meta = META | {"io.modelcontextprotocol/protocolVersion": "2099-01-01"}
    answer = await send(server, "server/discover", meta, version="2099-01-01")
    assert status_and_code(answer) == (400, -32022)
    discovered = await send(server, "server/discover")
    assert set(answer.error["data"]["supported"]) <= set(discovered.result["supportedVersions"])


async def test_a_batch_is_an_invalid_request(server: Server) -> None:
    body = [{"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {"_meta": META}}]
    answer = await server.post(body, headers={"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/list"})
    assert (answer.status, answer.error["code"]) == (400, -32600)
    assert "id" not in answer.json


async def test_a_notification_is_accepted_without_an_answer(server: Server) -> None:
    body = {"jsonrpc": "2.0", "method": "notifications/x", "params": {"_meta": META}}
    answer = await server.post(body, headers={"MCP-Protocol-Version": MODERN, "Mcp-Method": "notifications/x"})
    assert (answer.status, answer.content) == (202, b"")
