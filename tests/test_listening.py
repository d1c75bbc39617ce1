"""The addresses that a server listens on, and the ones that it prints."""

import socket

import aiohttp
import pytest

from runflow_mcp.cli.welcome import local_url, welcome
from runflow_mcp.settings.config import Config, ConfigError
from tests.command_process import Run
from tests.serving import KEY, Serve

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
#: MCP_HOST → the addresses of this machine that must answer.
REACHED = {
    "::": ["127.0.0.1", "[::1]", "localhost"],
    "[::]": ["127.0.0.1", "[::1]"],
    "0:0:0:0:0:0:0:0": ["127.0.0.1", "[::1]"],
    "0.0.0.0": ["127.0.0.1", "localhost"],  # noqa: S104
    "localhost": ["127.0.0.1", "localhost"],
    "LOCALHOST": ["127.0.0.1"],
    "::1": ["[::1]"],
    "[::1]": ["[::1]"],
    "127.0.0.1": ["127.0.0.1"],
    "::ffff:127.0.0.1": ["127.0.0.1"],
}


@pytest.mark.real_time
@pytest.mark.parametrize("host", REACHED)
async def test_every_address_of_a_host_is_reached_and_so_is_the_one_to_print(serve: Serve, host: str) -> None:
    if not socket.has_dualstack_ipv6() and ":" in host:
        pytest.skip("this machine has no IPv6")
    server = await serve(MCP_HOST=host)
    config = server.services.config
    addresses = (f"http://{address}:{config.port}/mcp" for address in REACHED[host])
    for url in (local_url(config), *addresses):
        async with server.session.post(url, json=PING, headers={"Authorization": f"Bearer {KEY}"}) as response:
            assert response.status == 200, url


@pytest.mark.real_time
async def test_a_process_prints_an_address_that_works(run: Run, session: aiohttp.ClientSession) -> None:
    host = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104
    server = await run("serve", "--sandbox", MCP_HOST=host)
    await server.answers(session, "/readyz", origin=f"http://127.0.0.1:{server.port}")
    await server.prints(f"  http://127.0.0.1:{server.port}/mcp\n")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("::", "http://127.0.0.1:8080/mcp"),
        ("0.0.0.0", "http://127.0.0.1:8080/mcp"),  # noqa: S104
        ("::1", "http://[::1]:8080/mcp"),
        ("fe80::1%eth0", "http://[fe80::1%25eth0]:8080/mcp"),
        ("mcp.example.com", "http://mcp.example.com:8080/mcp"),
    ],
)
def test_the_local_url_of_a_host_can_be_opened_on_this_machine(host: str, url: str) -> None:
    assert local_url(Config.from_mapping({"MCP_HOST": host})) == url


@pytest.mark.parametrize(
    ("host", "value"),
    [
        ("LocalHost", "localhost"),
        ("mcp.example.com.", "mcp.example.com"),
        ("[fe80::1%eth0]", "fe80::1%eth0"),
        ("my_box-1", "my_box-1"),
        ("::0", "::"),
        ("", "127.0.0.1"),
    ],
)
def test_a_host_is_an_address_or_a_name(host: str, value: str) -> None:
    assert Config.from_mapping({"MCP_HOST": host}).host == value


@pytest.mark.parametrize(
    "host",
    ["http://127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "a b", "*", "127.1", "0", "256.0.0.1", "[localhost]", "::1::",
     "a..b", "-a", "127.0.0.1/8", "127.0.0.1,::1"],
)  # fmt: skip
def test_any_other_host_is_refused(host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_mapping({"MCP_HOST": host})
    [error] = caught.value.errors
    assert "without scheme and port" in error


def test_the_allowed_host_has_no_ipv6_zone() -> None:
    assert "[fe80::1]:8080" in Config.from_mapping({"MCP_HOST": "fe80::1%eth0"}).allowed_hosts


def test_the_welcome_of_a_live_server_names_its_cost_and_no_sandbox_key() -> None:
    config = Config.from_mapping({"MCP_PUBLIC_URL": "https://mcp.example.com", "MCP_PORT": "9000"})
    text = welcome(config, [".venv/bin/runflow-mcp"], sandbox=False)
    assert "https://api.runflow.io (runs cost money)" in text
    assert "URL          https://mcp.example.com/mcp\n" in text
    assert "your own; it starts with rf_live_" in text
    assert "  .venv/bin/runflow-mcp check http://127.0.0.1:9000/mcp --generate google/" in text
    assert "sandbox" not in text
    assert "${RUNFLOW_API_KEY}" in text
