"""JSON-RPC over HTTP: the status and the id of each answer, and errors inside methods."""

import gc
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import aiohttp
import pytest

from runflow_mcp.json_types import JSONObject
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.router import method_table
from runflow_mcp.methods.tools.registry import Tool, ToolHandler
from runflow_mcp.protocol.jsonrpc import Result
from runflow_mcp.sandbox import RunningSandbox
from runflow_mcp.web.reply import Reply
from tests.serving import BOTH, ServedApp, Server, upstream_settings
from tests.virtual_time import VirtualClock
from tests.web.error_shapes import protocol_error_of

INVALID_MESSAGES: list[Any] = [
    {},
    None,
    1,
    "ping",
    True,
    {"id": 1, "method": "ping"},
    {"jsonrpc": "1.0", "id": 1, "method": "ping"},
    {"jsonrpc": 2.0, "id": 1, "method": "ping"},
    {"jsonrpc": "2.0", "id": 1},
    {"jsonrpc": "2.0", "id": 1, "method": 5},
    {"jsonrpc": "2.0", "id": 1, "method": None},
]
BAD_IDS: list[Any] = [None, True, 1.5, [], {}]


@pytest.mark.parametrize("body", INVALID_MESSAGES, ids=str)
async def test_an_invalid_message_is_an_invalid_request(server: Server, body: Any) -> None:
    answer = await server.post(body)
    assert answer.status == 400
    assert answer.error["code"] == -32600
    has_id = isinstance(body, dict) and "id" in body
    assert answer.json.get("id", "absent") == (1 if has_id else "absent")


@pytest.mark.parametrize("id_", BAD_IDS, ids=repr)
async def test_an_id_that_is_not_a_string_or_an_integer_is_an_invalid_request(server: Server, id_: object) -> None:
    answer = await server.post({"jsonrpc": "2.0", "id": id_, "method": "ping"})
    protocol_error_of(answer, -32600, status=400)


@pytest.mark.parametrize("id_", [1, 0, -7, "1", "", "a b ü", 2**63 - 1], ids=repr)
async def test_an_id_is_returned_as_it_was_sent(server: Server, id_: object) -> None:
    answer = await server.post({"jsonrpc": "2.0", "id": id_, "method": "ping"})
    assert answer.json == {"jsonrpc": "2.0", "id": id_, "result": {}}
    assert type(answer.json["id"]) is type(id_)


@pytest.mark.parametrize("method", ["nothing", "", "tools", "resources/subscribe", "logging/setLevel"])
async def test_an_unknown_method_is_a_protocol_error_at_200(server: Server, method: str) -> None:
    answer = await server.rpc(method)
    assert answer.status == 200
    assert answer.error["code"] == -32601
    assert answer.json["id"] == 1


@pytest.mark.parametrize("params", [[], "x", 1, True], ids=repr)
async def test_params_that_are_not_an_object_are_invalid_params(server: Server, params: object) -> None:
    answer = await server.post({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": params})
    assert answer.status == 200
    assert answer.error["code"] == -32602
    assert answer.json["id"] == 1


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1, "reason": "x"}},
        {"jsonrpc": "2.0", "method": "notifications/unheard-of", "params": []},
        {"jsonrpc": "2.0", "method": "ping"},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "x"}},
    ],
    ids=["initialized", "cancelled", "unknown", "no id", "result", "error"],
)
async def test_notifications_and_responses_are_accepted_with_202(server: Server, message: object) -> None:
    answer = await server.post(message)
    assert answer.status == 202
    assert answer.content == b""


@pytest.mark.parametrize("revision", ["2025-03-26", "2025-06-18", "2025-11-25"])
async def test_the_legacy_revisions_are_supported(server: Server, revision: str) -> None:
    answer = await server.rpc("tools/list", headers={"MCP-Protocol-Version": revision})
    assert {"generate", "list_models"} <= {tool["name"] for tool in answer.result["tools"]}


@pytest.mark.parametrize("revision", ["2024-11-05", "1999-01-01", "latest", "2025-06-18,2025-11-25"])
@pytest.mark.parametrize("method", ["tools/list", "tools/call", "notifications/initialized"])
async def test_an_unsupported_revision_is_rejected(server: Server, revision: str, method: str) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": method}
    if method.startswith("notifications/"):
        del message["id"]
    answer = await server.post(message, headers={"MCP-Protocol-Version": revision})
    assert answer.status == 400
    assert answer.error["code"] < 0
    assert answer.error["message"]


async def test_initialize_does_not_depend_on_the_version_header(server: Server) -> None:
    params = {"protocolVersion": "2025-06-18"}
    answer = await server.rpc("initialize", params, headers={"MCP-Protocol-Version": "2024-11-05"})
    assert answer.result["protocolVersion"] == "2025-06-18"


async def test_session_and_resumption_headers_are_ignored(server: Server) -> None:
    answer = await server.rpc("ping", headers={"Mcp-Session-Id": "x", "Last-Event-ID": "7", "Mcp-Method": "other"})
    assert answer.result == {}
    assert "Mcp-Session-Id" not in answer.headers


