"""The access lines: what each says, and which requests leave one."""

import asyncio
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import pytest
import structlog

from runflow_mcp.observability.line_budget import MAX_LINES
from tests.serving import BOTH, KEY, Answer, Serve, Server

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
Send = Callable[[Server], Awaitable[object]]


async def unknown_path(server: Server) -> Answer:
    return await server.request("GET", "/.env")


async def foreign_host(server: Server) -> Answer:
    return await server.post(PING, headers={"Host": "evil.example.com"})


async def foreign_origin(server: Server) -> Answer:
    return await server.post(PING, headers={"Origin": "https://evil.example.com"})


async def no_key(server: Server) -> Answer:
    return await server.post(PING, key=None)


async def invented_key(server: Server) -> Answer:
    """Rejected once the window of its address is full."""
    return await server.post(PING, key="rf_live_invented")


async def preflight(server: Server) -> Answer:
    return await server.request("OPTIONS", "/mcp")


async def probe(server: Server) -> Answer:
    return await server.request("GET", "/healthz")


async def not_http(server: Server, sent: bytes = b"nonsense\r\n\r\n") -> bytes:
    """Bytes that aiohttp rejects before the application sees anything."""
    address = urlsplit(server.origin)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(sent)
    response = await reader.read()
    writer.close()
    return response


MODERN = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}


async def lines_of(request: Awaitable[object]) -> list[structlog.typing.EventDict]:
    with structlog.testing.capture_logs() as logs:
        await request
    return [line for line in logs if line["event"] == "request"]


async def test_the_line_of_a_call_names_its_method_revision_and_outcome(serve: Serve) -> None:
    server = await serve()
    headers = {"MCP-Protocol-Version": "2025-11-25", "X-Request-Id": "seen"}
    [line] = await lines_of(server.post(PING, headers=headers))
    assert line.pop("ms") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "request_id": "seen",
        "http_method": "POST",
        "route": "/mcp",
        "status": 200,
        "rpc": "ping",
        "outcome": "ok",
        "bytes": 36,
        "key": hashlib.sha256(KEY.encode()).hexdigest()[:12],
        "address": "127.0.0.1",
        "revision": "2025-11-25",
    }


async def test_the_line_of_a_handshake_names_the_client_and_the_revision_that_was_agreed_on(serve: Serve) -> None:
    server = await serve()
    client = {"name": "claude-code" + "x" * 100, "version": "2.1\n330"}
    [line] = await lines_of(server.rpc("initialize", {"protocolVersion": "2025-06-18", "clientInfo": client}))
    assert (line["client"], line["client_version"]) == ("claude-code" + "x" * 53, "2.1?330")
    assert line["revision"] == "2025-06-18"


async def test_the_line_of_a_modern_call_names_its_client_unless_that_is_a_key(serve: Serve) -> None:
    server = await serve()
    for name, shown in (("cursor", "cursor"), (KEY, "***"), (7, None)):
        meta = {"io.modelcontextprotocol/clientInfo": {"name": name, "version": "1"}}
        [line] = await lines_of(server.modern("tools/list", meta=meta))
        assert (line.get("client"), line["client_version"]) == (shown, "1")


@pytest.mark.parametrize(
    ("in_meta", "in_header", "trace_id"),
    [
        (f"00-{'a' * 32}-{'b' * 16}-01", f"00-{'c' * 32}-{'d' * 16}-01", "a" * 32),
        (None, f"00-{'c' * 32}-{'d' * 16}-01", "c" * 32),
        (None, f"00-{'0' * 32}-{'d' * 16}-01", None),
        (None, "none", None),
        (None, None, None),
    ],
)
async def test_the_line_has_the_trace_id_of_the_message_or_else_of_the_headers(
    serve: Serve, in_meta: str | None, in_header: str | None, trace_id: str | None
) -> None:
    server = await serve()
    params = {"_meta": {"traceparent": in_meta}} if in_meta else {}
    headers = {"traceparent": in_header} if in_header else {}
    [line] = await lines_of(server.rpc("tools/list", params, headers=headers))
    assert line.get("trace_id") == trace_id


@pytest.mark.parametrize("accept", ["application/json", BOTH])
async def test_the_line_has_the_bytes_of_the_body(serve: Serve, accept: str) -> None:
    server = await serve()
    with structlog.testing.capture_logs() as logs:
        answers = [
            await server.generate(accept=accept, token=1),
            await server.call("list_models", accept=accept, limit=200),
            await server.request("GET", "/nothing"),
        ]
    lines = [line for line in logs if line["event"] == "request"]
    assert [line["bytes"] for line in lines] == [len(answer.content) for answer in answers]


