"""Requests that no HTTP library would send, written byte by byte, and how each is answered or rejected."""

import asyncio
import logging
import tracemalloc
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from tests.byte_units import MIB
from tests.serving import Answer, Serve, Server
from tests.virtual_time import VirtualClock
from tests.web.error_shapes import rejection_of
from tests.web.raw_connection import PING, RawConnection, at, chunked, connect, exchange, message

PONG = {"jsonrpc": "2.0", "id": 1, "result": {}}
CAP = 262_144
#: Seconds of tolerance.
SLACK = 0.5


def assert_rejected(answer: Answer, status: int, code: str) -> None:
    rejection_of(answer, code)
    assert answer.status == status


def assert_plain_error(answer: Answer, status: int, error: str) -> None:
    assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (status, "application/json")
    assert set(answer.json) == {"error", "error_description"}
    assert answer.json["error"] == error
    assert answer.headers["X-Request-Id"]


async def still_usable(server: Server, connection: RawConnection) -> bool:
    await connection.send(at(server, message()))
    return bool((await connection.answer()).json == PONG)


# The table of rejections

HOST, ORIGIN, MEDIA = (403, "host_rejected"), (403, "origin_rejected"), (415, "unsupported_media_type")
MISSING, MALFORMED, BAD = (401, "missing_authorization"), (401, "malformed_authorization"), (400, "bad_request")
LARGE = (413, "body_too_large")


def host(value: bytes) -> bytes:
    return message(b"Host: " + value, without=["Host"])


def origin(*values: bytes) -> bytes:
    return message(*(b"Origin: " + value for value in values))


def target(value: bytes) -> bytes:
    return message(line=b"POST " + value + b" HTTP/1.1")


def content_type(*values: bytes) -> bytes:
    return message(*(b"Content-Type: " + value for value in values), without=["Content-Type"])


def authorization(*values: bytes) -> bytes:
    return message(*(b"Authorization: " + value for value in values), without=["Authorization"])


#: What no HTTP library sends; other headers are in test_allowlists, test_body and test_bearer.
REJECTED: dict[str, tuple[bytes, tuple[int, str]]] = {
    "a host that is not text": (host(b"\xff\xfe"), HOST),
    "no host": (message(without=["Host"]), BAD),
    "no host in HTTP/1.0": (message(line=b"POST /mcp HTTP/1.0", without=["Host"]), BAD),
    "host twice": (message(b"Host: @HOST"), BAD),
    "host twice, one evil": (message(b"Host: evil.example.com"), BAD),
    "host twice, one in lower case": (message(b"host: evil.example.com"), BAD),
    "evil target, good host": (target(b"http://evil.example.com/mcp"), HOST),
    "evil target with our port": (target(b"http://evil.example.com:8080/mcp"), HOST),
    "good target, evil host": (
        message(b"Host: evil.example.com", line=b"POST http://@HOST/mcp HTTP/1.1", without=["Host"]),
        HOST,
    ),
    "target with user information": (target(b"http://me:geheim@@HOST/mcp"), HOST),
    "target without a port": (target(b"http://127.0.0.1/mcp"), HOST),
    "target of another scheme": (target(b"ftp://evil.example.com/mcp"), HOST),
    "tunnel": (message(line=b"CONNECT evil.example.com:443 HTTP/1.1"), HOST),
    "two origins": (origin(b"http://@HOST", b"http://@HOST"), ORIGIN),
    "two origins, one empty": (origin(b"http://@HOST", b""), ORIGIN),
    "two origins, the second null": (origin(b"http://@HOST", b"null"), ORIGIN),
    "media type twice": (content_type(b"application/json", b"application/json"), BAD),
    "identity, then gzip": (message(b"Content-Encoding: identity", b"Content-Encoding: gzip"), MEDIA),
    "length over the cap, without a body": (message(b"Content-Length: 262145", without=["Content-Length"]), LARGE),
    "length far over the cap": (message(b"Content-Length: 999999999999", without=["Content-Length"]), LARGE),
    "authorization twice": (authorization(b"Bearer rf_live_sandbox", b"Bearer rf_live_sandbox"), MALFORMED),
    "authorization twice, cases mixed": (message(b"authorization: Bearer rf_live_sandbox"), MALFORMED),
    "key in Latin-1": (authorization("Bearer rf_live_sändbox".encode("latin-1")), MALFORMED),
}


