"""The Host and Origin allowlists."""

import pytest

from tests.serving import Serve, Server
from tests.web.error_shapes import rejection_of

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
PUBLIC = "https://mcp.example.com"


async def host(server: Server, value: str) -> int:
    return (await server.post(PING, headers={"Host": value})).status


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "LocalHost"])
async def test_the_loopback_names_with_the_port_are_allowed_hosts(server: Server, name: str) -> None:
    assert await host(server, f"{name}:{server.services.config.port}") == 200


@pytest.mark.parametrize(
    "value",
    [
        "localhost",
        "localhost:1",
        "127.0.0.1",
        "127.0.0.2:{port}",
        "::1",
        "evil.example",
        "evil.example:{port}",
        "localhost.evil.example:{port}",
        "evil.example/localhost:{port}",
        "localhost:{port}@evil.example",
        "user@localhost:{port}",
        "localhost:0{port}",
        "localhost.:{port}",
        "null",
        "*",
        "localhost:{port},evil.example",
        "localhost:{port}/mcp",
        "a:b:c",
        "",
    ],
)
async def test_any_other_host_is_rejected(server: Server, value: str) -> None:
    header = value.replace("{port}", str(server.services.config.port))
    error = rejection_of(await server.post(PING, headers={"Host": header}), "host_rejected")
    assert "MCP_ALLOWED_HOSTS" in error["message"]
    assert not header or header not in error["message"]


@pytest.mark.parametrize(
    ("allowed", "value", "status"),
    [
        ("mcp.example.com", "mcp.example.com", 200),
        ("mcp.example.com", "mcp.example.com:80", 200),
        ("mcp.example.com", "MCP.example.com:443", 200),
        ("mcp.example.com", "mcp.example.com:8080", 403),
        ("mcp.example.com:8080", "mcp.example.com:8080", 200),
        ("mcp.example.com:8080", "mcp.example.com", 403),
        ("mcp.example.com:80", "mcp.example.com", 403),
        ("MCP.Example.com, other.example", "mcp.example.com", 200),
        ("MCP.Example.com, other.example", "other.example", 200),
        ("[2001:db8::1]", "[2001:DB8::1]:443", 200),
        ("mcp.example.com", "localhost:{port}", 403),
        ("*", "anything.example:99", 200),
    ],
)
async def test_a_configured_list_of_hosts_replaces_the_default(
    serve: Serve, allowed: str, value: str, status: int
) -> None:
    server = await serve(MCP_ALLOWED_HOSTS=allowed)
    assert await host(server, value.replace("{port}", str(server.services.config.port))) == status


@pytest.mark.parametrize("allowed", ["", "other.example"], ids=["default", "own list"])
async def test_the_host_of_the_public_url_is_always_allowed(serve: Serve, allowed: str) -> None:
    server = await serve(MCP_PUBLIC_URL=PUBLIC, MCP_ALLOWED_HOSTS=allowed)
    assert await host(server, "mcp.example.com") == 200
    assert await host(server, "mcp.example.com:443") == 200
    assert await host(server, "www.mcp.example.com") == 403


async def test_without_an_origin_a_request_passes(server: Server) -> None:
    assert (await server.post(PING)).status == 200


async def origin(server: Server, value: str) -> int:
    return (await server.post(PING, headers={"Origin": value})).status


@pytest.mark.parametrize("value", ["http://localhost:{port}", "https://127.0.0.1:{port}", "HTTP://LOCALHOST:{port}"])
async def test_the_origins_of_the_allowed_hosts_are_allowed(server: Server, value: str) -> None:
    assert await origin(server, value.replace("{port}", str(server.services.config.port))) == 200


@pytest.mark.parametrize(
    "value",
    [
        "null",
        "NULL",
        "http://localhost",
        "http://localhost:1",
        "http://localhost:{port} http://localhost:{port}",
        "http://evil.example",
        "chrome-extension://abcdefghijklmnop",
        "http://localhost:{port}.evil.example",
        "http://localhost:{port}/",
        "localhost:{port}",
        "ftp://localhost:{port}",
        "file://",
        "*",
    ],
)
async def test_any_other_origin_is_rejected(server: Server, value: str) -> None:
    header = value.replace("{port}", str(server.services.config.port))
    error = rejection_of(await server.post(PING, headers={"Origin": header}), "origin_rejected")
    assert "MCP_ALLOWED_ORIGINS" in error["message"]


