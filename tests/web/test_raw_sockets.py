"""Requests that no HTTP library would send, written byte by byte, and how each is answered or rejected."""

import asyncio
import logging
import tracemalloc
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

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


REJECTED: dict[str, tuple[bytes, tuple[int, str]]] = {
    "evil host": (host(b"evil.example.com"), HOST),
    "evil host, our port": (host(b"evil.example.com:8080"), HOST),
    "no port": (host(b"127.0.0.1"), HOST),
    "another port": (host(b"127.0.0.1:1"), HOST),
    "our host as a prefix": (host(b"@HOST.evil.example.com"), HOST),
    "our host as a suffix": (host(b"evil.@HOST"), HOST),
    "trailing dot": (host(b"localhost.:8080"), HOST),
    "user information": (host(b"me@@HOST"), HOST),
    "two hosts in one header": (host(b"@HOST, evil.example.com"), HOST),
    "empty host": (host(b""), HOST),
    "wildcard host": (host(b"*"), HOST),
    "a host that is not a host name": (host(b"a:b:c"), HOST),
    "a host that is not text": (host(b"\xff\xfe"), HOST),
    "host with a path": (host(b"@HOST/mcp"), HOST),
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
    "null origin": (origin(b"null"), ORIGIN),
    "null origin, upper case": (origin(b"NULL"), ORIGIN),
    "evil origin": (origin(b"https://evil.example.com"), ORIGIN),
    "our host as a prefix of the origin": (origin(b"http://@HOST.evil.example.com"), ORIGIN),
    "origin of another port": (origin(b"http://127.0.0.1:1"), ORIGIN),
    "origin of another scheme": (origin(b"file://@HOST"), ORIGIN),
    "origin without a scheme": (origin(b"@HOST"), ORIGIN),
    "origin with a path": (origin(b"http://@HOST/"), ORIGIN),
    "two origins, one empty": (origin(b"http://@HOST", b""), ORIGIN),
    "origin of an extension": (origin(b"chrome-extension://abcdefghijklmnop"), ORIGIN),
    "wildcard origin": (origin(b"*"), ORIGIN),
    "two origins": (origin(b"http://@HOST", b"http://@HOST"), ORIGIN),
    "two origins, the second null": (origin(b"http://@HOST", b"null"), ORIGIN),
    "two origins in one header": (origin(b"http://@HOST http://@HOST"), ORIGIN),
    "text": (content_type(b"text/plain"), MEDIA),
    "text that names JSON": (content_type(b"text/plain; a=application/json"), MEDIA),
    "a form": (content_type(b"application/x-www-form-urlencoded"), MEDIA),
    "another JSON": (content_type(b"application/json-rpc"), MEDIA),
    "a suffix": (content_type(b"application/vnd.api+json"), MEDIA),
    "no media type": (content_type(b"json"), MEDIA),
    "empty media type": (content_type(b""), MEDIA),
    "two in one header": (content_type(b"application/json, text/plain"), MEDIA),
    "media type twice": (content_type(b"application/json", b"application/json"), BAD),
    "gzip": (message(b"Content-Encoding: gzip"), MEDIA),
    "gzip in upper case": (message(b"Content-Encoding: GZIP"), MEDIA),
    "identity and gzip": (message(b"Content-Encoding: identity, gzip"), MEDIA),
    "identity, then gzip": (message(b"Content-Encoding: identity", b"Content-Encoding: gzip"), MEDIA),
    "length over the cap": (message(b"Content-Length: 262145", without=["Content-Length"]), LARGE),
    "length far over the cap": (message(b"Content-Length: 999999999999", without=["Content-Length"]), LARGE),
    "chunks over the cap": (
        message(b"Transfer-Encoding: chunked", without=["Content-Length"], body=chunked(b" " * (CAP + 1))),
        LARGE,
    ),
    "no authorization": (message(without=["Authorization"]), MISSING),
    "empty authorization": (authorization(b""), MALFORMED),
    "scheme alone": (authorization(b"Bearer"), MALFORMED),
    "scheme and a space": (authorization(b"Bearer "), MALFORMED),
    "key alone": (authorization(b"rf_live_sandbox"), MALFORMED),
    "another scheme": (authorization(b"Basic cmZfbGl2ZV9zYW5kYm94"), MALFORMED),
    "no space": (authorization(b"Bearer:rf_live_sandbox"), MALFORMED),
    "two keys": (authorization(b"Bearer rf_live_sandbox rf_live_sandbox"), MALFORMED),
    "a comma list": (authorization(b"Bearer rf_live_sandbox, Bearer rf_live_other"), MALFORMED),
    "authorization twice": (authorization(b"Bearer rf_live_sandbox", b"Bearer rf_live_sandbox"), MALFORMED),
    "authorization twice, cases mixed": (message(b"authorization: Bearer rf_live_sandbox"), MALFORMED),
    "seven characters": (authorization(b"Bearer rf_live"), MALFORMED),
    "513 characters": (authorization(b"Bearer rf_live_" + b"x" * 505), MALFORMED),
    "prefix alone": (authorization(b"Bearer rf_live_"), MALFORMED),
    "prefix goes on": (authorization(b"Bearer rf_livex_sandbox"), MALFORMED),
    "prefix in upper case": (authorization(b"Bearer RF_LIVE_SANDBOX"), MALFORMED),
    "service key": (authorization(b"Bearer rf_svc_sandbox"), MALFORMED),
    "quoted key": (authorization(b'Bearer "rf_live_sandbox"'), MALFORMED),
    "key beyond ASCII": (authorization("Bearer rf_live_sändbox".encode()), MALFORMED),
    "key in Latin-1": (authorization("Bearer rf_live_sändbox".encode("latin-1")), MALFORMED),
}


