"""The memory that a waiting call keeps of its request and its run: a few KB, whatever their size."""

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest

from runflow_mcp.runflow.dispatch import slots
from runflow_mcp.runflow.dispatch.slots import Share
from tests.methods.recorded_requests import dispatches
from tests.methods.tool_error_reader import tool_error_of
from tests.scripted_sandbox import Hang, Respond, Route, ScriptedSandbox
from tests.serving import BOTH, META, TASKS, Serve, Server

SLOW = "sandbox/slow"
CALLS = 10
#: Bytes that the product may keep for one waiting call, with what aiohttp keeps of the request's body.
ONE_CALL = 40 * 1024
#: What is counted: not the simulated upstream, nor the client of the test.
PRODUCT = (
    tracemalloc.Filter(inclusive=True, filename_pattern="*/runflow_mcp/*"),
    tracemalloc.Filter(inclusive=True, filename_pattern="*/aiohttp/streams.py"),
    tracemalloc.Filter(inclusive=False, filename_pattern="*/runflow_mcp/sandbox/*"),
)
#: Parsed they take 180 KB, several times what a call may keep: more of them prove no more, and tracing is slow.
OBJECTS: list[Any] = [{}] * 2_500
TEXT = "a lighthouse at dusk, " * 11_600
INPUTS = {"objects": {"a": OBJECTS}, "text": {"prompt": TEXT}, "text of objects": orjson.dumps({"a": OBJECTS}).decode()}
LIMITS = {"MCP_RATE_LIMIT_PER_IP": "1000000", "MCP_RATE_LIMIT_PER_KEY": "1000000"}

Calls = Callable[[], list[Awaitable[Any]]]
each_input = pytest.mark.parametrize("run_input", INPUTS.values(), ids=INPUTS)


@contextmanager
def traced() -> Iterator[None]:
    """Count what is allocated from here on.

    The garbage collector is off, so that memory in reference cycles counts too.
    """
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()
        gc.enable()


def held() -> int:
    """Bytes that the product has allocated since tracing began, and not released."""
    snapshot = tracemalloc.take_snapshot().filter_traces(PRODUCT)
    return sum(statistic.size for statistic in snapshot.statistics("filename"))


async def kept_by_one(server: Server, calls: Calls, *, after: float = 10.0) -> float:
    """Bytes that each of these calls keeps once all have waited for so many seconds."""
    await server.rpc("ping")
    with traced():
        waiting = [asyncio.ensure_future(call) for call in calls()]
        await server.services.clock.sleep(after)
        assert not any(call.done() for call in waiting)
        kept = held()
    for call in waiting:
        call.cancel()
    await asyncio.wait(waiting)
    await server.services.clock.sleep(1)
    return kept / len(waiting)


@each_input
@pytest.mark.parametrize("accept", [BOTH, None], ids=["events", "json"])
async def test_a_wait_for_a_run_keeps_no_input(serve: Serve, run_input: object, accept: str | None) -> None:
    server = await serve(**LIMITS)
    await server.generate(SLOW, run_input, client_ref="one", wait=False)
    body = message("tools/call", name="generate", arguments={"model": SLOW, "input": run_input, "client_ref": "one"})
    kept = await kept_by_one(server, lambda: [server.post(body, accept=accept) for _ in range(CALLS)])
    assert kept < ONE_CALL


@pytest.mark.parametrize("name", ["input", "request", "metadata", "output"])
@pytest.mark.parametrize("echo", [OBJECTS, TEXT], ids=["objects", "text"])
async def test_a_wait_keeps_no_run_that_repeats_its_input(
    serve: Serve, sandbox: ScriptedSandbox, name: str, echo: object
) -> None:
    server = await serve(**LIMITS)
    run = (await server.generate(SLOW, client_ref="one", wait=False)).structured
    answer = {"id": run["run_id"], "status_code": "running", "client_ref": "one", name: echo}
    sandbox.script.add(Route.GET_RUN, Respond(200, orjson.dumps(answer)), times=None)
    kept = await kept_by_one(
        server, lambda: [server.generate(SLOW, client_ref="one", accept=BOTH) for _ in range(CALLS)]
    )
    assert kept < ONE_CALL


@each_input
@pytest.mark.parametrize("wait", [True, False])
async def test_calls_that_share_a_dispatch_keep_one_input(
    serve: Serve, sandbox: ScriptedSandbox, run_input: object, *, wait: bool
) -> None:
    server = await serve(**LIMITS)
    sandbox.script.add(Route.CREATE, Hang(600), times=None)
    arguments = {"model": SLOW, "input": run_input, "client_ref": "one", "wait": wait}
    body = message("tools/call", name="generate", arguments=arguments)
    kept = await kept_by_one(server, lambda: [server.post(body) for _ in range(CALLS)])
    assert kept < ONE_CALL
    assert len(dispatches(sandbox)) == 1


async def test_the_entries_of_a_batch_keep_no_input(serve: Serve) -> None:
    server = await serve(**LIMITS)
    run_input = {"a": OBJECTS[:370]}
    await server.generate(SLOW, run_input, client_ref="one", wait=False)
    arguments = {"model": SLOW, "input": run_input, "client_ref": "one"}
    entries = [message("tools/call", number, name="generate", arguments=arguments) for number in range(50)]
    body = b"[" + b",".join(entries) + b"]"
    headers = {"MCP-Protocol-Version": "2025-03-26"}
    kept = await kept_by_one(server, lambda: [server.post(body, accept=BOTH, headers=headers)])
    assert kept < 50 * 16 * 1024


def message(method: str, id: int = 1, **params: object) -> bytes:  # noqa: A002 - the message's own word
    return orjson.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params})