@pytest.mark.parametrize(
    ("allowed", "value", "status"),
    [
        ("https://app.example.com", "https://app.example.com", 200),
        ("https://app.example.com", "https://app.example.com:443", 200),
        ("https://app.example.com:443", "https://app.example.com", 200),
        ("https://app.example.com", "http://app.example.com", 403),
        ("https://app.example.com", "https://app.example.com:8443", 403),
        ("https://app.example.com", "http://localhost:{port}", 403),
        ("https://a.example,https://b.example", "https://b.example", 200),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop", 200),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://ponmlkjihgfedcba", 403),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop:80", 403),
        (
            "moz-extension://0A1B2C3D-0000-4000-8000-000000000000",
            "moz-extension://0a1b2c3d-0000-4000-8000-000000000000",
            200,
        ),
        ("safari-web-extension://AB-CD", "safari-web-extension://AB-CD", 200),
        ("vscode-webview://1a2b3c", "vscode-webview://1a2b3c", 200),
        ("vscode-webview://123456", "vscode-webview://123456", 200),
        ("app://obsidian.md, tauri://localhost", "tauri://localhost", 200),
        ("capacitor://localhost,ionic://localhost", "ionic://localhost", 200),
        ("app://-", "app://-", 200),
        ("app://localhost:3000", "app://localhost:3000", 200),
        ("app://localhost:3000", "app://localhost", 403),
        ("tauri://localhost", "http://localhost", 403),
        ("vscode-webview://1a2b3c", "null", 403),
        ("vscode-webview://1a2b3c", "", 200),
        ("*", "chrome-extension://abcdefghijklmnop", 200),
        ("*", "https://anything.example", 200),
        ("*", "null", 403),
    ],
)
async def test_a_configured_list_of_origins_replaces_the_default(
    serve: Serve, allowed: str, value: str, status: int
) -> None:
    server = await serve(MCP_ALLOWED_ORIGINS=allowed)
    assert await origin(server, value.replace("{port}", str(server.services.config.port))) == status


@pytest.mark.parametrize("value", ["", " "])
async def test_an_empty_origin_counts_as_none(server: Server, value: str) -> None:
    answer = await server.post(PING, headers={"Origin": value})
    assert answer.status == 200
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("value", ["chrome-extension://abc", "app://x", "null"])
async def test_an_origin_rejection_says_what_to_add_and_does_not_repeat_the_origin(server: Server, value: str) -> None:
    error = rejection_of(await server.post(PING, headers={"Origin": value}), "origin_rejected")
    assert "MCP_ALLOWED_ORIGINS" in error["message"]
    assert value == "null" or value not in error["message"]


@pytest.mark.parametrize("value", ["https://mcp.example.com", "http://mcp.example.com", "https://mcp.example.com:443"])
async def test_the_origin_of_the_public_url_is_allowed(serve: Serve, value: str) -> None:
    assert await origin(await serve(MCP_PUBLIC_URL=PUBLIC), value) == 200


@pytest.mark.parametrize("value", ["http://mcp.example.net", "https://MCP.example.net:443"])
async def test_the_origins_of_configured_hosts_are_allowed(serve: Serve, value: str) -> None:
    server = await serve(MCP_ALLOWED_HOSTS="mcp.example.net")
    assert (await server.post(PING, headers={"Host": "mcp.example.net", "Origin": value})).status == 200


@pytest.mark.parametrize("path", ["/mcp", "/.well-known/oauth-protected-resource", "/nowhere"])
async def test_the_allowlists_guard_every_path_except_the_probes(server: Server, path: str) -> None:
    rejection_of(await server.request("GET", path, headers={"Host": "evil.example"}), "host_rejected")
    rejection_of(await server.request("GET", path, headers={"Origin": "http://evil.example"}), "origin_rejected")
