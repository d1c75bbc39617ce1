"""The address that a request is limited by: the socket's peer, or what a trusted proxy forwards."""

import ipaddress
import tracemalloc

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.settings.config import Config
from runflow_mcp.web.client_address import client_address
from tests.serving import Serve, Server

PROXY, INNER = "10.0.0.1", "10.0.0.2"
CLIENT = "198.51.100.7"


def networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return Config.from_mapping({"MCP_TRUSTED_PROXIES": text}).trusted_proxies


TRUSTED = networks("10.0.0.0/8,fd00::/8,::1")


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ([], PROXY),
        ([CLIENT], CLIENT),
        (["203.0.113.1, " + CLIENT], CLIENT),
        (["203.0.113.1", CLIENT], CLIENT),
        ([CLIENT + ", " + INNER], CLIENT),
        ([CLIENT, INNER], CLIENT),
        (["203.0.113.1", f"{CLIENT} ,\t{INNER},10.9.9.9"], CLIENT),
        ([INNER], INNER),
        ([f"10.1.1.1, {INNER}"], "10.1.1.1"),
        ([f"{CLIENT}:4711"], CLIENT),
        (["  " + CLIENT + "  "], CLIENT),
        (["[2001:db8:1:2::7]"], "2001:db8:1:2::/64"),
        (["[2001:db8:1:2::7]:4711"], "2001:db8:1:2::/64"),
        (["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        (["2001:DB8:1:2::7%eth0"], "2001:db8:1:2::/64"),
        (["[fe80::1%25eth0]:80"], "fe80::/64"),
        (["fe80::1%eth0"], "fe80::/64"),
        (["::ffff:198.51.100.7"], CLIENT),
        (["[::ffff:c633:6407]:80"], CLIENT),
        ([CLIENT + ", fd00::5"], CLIENT),
        ([CLIENT + ", ::ffff:10.0.0.9"], CLIENT),
        ([", ".join([CLIENT] + [INNER] * 20)], CLIENT),
    ],
    ids=[
        "no header",
        "one hop",
        "the left is invention",
        "two headers, the left is invention",
        "a trusted hop is skipped",
        "a trusted hop in a header of its own",
        "spaces and tabs",
        "trusted alone",
        "trusted throughout: the first",
        "port",
        "spaces around",
        "brackets",
        "brackets and port",
        "IPv6 by its /64",
        "upper case and zone",
        "zone in brackets",
        "zone",
        "IPv4 in IPv6",
        "IPv4 in IPv6 in hexadecimal",
        "a trusted IPv6 hop",
        "a trusted hop, mapped",
        "a chain of proxies",
    ],
)
def test_behind_a_trusted_proxy_the_right_most_untrusted_hop_is_the_client(forwarded: list[str], address: str) -> None:
    assert client_address(PROXY, forwarded, TRUSTED) == address


@pytest.mark.parametrize(
    "garbage",
    ["unknown", "_hidden", "", " ", "198.51.100", "198.51.100.256", "[::1", "evil.example.com", "\x00", "1.2.3.4.5"],
)
def test_hops_to_the_left_of_garbage_are_not_read(garbage: str) -> None:
    """Entries to its left are whatever the client chose to send."""
    expected = "::/64" if garbage == "[::1" else PROXY  # a bracket that is not closed is still an address
    trusted = networks(PROXY)
    assert client_address(PROXY, [f"203.0.113.1, {garbage}"], trusted) == expected
    assert client_address(PROXY, ["203.0.113.1", garbage, PROXY], trusted) == expected


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (CLIENT, CLIENT),
        ("::ffff:198.51.100.7", CLIENT),
        ("2001:db8:1:2::7", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("/run/mcp.sock", "unknown"),
    ],
    ids=["IPv4", "IPv4 in IPv6", "IPv6", "zone", "none", "unix socket"],
)
def test_an_untrusted_peer_is_the_client_whatever_it_forwards(peer: str, address: str) -> None:
    assert client_address(peer, [], TRUSTED) == address
    assert client_address(peer, ["203.0.113.1"], TRUSTED) == address
    assert client_address(peer, ["203.0.113.1"], ()) == address


@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1", "fd00::1", "::1", "fd00::1%eth0"])
def test_a_trusted_peer_is_recognized_in_every_notation(peer: str) -> None:
    assert client_address(peer, [CLIENT], TRUSTED) == CLIENT


