"""The rate limits over HTTP: how many requests of which client, and how long a rejected client waits."""

import asyncio
import math
from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runflow_mcp.credentials import Bearer
from tests.ratelimit.brute_force import BruteForce
from tests.serving import KEY, Answer, Serve, Server
from tests.virtual_time import VirtualClock
from tests.web.raw_connection import at, connect, message

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
NOTE = {"jsonrpc": "2.0", "method": "notifications/initialized"}
#: Two keys whose digests begin with the same 48 bits; such a pair is found within a minute.
TWINS = ("rf_live_twin_20222583", "rf_live_twin_25124979")
BEHIND_A_PROXY = {"MCP_TRUSTED_PROXIES": "127.0.0.1/32"}


async def ping(server: Server, *, key: str | None = KEY, address: str | None = None) -> Answer:
    headers = {"X-Forwarded-For": address} if address else {}
    return await server.post(PING, key=key, headers=headers)


async def statuses(server: Server, times: int, **options: Any) -> Counter[int]:
    return Counter([(await ping(server, **options)).status for _ in range(times)])


def wait_of(answer: Answer, who: str) -> int:
    """The ``retry_after_seconds`` of a 429, after every part of it has been checked."""
    assert answer.status == 429
    assert answer.headers["Content-Type"].startswith("application/json")
    seconds = int(answer.headers["Retry-After"])
    error = answer.json["error"]
    assert answer.json == {"jsonrpc": "2.0", "id": None, "error": error}
    assert error["code"] == 429
    assert error["data"] == {
        "code": "rate_limited",
        "retry_after_seconds": seconds,
        "request_id": answer.headers["X-Request-Id"],
    }
    assert who in error["message"]
    assert f"Wait {seconds} s" in error["message"]
    assert seconds >= 1
    return seconds


# Before the bearer


async def test_the_thirty_first_request_without_a_key_is_429_instead_of_401(
    server: Server, clock: VirtualClock
) -> None:
    assert await statuses(server, 30, key=None) == {401: 30}
    rejected = await ping(server, key=None)
    wait = wait_of(rejected, "without an acceptable API key from your address")
    assert wait == 60
    assert "WWW-Authenticate" not in rejected.headers
    await clock.sleep(wait)
    assert (await ping(server, key=None)).status == 401


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {}),
        ("GET", {}),
        ("DELETE", {}),
        ("POST", {"Authorization": "Bearer short"}),
        ("POST", {"Authorization": "Bearer rf_svc_sandbox"}),
        ("POST", {"Authorization": "Basic cmZfbGl2ZV9zYW5kYm94"}),
    ],
    ids=["POST", "GET", "DELETE", "too short", "another kind of key", "another scheme"],
)
async def test_all_requests_without_an_acceptable_key_count_in_one_window(
    server: Server, method: str, headers: dict[str, str]
) -> None:
    assert await statuses(server, 29, key=None) == {401: 29}
    headers = {"Content-Type": "application/json", **headers}
    assert (await server.request(method, "/mcp", headers=headers)).status == 401
    wait_of(await server.request(method, "/mcp", headers=headers), "without an acceptable API key")
    wait_of(await ping(server, key=None), "without an acceptable API key")


async def test_requests_with_a_key_do_not_count_in_the_window_of_those_without(server: Server) -> None:
    assert await statuses(server, 60) == {200: 60}
    assert await statuses(server, 40, key=None) == {401: 30, 429: 10}
    assert await statuses(server, 60) == {200: 60}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
    ],
    ids=["host", "origin", "media type", "encoding"],
)
async def test_a_request_rejected_before_the_bearer_guard_counts_in_no_window(
    server: Server, headers: dict[str, str], status: int
) -> None:
    for key in (None, KEY):
        for _ in range(35):
            assert (await server.post(PING, key=key, headers=headers)).status == status
    assert await statuses(server, 31, key=None) == {401: 30, 429: 1}
    assert await statuses(server, 121) == {200: 120, 429: 1}


# After the bearer


async def test_two_keys_with_one_fingerprint_have_windows_of_their_own(serve: Serve) -> None:
    server = await serve(MCP_RATE_LIMIT_PER_KEY="3")
    bearers = [Bearer(key) for key in TWINS]
    assert len({bearer.fingerprint for bearer in bearers}) == 1
    assert await statuses(server, 4, key=TWINS[0]) == {200: 3, 429: 1}
    assert await statuses(server, 4, key=TWINS[1]) == {200: 3, 429: 1}


async def test_an_address_has_120_requests_whatever_its_keys(serve: Serve, clock: VirtualClock) -> None:
    server = await serve()
    counted = Counter([(await ping(server, key=f"rf_live_{number}_key")).status for number in range(120)])
    assert counted == {200: 120}
    wait = wait_of(await ping(server, key="rf_live_yet_another"), "requests from your address")
    assert wait == 60
    await clock.sleep(wait)
    assert (await ping(server)).status == 200