async def test_the_line_of_a_modern_call_names_its_revision(serve: Serve) -> None:
    server = await serve()
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/list"}
    [line] = await lines_of(server.post(body, headers=headers))
    assert (line["revision"], line["outcome"]) == (MODERN, "ok")


@pytest.mark.parametrize(
    ("body", "headers", "rpc", "outcome"),
    [
        (b"{", {}, None, "jsonrpc_-32700"),
        ([], {}, None, "jsonrpc_-32600"),
        ({**PING, "id": None}, {}, None, "jsonrpc_-32600"),
        ({**PING, "method": "x" * 1000}, {}, "unknown", "jsonrpc_-32601"),
        ({**PING, "method": "tools/call"}, {}, "tools/call", "jsonrpc_-32602"),
        (PING, {"MCP-Protocol-Version": "1999-01-01"}, "ping", "jsonrpc_-32022"),
        (PING, {"Host": "evil.example.com"}, None, "host_rejected"),
        (PING, {"Origin": "null"}, None, "origin_rejected"),
        (PING, {"Content-Type": "text/plain"}, None, "unsupported_media_type"),
        (PING, {"Authorization": "Basic x"}, None, "malformed_authorization"),
        (b" " * 300_000, {}, None, "body_too_large"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_the_line_of_a_request_that_failed_has_the_code_of_its_error(
    serve: Serve, body: object, headers: dict[str, str], rpc: str | None, outcome: str
) -> None:
    server = await serve()
    [line] = await lines_of(server.post(body, headers=headers))
    assert (line["rpc"], line["outcome"]) == (rpc, outcome)


@pytest.mark.parametrize(
    ("method", "path", "route", "outcome"),
    [
        ("GET", "/healthz", "/healthz", "ok"),
        ("POST", "/healthz", "/healthz", "method_not_allowed"),
        ("OPTIONS", "/mcp/", "/mcp", "ok"),
        ("GET", "/mcp", "/mcp", "missing_authorization"),
        ("GET", f"/{KEY}", None, "not_found"),
    ],
)
async def test_the_line_names_the_path_as_routed(
    serve: Serve, method: str, path: str, route: str | None, outcome: str
) -> None:
    server = await serve()
    [line] = await lines_of(server.request(method, path))
    assert (line["route"], line["outcome"]) == (route, outcome)


async def test_a_rate_limited_request_has_its_code_in_its_line(server: Server) -> None:
    [line] = await lines_of(invented_key(server))
    assert (line["status"], line["outcome"]) == (429, "rate_limited")


async def test_each_entry_of_a_batch_leaves_a_line_with_the_same_request_id(serve: Serve) -> None:
    server = await serve()
    note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    batch = [PING, {**PING, "id": 2, "method": "nothing"}, 5, note, {**PING, "id": 3, "method": "initialize"}]
    lines = await lines_of(server.post(batch, headers={"X-Request-Id": "batch"}))
    assert [(line["rpc"], line["outcome"]) for line in lines] == [
        ("ping", "ok"),
        ("unknown", "jsonrpc_-32601"),
        (None, "jsonrpc_-32600"),
        ("notifications/initialized", "ok"),
        ("initialize", "jsonrpc_-32600"),
    ]
    assert {line["request_id"] for line in lines} == {"batch"}
    assert {line["revision"] for line in lines} == {"2025-03-26"}


async def test_a_batch_that_the_rate_limits_reject_leaves_one_line(serve: Serve) -> None:
    server = await serve(MCP_RATE_LIMIT_PER_KEY="2")
    [line] = await lines_of(server.post([PING, PING, PING]))
    assert line["outcome"] == "rate_limited"


async def test_a_request_whose_client_left_leaves_a_line_that_says_so(serve: Serve) -> None:
    server = await serve()
    clock = server.services.clock

    async def leave() -> None:
        call = asyncio.create_task(server.generate("sandbox/slow"))
        await clock.sleep(5)
        call.cancel()
        await asyncio.wait([call])
        await clock.sleep(0.1)

    [line] = await lines_of(leave())
    assert (line["status"], line["outcome"]) == (499, "client_gone")


async def test_malformed_http_leaves_a_line_with_the_request_id_of_its_answer(serve: Serve) -> None:
    server = await serve()
    with structlog.testing.capture_logs() as logs:
        response = await not_http(server)
    [line] = [line for line in logs if line["event"] == "request"]
    assert (line["status"], line["outcome"]) == (400, "bad_request")
    assert f"X-Request-Id: {line['request_id']}\r\n".encode() in response


HEAD = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
WITH_KEY = HEAD + f"Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n".encode()


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET /mcp\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nConnection: close\r\n\r\n",
        HEAD + b"Host: b\r\n\r\n",
        HEAD + b"X: " + b"y" * 20_000 + b"\r\n\r\n",
        HEAD + b"X: y\r\n" * 300 + b"\r\n",
        HEAD + b"Expect: the unexpected\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        WITH_KEY + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        WITH_KEY + b"Content-Length: 2\r\n\r\n{}",
        HEAD + b"\r\n",
    ],
    ids=lambda sent: sent.removeprefix(WITH_KEY).removeprefix(HEAD)[:30].decode().strip() or "no key",
)
async def test_every_request_id_that_a_client_gets_is_in_a_log_line(serve: Serve, sent: bytes) -> None:
    server = await serve()
    with structlog.testing.capture_logs() as logs:
        response = await not_http(server, sent)
    [request_id] = re.findall(rb"^X-Request-Id: (\S+)\r$", response, re.MULTILINE)
    assert [line["request_id"] for line in logs if line["event"] == "request"] == [request_id.decode()]


# Which requests leave a line


@pytest.fixture
async def server(serve: Serve) -> Server:
    # The window of authenticated requests is full from the start: invented_key is always rejected.
    made = await serve(MCP_RATE_LIMIT_PER_IP="1")
    await made.post(PING)
    return made


@pytest.mark.parametrize(
    "send",
    [unknown_path, foreign_host, foreign_origin, no_key, invented_key, preflight, probe, not_http],
    ids=lambda send: send.__name__,
)
async def test_unadmitted_requests_are_logged_up_to_fifty_a_second_and_the_rest_counted(
    server: Server, send: Send
) -> None:
    clock = server.services.clock
    await clock.sleep(1)
    with structlog.testing.capture_logs() as logs:
        for _ in range(MAX_LINES + 20):
            await send(server)
        assert [line["event"] for line in logs] == ["request"] * MAX_LINES
        # The count comes by itself, without another request.
        await clock.sleep(1.1)
        assert logs[MAX_LINES:] == [{"event": "requests_not_logged", "count": 20, "log_level": "warning"}]
        await clock.sleep(5)
        await send(server)
    assert [line["event"] for line in logs[MAX_LINES + 1 :]] == ["request"]


async def test_fifty_unadmitted_requests_a_second_leave_no_count(server: Server) -> None:
    await server.services.clock.sleep(1)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            for _ in range(MAX_LINES):
                await unknown_path(server)
            await server.services.clock.sleep(1.1)
    assert [line["event"] for line in logs] == ["request"] * (3 * MAX_LINES)


async def test_requests_with_an_admitted_key_always_leave_a_line(serve: Serve) -> None:
    server = await serve(MCP_RATE_LIMIT_PER_IP="1000")
    with structlog.testing.capture_logs() as logs:
        for _ in range(MAX_LINES + 20):
            await unknown_path(server)
        answers = [await server.post(PING, key=KEY) for _ in range(2 * MAX_LINES)]
    logged = {line["request_id"] for line in logs if line.get("key")}
    assert logged == {answer.headers["X-Request-Id"] for answer in answers}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_leave_lines_at_debug_and_use_up_no_others(serve: Serve, path: str) -> None:
    server = await serve()
    [line] = await lines_of(server.request("GET", path))
    assert line["log_level"] == "debug"
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    with structlog.testing.capture_logs() as logs:
        for _ in range(MAX_LINES + 1):
            await server.request("GET", path)
        await unknown_path(server)
        await server.services.clock.sleep(2)
    assert [line["outcome"] for line in logs if line["event"] == "request"] == ["not_found"]
    assert not [line for line in logs if line["event"] == "requests_not_logged"]


async def test_a_shutdown_reports_how_many_lines_were_left_out(serve: Serve) -> None:
    server = await serve()
    with structlog.testing.capture_logs() as logs:
        for _ in range(MAX_LINES + 7):
            await unknown_path(server)
        await server.app.cleanup()
    assert [line["count"] for line in logs if line["event"] == "requests_not_logged"] == [7]
