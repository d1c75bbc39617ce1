"""A short, seeded fuzz of the whole edge: nothing is a 5xx, nothing hangs, nothing ends the server."""

import asyncio
import json
import re
from random import Random
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving import BOTH, KEY, MODEL, Answer, Serve, Server
from tests.virtual_time import VirtualClock
from tests.web.raw_connection import PING, at, connect, message

#: Virtual seconds within which every connection is answered or closed: above the keep-alive time and the longest wait.
PATIENCE = 700.0
UNLIMITED = {f"MCP_RATE_LIMIT_{name}": "1000000000" for name in ("PRE_AUTH_PER_IP", "PER_IP", "PER_KEY")}
INTERNAL_ERROR = -32603

# Bytes on a socket

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_LINES = [
    b"POST /mcp HTTP/1.1",
    b"POST /mcp HTTP/1.0",
    b"GET /healthz HTTP/1.1",
    b"GET /readyz HTTP/1.1",
    b"OPTIONS /mcp HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"HEAD / HTTP/1.1",
    b"DELETE /mcp HTTP/1.1",
    b"POST http://@HOST/mcp HTTP/1.1",
    b"POST http://evil.example.com/mcp HTTP/1.1",
    b"CONNECT @HOST HTTP/1.1",
    b"GET /.well-known/oauth-protected-resource/mcp?x=%00%ff HTTP/1.1",
    b"POST /mcp;x=%zz?%&=&=#? HTTP/1.1",
    b"PATCH /%2e%2e/mcp HTTP/1.1",
]
_HEADERS = [
    b"Host: @HOST",
    b"Host: evil.example.com",
    b"Host:",
    b"Origin: null",
    b"Origin: http://@HOST",
    b"Content-Type: application/json",
    b"Content-Type: ;;;",
    b'Content-Type: application/json; charset="',
    b"Content-Encoding: br",
    b"Content-Length: 40",
    b"Content-Length: 0",
    b"Content-Length: 999999",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Expect: 100-continue",
    b"Connection: close",
    b"Connection: keep-alive, Upgrade",
    b"Upgrade: websocket",
    b"Authorization: Bearer " + KEY.encode(),
    b"Authorization: Bearer \xff\xfe",
    b"Authorization:",
    b"Accept: text/event-stream;q=;;, */*;q=nope,",
    b"Accept: \xc3\x28",
    b"MCP-Protocol-Version: 2025-11-25",
    b"MCP-Protocol-Version: 2026-07-28",
    b"MCP-Protocol-Version: \xe4",
    b"Mcp-Method: tools/call",
    b"Mcp-Name: generate",
    b"X-Request-Id: \xff",
    b"X-Forwarded-For: ,,[::1,%,1.2.3.4",
    b"traceparent: " + b"0" * 600,
    b"Cookie: a=b; =; ;;",
    b"Range: bytes=0-",
    b"If-None-Match: *",
]
_BODIES = [b"", PING, b"{", b"5\r\nhello\r\n0\r\n\r\n", b"28\r\n" + PING + b"\r\n0\r\n\r\n", b"\x00" * 40, PING * 3]


def some_request(random: Random) -> bytes:
    """A valid, unusual or broken request, sometimes damaged in a few of its bytes."""
    if random.random() < 0.5:
        data = message(*random.sample(_HEADERS, random.randint(0, 3)), line=random.choice(_LINES))
    else:
        headers = random.choices(_HEADERS, k=random.randint(0, 8))
        data = b"\r\n".join([random.choice(_LINES), *headers, b"", random.choice(_BODIES)])
    if random.random() < 0.4:
        damaged = bytearray(data)
        for _ in range(random.randint(1, 4)):
            place = random.randrange(len(damaged))
            match random.randrange(4):
                case 0:
                    damaged[place] = random.randrange(256)
                case 1:
                    del damaged[place]
                case 2:
                    damaged[place:place] = random.choice([b"\r\n", b"\0", b" ", b":", b"\xff", b"\r", b"\n", b"\t"])
                case _:
                    del damaged[place : place + random.randint(1, 30)]
        data = bytes(damaged) or b"\0"
    return data


async def everything_received(server: Server, clock: VirtualClock, pieces: list[bytes]) -> bytes:
    """All bytes that come back for these pieces, sent with pauses between them, until the connection ends."""
    async with connect(server) as connection, asyncio.timeout(PATIENCE):
        received = b""
        try:
            for piece in pieces:
                await connection.send(at(server, piece))
                await clock.sleep(0.01)
            while data := await connection.reader.read(65_536):
                received += data
        except ConnectionError:
            pass
        return received


@pytest.mark.parametrize("seed", range(5))
async def test_any_bytes_on_a_socket_get_valid_answers_and_the_connection_ends(
    serve: Serve, clock: VirtualClock, seed: int
) -> None:
    server = await serve(**UNLIMITED, MCP_TRUSTED_PROXIES="127.0.0.1/32")
    random = Random(seed)
    for number in range(40):
        data = some_request(random)
        cuts = sorted(random.choices(range(len(data) + 1), k=random.choice([0, 0, 1, 3])))
        pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        received = await everything_received(server, clock, pieces)
        example = f"seed {seed}, example {number}: {pieces!r}: {received!r}"
        assert received.startswith(b"HTTP/1.") or not received, example
        statuses = [int(status) for status in _STATUS.findall(received)]
        assert max(statuses, default=0) < 500, example
        assert b"text/plain" not in received, example
        assert b"text/html" not in received, example
        assert received.count(b"X-Request-Id: ") == len(statuses) - statuses.count(100), example
        # The server still works.
        assert (await server.post(PING)).status == 200, example