async def test_a_key_has_600_requests_whatever_its_addresses(serve: Serve, clock: VirtualClock) -> None:
    server = await serve(**BEHIND_A_PROXY)
    for number in range(6):
        assert await statuses(server, 100, address=f"198.51.100.{number}") == {200: 100}
    wait = wait_of(await ping(server, address="198.51.100.99"), "requests with this API key")
    assert wait == 60
    # Another key can still use what is left of its address.
    assert await statuses(server, 21, address="198.51.100.0", key="rf_live_another") == {200: 20, 429: 1}
    await clock.sleep(wait)
    assert (await ping(server, address="198.51.100.99")).status == 200


async def test_a_window_slides(serve: Serve, clock: VirtualClock) -> None:
    server = await serve(MCP_RATE_LIMIT_PER_IP="4")
    assert await statuses(server, 2) == {200: 2}
    await clock.sleep(30)
    assert await statuses(server, 3) == {200: 2, 429: 1}
    await clock.sleep(29.5)
    assert wait_of(await ping(server), "from your address") == 1
    await clock.sleep(0.6)
    assert await statuses(server, 3) == {200: 2, 429: 1}
    assert wait_of(await ping(server), "from your address") == 30


async def test_rejected_requests_do_not_count_again(serve: Serve, clock: VirtualClock) -> None:
    server = await serve(MCP_RATE_LIMIT_PER_IP="3", MCP_RATE_LIMIT_PRE_AUTH_PER_IP="3")
    await statuses(server, 3)
    await statuses(server, 3, key=None)
    for _ in range(6):
        await clock.sleep(9.9)
        assert await statuses(server, 5) == {429: 5}
        assert await statuses(server, 5, key=None) == {429: 5}
    await clock.sleep(1)
    assert await statuses(server, 4) == {200: 3, 429: 1}
    assert await statuses(server, 4, key=None) == {401: 3, 429: 1}


async def test_a_rejection_by_key_does_not_count_for_the_address(serve: Serve) -> None:
    server = await serve(MCP_RATE_LIMIT_PER_IP="5", MCP_RATE_LIMIT_PER_KEY="2")
    assert await statuses(server, 6) == {200: 2, 429: 4}
    assert await statuses(server, 2, key="rf_live_another") == {200: 2}
    assert await statuses(server, 2, key="rf_live_third_one") == {200: 1, 429: 1}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pauses=st.lists(st.sampled_from([0.0, 0.3, 1.0, 2.5, 5.0]), min_size=5, max_size=25))
async def test_after_retry_after_seconds_a_request_is_admitted(
    serve: Serve, clock: VirtualClock, pauses: list[float]
) -> None:
    server = await serve(MCP_RATE_LIMIT_WINDOW_MS="5000", MCP_RATE_LIMIT_PER_IP="3")
    brute = BruteForce(3, 5_000_000)
    for pause in pauses:
        await clock.sleep(pause)
        now = int(clock.monotonic() * 1_000_000)
        answer = await ping(server)
        if answer.status == 429:
            assert wait_of(answer, "address") == math.ceil(brute.wait_us(1, now) / 1_000_000)
            await clock.sleep(int(answer.headers["Retry-After"]))
            now = int(clock.monotonic() * 1_000_000)
            answer = await ping(server)
        assert answer.status == 200
        assert brute.fits(1, now)
        brute.add(1, now)


# Batches


async def test_every_entry_of_a_batch_counts_in_the_windows(serve: Serve) -> None:
    server = await serve(MCP_RATE_LIMIT_PER_IP="10", MCP_RATE_LIMIT_PER_KEY="10")
    answer = await server.post([{**PING, "id": number} for number in range(6)])
    assert (answer.status, len(answer.json)) == (200, 6)
    assert await statuses(server, 5) == {200: 4, 429: 1}


async def test_batch_entries_without_an_answer_count_in_the_windows(serve: Serve) -> None:
    server = await serve(MCP_RATE_LIMIT_PER_IP="10")
    assert (await server.post([NOTE] * 4 + [PING, {"not": "a message"}])).status == 200
    assert (await server.post([NOTE] * 3)).status == 202
    assert await statuses(server, 2) == {200: 1, 429: 1}


async def test_a_batch_that_the_limits_reject_counts_in_no_window(serve: Serve, clock: VirtualClock) -> None:
    server = await serve(MCP_RATE_LIMIT_PER_IP="10", MCP_RATE_LIMIT_PER_KEY="50")
    assert await statuses(server, 6) == {200: 6}
    await clock.sleep(10)
    wait = 0
    for _ in range(5):
        wait = wait_of(await server.post([PING] * 5), "requests from your address")
    assert wait == 50
    assert await statuses(server, 4) == {200: 4}
    assert (await server.post([PING] * 5)).status == 429
    await clock.sleep(wait)
    assert (await server.post([PING] * 5)).status == 200
    assert (await ping(server)).status == 200
    assert (await ping(server)).status == 429