@given(
    left=st.lists(st.text(max_size=20), max_size=4),
    client=st.ip_addresses().map(str),
    hops=st.lists(st.sampled_from([INNER, "10.255.255.255:80", "[fd00::1]:443", "::1"]), max_size=5),
)
def test_nothing_that_a_client_forwards_changes_its_own_address(left: list[str], client: str, hops: list[str]) -> None:
    if any(ipaddress.ip_address(client) in network for network in TRUSTED):
        return
    honest = client_address(PROXY, [", ".join([client, *hops])], TRUSTED)
    assert client_address(PROXY, [*left, ", ".join([client, *hops])], TRUSTED) == honest
    assert honest == client_address(client, [], TRUSTED)


@given(peer=st.text(max_size=40), forwarded=st.lists(st.text(max_size=60), max_size=5))
def test_no_peer_and_no_header_makes_the_parser_fail(peer: str, forwarded: list[str]) -> None:
    assert client_address(peer, forwarded, TRUSTED)
    assert client_address(PROXY, forwarded, TRUSTED)


# Over HTTP: the windows, and the warning


async def is_limited(server: Server, *values: str) -> bool:
    """Whether the window of requests without a key is full for this X-Forwarded-For; the request counts in it."""
    headers = [("Content-Type", "application/json"), *(("X-Forwarded-For", value) for value in values)]
    async with server.session.post(server.url, headers=headers) as response:
        return response.status == 429


async def forwarded_warnings(server: Server, *values: str, times: int = 1) -> list[structlog.typing.EventDict]:
    with structlog.testing.capture_logs() as logs:
        for _ in range(times):
            await is_limited(server, *values)
    return [line for line in logs if line["event"] == "forwarded_for_ignored"]


async def test_behind_a_trusted_proxy_every_client_has_a_window_of_its_own(serve: Serve) -> None:
    server = await serve(MCP_TRUSTED_PROXIES="127.0.0.1/32", MCP_RATE_LIMIT_PRE_AUTH_PER_IP="1")
    for client in ("198.51.100.1", "198.51.100.2", "2001:db8:0:1::1", "2001:db8:0:2::1"):
        assert not await is_limited(server, client)
        assert await is_limited(server, client)
    assert await is_limited(server, "2001:db8:0:1:ffff::9")  # the same /64
    assert await is_limited(server, "::ffff:198.51.100.1")
    assert await is_limited(server, "8.8.8.8, 198.51.100.1:5000")
    assert await is_limited(server, "8.8.8.8", "198.51.100.1")
    assert not await is_limited(server, "198.51.100.1, 8.8.8.8")


async def test_forwarded_addresses_from_an_untrusted_peer_are_ignored_with_one_warning(serve: Serve) -> None:
    server = await serve(MCP_RATE_LIMIT_PRE_AUTH_PER_IP="3")
    warnings = await forwarded_warnings(server, "198.51.100.1", times=2)
    assert [(line["log_level"], line["peer"]) for line in warnings] == [("warning", "127.0.0.1")]
    assert "MCP_TRUSTED_PROXIES" in warnings[0]["fix"]
    assert "198.51.100.1" not in str(warnings)
    assert await forwarded_warnings(server, "198.51.100.2") == []
    assert await is_limited(server, "198.51.100.3")


async def test_a_peer_outside_the_trusted_ranges_causes_one_warning(serve: Serve) -> None:
    server = await serve(MCP_TRUSTED_PROXIES="10.0.0.0/8")
    assert len(await forwarded_warnings(server, "198.51.100.1", times=3)) == 1


@pytest.mark.parametrize("forwarded", ["127.0.0.1", "unknown", "198.51.100.1"])
async def test_a_trusted_peer_never_causes_a_warning(serve: Serve, forwarded: str) -> None:
    """The proxy's own health checks forward its own address."""
    server = await serve(MCP_TRUSTED_PROXIES="127.0.0.1/32")
    assert await forwarded_warnings(server, forwarded) == []


async def test_long_forwarded_headers_are_not_cached(serve: Serve) -> None:
    """Anybody can send them, through a trusted proxy or not."""
    server = await serve(MCP_TRUSTED_PROXIES="10.0.0.0/8")
    await server.request("GET", "/healthz")
    tracemalloc.start()
    try:
        for number in range(40):
            headers = [("X-Forwarded-For", f"{number}" + "1.1.1.1," * 1000)] * 60
            async with server.session.get(f"{server.origin}/healthz", headers=headers) as response:
                assert response.status == 200
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 4 * 1024 * 1024
