"""The request id in every response, and the headers that keep proxies from buffering a stream."""

import re

import pytest

from tests.scripted_sandbox import Respond, Route, ScriptedSandbox
from tests.serving import BOTH, Server

MADE = re.compile(r"[A-Za-z0-9._-]{8,128}")

REQUESTS = [
    ("POST", "/mcp", {}),
    ("POST", "/mcp", {"Authorization": "Bearer rf_live_sandbox"}),
    ("POST", "/mcp", {"Content-Type": "text/plain"}),
    ("GET", "/mcp", {"Authorization": "Bearer rf_live_sandbox"}),
    ("OPTIONS", "/mcp", {}),
    ("GET", "/healthz", {}),
    ("GET", "/readyz", {}),
    ("GET", "/.well-known/oauth-protected-resource", {}),
    ("GET", "/nowhere", {}),
    ("POST", "/healthz", {}),
    ("GET", "/mcp", {"Host": "evil.example"}),
    ("GET", "/mcp", {"Origin": "null"}),
]


@pytest.mark.parametrize(("method", "path", "headers"), REQUESTS, ids=str)
async def test_every_answer_carries_the_id_of_its_request(
    server: Server, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = await server.request(method, path, headers={"X-Request-Id": "my.own-id_7", **headers})
    assert answer.headers["X-Request-Id"] == "my.own-id_7"


@pytest.mark.parametrize(("method", "path", "headers"), REQUESTS, ids=str)
async def test_a_request_without_an_id_gets_a_new_one(
    server: Server, method: str, path: str, headers: dict[str, str]
) -> None:
    first, second = [await server.request(method, path, headers=headers) for _ in range(2)]
    assert MADE.fullmatch(first.headers["X-Request-Id"])
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]


@pytest.mark.parametrize("given", ["x", "x" * 128])
async def test_request_ids_of_1_to_128_characters_are_kept(server: Server, given: str) -> None:
    assert (await server.rpc("ping", headers={"X-Request-Id": given})).headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a/b", "a:b", "ü", "<x>", 'a"b', "a,b"])
async def test_invalid_request_ids_are_replaced(server: Server, given: str) -> None:
    answer = await server.rpc("ping", headers={"X-Request-Id": given})
    assert MADE.fullmatch(answer.headers["X-Request-Id"])
    assert answer.headers["X-Request-Id"] != given


async def test_the_headers_of_a_stream_stop_proxies_from_buffering_it(server: Server) -> None:
    answer = await server.generate(accept=BOTH, headers={"X-Request-Id": "stream"})
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["Cache-Control"] == "no-cache, no-transform"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.headers["X-Request-Id"] == "stream"


async def test_a_json_answer_after_line_feeds_carries_its_request_id(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.GET_RUN, Respond(500), times=5)
    answer = await server.generate(headers={"X-Request-Id": "late"})
    assert answer.content.startswith(b"\n")
    assert answer.headers["X-Request-Id"] == "late"


async def test_a_tool_error_names_the_request_id(server: Server) -> None:
    answer = await server.generate("nonsense", headers={"X-Request-Id": "seen"})
    assert answer.tool_error["details"]["request_id"] == "seen"