@pytest.mark.parametrize(("data", "rejection"), REJECTED.values(), ids=REJECTED)
async def test_a_rejection_has_the_promised_status_and_shape(
    server: Server, data: bytes, rejection: tuple[int, str]
) -> None:
    assert_rejected(await exchange(server, data), *rejection)


ACCEPTED: dict[str, bytes] = {
    "as it should be": message(),
    "localhost": host(b"LocalHost:@PORT"),
    "IPv6 host": host(b"[::1]:@PORT"),
    "white space around the host": host(b"\t@HOST \t"),
    "good target": target(b"http://@HOST/mcp"),
    "good target of the other scheme": target(b"https://@HOST/mcp"),
    "encoded path": target(b"/%6Dcp"),
    "query": target(b"/mcp?key=1#2"),
    "own origin": origin(b"http://@HOST"),
    "own origin, behind TLS, upper case": origin(b"HTTPS://@HOST"),
    "empty origin": origin(b""),
    "identity": message(b"Content-Encoding: identity"),
    "identity in upper case": message(b"Content-Encoding: Identity"),
    "identity twice": message(b"Content-Encoding: identity, identity"),
    "empty encoding": message(b"Content-Encoding:"),
    "a slash at the end": target(b"/mcp/"),
    "a slash at the end, and a query": target(b"/mcp/?a=b"),
    "a byte order mark": message(body=b"\xef\xbb\xbf" + PING),
    "no media type at all": message(without=["Content-Type"]),
    "media type in upper case": content_type(b"Application/JSON"),
    "charset": content_type(b"application/json; charset=utf-8"),
    "an odd parameter": content_type(b'application/json;charset="utf-8" ; x=y'),
    "scheme in lower case": authorization(b"bearer rf_live_sandbox"),
    "scheme in upper case": authorization(b"BEARER rf_live_sandbox"),
    "white space around the key": authorization(b"Bearer \t  rf_live_sandbox \t"),
    "header in lower case": message(b"authorization: Bearer rf_live_sandbox", without=["Authorization"]),
    "odd characters in the key": authorization(b"Bearer rf_live_!\"#$%&'()*+,-./:;<=>?@[]^`{|}~"),
    "512 characters": authorization(b"Bearer rf_live_" + b"x" * 504),
    "nine characters": authorization(b"Bearer rf_live_x"),
    "chunks": message(b"Transfer-Encoding: chunked", without=["Content-Length"], body=chunked(PING[:9], PING[9:], b"")),
    "HTTP/1.0": message(line=b"POST /mcp HTTP/1.0"),
    "an upgrade that is not taken": message(b"Connection: Upgrade", b"Upgrade: h2c"),
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
async def test_an_unusual_but_valid_request_is_answered(server: Server, data: bytes) -> None:
    port = str(urlsplit(server.origin).port).encode()
    answer = await exchange(server, data.replace(b"@PORT", port))
    assert (answer.status, answer.json) == (200, PONG)


async def test_the_public_host_is_accepted_with_and_without_its_port(serve: Serve) -> None:
    server = await serve(MCP_PUBLIC_URL="https://mcp.example.com", MCP_ALLOWED_HOSTS="mcp.example.net")
    for good in (b"mcp.example.com", b"MCP.example.com:443", b"mcp.example.net:80", b"mcp.example.net"):
        assert (await exchange(server, host(good))).status == 200
    for evil in (b"@HOST", b"mcp.example.com:8080", b"localhost"):
        assert_rejected(await exchange(server, host(evil)), *HOST)
    for good in (b"https://mcp.example.com", b"https://mcp.example.com:443", b"http://mcp.example.net"):
        answer = await exchange(server, message(b"Host: mcp.example.com", b"Origin: " + good, without=["Host"]))
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, good.decode())


