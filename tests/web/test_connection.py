"""One connection for many requests: whatever was refused on it, the next request is answered."""

import aiohttp
import pytest

from tests.scripted_sandbox import Respond, Route, ScriptedSandbox
from tests.serving import BOTH, Server

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
KEYED = {"Authorization": "Bearer rf_live_sandbox", "Content-Type": "application/json"}
GENERATE = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"generate","arguments":%s}}'


class Counted:
    """A session on one connection that counts how often it had to be made."""

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
        ("POST", "/mcp", KEYED, b"{", 400),
        ("POST", "/mcp", KEYED, b"[]", 400),
        ("POST", "/mcp", {**KEYED, "MCP-Protocol-Version": "1"}, PING, 400),
        ("POST", "/mcp", KEYED, PING.replace(b"ping", b"pong"), 200),
        ("POST", "/mcp", KEYED, b'{"jsonrpc":"2.0","method":"notifications/initialized"}', 202),
        ("POST", "/mcp", KEYED, GENERATE % b'{"model":"x"}', 200),
        ("POST", "/mcp", {**KEYED, "Accept": BOTH}, GENERATE % b'{"model":"sandbox/failing","input":{}}', 200),
    ],
)
async def test_the_connection_stays_usable(
    server: Server, *, method: str, path: str, headers: dict[str, str], body: bytes | None, status: int
) -> None:
    counted = Counted(server)
    async with counted.server.session:
        for _ in range(3):
            answer = await counted.server.request(method, path, headers=headers, data=body)
            assert answer.status == status
            assert (await counted.server.rpc("ping")).result == {}
    assert counted.made == 1


async def test_a_json_answer_after_line_feeds_leaves_it_usable(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.GET_RUN, Respond(500), times=6)
    counted = Counted(server)
    async with counted.server.session:
        answer = await counted.server.generate()
        assert answer.content.startswith(b"\n")
        assert (await counted.server.rpc("ping")).result == {}
    assert counted.made == 1


@pytest.mark.parametrize("size", [300_000, 1_000_000])
async def test_after_a_body_over_the_cap_it_is_closed_and_the_refusal_still_seen(server: Server, size: int) -> None:
    counted = Counted(server)
    async with counted.server.session:
        answer = await counted.server.request("POST", "/mcp", headers=KEYED, data=b" " * size)
        assert answer.status == 413
        assert (await counted.server.rpc("ping")).result == {}
    assert counted.made == 2