@pytest.mark.parametrize(("data", "rejection"), REJECTED.values(), ids=REJECTED)
async def test_a_request_that_no_http_library_sends_is_rejected(
    server: Server, data: bytes, rejection: tuple[int, str]
) -> None:
    assert_rejected(await exchange(server, data), *rejection)


ACCEPTED: dict[str, bytes] = {
    "as it should be": message(),
    "white space around the host": host(b"\t@HOST \t"),
    "good target": target(b"http://@HOST/mcp"),
    "good target of the other scheme": target(b"https://@HOST/mcp"),
    "encoded path": target(b"/%6Dcp"),
    "query": target(b"/mcp?key=1#2"),
    "a slash at the end": target(b"/mcp/"),
    "a slash at the end, and a query": target(b"/mcp/?a=b"),
    "white space around the key": authorization(b"Bearer \t  rf_live_sandbox \t"),
    "header in lower case": message(b"authorization: Bearer rf_live_sandbox", without=["Authorization"]),
    "an empty last chunk": message(
        b"Transfer-Encoding: chunked", without=["Content-Length"], body=chunked(PING[:9], PING[9:], b"")
    ),
    "HTTP/1.0": message(line=b"POST /mcp HTTP/1.0"),
    "an upgrade that is not taken": message(b"Connection: Upgrade", b"Upgrade: h2c"),
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
async def test_an_unusual_but_valid_request_is_answered(server: Server, data: bytes) -> None:
    answer = await exchange(server, data)
    assert (answer.status, answer.json) == (200, PONG)


@pytest.mark.parametrize("value", [b"evil.example.com", b"a:b:c", b"\xff\xfe", b"[", b"", b"a b", b'"'])
async def test_with_any_host_allowed_every_host_passes(serve: Serve, value: bytes) -> None:
    server = await serve(MCP_ALLOWED_HOSTS="*")
    assert (await exchange(server, host(value))).status == 200
    assert_rejected(await exchange(server, message(b"Host: " + value, without=["Host", "Authorization"])), *MISSING)
    assert_rejected(await exchange(server, origin(b"null")), *ORIGIN)
    absolute = message(b"Host: " + value, line=b"POST http://x.example/mcp HTTP/1.1", without=["Host"])
    assert (await exchange(server, absolute)).status == 200


# The order of the guards

EVIL_HOST, NULL, TEXT = b"Host: evil.example.com", b"Origin: null", b"Content-Type: text/plain"
TOO_LONG, SHORT_KEY = b"Content-Length: 262145", b"Authorization: Bearer short"
ALL = ("Host", "Authorization", "Content-Type", "Content-Length")
OUR_HOST = b"Host: @HOST"


@pytest.mark.parametrize(
    ("extra", "line", "rejection"),
    [
        ([EVIL_HOST, NULL, TEXT, TOO_LONG, SHORT_KEY], b"POST /nothing HTTP/1.1", HOST),
        ([OUR_HOST, NULL, TEXT, TOO_LONG, SHORT_KEY], b"POST /nothing HTTP/1.1", ORIGIN),
        ([OUR_HOST, TEXT, TOO_LONG, SHORT_KEY], b"POST /nothing HTTP/1.1", (404, "")),
        ([OUR_HOST, TEXT, TOO_LONG, SHORT_KEY], b"PUT /healthz HTTP/1.1", (405, "")),
        ([OUR_HOST, TEXT, TOO_LONG, SHORT_KEY], b"POST /mcp HTTP/1.1", MEDIA),
        ([OUR_HOST, TOO_LONG, SHORT_KEY], b"POST /mcp HTTP/1.1", LARGE),
        ([OUR_HOST, b"Content-Length: 40", SHORT_KEY], b"POST /mcp HTTP/1.1", MALFORMED),
        ([OUR_HOST, SHORT_KEY], b"GET /mcp HTTP/1.1", MALFORMED),
        ([OUR_HOST, TEXT], b"DELETE /mcp HTTP/1.1", MISSING),
        ([OUR_HOST, TEXT, b"Authorization: Bearer rf_live_sandbox"], b"GET /mcp HTTP/1.1", (405, "")),
    ],
    ids=["host", "origin", "path", "method", "media type", "length", "bearer", "bearer of a GET", "of a DELETE", "405"],
)
async def test_the_first_guard_that_rejects_decides_without_waiting_for_the_body(
    server: Server, clock: VirtualClock, extra: list[bytes], line: bytes, rejection: tuple[int, str]
) -> None:
    answer = await exchange(server, message(*extra, line=line, without=ALL, body=b""))
    assert clock.monotonic() == 0
    if rejection[1]:
        assert_rejected(answer, *rejection)
    else:
        assert_plain_error(answer, rejection[0], "not_found" if rejection[0] == 404 else "method_not_allowed")


async def test_the_windows_are_checked_after_the_bearer_and_before_the_body(serve: Serve, clock: VirtualClock) -> None:
    server = await serve(MCP_RATE_LIMIT_PER_IP="1")
    await exchange(server, message())
    unsent = message(b"Content-Length: 40", without=["Content-Length"], body=b"")
    assert_rejected(await exchange(server, unsent), 429, "rate_limited")
    assert_rejected(await exchange(server, message(SHORT_KEY, without=["Authorization"])), *MALFORMED)
    assert clock.monotonic() == 0


# Bytes that are not an HTTP request

NO_REQUEST: dict[str, bytes] = {
    "TLS": bytes.fromhex("16030102000100010001fc030300") + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3": message(line=b"POST /mcp HTTP/3.0"),
    "no version": message(line=b"POST /mcp"),
    "a text": b"hello\r\n\r\n",
    "a made-up method": message(line=b"SPEAK /mcp HTTP/1.1"),
    "a method in lower case": message(line=b"post /mcp HTTP/1.1"),
    "a control character in the path": message(line=b"POST /m\x01cp HTTP/1.1"),
    "a space in the path": message(line=b"POST /m cp HTTP/1.1"),
    "a target without a host": message(line=b"POST http:///mcp HTTP/1.1"),
    "a target with half an IPv6 address": message(line=b"POST http://[::1/mcp HTTP/1.1"),
    "a target with an impossible port": message(line=b"POST http://localhost:99999/mcp HTTP/1.1"),
    "a star for no OPTIONS": message(line=b"GET * HTTP/1.1"),
    "a zero in a header": message(b"X-Odd: a\x00b"),
    "a control character in the key": authorization(b"Bearer rf_live_san\x01dbox"),
    "a carriage return in a header": message(b"X-Odd: a\rb"),
    "a folded header": message(b"X-Odd: a\r\n  b"),
    "a space before the colon": message(b"X-Odd : a"),
    "no colon": message(b"X-Odd"),
    "no header name": message(b": a"),
    "line feeds alone": message().replace(b"\r\n", b"\n"),
    "a negative length": message(b"Content-Length: -1", without=["Content-Length"]),
    "a signed length": message(b"Content-Length: +40", without=["Content-Length"]),
    "a length beyond numbers": message(b"Content-Length: 99999999999999999999999", without=["Content-Length"]),
    "a length in words": message(b"Content-Length: forty", without=["Content-Length"]),
    "two lengths": message(b"Content-Length: 41"),
    "length and chunks": message(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "an encoding without chunks": message(b"Transfer-Encoding: identity", without=["Content-Length"]),
    "chunks not last": message(b"Transfer-Encoding: chunked, gzip", without=["Content-Length"]),
    "no chunk": message(b"Transfer-Encoding: chunked", without=["Content-Length"], body=b"zz\r\n"),
    "a chunk of negative size": message(b"Transfer-Encoding: chunked", without=["Content-Length"], body=b"-1\r\n\r\n"),
    "a second chunk that is none": message(
        b"Transfer-Encoding: chunked", without=["Content-Length"], body=chunked(PING[:9]) + b"zz\r\n"
    ),
}


TOO_LARGE: dict[str, bytes] = {
    "a line too long": message(line=b"POST /" + b"a" * 9000 + b" HTTP/1.1"),
    "a query too long": message(line=b"POST /mcp?" + b"a" * 9000 + b" HTTP/1.1"),
    "a header too long": message(b"X-Long: " + b"a" * 9000),
    "a header name too long": message(b"X-" + b"a" * 9000 + b": 1"),
    "cookies": message(b"Cookie: " + b"a=b; " * 5000),
    "headers too many": message(*(b"X-%d: 1" % number for number in range(200))),
    "a line without an end": b"POST /" + b"a" * 70_000,
    "a header without an end": b"POST /mcp HTTP/1.1\r\nX-Long: " + b"a" * 70_000,
}


@pytest.mark.parametrize("data", TOO_LARGE.values(), ids=TOO_LARGE)
async def test_a_head_over_the_limit_is_a_431_and_the_connection_ends(
    server: Server, clock: VirtualClock, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(server) as connection:
        await connection.send(at(server, data))
        answer = await connection.answer()
        assert_rejected(answer, 431, "head_too_large")
        assert "aaa" not in answer.json["error"]["message"]
        assert await connection.closed()
    assert clock.monotonic() < SLACK
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (await exchange(server, message())).status == 200


@pytest.mark.parametrize("data", NO_REQUEST.values(), ids=NO_REQUEST)
async def test_bytes_that_are_not_http_get_a_json_400_and_the_connection_ends(
    server: Server, clock: VirtualClock, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(server) as connection:
        await connection.send(at(server, data))
        assert_rejected(await connection.answer(), *BAD)
        assert await connection.closed()
    assert clock.monotonic() < SLACK
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (await exchange(server, message())).status == 200


async def test_a_broken_chunk_ends_the_request_whose_body_is_being_read(server: Server, clock: VirtualClock) -> None:
    async with connect(server) as connection:
        begun = message(b"Transfer-Encoding: chunked", without=["Content-Length"], body=chunked(PING[:9]))
        await connection.send(at(server, begun))
        await clock.sleep(1)
        await connection.send(b"zz\r\n")
        answer = await connection.answer()
        assert_rejected(answer, *BAD)
        assert await connection.closed()
    assert (await exchange(server, message())).status == 200


# Other paths and methods


@pytest.mark.parametrize(
    ("line", "status", "error"),
    [
        (b"GET / HTTP/1.1", 404, "not_found"),
        (b"POST /register HTTP/1.1", 404, "not_found"),
        (b"GET /.well-known/oauth-authorization-server HTTP/1.1", 404, "not_found"),
        (b"POST /mcp// HTTP/1.1", 404, "not_found"),
        (b"GET /mcp/ HTTP/1.1", 405, "method_not_allowed"),
        (b"DELETE /mcp/ HTTP/1.1", 405, "method_not_allowed"),
        (b"POST //mcp HTTP/1.1", 404, "not_found"),
        (b"POST //evil.example.com/mcp HTTP/1.1", 404, "not_found"),
        (b"POST /MCP HTTP/1.1", 404, "not_found"),
        (b"POST /healthz HTTP/1.1", 405, "method_not_allowed"),
        (b"DELETE /.well-known/oauth-protected-resource HTTP/1.1", 405, "method_not_allowed"),
        (b"TRACE /mcp HTTP/1.1", 405, "method_not_allowed"),
        (b"CONNECT @HOST HTTP/1.1", 404, "not_found"),
    ],
)
async def test_other_paths_and_methods_get_json_errors(server: Server, line: bytes, status: int, error: str) -> None:
    answer = await exchange(server, message(line=line))
    assert_plain_error(answer, status, error)
    if status == 404:
        assert "no OAuth flow" in answer.json["error_description"]
        assert "(it starts with rf_live_)" in answer.json["error_description"]
        assert "Authorization: Bearer <key>" in answer.json["error_description"]
    elif b" /mcp " in line or b" /mcp/ " in line:
        assert answer.headers["Allow"] == "POST, OPTIONS"
    else:
        assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("line", "extra", "status"),
    [
        (b"HEAD /mcp HTTP/1.1", b"Accept: */*", 405),
        (b"HEAD /healthz HTTP/1.1", b"Accept: */*", 200),
        (b"HEAD /nothing HTTP/1.1", b"Accept: */*", 404),
        (b"HEAD /mcp HTTP/1.1", b"Origin: https://evil.example.com", 403),
        (b"HEAD /mcp HTTP/1.1", b"Authorization: Bearer rf_live_twice", 401),
    ],
)
async def test_an_answer_to_head_has_no_body(server: Server, line: bytes, extra: bytes, status: int) -> None:
    async with connect(server) as connection:
        await connection.send(at(server, message(extra, line=line)))
        answer = await connection.answer(bodyless=True)
        assert answer.status == status
        assert answer.headers["X-Request-Id"]
        assert await still_usable(server, connection)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"abc-123._Z", True),
        (b"x" * 128, True),
        (b"x" * 129, False),
        (b"", False),
        (b"a b", False),
        (b"a/b", False),
        ("ä".encode(), False),
    ],
    ids=["ordinary", "128", "129", "empty", "space", "slash", "beyond ASCII"],
)
@pytest.mark.parametrize(
    "data",
    [message(), message(without=["Authorization"]), target(b"/nothing"), host(b"evil.example.com")],
    ids=["200", "401", "404", "403"],
)
async def test_an_answer_carries_the_id_of_its_request_byte_by_byte(
    server: Server, data: bytes, sent: bytes, *, kept: bool
) -> None:
    head, _, body = data.partition(b"\r\n\r\n")
    answer = await exchange(server, head + b"\r\nX-Request-Id: " + sent + b"\r\n\r\n" + body)
    assert (answer.headers["X-Request-Id"] == sent.decode()) == kept
    assert answer.headers["X-Request-Id"]


