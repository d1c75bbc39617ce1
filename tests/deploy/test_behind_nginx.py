"""The site file in a real nginx, in front of two real servers: the answers that clients get, and the access log."""

import asyncio
import contextlib
import http.client
import socket
import time
from collections.abc import Iterator, Mapping
from email.message import Message
from pathlib import Path
from typing import Any

import orjson
import pytest

from runflow_mcp import __version__
from runflow_mcp.settings.config import Config
from tests.deploy import http2_client
from tests.deploy.conftest import PING, Client, events, order
from tests.deploy.nginx_stack import PER_ADDRESS, Stack
from tests.eventually import eventually
from tests.server_process import HOST
from tests.serving import BOTH, KEY

pytestmark = pytest.mark.real_time

CAP = Config().max_body_bytes
#: How /proc/net/tcp writes it.
ESTABLISHED = "01"
#: A run takes longer than a second, its first progress message a few milliseconds.
AHEAD = 0.9


def padded(size: int) -> bytes:
    """A ping of exactly so many bytes."""
    return orjson.dumps(PING).ljust(size)


def pieces(body: bytes) -> Iterator[bytes]:
    """A body without a length, sent in chunks."""
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


def ask(stack: Stack, body: bytes | Iterator[bytes], headers: Mapping[str, str]) -> tuple[int, Message, Any]:
    """POST with the simplest client: status, headers and JSON of the answer."""
    connection = http.client.HTTPSConnection(HOST, stack.https, context=stack.tls(), timeout=5)
    try:
        connection.request("POST", "/mcp", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, orjson.loads(answer.read())
    finally:
        connection.close()


# Streams.


async def test_progress_arrives_before_the_run_ends(client: Client) -> None:
    async with client.open(order()) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["X-Accel-Buffering"] == "no"
        arrived = [(time.monotonic(), event) async for event in events(response)]
    (first, progress), (last, answer) = arrived[0], arrived[-1]
    assert progress["method"] == "notifications/progress"
    assert answer["result"]["structuredContent"]["status"] == "succeeded"
    assert last - first > AHEAD


async def test_progress_arrives_before_the_run_ends_over_http2(stack: Stack) -> None:
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json", "accept": BOTH}
    answer = http2_client.post(stack.https, headers, orjson.dumps(order()), context=stack.tls(), source="127.0.1.1")
    arrived = [(time.monotonic(), piece) async for piece in answer]
    assert b"notifications/progress" in arrived[0][1]
    assert b'"status":"succeeded"' in b"".join(piece for _, piece in arrived)
    assert arrived[-1][0] - arrived[0][0] > AHEAD
    eventually(lambda: any(line["protocol"] == "HTTP/2.0" for line in stack.accesses), "the request is logged")


async def test_a_client_that_goes_away_ends_its_wait_at_the_replica(client: Client) -> None:
    async with client.open(order()) as response:
        await anext(events(response))
        assert response.connection is not None
        assert response.connection.transport is not None
        # Browsers and curl leave like this. A close would wait for the end of the TLS session.
        response.connection.transport.abort()

    def ended() -> bool:
        lines = client.stack.replica_log_lines
        return [line["status"] for line in lines if line.get("address") == client.source] == [499]

    await asyncio.to_thread(eventually, ended, "the replica has noticed")


# Addresses and ids.


async def test_limits_count_the_client_s_address_and_ignore_its_forwarding_headers(
    client: Client, neighbour: Client
) -> None:
    answers = [
        await client.post(PING, headers={"X-Forwarded-For": f"203.0.113.{number}", "Forwarded": "for=192.0.2.1"})
        for number in range(2 * PER_ADDRESS + 1)
    ]
    refused = [answer for answer in answers if answer.status == 429]
    assert refused, "two replicas admit at most twice the limit"
    assert refused[0].error["data"]["code"] == "rate_limited"
    assert int(refused[0].headers["Retry-After"]) > 0
    assert (await neighbour.post(PING)).status == 200

    def seen() -> int:
        lines = client.stack.replica_log_lines
        return sum(line.get("address") == client.source for line in lines)

    eventually(lambda: seen() >= len(answers), "each is logged")
    assert seen() == len(answers)


async def test_a_request_has_one_id_in_the_answer_and_in_both_logs_and_it_is_not_the_caller_s(client: Client) -> None:
    answer = await client.post(PING, headers={"X-Request-Id": "mine"})
    (request_id,) = answer.headers.getall("X-Request-Id")  # type: ignore[attr-defined]
    assert len(request_id) == 32

    def logged() -> list[object]:
        return [line.get("request_id") for line in client.stack.replica_log_lines]

    eventually(lambda: request_id in logged(), "the replica has logged it")
    assert logged().count(request_id) == 1
    eventually(lambda: [line["request_id"] for line in client.stack.accesses].count(request_id) == 1, "it is logged")
    assert "mine" not in logged()


async def test_the_host_keeps_its_port_and_another_host_is_rejected(client: Client) -> None:
    document = await client.get("/.well-known/oauth-protected-resource/mcp")
    assert document.json["resource"] == f"{client.stack.origin}/mcp"
    foreign = await client.post(PING, headers={"Host": HOST})
    assert foreign.error["data"]["code"] == "host_rejected"


# Bodies.


async def test_a_body_as_large_as_the_cap_passes(client: Client) -> None:
    assert (await client.post(padded(CAP))).result == {}


@pytest.mark.parametrize("chunked", [False, True])
def test_a_larger_body_is_rejected_in_the_shape_of_the_server(stack: Stack, *, chunked: bool) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    body = padded(CAP + 1)
    status, given, answer = ask(stack, pieces(body) if chunked else body, headers)
    assert (status, given["Content-Type"]) == (413, "application/json")
    assert (answer["id"], answer["error"]["code"]) == (None, 413)
    assert answer["error"]["data"] == {"code": "body_too_large", "request_id": given["X-Request-Id"]}
    if not chunked:  # by its declared length, it has reached no replica
        lines = stack.replica_log_lines
        assert given["X-Request-Id"] not in [line.get("request_id") for line in lines]


# The other paths.


async def test_the_probes_answer_through_nginx(client: Client) -> None:
    assert (await client.get("/healthz")).json == {"status": "ok", "version": __version__}
    assert (await client.get("/readyz")).json["status"] == "ready"


async def test_an_unknown_path_gets_the_server_s_own_advice(client: Client) -> None:
    answer = await client.post({}, path="/register")
    assert answer.status == 404
    assert "API key" in answer.json["error_description"]


async def test_every_answer_keeps_clients_on_tls_and_names_no_version(client: Client) -> None:
    answer = await client.post(PING)
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert answer.headers["Server"] == "nginx"


async def test_a_slash_after_the_path_of_the_endpoint_makes_no_difference(client: Client) -> None:
    assert (await client.post(PING, path="/mcp/")).result == {}
    async with client.open(order(), path="/mcp/") as response:
        arrived = [(time.monotonic(), event) async for event in events(response)]
    assert arrived[-1][1]["result"]["structuredContent"]["status"] == "succeeded"
    assert arrived[-1][0] - arrived[0][0] > AHEAD


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/", "/healthz?a=b"])
async def test_a_page_without_tls_is_redirected(client: Client, method: str, path: str) -> None:
    url = f"http://{HOST}:{client.stack.http}{path}"
    async with client.session.request(method, url, allow_redirects=False) as response:
        assert response.status == 308
        assert response.headers["Location"] == f"https://{HOST}{path}"


@pytest.mark.parametrize(
    ("method", "path", "keyed"),
    [
        ("POST", "/mcp", True),
        ("POST", "/mcp", False),
        ("POST", "/mcp/", True),
        ("GET", "/mcp", True),
        ("GET", "/mcp", False),
        ("DELETE", "/mcp", True),
        ("OPTIONS", "/mcp", False),
        ("POST", "/register", False),
        ("GET", "/healthz", True),
    ],
)
async def test_a_call_without_tls_is_rejected_with_an_explanation_and_not_redirected(
    client: Client, method: str, path: str, *, keyed: bool
) -> None:
    url = f"http://{HOST}:{client.stack.http}{path}?a=b"
    headers = {"Authorization": f"Bearer {KEY}"} if keyed else {}
    async with client.session.request(method, url, headers=headers, data=b"{}", allow_redirects=False) as response:
        assert_https_required(response.status, response.headers, await response.json())
        assert "Location" not in response.headers


def assert_https_required(status: int, headers: Mapping[str, str] | Message, answer: Any) -> None:
    assert (status, headers["Content-Type"]) == (403, "application/json")
    assert (answer["jsonrpc"], answer["id"], answer["error"]["code"]) == ("2.0", None, 403)
    assert answer["error"]["data"] == {"code": "https_required", "request_id": headers["X-Request-Id"]}
    assert "https://" in answer["error"]["message"]
    assert "unencrypted" in answer["error"]["message"]
    assert "replace it" in answer["error"]["message"]


def wire(stack: Stack, data: bytes, *, port: int, tls: bool) -> tuple[int, Message, Any]:
    """The answer to these bytes: status, headers and JSON."""
    with socket.create_connection((HOST, port), timeout=5) as plain, contextlib.ExitStack() as opened:
        connection = opened.enter_context(stack.tls().wrap_socket(plain, server_hostname=HOST)) if tls else plain
        connection.sendall(data)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.headers, orjson.loads(answer.read())


def request(line: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([line, b"Host: here", *headers, b"Connection: close", b"", b""])


POST = b"POST /mcp HTTP/1.1"
#: Requests that nginx itself rejects, with the status and code that clients get.
REJECTED_BY_NGINX: dict[str, tuple[bytes, int, str]] = {
    "a malformed host": (b"POST /mcp HTTP/1.1\r\nHost: no host, this\r\n\r\n", 400, "bad_request"),
    "no host": (b"POST /mcp HTTP/1.1\r\n\r\n", 400, "bad_request"),
    "not HTTP": (b"hello\r\n\r\n", 400, "bad_request"),
    "a method in lower case": (request(b"post /mcp HTTP/1.1"), 400, "bad_request"),
    "a tunnel": (request(b"CONNECT a:1 HTTP/1.1"), 400, "bad_request"),
    "another version": (request(b"POST /mcp HTTP/3.0"), 400, "bad_request"),
    "HTTP/2 in plain": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad_request"),
    "a path that leads out": (request(b"POST /../x HTTP/1.1"), 400, "bad_request"),
    "a negative length": (request(POST, b"Content-Length: -1"), 400, "bad_request"),
    "an unknown encoding": (request(POST, b"Transfer-Encoding: gzip"), 400, "bad_request"),
    "a broken chunk": (request(POST, b"Transfer-Encoding: chunked") + b"zz\r\n", 400, "bad_request"),
    "a length over the cap": (request(POST, b"Content-Length: 999999999"), 413, "body_too_large"),
    "a line too long": (request(b"POST /" + b"a" * 9000 + b" HTTP/1.1"), 431, "head_too_large"),
    "a header too long": (request(POST, b"Cookie: " + b"a" * 9000), 431, "head_too_large"),
    "headers too many": (request(POST, *[b"Cookie: " + b"a" * 1000] * 60), 431, "head_too_large"),
    "an unsupported method": (request(b"TRACE /mcp HTTP/1.1"), 405, "method_not_allowed"),
}


@pytest.mark.parametrize(("data", "status", "code"), REJECTED_BY_NGINX.values(), ids=REJECTED_BY_NGINX)
def test_nginx_sends_its_rejections_in_the_servers_shape(stack: Stack, data: bytes, status: int, code: str) -> None:
    given, headers, answer = wire(stack, data, port=stack.https, tls=True)
    assert (given, headers["Content-Type"]) == (status, "application/json")
    if code == "method_not_allowed":
        assert (answer["error"], headers["Allow"]) == (code, "POST, OPTIONS")
        return
    assert (answer["id"], answer["error"]["code"]) == (None, status)
    assert answer["error"]["data"] == {"code": code, "request_id": headers["X-Request-Id"]}


@pytest.mark.parametrize("data", [data for data, _, _ in REJECTED_BY_NGINX.values()], ids=REJECTED_BY_NGINX)
def test_without_tls_every_rejected_request_is_told_that_https_is_required(stack: Stack, data: bytes) -> None:
    assert_https_required(*wire(stack, data, port=stack.http, tls=False))


def test_plain_http_on_the_tls_port_is_told_that_https_is_required(stack: Stack) -> None:
    key = b"Authorization: Bearer " + KEY.encode()
    assert_https_required(*wire(stack, request(POST, key), port=stack.https, tls=False))


def test_nginx_keeps_connections_to_the_replicas_open(stack: Stack) -> None:
    address = socket.inet_aton(HOST)[::-1].hex().upper()
    ends = {f"{address}:{replica.port:04X}" for replica in stack.replicas}

    def kept() -> bool:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        return any(row[2] in ends and row[3] == ESTABLISHED for row in rows)

    assert stack.serves()
    assert kept()


# The log.


async def test_the_log_has_the_path_and_neither_query_nor_key(client: Client) -> None:
    await client.post(PING, path="/mcp?api_key=rf_live_in_query", headers={"Referer": "https://a/?rf_live_in_referer"})
    await client.post(PING, path="/mcp/rf_live_in_path")
    plain = f"http://{HOST}:{client.stack.http}/mcp?api_key=rf_live_in_plain"
    async with client.session.get(plain, allow_redirects=False):
        pass

    def own() -> list[dict[str, object]]:
        return [line for line in client.stack.accesses if line["address"] == client.source]

    eventually(lambda: len(own()) == 3, "three requests are logged")
    assert [(line["uri"], line["status"]) for line in own()] == [("/mcp", 200), ("/mcp/***", 404), ("/mcp", 403)]
    assert "rf_live" not in client.stack.access_log.read_text()
