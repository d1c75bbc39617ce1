"""Errors inside methods: what is answered and logged, how long it may be, and that none is kept in memory."""

import gc
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

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