@pytest.mark.parametrize("value", [b"evil.example.com", b"a:b:c", b"\xff\xfe", b"[", b"", b"a b", b'"'])
async def test_with_any_host_allowed_every_host_passes(serve: Serve, value: bytes) -> None:
    server = await serve(MCP_ALLOWED_HOSTS="*")
    assert (await exchange(server, host(value))).status == 200
    assert_rejected(await exchange(server, message(b"Host: " + value, without=["Host", "Authorization"])), *MISSING)
    assert_rejected(await exchange(server, origin(b"null")), *ORIGIN)
    absolute = message(b"Host: " + value, line=b"POST http://x.example/mcp HTTP/1.1", without=["Host"])
    assert (await exchange(server, absolute)).status == 200


async def test_a_401_points_to_the_metadata_and_says_how_to_send_the_key(server: Server) -> None:
    answer = await exchange(server, message(without=["Authorization"]))
    metadata = f"{server.origin}/.well-known/oauth-protected-resource"
    assert answer.headers["WWW-Authenticate"] == (
        f'Bearer realm="runflow-mcp", error="invalid_token", resource_metadata="{metadata}"'
    )
    assert (
        "Send your Runflow API key (it starts with rf_live_) as a bearer token: header Authorization: Bearer <key>"
        in answer.json["error"]["message"]
    )


async def test_pages_of_an_allowed_origin_can_read_rejections(server: Server) -> None:
    answer = await exchange(server, message(b"Origin: http://@HOST", without=["Authorization"]))
    assert answer.status == 401
    assert answer.headers["Access-Control-Allow-Origin"] == server.origin
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"WWW-Authenticate", "Retry-After", "X-Request-Id"} <= set(exposed)
    assert "Access-Control-Allow-Origin" not in (await exchange(server, message())).headers
    assert "Access-Control-Allow-Origin" not in (await exchange(server, origin(b"null"))).headers


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


@pytest.mark.parametrize("body", [b"", b"{", b"nope", b"\xff", b"[" * 5000], ids=["empty", "{", "nope", "ff", "deep"])
async def test_json_that_cannot_be_parsed_is_a_parse_error_and_not_a_rejection(server: Server, body: bytes) -> None:
    answer = await exchange(server, message(body=body))
    assert (answer.status, answer.headers["Content-Type"]) == (400, "application/json")
    assert answer.json["error"]["code"] == -32700
    assert "id" not in answer.json
    assert answer.headers["X-Request-Id"]


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
        (b"GET /mcp HTTP/1.1", 405, "method_not_allowed"),
        (b"DELETE /mcp HTTP/1.1", 405, "method_not_allowed"),
        (b"PUT /mcp HTTP/1.1", 405, "method_not_allowed"),
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
    ("line", "status"),
    [(b"HEAD /mcp HTTP/1.1", 405), (b"HEAD /healthz HTTP/1.1", 200), (b"HEAD /nothing HTTP/1.1", 404)],
)
async def test_an_answer_to_head_has_no_body(server: Server, line: bytes, status: int) -> None:
    async with connect(server) as connection:
        await connection.send(at(server, message(line=line)))
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


