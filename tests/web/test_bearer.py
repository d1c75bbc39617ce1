"""The bearer: which Authorization headers are accepted, and the challenge that goes with a 401."""

import pytest

from tests.scripted_sandbox import ScriptedSandbox
from tests.serving import Answer, Serve, Server
from tests.web.error_shapes import rejection_of

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


def challenge(origin: str) -> str:
    metadata = f"{origin}/.well-known/oauth-protected-resource"
    return f'Bearer realm="runflow-mcp", error="invalid_token", resource_metadata="{metadata}"'


async def send(server: Server, authorization: str, method: str = "POST") -> Answer:
    if method == "POST":
        return await server.post(PING, key=None, headers={"Authorization": authorization})
    return await server.request(method, "/mcp", headers={"Authorization": authorization})


async def test_no_key_is_a_401_that_says_what_to_send(server: Server) -> None:
    answer = await server.post(PING, key=None)
    error = rejection_of(answer, "missing_authorization")
    assert (
        "Send your Runflow API key (it starts with rf_live_) as a bearer token: header Authorization: Bearer <key>"
        in error["message"]
    )
    assert answer.headers["WWW-Authenticate"] == challenge(server.origin)


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer rf_live_sandbox",
        "bearer rf_live_sandbox",
        "BEARER rf_live_sandbox",
        "Bearer   rf_live_sandbox",
        "Bearer rf_live_" + "x" * 504,
        "Bearer rf_live_!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~",
    ],
)
async def test_a_key_with_an_accepted_prefix_passes(server: Server, authorization: str) -> None:
    assert (await send(server, authorization)).result == {}


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "rf_live_sandbox",
        "Basic cmZfbGl2ZV9zYW5kYm94Og==",
        "Token rf_live_sandbox",
        "Bearerrf_live_sandbox",
        "Bearer:rf_live_sandbox",
        "Bearer rf_live_sandbox extra",
        "Bearer rf_live_sandbox, Bearer rf_live_other",
        "Bearer rf_live",
        "Bearer rf_live_",
        "Bearer rf_livex_sandbox",
        "Bearer rf_livesandbox",
        "Bearer RF_LIVE_sandbox",
        "Bearer rf_svc_sandbox",
        "Bearer rfk_sandbox_key",
        "Bearer sandbox_rf_live_",
        "Bearer rf_live_" + "x" * 505,
        "Bearer rf_live_schlüssel",
        'Bearer "rf_live_sandbox"',
        "Bearer <rf_live_sandbox>",
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_any_other_authorization_is_malformed(server: Server, authorization: str, method: str) -> None:
    answer = await send(server, authorization, method)
    rejection_of(answer, "malformed_authorization")
    assert answer.headers["WWW-Authenticate"] == challenge(server.origin)
    assert "sandbox" not in answer.content.decode()


@pytest.mark.parametrize(
    ("key", "status"),
    [("rf_live_x", 200), ("rf_test_x", 200), ("rf_test", 401), ("rf_testx_1", 401), ("rf_svc_x", 401)],
)
async def test_the_accepted_prefixes_can_be_set(serve: Serve, key: str, status: int) -> None:
    server = await serve(MCP_ACCEPTED_KEY_PREFIXES="rf_live, rf_test")
    assert (await server.post(PING, key=key)).status == status


async def test_the_hint_names_the_accepted_prefixes(serve: Serve) -> None:
    server = await serve(MCP_ACCEPTED_KEY_PREFIXES="rf_test,rf_live")
    error = rejection_of(await server.post(PING, key=None), "missing_authorization")
    assert "rf_test_ or rf_live_" in error["message"]


async def test_the_challenge_names_the_public_url(serve: Serve) -> None:
    server = await serve(MCP_PUBLIC_URL="https://mcp.example.com/")
    answer = await server.post(PING, key=None)
    assert answer.headers["WWW-Authenticate"] == challenge("https://mcp.example.com")


async def test_the_challenge_names_the_host_that_was_used(server: Server) -> None:
    host = f"localhost:{server.services.config.port}"
    answer = await server.post(PING, key=None, headers={"Host": host})
    assert answer.headers["WWW-Authenticate"] == challenge(f"http://{host}")


async def test_a_key_in_the_query_is_not_accepted(server: Server) -> None:
    answer = await server.request("POST", "/mcp?api_key=rf_live_sandbox", data=b"{}")
    assert answer.status in (401, 415)
    assert (await server.request("GET", "/mcp?api_key=rf_live_sandbox")).status == 401


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_other_http_methods_without_a_key_get_the_same_401(server: Server, method: str) -> None:
    answer = await server.request(method, "/mcp")
    rejection_of(answer, "missing_authorization")
    assert answer.headers["WWW-Authenticate"] == challenge(server.origin)


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH"])
async def test_other_http_methods_with_a_key_are_405(server: Server, method: str) -> None:
    answer = await send(server, "Bearer rf_live_sandbox", method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "POST, OPTIONS"
    assert "POST" in answer.json["error_description"]


async def test_a_rejected_request_never_reaches_runflow(server: Server, sandbox: ScriptedSandbox) -> None:
    await server.generate(key=None)
    await server.generate(key="rf_svc_sandbox")
    assert not any(request.path.startswith("/v1") for request in sandbox.requests)