# JSON in a body

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from(["", "2.0", "tools/call", "initialize", "generate", MODEL, "\0", "a" * 5000, "2025-11-25"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.text(max_size=8), st.sampled_from(["_meta", "name", "arguments", "progressToken", "id"])),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


def either(*right: Any) -> st.SearchStrategy[Any]:
    """Mostly one of the valid values, else any."""
    return st.one_of(st.sampled_from(right), st.sampled_from(right), values)


def members(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object with some of these members."""
    return st.fixed_dictionaries({}, optional=strategies)


arguments = st.one_of(
    values,
    members(
        model=either(MODEL, "sandbox/failing", "sandbox/unavailable", "no/such", "/v1/models/a/b/runs", "../x/y"),
        input=either({}, {"prompt": "x"}, '{"prompt": "x"}', "[", '"x"'),
        wait=either(True, False),  # noqa: FBT003 - values, not flags
        client_ref=either("fuzz", "fuzz-2", "", "a'b", "x" * 256),
    ),
    members(
        category=either("solution", "text-to-image"), provider=either("runflow"), query=either("a"), limit=either(1)
    ),
)
params = st.one_of(
    values,
    members(
        name=either("generate", "list_models", "object-removal-prompt", "runflow:x"),
        arguments=arguments,
        _meta=either({}, {"progressToken": 0}, {"progressToken": "t"}, {"traceparent": "x"}),
        cursor=either("x"),
        uri=either("skill://runflow/SKILL.md", f"runflow-model://{MODEL}", "runflow-run://x", "https://a/b", "x://"),
        ref=either(
            {"type": "ref/prompt", "name": "object-removal-prompt"},
            {"type": "ref/resource", "uri": "runflow-model://{provider}/{+slug}"},
            {"type": "ref/prompt"},
            {},
        ),
        argument=either({"name": "a", "value": "b"}, {}),
        protocolVersion=either("2025-11-25", "1999-01-01"),
        taskId=either("x", ""),
    ),
)
messages = members(
    jsonrpc=either("2.0", "2.0", "2.0"),
    id=either(1, "a", 0, -1),
    method=either(
        "initialize",
        "ping",
        "tools/list",
        "tools/call",
        "tools/call",
        "prompts/list",
        "prompts/get",
        "completion/complete",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/read",
        "skills/list",
        "skills/get",
        "notifications/cancelled",
        "server/discover",
        "tasks/get",
    ),
    params=params,
)
bodies = st.one_of(messages, messages, st.lists(messages, max_size=4), values)
revisions = st.sampled_from([None, None, "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28", "1999-01-01", ""])


def assert_valid(answer: Answer, example: object) -> None:
    """A valid response without an internal error."""
    assert answer.status < 500, example
    assert answer.headers["X-Request-Id"], example
    if answer.status == 202:
        assert answer.content == b"", example
        return
    messages = answer.events if answer.is_stream else answer.json
    for response in messages if isinstance(messages, list) else [messages]:
        assert response["jsonrpc"] == "2.0", example
        assert response.get("error", {}).get("code") != INTERNAL_ERROR, example


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(body=bodies, revision=revisions, streams=st.booleans())
async def test_any_json_in_a_body_gets_a_valid_answer(
    fuzzed: Server, body: object, revision: str | None, *, streams: bool
) -> None:
    headers = {} if revision is None else {"MCP-Protocol-Version": revision}
    data = json.dumps(body).encode()
    with structlog.testing.capture_logs() as logs:
        async with asyncio.timeout(PATIENCE):
            answer = await fuzzed.post(data, accept=BOTH if streams else None, headers=headers)
    assert_valid(answer, data)
    assert [line["event"] for line in logs if line["log_level"] in ("error", "critical")] == [], data


@pytest.mark.parametrize("seed", range(2))
async def test_any_bytes_in_a_body_get_a_valid_answer(fuzzed: Server, seed: int) -> None:
    random = Random(seed)
    whole = json.dumps(
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {
                "name": "generate",
                "arguments": {"model": MODEL, "input": {"prompt": "ä\U0001f600\\", "n": [1e308, -0.0]}, "wait": False},
            },
        },
        ensure_ascii=False,
    ).encode()
    pieces = [b"\\ud800", b"\xff", b"\0", b'"', b"{", b"[", b"}", b"1e999", b"[" * 300, b"NaN", b",", b"\xed\xa0\x80"]
    for number in range(60):
        data = bytearray(whole)
        for _ in range(random.randint(1, 3)):
            place = random.randrange(len(data))
            data[place : place + random.choice([0, 0, 1, 10])] = random.choice(pieces)
        assert_valid(await fuzzed.post(bytes(data)), (seed, number, bytes(data)))


@pytest.fixture
async def fuzzed(serve: Serve) -> Server:
    """A server without rate limits in effect."""
    return await serve(**UNLIMITED)