# Expect


def expecting(*extra: bytes, line: bytes = b"POST /mcp HTTP/1.1", without: Sequence[str] = ()) -> bytes:
    return message(b"Expect: 100-continue", *extra, line=line, without=without)[: -len(PING)]


async def test_an_expected_body_gets_100_continue_and_an_answer(server: Server) -> None:
    async with connect(server) as connection:
        await connection.send(at(server, expecting()))
        assert (await connection.answer()).status == 100
        await connection.send(PING)
        assert (await connection.answer()).json == PONG
        assert await still_usable(server, connection)


@pytest.mark.parametrize(
    ("data", "rejection"),
    [
        (expecting(b"Content-Length: 262145", without=["Content-Length"]), LARGE),
        (expecting(without=["Authorization"]), MISSING),
        (expecting(b"Host: evil.example.com", without=["Host"]), HOST),
        (expecting(b"Origin: null"), ORIGIN),
        (expecting(b"Content-Encoding: gzip"), MEDIA),
    ],
    ids=["too large", "no bearer", "host", "origin", "encoding"],
)
async def test_a_rejected_request_gets_no_100_continue(server: Server, data: bytes, rejection: tuple[int, str]) -> None:
    assert_rejected(await exchange(server, data), *rejection)


async def test_a_body_that_does_not_follow_100_continue_is_a_timeout(server: Server) -> None:
    async with connect(server) as connection:
        await connection.send(at(server, expecting()))
        assert (await connection.answer()).status == 100
        assert_rejected(await connection.answer(), 408, "body_timeout")
        assert await connection.closed()