@pytest.mark.parametrize(("size", "status"), [(CAP - 1, 200), (CAP, 200), (CAP + 1, 413)])
@pytest.mark.parametrize("in_chunks", [False, True], ids=["length", "chunks"])
async def test_the_body_cap_is_exact(server: Server, size: int, status: int, *, in_chunks: bool) -> None:
    body = PING + b" " * (size - len(PING))
    if in_chunks:
        pieces = [body[start : start + 50_000] for start in range(0, size, 50_000)]
        data = message(b"Transfer-Encoding: chunked", without=["Content-Length"], body=chunked(*pieces, b""))
    else:
        data = message(body=body)
    async with connect(server) as connection:
        await connection.send(at(server, data))
        answer = await connection.answer()
        assert answer.status == status
        if status == 200:
            assert await still_usable(server, connection)
        else:
            assert_rejected(answer, *LARGE)
            assert answer.headers["Connection"] == "close"
            assert await connection.closed()


async def test_the_body_cap_is_a_setting(serve: Serve) -> None:
    server = await serve(MCP_MAX_BODY_BYTES="1024")
    assert (await exchange(server, message(body=PING + b" " * (1024 - len(PING))))).status == 200
    rejected = await exchange(server, message(body=PING + b" " * (1025 - len(PING))))
    assert_rejected(rejected, *LARGE)
    assert "1024" in rejected.json["error"]["message"]


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


async def test_a_slow_body_within_the_time_limit_is_answered(server: Server, clock: VirtualClock) -> None:
    async with connect(server) as connection:
        await connection.send(at(server, message()[:-30]))
        await clock.sleep(9)
        await connection.send(PING[-30:])
        assert (await connection.answer()).json == PONG
        assert await still_usable(server, connection)


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


KEEPS = {name: data for name, (data, (status, _)) in REJECTED.items() if status in (401, 403, 415)}
del KEEPS["tunnel"]  # what follows a CONNECT is not HTTP


@pytest.mark.parametrize("data", KEEPS.values(), ids=KEEPS)
async def test_a_rejection_does_not_close_the_connection(server: Server, data: bytes) -> None:
    async with connect(server) as connection:
        for _ in range(2):
            await connection.send(at(server, data))
            assert (await connection.answer()).status in (401, 403, 415)
        assert await still_usable(server, connection)


@pytest.mark.parametrize(
    ("line", "body"),
    [
        (b"POST /mcp HTTP/1.1", b"{"),
        (b"POST /mcp HTTP/1.1", b"[]"),
        (b"POST /mcp HTTP/1.1", b'{"jsonrpc":"2.0","id":1,"method":"no/such"}'),
        (b"POST /nothing HTTP/1.1", PING),
        (b"GET /mcp HTTP/1.1", b""),
        (b"PUT /healthz HTTP/1.1", PING * 1000),
    ],
    ids=["parse error", "invalid request", "unknown method", "404", "405", "405 with a body"],
)
async def test_a_protocol_error_does_not_close_the_connection(server: Server, line: bytes, body: bytes) -> None:
    async with connect(server) as connection:
        for _ in range(2):
            await connection.send(at(server, message(line=line, body=body)))
            assert (await connection.answer()).headers["X-Request-Id"]
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
    answer = await exchange(server, message(*extra, line=b"GET " + path + b" HTTP/1.1", without=ALL, body=b""))
    assert answer.status == 200
    assert answer.headers["X-Request-Id"]
    assert "Access-Control-Allow-Origin" not in answer.headers
