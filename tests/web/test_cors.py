"""CORS: preflights of allowed origins, and the responses that their pages may read."""

import pytest

from tests.scripted_sandbox import Respond, Route, ScriptedSandbox
from tests.serving import BOTH, Answer, Serve, Server
from tests.web.error_shapes import rejection_of

PAGE = "https://app.example.com"


@pytest.fixture
async def server(serve: Serve) -> Server:
    return await serve(MCP_ALLOWED_ORIGINS=PAGE)


def readable(answer: Answer) -> bool:
    """Whether a page of the allowed origin may read the response and the exposed headers."""
    exposed = {name.strip().lower() for name in answer.headers.get("Access-Control-Expose-Headers", "").split(",")}
    return (
        answer.headers.get("Access-Control-Allow-Origin") == PAGE
        and {"www-authenticate", "retry-after", "x-request-id"} <= exposed
        and "Origin" in answer.headers["Vary"]
    )


async def test_a_preflight_allows_the_headers_of_mcp_clients(server: Server) -> None:
    preflight = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,mcp-protocol-version",
    }
    answer = await server.request("OPTIONS", "/mcp", headers=preflight)
    assert answer.status in (200, 204)
    assert readable(answer)
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    allowed = {name.strip().lower() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"authorization", "content-type", "accept", "mcp-protocol-version"} <= allowed


async def test_a_preflight_needs_no_bearer_and_no_body(server: Server) -> None:
    answer = await server.request("OPTIONS", "/mcp", headers={"Origin": PAGE})
    assert answer.status in (200, 204)
    assert answer.content == b""


async def test_a_preflight_from_a_foreign_origin_is_rejected(server: Server) -> None:
    answer = await server.request("OPTIONS", "/mcp", headers={"Origin": "https://evil.example"})
    rejection_of(answer, "origin_rejected")
    assert not any(name.startswith("Access-Control") for name in answer.headers)


async def test_options_without_an_origin_lists_the_methods(server: Server) -> None:
    answer = await server.request("OPTIONS", "/mcp")
    assert answer.status in (200, 204)
    assert answer.headers["Allow"] == "POST, OPTIONS"
    assert not any(name.startswith("Access-Control") for name in answer.headers)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/mcp", b'{"jsonrpc":"2.0","id":1,"method":"ping"}'),
        ("POST", "/mcp", b"{"),
        ("POST", "/mcp/", b'{"jsonrpc":"2.0","id":1,"method":"ping"}'),
        ("GET", "/mcp", None),
        ("GET", "/.well-known/oauth-protected-resource", None),
        ("GET", "/nowhere", None),
    ],
)
@pytest.mark.parametrize("bearer", [True, False])
async def test_an_allowed_page_can_read_every_answer(
    server: Server, *, method: str, path: str, body: bytes | None, bearer: bool
) -> None:
    headers = {"Origin": PAGE, **({"Authorization": "Bearer rf_live_sandbox"} if bearer else {})}
    if body is not None:
        headers["Content-Type"] = "application/json"
    assert readable(await server.request(method, path, headers=headers, data=body))


async def test_an_allowed_page_can_read_a_stream(server: Server) -> None:
    answer = await server.generate(accept=BOTH, headers={"Origin": PAGE})
    assert answer.is_stream
    assert readable(answer)


async def test_an_allowed_page_can_read_a_json_answer_after_line_feeds(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    sandbox.script.add(Route.GET_RUN, Respond(500), times=5)
    answer = await server.generate(headers={"Origin": PAGE})
    assert answer.content.startswith(b"\n")
    assert readable(answer)


async def test_a_request_without_an_origin_gets_no_cors_headers(server: Server) -> None:
    answer = await server.rpc("ping")
    assert not any(name.startswith("Access-Control") for name in answer.headers)


async def test_a_preflight_of_the_endpoint_with_a_slash_is_the_same(server: Server) -> None:
    first, second = [await server.request("OPTIONS", path, headers={"Origin": PAGE}) for path in ("/mcp", "/mcp/")]
    assert (first.status, second.status) == (204, 204)
    cors = [{name: value for name, value in answer.headers.items() if "Control" in name} for answer in (first, second)]
    assert cors[0] == cors[1]
