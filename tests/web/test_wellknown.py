"""The protected-resource document, and the 404 that clients without a key show to people."""

import pytest

from tests.serving import Serve, Server

PATHS = ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"]
PATHS += [f"{PATHS[-1]}/"]


@pytest.mark.parametrize("path", PATHS)
async def test_the_protected_resource_document_names_the_host_that_was_used(server: Server, path: str) -> None:
    answer = await server.request("GET", path)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json["resource"] == server.url
    assert answer.json["bearer_methods_supported"] == ["header"]
    assert answer.json["resource_name"]
    assert answer.json["resource_documentation"].startswith("https://")
    assert "authorization_servers" not in answer.json


@pytest.mark.parametrize("path", PATHS)
async def test_the_protected_resource_document_names_the_public_url(serve: Serve, path: str) -> None:
    server = await serve(MCP_PUBLIC_URL="https://mcp.example.com")
    assert (await server.request("GET", path)).json["resource"] == "https://mcp.example.com/mcp"


@pytest.mark.parametrize("path", PATHS)
async def test_the_protected_resource_document_names_an_allowed_host(server: Server, path: str) -> None:
    host = f"localhost:{server.services.config.port}"
    answer = await server.request("GET", path, headers={"Host": host})
    assert answer.json["resource"] == f"http://{host}/mcp"


@pytest.mark.parametrize("path", PATHS)
async def test_the_protected_resource_document_names_the_authorization_servers_of_the_setting(
    serve: Serve, path: str
) -> None:
    server = await serve(MCP_AUTHORIZATION_SERVERS="https://auth.example.com,https://b.example/realm")
    answer = await server.request("GET", path)
    assert answer.json["authorization_servers"] == ["https://auth.example.com", "https://b.example/realm"]
    # The check of the bearer stays what it is.
    assert (await server.rpc("ping", key=None)).status == 401


@pytest.mark.parametrize("path", PATHS)
async def test_other_methods_on_the_protected_resource_document_are_405(server: Server, path: str) -> None:
    answer = await server.request("POST", path)
    assert answer.status == 405
    assert "GET" in answer.headers["Allow"]
    assert answer.json["error_description"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/mcp//"),
        ("POST", "/mcp/x"),
        ("GET", "/sse"),
        ("GET", "/favicon.ico"),
        ("GET", "/.well-known/oauth-authorization-server"),
        ("GET", "/.well-known/oauth-authorization-server/mcp"),
        ("GET", "/.well-known/openid-configuration"),
        ("GET", "/.well-known/oauth-protected-resource/other"),
        ("POST", "/register"),
        ("POST", "/token"),
        ("GET", "/authorize"),
        ("DELETE", "/nowhere"),
        ("GET", "/%2e%2e/etc/passwd"),
        ("GET", "/mcp%00"),
    ],
)
async def test_an_unknown_path_is_a_404_that_tells_people_what_to_do(server: Server, method: str, path: str) -> None:
    answer = await server.request(method, path)
    assert answer.status == 404
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json["error"]
    description = answer.json["error_description"]
    assert "no OAuth flow" in description
    assert "Authorization: Bearer <key>" in description
    assert "POST /mcp" in description
    assert answer.headers["X-Request-Id"]
