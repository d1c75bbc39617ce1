"""The POST body: its media type, its size and the time that it may take."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest

from tests.serving import KEY, Serve, Server
from tests.web.error_shapes import rejection_of

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
CAP = 262_144


def ping_of(size: int) -> bytes:
    return PING + b" " * (size - len(PING))


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/json;charset=UTF-8",
        'application/json;charset="utf-8" ; x=y',
    ],
)
async def test_a_json_body_is_read(server: Server, media_type: str) -> None:
    assert (await server.post(PING, headers={"Content-Type": media_type})).result == {}


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "text/plain; a=application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json-rpc",
        "application/jsonx",
        "application/vnd.api+json",
        "application/json, text/plain",
        "text/json",
        "application/xml",
        "json",
        "",
    ],
)
async def test_any_other_media_type_is_rejected(server: Server, media_type: str) -> None:
    rejection_of(await server.post(PING, headers={"Content-Type": media_type}), "unsupported_media_type")


async def test_a_body_without_a_media_type_is_read(server: Server) -> None:
    async with server.session.post(
        server.url, data=PING, headers={"Authorization": f"Bearer {KEY}"}, skip_auto_headers=["Content-Type"]
    ) as response:
        assert "Content-Type" not in response.request_info.headers
        assert response.status == 200


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "zstd", "x", "identity, gzip", "gzip, identity"])
async def test_a_content_encoding_is_rejected(server: Server, encoding: str) -> None:
    body = gzip.compress(PING) if encoding == "gzip" else PING
    rejection_of(await server.post(body, headers={"Content-Encoding": encoding}), "unsupported_media_type")


@pytest.mark.parametrize("encoding", ["identity", "Identity", " identity ", "", "identity,identity"])
async def test_the_identity_encoding_passes(server: Server, encoding: str) -> None:
    assert (await server.post(PING, headers={"Content-Encoding": encoding})).result == {}


async def test_a_body_as_large_as_the_cap_is_read(server: Server) -> None:
    assert (await server.post(ping_of(CAP))).result == {}


async def test_a_body_over_the_cap_is_rejected_by_its_length(server: Server) -> None:
    answer = await server.post(ping_of(CAP + 1))
    error = rejection_of(answer, "body_too_large")
    assert str(CAP) in error["message"]
    assert answer.headers["Connection"] == "close"


async def test_the_body_cap_can_be_set(serve: Serve) -> None:
    server = await serve(MCP_MAX_BODY_BYTES="2000")
    assert (await server.post(ping_of(2000))).result == {}
    rejection_of(await server.post(ping_of(2001)), "body_too_large")


async def chunks(*pieces: bytes, pause: float = 0.0) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
        await asyncio.sleep(pause)


async def post_chunks(server: Server, body: AsyncIterator[bytes], key: str | None = KEY) -> tuple[int, str, bytes]:
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    async with server.session.post(server.url, data=body, headers=headers) as response:
        return response.status, response.headers.get("Connection", ""), await response.read()


async def test_a_chunked_body_is_read(server: Server) -> None:
    status, _, _ = await post_chunks(server, chunks(PING[:10], PING[10:]))
    assert status == 200


async def test_a_chunked_body_as_large_as_the_cap_is_read(server: Server) -> None:
    status, _, _ = await post_chunks(server, chunks(PING, *[b" " * 1000] * 262, b" " * (144 - len(PING))))
    assert status == 200


async def test_a_chunked_body_over_the_cap_is_rejected_while_it_arrives(server: Server) -> None:
    status, connection, content = await post_chunks(server, chunks(PING, *[b" " * 1000] * 263))
    assert status == 413
    assert connection == "close"
    assert b"body_too_large" in content


async def test_an_endless_body_is_cut_off_at_the_cap(server: Server) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536
            await asyncio.sleep(0.01)

    status, _, _ = await post_chunks(server, endless())
    assert status == 413
    assert server.services.clock.monotonic() < 5


async def test_a_body_that_arrives_in_nine_seconds_is_read(server: Server) -> None:
    status, _, _ = await post_chunks(server, chunks(PING[:20], PING[20:], pause=4.5))
    assert status == 200


async def test_a_request_without_a_bearer_is_rejected_before_its_body_arrives(server: Server) -> None:
    began = server.services.clock.monotonic()
    status, _, content = await post_chunks(server, chunks(PING[:20], PING[20:], pause=5), key=None)
    assert status == 401
    assert b"missing_authorization" in content
    assert server.services.clock.monotonic() - began < 6


def reserve(values: bytes) -> bytes:
    """A ping with these JSON values in its params."""
    return PING[:-1] + b',"params":{"a":[' + values + b"]}}"


@pytest.mark.parametrize(
    "value", [b"{}", b"[]", b"0", b'""', b'"x"', b"null", b"[[]]", b'{"a":{}}', b" { } ", b'{"\\"":"\\\\"}'], ids=repr
)
async def test_a_body_of_more_than_20_000_values_is_rejected_before_it_is_parsed(server: Server, value: bytes) -> None:
    each = value.count(b"[") + value.count(b"{") or 1
    each += value == b'{"\\"":"\\\\"}'
    # The message, its three other members, the params object and the list count too.
    fitting = (20_000 - 6) // each
    assert (await server.post(reserve(b",".join([value] * fitting)))).result == {}
    answer = await server.post(reserve(b",".join([value] * (fitting + 1 + 6))))
    error = rejection_of(answer, "body_too_large")
    assert "20,000" in error["message"]
    assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize("text", [b",", b"{", b"[", b"{},", b'\\",', b"\\\\", b"[],"], ids=repr)
async def test_a_string_is_one_value_whatever_it_contains(server: Server, text: bytes) -> None:
    assert (await server.post(reserve(b'"' + text * (200_000 // len(text)) + b'"'))).result == {}


async def test_a_batch_of_too_many_values_is_rejected_as_a_whole(server: Server) -> None:
    entry = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":[' + b"{}," * 500 + b"{}]}}"
    rejection_of(await server.post(b"[" + b",".join([entry] * 45) + b"]"), "body_too_large")
