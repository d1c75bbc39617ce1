"""Each way in which a connection can fail has its own sentence for the caller and its own token in the log."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from runflow_mcp.credentials import Bearer
from runflow_mcp.runflow.api.client import RunflowClient
from runflow_mcp.runflow.api.connection_errors import problem_of
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError
from runflow_mcp.runflow.api.transport import open_session
from runflow_mcp.settings.egress import Egress
from tests.runflow.certificate_authority import DAY, Authority
from tests.serving import KEY, MODEL, free_port, run_server
from tests.virtual_time import VirtualClock

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Listen = Callable[..., Awaitable[int]]


async def answer_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


async def close(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Say nothing at all."""


async def close_once_asked(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def reset_once_asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


async def speak_something_else(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"220 mail.example.com ESMTP\r\n")


async def keep_silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """Start a server on loopback; its port."""
    async with AsyncExitStack() as stack:

        async def started(handler: Handler, context: ssl.SSLContext | None = None) -> int:
            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                try:
                    await handler(reader, writer)
                except (OSError, asyncio.IncompleteReadError):
                    pass
                finally:
                    writer.close()

            server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
            stack.callback(server.close)
            port: int = server.sockets[0].getsockname()[1]
            return port

        yield started


async def failure(url: str, clock: VirtualClock, ca_file: Path | None = None) -> UpstreamError:
    """The error of a dispatch to this address; it shows no internals."""
    async with open_session(10, Egress(ca_file=str(ca_file or ""))) as session:
        client = RunflowClient(session, url, 2.0, clock)
        with pytest.raises(UpstreamError) as caught:
            await client.create_run(Bearer(KEY), MODEL, b"{}", idempotency_key="k", trace={}, timeout=2.0)
    error = caught.value
    assert not any(text in error.reason for text in ("127.0.0.1", "Errno", "ssl", "localhost", KEY))
    return error


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("host", "certificate", "trusted", "problem", "words"),
    [
        ("127.0.0.1", {}, False, "tls_unknown_ca", "SSL_CERT_FILE"),
        ("127.0.0.1", {"self_signed": True}, True, "tls_self_signed", "self-signed"),
        ("127.0.0.1", {"since": -3 * DAY, "until": -DAY}, True, "tls_expired", "has expired"),
        ("127.0.0.1", {"since": DAY, "until": 2 * DAY}, True, "tls_not_yet_valid", "not valid yet"),
        ("api.runflow.test", {}, True, "tls_name_mismatch", "another host name"),
        ("127.0.0.2", {}, True, "tls_name_mismatch", "another host name"),
    ],
)
async def test_each_problem_of_a_certificate_is_named_and_nothing_is_sent(
    listen: Listen,
    authority: Authority,
    clock: VirtualClock,
    *,
    host: str,
    certificate: dict[str, Any],
    trusted: bool,
    problem: str,
    words: str,
) -> None:
    port = await listen(close_once_asked, authority.server(host, **certificate))
    error = await failure(f"https://127.0.0.1:{port}", clock, authority.file if trusted else None)
    assert (error.outcome, error.problem) == (Outcome.NOT_SENT, problem)
    assert words in error.reason


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("scheme", "handler", "outcome", "problem"),
    [
        ("https", answer_plainly, Outcome.NOT_SENT, "tls_not_spoken"),
        ("https", keep_silent, Outcome.NOT_SENT, "connect_timeout"),
        ("https", close, Outcome.NOT_SENT, "connection_closed"),
        ("http", close_once_asked, Outcome.UNKNOWN, "connection_closed"),
        ("http", reset_once_asked, Outcome.UNKNOWN, "connection_reset"),
        ("http", speak_something_else, Outcome.UNKNOWN, "not_http"),
        ("http", keep_silent, Outcome.UNKNOWN, "read_timeout"),
    ],
)
async def test_each_way_to_lose_a_connection_is_named(
    listen: Listen, clock: VirtualClock, *, scheme: str, handler: Handler, outcome: Outcome, problem: str
) -> None:
    error = await failure(f"{scheme}://127.0.0.1:{await listen(handler)}", clock)
    assert (error.outcome, error.problem) == (outcome, problem)


@pytest.mark.parametrize(
    ("url", "problem", "words"),
    [
        ("http://127.0.0.1:9", "connection_refused", "was refused"),
        ("https://127.0.0.1:9", "connection_refused", "was refused"),
        ("https://no-such-host.invalid", "dns", "could not be resolved"),
    ],
)
@pytest.mark.real_time
async def test_an_unreachable_address_is_named(clock: VirtualClock, url: str, problem: str, words: str) -> None:
    error = await failure(url, clock)
    assert (error.outcome, error.problem) == (Outcome.NOT_SENT, problem)
    assert words in error.reason


@pytest.mark.parametrize(
    ("error", "kind", "sent"),
    [
        (aiohttp.ConnectionTimeoutError(), "connect_timeout", False),
        (TimeoutError(), "read_timeout", True),
        (OSError(113, "No route to host"), "connection_broken", True),
        (aiohttp.ClientPayloadError(), "cut_short", True),
        (aiohttp.InvalidURL("::"), "redirects", True),
        (ValueError(), "connection_broken", True),
    ],
    ids=repr,
)
def test_an_exception_that_a_test_machine_cannot_provoke_is_named(error: Exception, kind: str, *, sent: bool) -> None:
    assert (problem_of(error).kind, problem_of(error).sent) == (kind, sent)


async def test_the_reason_is_shown_to_the_caller_and_logged(clock: VirtualClock) -> None:
    with capture_logs() as logged:
        async with run_server(f"http://127.0.0.1:{free_port()}", clock, Random(0), {}) as server:
            error = (await server.generate()).tool_error
            models = (await server.call("list_models")).tool_error
    assert error["message"] == "The connection to Runflow was refused."
    assert models["message"] == "The model catalog is unavailable: the connection to Runflow was refused."
    kinds = {line["event"]: line["problem"] for line in logged if "problem" in line}
    assert kinds == dict.fromkeys(["upstream_retry", "upstream_failed", "catalog_fetch_failed"], "connection_refused")