async def _broken(_arguments: JSONObject, _call: RequestContext) -> Result:
    raise RuntimeError("internals")


async def _gone(_arguments: JSONObject, call: RequestContext) -> Result:
    """A tool during whose call the connection breaks as its stream opens, before the handler is cancelled."""
    assert isinstance(call.channel, Reply)
    transport = call.channel._request.transport  # noqa: SLF001 - no client can hit this moment
    assert transport is not None
    transport.abort()
    await call.channel.open()
    await call.channel.notify("notifications/progress", {})
    return {"content": []}


@asynccontextmanager
async def serving_tool(run: ToolHandler, upstream: RunningSandbox, clock: VirtualClock) -> AsyncIterator[Server]:
    """A server with one tool, ``own``."""
    table = method_table(Tool({"name": "own"}, run))
    served = await ServedApp.start(upstream_settings(upstream.url), clock, Random(0), table=table)
    try:
        async with served.client() as server:
            yield server
    finally:
        await served.runner.cleanup()


@pytest.mark.parametrize("accept", [BOTH, "application/json"])
async def test_a_client_that_leaves_while_its_stream_opens_is_not_logged_as_an_error(
    upstream: RunningSandbox, clock: VirtualClock, capsys: pytest.CaptureFixture[str], accept: str
) -> None:
    async with serving_tool(_gone, upstream, clock) as server:
        with pytest.raises(aiohttp.ClientError):
            await server.call("own", accept=accept)
        assert (await server.rpc("ping")).result == {}
    logged = "".join(capsys.readouterr())
    assert "status=" in logged
    assert "Traceback" not in logged
    assert "[error" not in logged


async def test_an_exception_in_a_method_is_an_internal_error_without_details(
    upstream: RunningSandbox, clock: VirtualClock
) -> None:
    async with serving_tool(_broken, upstream, clock) as server:
        answer = await server.call("own", headers={"X-Request-Id": "find-me"})
    assert answer.status == 200
    assert answer.error["code"] == -32603
    assert answer.json["id"] == 1
    assert "find-me" in answer.error["message"]
    assert b"internals" not in answer.content


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("x" * 250_000, {}),
        ("\x1b[2J\n", {}),
        ("tools/call", {"name": "x" * 250_000}),
        ("tools/call", {"name": "generate", "arguments": {f"{number}{'x' * 50}": 1 for number in range(4_000)}}),
        ("tools/call", {"name": "generate", "arguments": {"x" * 250_000: 1}}),
        ("tools/call", {"name": "generate", "arguments": {"model": "x" * 250_000, "input": {}}}),
        ("tools/call", {"name": "list_models", "arguments": {"category": "x" * 250_000}}),
        ("tools/list", {"cursor": "x" * 250_000}),
        ("prompts/get", {"name": "x" * 250_000}),
        ("prompts/get", {"name": "headshots", "arguments": {f"{number}{'x' * 50}": "" for number in range(4_000)}}),
        ("prompts/get", {"name": "headshots", "arguments": {"x" * 250_000: ""}}),
        (
            "completion/complete",
            {"ref": {"type": "ref/prompt", "name": "x" * 250_000}, "argument": {"name": "", "value": ""}},
        ),
        ("initialize", {"protocolVersion": "x" * 250_000, "clientInfo": {"name": "x"}}),
        ("ping", {"_meta": {"progressToken": "x" * 250_000}}),
        ("ping", {"_meta": {"traceparent": "x" * 250_000}}),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("id_", [1, "i" * 1024])
async def test_no_error_is_over_8_kilobytes_whatever_was_sent(
    server: Server, method: str, params: dict[str, object], id_: str | int
) -> None:
    answer = await server.post({"jsonrpc": "2.0", "id": id_, "method": method, "params": params})
    if "result" in answer.json and not answer.result.get("isError"):
        return
    assert len(answer.content) < 8192 + 1024
    texts = answer.error["message"] if "error" in answer.json else answer.result["content"][0]["text"]
    assert len(texts) < 2000
    assert texts.replace("\n", " ").isprintable()


@pytest.mark.parametrize("version", ["x" * 8_000, "2099-01-01"])
async def test_an_unknown_version_header_is_answered_with_the_supported_ones(server: Server, version: str) -> None:
    for body in ({"jsonrpc": "2.0", "id": 7, "method": "tools/list"}, {"jsonrpc": "2.0", "id": 7, "method": "ping"}):
        answer = await server.post(body, headers={"MCP-Protocol-Version": version})
        assert (answer.status, answer.error["code"], answer.json["id"]) == (400, -32022, 7)
        assert "2026-07-28" in answer.error["data"]["supported"]
        assert answer.error["data"]["requested"][:64] == version[:64]
        assert len(answer.content) < 1000


async def test_invalid_arguments_leave_no_memory_for_the_garbage_collector(server: Server) -> None:
    """A reference cycle would hold the request until the next full collection, which may come too late."""
    arguments = {f"name{number}": number for number in range(5_000)}
    await server.call("generate", **arguments)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(10):
            assert (await server.call("generate", **arguments)).tool_error["code"] == "invalid_arguments"
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert after - before < 2_000_000
