"""The limits of the site file in a real nginx: endless bodies, floods, and the address that a client is counted by."""

import asyncio
import http.client
import ipaddress
import random
import socket
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import attrs
import pytest

from runflow_mcp.web.body import BODY_TIMEOUT
from runflow_mcp.web.client_address import client_address
from tests.deploy.conftest import PING, Client, call, events, order
from tests.deploy.nginx_stack import Stack
from tests.eventually import eventually
from tests.server_process import HOST
from tests.serving import INPUT

pytestmark = pytest.mark.real_time

MANY = 300


# Bodies that never end.


@attrs.frozen
class Ended:
    """How a request with an endless body ended; the times are seconds after its start."""

    #: 0: cut without an answer.
    status: int
    answered: float
    closed: float


async def endless(stack: Stack, source: str, key: str | None) -> Ended:
    """Send a head at once and then its body without end, a byte every second."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(HOST, stack.https, ssl=stack.tls(), local_addr=(source, 0))
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    head = f"POST /mcp HTTP/1.1\r\nHost: {HOST}:{stack.https}\r\n{authorization}Content-Length: 200000\r\n\r\n"
    writer.write(head.encode())

    async def drip() -> None:
        while True:
            writer.write(b" ")
            await asyncio.sleep(1)

    dripping = asyncio.create_task(drip())
    try:
        line = await reader.readline()
        answered = time.monotonic() - began
        await reader.read()
    except ConnectionError:
        line, answered = b"", time.monotonic() - began
    finally:
        dripping.cancel()
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
    return Ended(int(line.split()[1]) if line else 0, answered, time.monotonic() - began)


async def test_endless_bodies_without_a_key_are_rejected_at_once(stack: Stack, client: Client) -> None:
    async with client.open(order()) as response:
        ended = await asyncio.gather(*(endless(stack, "127.0.2.1", None) for _ in range(MANY)))
        assert {request.status for request in ended} <= {401, 429}
        assert Counter(request.status for request in ended)[401] > 0
        # Mostly the TLS handshakes of all of them, on a busy machine.
        assert max(request.answered for request in ended) < 8
        assert max(request.closed for request in ended) < BODY_TIMEOUT + 5
        messages = [event async for event in events(response)]
    assert messages[-1]["result"]["structuredContent"]["status"] == "succeeded"


async def test_endless_bodies_with_an_invented_key_are_cut_after_the_body_timeout(stack: Stack, client: Client) -> None:
    async with client.open(call("generate", model="sandbox/slow", input=INPUT)) as response:
        sources = [f"127.0.3.{number % 60 + 1}" for number in range(MANY)]
        ended = await asyncio.gather(
            *(endless(stack, source, f"rf_live_invented_{number}") for number, source in enumerate(sources))
        )
        assert {request.status for request in ended} <= {408, 429}
        assert Counter(request.status for request in ended)[408] > MANY / 2
        assert max(request.closed for request in ended) < BODY_TIMEOUT + 10
        assert not response.content.at_eof()
        # A TLS connection that is closed in order outlives the test's event loop.
        assert response.connection is not None
        assert response.connection.transport is not None
        response.connection.transport.abort()
    answer = await client.post(PING)
    assert answer.result == {}


# Floods.


async def test_a_flood_of_other_paths_is_rejected_in_json_and_leaves_few_log_lines(
    client: Client, neighbour: Client
) -> None:
    answers = await asyncio.gather(*(client.get("/.env") for _ in range(600)))
    refused = [answer for answer in answers if answer.status == 429]
    assert len(refused) > 200
    error = refused[0].error
    assert refused[0].headers["Retry-After"] == "10"
    assert error["data"] == {
        "code": "rate_limited",
        "request_id": refused[0].headers["X-Request-Id"],
        "retry_after_seconds": 10,
    }
    assert (await neighbour.get("/.env")).status == 404
    # The endpoint has a limit of its own.
    assert (await client.post(PING)).status == 200
    eventually(lambda: any(line["address"] == neighbour.source for line in client.stack.accesses), "it is logged")
    logged = Counter(line["status"] for line in client.stack.accesses if line["address"] == client.source)
    assert logged[429] == 0
    assert logged[404] == len(answers) - len(refused)
    errors = (client.stack.folder / "error.log").read_text()
    assert "limiting requests" not in errors


async def test_nginx_never_rejects_what_the_windows_of_the_server_admit(client: Client) -> None:
    answers = await asyncio.gather(*(client.post(PING) for _ in range(500)))
    refused = [answer.error for answer in answers if answer.status == 429]
    assert {answer.status for answer in answers} == {200, 429}
    assert not [error for error in refused if error["message"].startswith("Too many requests from your address, or")]


# Addresses.


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=5)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


def addresses() -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """IPv6 addresses with zeros in every pattern of groups, and random addresses."""
    dice = random.Random(19)
    made: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = []
    for pattern in range(256):
        groups = [dice.choice([1, 0xFF, 0xFFFF, dice.randrange(1, 65_536)]) * (pattern >> n & 1) for n in range(8)]
        made.append(ipaddress.IPv6Address(b"".join(group.to_bytes(2) for group in groups)))
    for _ in range(300):
        made.append(ipaddress.IPv6Address(dice.getrandbits(128)))
        made.append(ipaddress.IPv4Address(dice.getrandbits(32)))
    made += [ipaddress.IPv6Address(f"::ffff:{ipaddress.IPv4Address(dice.getrandbits(32))}") for _ in range(50)]
    made += [ipaddress.IPv6Address(address) for address in ("::", "::1", "::1.2.3.4", "::ffff:0:1", "64:ff9b::1.2.3.4")]
    return made


def in_full(counted: str) -> str:
    """nginx's four groups as the network that the server names."""
    return counted if ":" not in counted else str(ipaddress.ip_network(f"{counted}::/64"))


def test_nginx_counts_every_address_as_the_server_does(stack: Stack) -> None:
    connection = UnixConnection(stack.folder / "counted.sock")
    for address in addresses():
        connection.request("GET", "/", headers={"X-Forwarded-For": str(address)})
        counted = connection.getresponse().read().decode()
        assert in_full(counted) == client_address(str(address), (), ()), str(address)
    connection.close()