async def test_a_body_that_came_with_its_head_gets_no_100_continue(server: Server) -> None:
    assert (await exchange(server, message(b"Expect: 100-continue"))).json == PONG


async def test_http_1_0_gets_no_100_continue(server: Server, clock: VirtualClock) -> None:
    async with connect(server) as connection:
        await connection.send(at(server, expecting(line=b"POST /mcp HTTP/1.0")))
        await clock.sleep(1)
        await connection.send(PING)
        assert (await connection.answer()).json == PONG


@pytest.mark.parametrize(
    ("line", "status"),
    [(b"POST /mcp HTTP/1.1", 200), (b"GET /healthz HTTP/1.1", 200), (b"GET /nothing HTTP/1.1", 404)],
)
async def test_an_unknown_expectation_is_answered_in_json(server: Server, line: bytes, status: int) -> None:
    answer = await exchange(server, message(b"Expect: the-unexpected", line=line))
    assert answer.status in (status, 400, 417)
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["X-Request-Id"]


# The body: how much and how fast


@pytest.mark.parametrize("in_chunks", [False, True], ids=["length", "chunks"])
async def test_nothing_past_the_body_cap_is_kept(server: Server, clock: VirtualClock, *, in_chunks: bool) -> None:
    piece = b" " * 65_536
    how = b"Transfer-Encoding: chunked" if in_chunks else b"Content-Length: 100000000"
    async with connect(server) as connection:
        await connection.send(at(server, message(how, without=["Content-Length"], body=b"")))
        tracemalloc.start()
        try:
            sent = chunked(piece) if in_chunks else piece
            for _ in range(256):  # 16 MiB
                await connection.send(sent)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 2 * MIB
        assert_rejected(await connection.answer(), *LARGE)
        rejected_at = clock.monotonic()
        assert await connection.closed()
        assert clock.monotonic() - rejected_at < 2 + SLACK


