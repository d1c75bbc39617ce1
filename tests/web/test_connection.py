"""A connection: the aiohttp internals that it is built on, and that it stays usable after a rejection."""

import aiohttp
import pytest
from aiohttp import helpers, streams, web, web_protocol
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.http_writer import StreamWriter
from aiohttp.test_utils import make_mocked_request
from aiohttp.web_protocol import RequestHandler

from runflow_mcp.web import connection
from tests.scripted_sandbox import Respond, Route, ScriptedSandbox
from tests.serving import BOTH, Server

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
KEYED = {"Authorization": "Bearer rf_live_sandbox", "Content-Type": "application/json"}
GENERATE = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"generate","arguments":%s}}'


async def _unused(_request: web.BaseRequest) -> web.StreamResponse:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (
            RequestHandler,
            "_manager _loop _messages _request_count _current_request _waiter _reading_paused _drain_helper",
        ),
        (RequestHandler, "handle_error finish_response log_exception"),
        (web_protocol, "_ErrInfo"),
        (streams, "EMPTY_PAYLOAD"),
        (lambda: web.Server(_unused), "_loop _kwargs connections requests_count"),
        (web.AppRunner, "_make_server _shutdown_timeout"),
        (lambda: BadHttpMessage("text"), "message"),
        (lambda: StreamWriter(None, None), "output_size"),  # type: ignore[arg-type]
        (web.StreamResponse(), "_status _keep_alive"),
        (lambda: make_mocked_request("POST", "/mcp"), "_message _match_info"),
        (helpers, "rfc822_formatted_time"),
    ],
    ids=[
        *("RequestHandler", "its hooks", "web_protocol", "streams", "Server", "AppRunner", "BadHttpMessage", "writer"),
        *("StreamResponse", "Request", "helpers"),
    ],
)
async def test_aiohttp_has_the_internals_that_the_docstring_lists(owner: object, names: str) -> None:
    subject = owner() if callable(owner) and not isinstance(owner, type) else owner
    for name in names.split():
        assert hasattr(subject, name), f"this aiohttp ({aiohttp.__version__}) has no {name}"
        assert name in str(connection.__doc__)


class CountingSession:
    """A session with at most one connection, which counts how many connections it makes."""

    def __init__(self, server: Server) -> None:
        self.made = 0
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(self._count)
        connector = aiohttp.TCPConnector(limit=1)
        session = aiohttp.ClientSession(connector=connector, trace_configs=[trace])
        self.server = Server(server.app, server.origin, session)

    async def _count(self, *_: object) -> None:
        self.made += 1


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("POST", "/mcp", KEYED, PING, 200),
        ("POST", "/mcp", {**KEYED, "Host": "evil.example"}, PING, 403),
        ("POST", "/mcp", {**KEYED, "Origin": "null"}, PING, 403),
        ("POST", "/mcp", {**KEYED, "Content-Type": "text/plain"}, PING, 415),
        ("POST", "/mcp", {**KEYED, "Content-Encoding": "gzip"}, PING, 415),
        ("POST", "/mcp", {"Content-Type": "application/json"}, PING, 401),
        ("POST", "/mcp", {**KEYED, "Authorization": "Bearer nonsense"}, PING * 1000, 401),
        ("GET", "/mcp", KEYED, None, 405),
        ("DELETE", "/mcp", {}, None, 401),
        ("OPTIONS", "/mcp", {}, None, 204),
        ("POST", "/mcp/", KEYED, PING, 200),
        ("POST", "/mcp", {**KEYED, "Content-Encoding": "identity"}, PING, 200),
        ("POST", "/register", KEYED, PING, 404),
        ("POST", "/healthz", KEYED, PING, 405),
        ("PUT", "/healthz", KEYED, PING * 1000, 405),
        ("POST", "/mcp", KEYED, b"{", 400),
        ("POST", "/mcp", KEYED, b"[]", 400),
        ("POST", "/mcp", {**KEYED, "MCP-Protocol-Version": "1"}, PING, 400),
        ("POST", "/mcp", KEYED, PING.replace(b"ping", b"pong"), 200),
        ("POST", "/mcp", KEYED, b'{"jsonrpc":"2.0","method":"notifications/initialized"}', 202),
        ("POST", "/mcp", KEYED, GENERATE % b'{"model":"x"}', 200),
        ("POST", "/mcp", {**KEYED, "Accept": BOTH}, GENERATE % b'{"model":"sandbox/failing","input":{}}', 200),
    ],
)
async def test_a_connection_stays_usable_after_any_answer(
    server: Server, *, method: str, path: str, headers: dict[str, str], body: bytes | None, status: int
) -> None:
    session = CountingSession(server)
    async with session.server.session:
        for _ in range(3):
            answer = await session.server.request(method, path, headers=headers, data=body)
            assert answer.status == status
            assert (await session.server.rpc("ping")).result == {}
    assert session.made == 1


async def test_a_connection_stays_usable_after_a_json_answer_with_line_feeds(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    sandbox.script.add(Route.GET_RUN, Respond(500), times=6)
    session = CountingSession(server)
    async with session.server.session:
        answer = await session.server.generate()
        assert answer.content.startswith(b"\n")
        assert (await session.server.rpc("ping")).result == {}
    assert session.made == 1


@pytest.mark.parametrize("size", [300_000, 1_000_000])
async def test_a_body_over_the_cap_closes_the_connection_after_the_rejection_is_read(server: Server, size: int) -> None:
    session = CountingSession(server)
    async with session.server.session:
        answer = await session.server.request("POST", "/mcp", headers=KEYED, data=b" " * size)
        assert answer.status == 413
        assert (await session.server.rpc("ping")).result == {}
    assert session.made == 2