async def test_a_subscription_keeps_none_of_its_params(serve: Serve) -> None:
    server = await serve(**LIMITS)
    params = {"notifications": {"promptsListChanged": True, "x": OBJECTS[:1250]}, "y": OBJECTS[:1250]}
    kept = await kept_by_one(server, lambda: [server.modern("subscriptions/listen", params) for _ in range(CALLS)])
    assert kept < ONE_CALL


@pytest.mark.parametrize("capability", ["extensions", "sampling", "unheard of"])
async def test_a_subscription_keeps_none_of_the_capabilities_of_its_client(serve: Serve, capability: str) -> None:
    server = await serve(**LIMITS)
    meta = {f"{META}clientCapabilities": {capability: {TASKS: {"a": OBJECTS}}}}
    params: dict[str, Any] = {"notifications": {}}
    kept = await kept_by_one(
        server, lambda: [server.modern("subscriptions/listen", params, meta=meta) for _ in range(CALLS)]
    )
    assert kept < ONE_CALL


async def test_a_task_that_upstream_does_not_show_yet_keeps_no_params(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(**LIMITS)
    sandbox.script.add(Route.GET_RUN, Hang(600), times=None)
    params = {"taskId": "run-1", "x": OBJECTS}
    kept = await kept_by_one(
        server,
        lambda: [server.modern("tasks/get", params, extensions=(TASKS,)) for _ in range(CALLS)],
        after=3,
    )
    assert kept < ONE_CALL


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("prompts/list", {"x": OBJECTS}),
        ("prompts/get", {"name": "x", "x": OBJECTS}),
        (
            "completion/complete",
            {"ref": {"type": "ref/prompt", "name": "x", "x": OBJECTS}, "argument": {"name": "x", "value": "x"}},
        ),
        ("tools/call", {"name": "list_models", "arguments": {"query": "x", "toolCallId": OBJECTS}, "x": []}),
    ],
)
async def test_a_call_that_waits_for_the_catalog_keeps_no_params(
    serve: Serve, sandbox: ScriptedSandbox, method: str, params: dict[str, Any]
) -> None:
    sandbox.script.add(Route.CATALOG, Hang(600), times=None)
    server = await serve(**LIMITS)
    body = message(method, **params)
    kept = await kept_by_one(server, lambda: [server.post(body) for _ in range(CALLS)], after=1)
    assert kept < ONE_CALL


@pytest.mark.parametrize("run_input", [INPUTS["objects"], INPUTS["text"]], ids=["objects", "text"])
@pytest.mark.parametrize("leave", [True, False], ids=["clients leave", "clients stay"])
async def test_dispatches_under_way_are_bounded_together(
    serve: Serve, sandbox: ScriptedSandbox, run_input: object, monkeypatch: pytest.MonkeyPatch, *, leave: bool
) -> None:
    """While upstream hangs, calls beyond the limit are refused, and nothing of them is started or kept."""
    room = 5 * len(orjson.dumps(run_input)) - 1  # four requests and their envelopes
    monkeypatch.setattr(slots, "PER_ADDRESS", Share(100, room, "from your address"))
    server = await serve(**LIMITS)
    sandbox.script.add(Route.CREATE, Hang(600), times=None)
    body = message("tools/call", name="generate", arguments={"model": SLOW, "input": run_input, "wait": False})
    started, refused = 0, 0
    with traced():
        for number in range(CALLS):
            call = asyncio.create_task(server.post(body, key=f"rf_live_sandbox{number}"))
            await server.services.clock.sleep(0.1)
            if call.done():
                refused += 1
                error = tool_error_of(call.result(), "server_busy")
                assert "from your address" in error["message"]
                assert "nothing was started" in error["message"]
            else:
                started += 1
                if leave:
                    call.cancel()
        assert (started, refused) == (4, CALLS - 4)
        assert len(dispatches(sandbox)) == started
        sandbox.requests.clear()
        assert held() < room + CALLS * ONE_CALL
    await server.services.clock.sleep(60)
    assert len(server.services.dispatcher.slots) == 0


#: Answers to a dispatch that are not a run: one too large to be read, and one just below that size.
UNUSABLE = {"too long": b'"' + b"x" * 9_000_000 + b'"', "no JSON": b"x" * 8_000_000}


@pytest.mark.parametrize("body", UNUSABLE.values(), ids=UNUSABLE)
async def test_a_dispatch_keeps_nothing_of_an_answer_that_it_cannot_use(
    serve: Serve, sandbox: ScriptedSandbox, body: bytes
) -> None:
    server = await serve(**LIMITS)
    sandbox.script.add(Route.CREATE, Respond(201, body), times=None)
    kept = await kept_by_one(server, lambda: [server.generate() for _ in range(3)], after=1.0)
    assert kept < ONE_CALL


@pytest.mark.parametrize("body", UNUSABLE.values(), ids=UNUSABLE)
async def test_a_dispatch_that_failed_leaves_nothing_of_its_answer(
    serve: Serve, sandbox: ScriptedSandbox, body: bytes
) -> None:
    server = await serve(**LIMITS)
    sandbox.script.add(Route.CREATE, Respond(201, body), times=None)
    await server.rpc("ping")
    with traced():
        for _ in range(3):
            assert (await server.generate()).tool_error["code"] == "generate_failed"
        await server.rpc("ping")
        assert held() < 3 * ONE_CALL


async def test_a_read_that_calls_share_leaves_nothing_of_an_answer_that_it_cannot_use(
    serve: Serve, sandbox: ScriptedSandbox
) -> None:
    server = await serve(**LIMITS)
    sandbox.script.add(Route.GET_RUN, Respond(200, UNUSABLE["too long"]), times=None)
    kept = await kept_by_one(
        server, lambda: [server.generate(SLOW, {}, client_ref="shared") for _ in range(CALLS)], after=5.0
    )
    assert kept < ONE_CALL