DRIBBLING = {
    "length": message(b"Content-Length: 100", without=["Content-Length"], body=b"{"),
    "chunks": message(b"Transfer-Encoding: chunked", without=["Content-Length"], body=b"40\r\n{"),
}


@pytest.mark.parametrize("data", DRIBBLING.values(), ids=DRIBBLING)
@pytest.mark.parametrize("pause", [1.0, 100.0], ids=["dribbles", "stalls"])
async def test_a_body_that_does_not_arrive_in_ten_seconds_is_a_timeout(
    server: Server, clock: VirtualClock, data: bytes, pause: float
) -> None:
    async with connect(server) as connection:
        await connection.send(at(server, data))

        async def dribble() -> None:
            for _ in range(60):
                await clock.sleep(pause)
                connection.writer.write(b" ")

        dribbling = asyncio.create_task(dribble())
        answer = await connection.answer()
        assert_rejected(answer, 408, "body_timeout")
        assert 10 <= clock.monotonic() < 10 + SLACK
        assert answer.headers["Connection"] == "close"
        assert await connection.closed()
        assert clock.monotonic() < 12 + SLACK
        dribbling.cancel()


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_not_an_error(
    server: Server, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    for data in DRIBBLING.values():
        async with connect(server) as connection:
            await connection.send(at(server, data))
            await clock.sleep(1)
    await clock.sleep(20)
    assert (await exchange(server, message())).status == 200
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# The head, and the connection


async def test_a_connection_without_a_request_is_closed(server: Server, clock: VirtualClock) -> None:
    async with connect(server) as connection:
        assert await connection.closed()
    assert 15 <= clock.monotonic() < 15 + SLACK


async def dribble_head(server: Server, connection: RawConnection, clock: VirtualClock) -> float:
    """Send a head, one byte per second; the seconds until the connection was closed."""
    began = clock.monotonic()

    async def dribble() -> None:
        for byte in at(server, message()):
            connection.writer.write(bytes([byte]))
            await clock.sleep(1)

    dribbling = asyncio.create_task(dribble())
    assert await connection.closed()
    dribbling.cancel()
    return clock.monotonic() - began


async def test_a_head_that_takes_over_15_seconds_ends_the_connection(server: Server, clock: VirtualClock) -> None:
    async with connect(server) as connection:
        assert 15 <= await dribble_head(server, connection, clock) < 15 + SLACK


@pytest.mark.parametrize("idle", [0, 14, 59])
async def test_a_slow_head_on_a_used_connection_ends_it(server: Server, clock: VirtualClock, idle: float) -> None:
    async with connect(server) as connection:
        for _ in range(2):
            assert await still_usable(server, connection)
        await clock.sleep(idle)
        assert 15 <= await dribble_head(server, connection, clock) < 15 + SLACK


async def test_an_idle_connection_is_kept_longer_than_proxies_keep_theirs(server: Server, clock: VirtualClock) -> None:
    async with connect(server) as connection:
        for _ in range(3):
            assert await still_usable(server, connection)
            await clock.sleep(70)
        assert await still_usable(server, connection)
        idle_since = clock.monotonic()
        assert await connection.closed()
        assert 75 <= clock.monotonic() - idle_since < 75 + SLACK


async def test_a_slow_handler_does_not_count_as_a_slow_head(server: Server, clock: VirtualClock) -> None:
    call: dict[str, Any] = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "generate", "arguments": {"model": "sandbox/slow", "input": {}}},
    }
    async with connect(server) as connection:
        await connection.send(at(server, message(b"Accept: text/event-stream", body=orjson.dumps(call))))
        await clock.sleep(60)
        head = await connection.reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head
        assert b"text/event-stream" in head
        assert (await connection.reader.read(65_536)).count(b": keepalive") == 3


