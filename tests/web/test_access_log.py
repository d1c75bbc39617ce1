"""Which requests leave a line in the log: all that an admitted key stands behind, and of the others the first few."""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import pytest
import structlog

from runflow_mcp.web.refusal_log import MAX_LINES
from tests.serving import KEY, Answer, Serve, Server

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
    """Refused once the window of its address is full."""
    return await server.post(PING, key="rf_live_invented")


async def preflight(server: Server) -> Answer:
    return await server.request("OPTIONS", "/mcp")


async def probe(server: Server) -> Answer:
    return await server.request("GET", "/healthz")


async def no_request(server: Server) -> None:
    """Bytes that are not HTTP; aiohttp refuses them before the application sees anything."""
    address = urlsplit(server.origin)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(b"nonsense\r\n\r\n")
    await reader.read()
    writer.close()


@pytest.fixture
async def server(serve: Serve) -> Server:
    # A full window from the start for the one who invents keys; the others are not limited by it.
    made = await serve(MCP_RATE_LIMIT_PER_IP="1")
    await made.post(PING)
    return made


@pytest.mark.parametrize(
    "send",
    [unknown_path, foreign_host, foreign_origin, no_key, invented_key, preflight, probe, no_request],
    ids=lambda send: send.__name__,
)
async def test_of_requests_without_an_admitted_key_fifty_a_second_are_logged_and_the_rest_counted(
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
        assert logs[MAX_LINES:] == [{"event": "refusals_not_logged", "count": 20, "log_level": "warning"}]
        await clock.sleep(5)
        await send(server)
    assert [line["event"] for line in logs[MAX_LINES + 1 :]] == ["request"]


async def test_fifty_and_no_more_leave_no_count(server: Server) -> None:
    await server.services.clock.sleep(1)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            for _ in range(MAX_LINES):
                await unknown_path(server)
            await server.services.clock.sleep(1.1)
    assert [line["event"] for line in logs] == ["request"] * (3 * MAX_LINES)


async def test_requests_with_an_admitted_key_always_have_their_line(serve: Serve) -> None:
    server = await serve(MCP_RATE_LIMIT_PER_IP="1000")
    with structlog.testing.capture_logs() as logs:
        for _ in range(MAX_LINES + 20):
            await unknown_path(server)
        answers = [await server.post(PING, key=KEY) for _ in range(2 * MAX_LINES)]
    logged = {line["request_id"] for line in logs if line.get("key")}
    assert logged == {answer.headers["X-Request-Id"] for answer in answers}


async def test_a_stop_reports_what_was_left_out(serve: Serve) -> None:
    server = await serve()
    with structlog.testing.capture_logs() as logs:
        for _ in range(MAX_LINES + 7):
            await unknown_path(server)
        await server.app.cleanup()
    assert [line["count"] for line in logs if line["event"] == "refusals_not_logged"] == [7]