@pytest.mark.parametrize("entries", [51, 120])
async def test_an_invalid_batch_counts_as_one_request(serve: Serve, entries: int) -> None:
    server = await serve(MCP_RATE_LIMIT_PER_IP="2")
    assert (await server.post([PING] * entries)).status == 400
    assert await statuses(server, 2) == {200: 1, 429: 1}


async def test_an_array_in_a_revision_without_batches_counts_as_one_request(serve: Serve) -> None:
    server = await serve(MCP_RATE_LIMIT_PER_IP="2")
    assert (await server.post([PING] * 9, headers={"MCP-Protocol-Version": "2025-06-18"})).status == 400
    assert await statuses(server, 2) == {200: 1, 429: 1}


# What is not limited


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/.well-known/oauth-protected-resource", 200),
        ("GET", "/.well-known/oauth-protected-resource/mcp", 200),
        ("GET", "/.well-known/oauth-authorization-server", 404),
        ("POST", "/register", 404),
        ("OPTIONS", "/mcp", 204),
    ],
)
async def test_requests_to_other_paths_are_not_limited_and_do_not_count(
    server: Server, method: str, path: str, status: int
) -> None:
    await statuses(server, 31, key=None)
    await statuses(server, 115)
    headers = {"Origin": server.origin, "Access-Control-Request-Method": "POST"}
    for _ in range(130):
        assert (await server.request(method, path, headers=headers)).status == status
    assert await statuses(server, 6) == {200: 5, 429: 1}


# Settings


async def test_the_limits_and_the_window_are_settings(serve: Serve, clock: VirtualClock) -> None:
    server = await serve(
        **BEHIND_A_PROXY,
        MCP_RATE_LIMIT_WINDOW_MS="1500",
        MCP_RATE_LIMIT_PRE_AUTH_PER_IP="1",
        MCP_RATE_LIMIT_PER_IP="2",
        MCP_RATE_LIMIT_PER_KEY="3",
    )
    assert await statuses(server, 2, key=None) == {401: 1, 429: 1}
    assert await statuses(server, 3, address="198.51.100.1") == {200: 2, 429: 1}
    assert await statuses(server, 2, address="198.51.100.2") == {200: 1, 429: 1}
    rejected = await ping(server, address="198.51.100.3")
    assert wait_of(rejected, "with this API key") == 2
    assert "the limit for 1.5 s" in rejected.json["error"]["message"]
    await clock.sleep(1.5)
    assert (await ping(server, address="198.51.100.3")).status == 200


async def test_a_full_window_rejects_before_the_body_is_read(serve: Serve) -> None:
    server = await serve(MCP_RATE_LIMIT_PER_IP="1")
    assert (await ping(server)).status == 200
    assert (await server.post(b"{")).status == 429
    assert (await server.post(b" " * 300_000)).status == 413  # its declared length comes first


# The endpoint with a trailing slash


async def test_requests_on_one_connection_whose_key_runflow_rejects_count_one_by_one(serve: Serve) -> None:
    server = await serve(MCP_RATE_LIMIT_PRE_AUTH_PER_IP="3")
    codes = [(await server.generate(key="rf_live_sandbox_revoked")).status for _ in range(4)]
    assert codes == [200, 200, 200, 429]


async def test_both_paths_of_the_endpoint_count_in_the_same_windows(serve: Serve) -> None:
    server = await serve(MCP_RATE_LIMIT_PER_KEY="3", MCP_RATE_LIMIT_PRE_AUTH_PER_IP="1")
    keyed = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    body = orjson.dumps(PING)
    paths = ("/mcp", "/mcp/", "/mcp/", "/mcp", "/mcp/")
    answers = [await server.request("POST", path, headers=keyed, data=body) for path in paths]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert [(await server.request("POST", path, data=body)).status for path in ("/mcp/", "/mcp")] == [415, 415]
    unkeyed = {"Content-Type": "application/json"}
    answers = [await server.request("POST", path, headers=unkeyed, data=body) for path in ("/mcp/", "/mcp")]
    assert [answer.status for answer in answers] == [401, 429]


async def test_a_caller_whose_requests_are_rejected_gets_the_smaller_share_of_a_busy_server(server: Server) -> None:
    answers: Counter[str] = Counter()

    async def repeat(caller: str, data: bytes) -> None:
        async with connect(server) as connection:
            while answers["with a key"] < 100:
                await connection.send(at(server, data))
                await connection.answer()
                answers[caller] += 1

    await asyncio.gather(repeat("with a key", message()), repeat("without", message(without=["Authorization"])))
    assert 0 < answers["without"] < answers["with a key"] / 2