KEPT_OPEN = {name: data for name, (data, (status, _)) in REJECTED.items() if status in (401, 403, 415)}
del KEPT_OPEN["tunnel"]  # what follows a CONNECT is not HTTP


@pytest.mark.parametrize("data", KEPT_OPEN.values(), ids=KEPT_OPEN)
async def test_a_rejection_of_odd_bytes_does_not_close_the_connection(server: Server, data: bytes) -> None:
    async with connect(server) as connection:
        for _ in range(2):
            await connection.send(at(server, data))
            assert (await connection.answer()).status in (401, 403, 415)
        assert await still_usable(server, connection)


async def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    requests = [message(body=PING.replace(b"1", b"%d" % number, 1)) for number in range(5)]
    requests.insert(2, message(without=["Authorization"]))
    async with connect(server) as connection:
        await connection.send(at(server, b"".join(requests)))
        answers = [await connection.answer() for _ in requests]
        assert [answer.status for answer in answers] == [200, 200, 401, 200, 200, 200]
        assert [answers[place].json["id"] for place in (0, 1, 3, 4, 5)] == [0, 1, 2, 3, 4]
        assert await still_usable(server, connection)


async def test_http_1_0_gets_one_answer_with_a_length_and_then_the_connection_ends(server: Server) -> None:
    async with connect(server) as connection:
        await connection.send(at(server, message(line=b"POST /mcp HTTP/1.0")))
        answer = await connection.answer()
        assert answer.json == PONG
        assert "Transfer-Encoding" not in answer.headers
        assert await connection.closed()


async def test_connection_close_closes_the_connection(server: Server) -> None:
    async with connect(server) as connection:
        await connection.send(at(server, message(b"Connection: close")))
        assert (await connection.answer()).json == PONG
        assert await connection.closed()


# The probes


@pytest.mark.parametrize("path", [b"/healthz", b"/readyz"])
@pytest.mark.parametrize(
    "extra",
    [[b"Host: evil.example.com"], [b"Host: 10.0.0.9:8080"], [OUR_HOST, NULL], [b"Host: a:b:c", b"Origin: x"]],
    ids=["evil host", "address", "null origin", "odd"],
)
async def test_probes_answer_to_any_host_and_origin(server: Server, path: bytes, extra: list[bytes]) -> None:
    await server.services.clock.sleep(1)  # the catalog arrives
    answer = await exchange(server, message(*extra, line=b"GET " + path + b" HTTP/1.1", without=ALL, body=b""))
    assert answer.status == 200
    assert answer.headers["X-Request-Id"]
    assert "Access-Control-Allow-Origin" not in answer.headers
