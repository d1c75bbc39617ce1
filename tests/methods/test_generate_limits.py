"""What ends a wait early: the time limit, the limit of slots, a drain, a client that leaves."""

import asyncio
from typing import Any

import attrs
import pytest

from runflow_mcp.runflow.dispatch import slots
from tests.methods.recorded_requests import caller_requests, dispatches, polls
from tests.methods.tool_error_reader import run_error_of, tool_error_of
from tests.scripted_sandbox import Delay, Hang, Route, ScriptedSandbox
from tests.serving import BOTH, INPUT, MODEL, Serve, Server

SLOW = "sandbox/slow"


@pytest.mark.parametrize("accept", [BOTH, None], ids=["events", "json"])
@pytest.mark.parametrize("timeout", ["2500", "61000", "600000"])
async def test_the_ceiling_is_exact(serve: Serve, sandbox: ScriptedSandbox, timeout: str, accept: str | None) -> None:
    server = await serve(MCP_POLL_TIMEOUT_MS=timeout)
    began = server.services.clock.monotonic()
    answer = await server.generate(SLOW, client_ref="long", accept=accept)
    assert server.services.clock.monotonic() - began == pytest.approx(int(timeout) / 1000)
    error = run_error_of(answer, "polling_timeout")
    assert error["details"]["run"]["status_code"] == "running"
    assert error["details"]["run_id"] == next(iter(sandbox.runs)).id
    assert "client_ref" in error["next_action"]
    assert answer.is_stream == (accept is not None)


async def test_the_ceiling_counts_a_slow_dispatch(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_POLL_TIMEOUT_MS="20000")
    sandbox.script.add(Route.CREATE, Delay(15))
    answer = await server.generate(SLOW)
    assert server.services.clock.monotonic() == pytest.approx(20)
    run_error_of(answer, "polling_timeout")


async def test_a_ceiling_within_the_dispatch_names_the_client_ref(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_POLL_TIMEOUT_MS="5000")
    sandbox.script.add(Route.CREATE, Delay(8))
    answer = await server.generate(SLOW, client_ref="unborn")
    error = tool_error_of(answer, "polling_timeout")
    assert error["details"]["client_ref"] == "unborn"
    assert "unborn" in answer.result["content"][0]["text"]
    assert "run_id" not in error["details"]
    await server.services.clock.sleep(10)
    assert len(sandbox.runs) == 1  # the dispatch went on by itself


async def test_without_a_free_slot_a_call_is_refused_and_starts_nothing(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_MAX_WAITS="1")
    waiting = asyncio.create_task(server.generate(client_ref="first"))
    await server.services.clock.sleep(1)
    answer = await server.generate(client_ref="second", accept=BOTH)
    error = tool_error_of(answer, "server_busy")
    assert "nothing was started" in error["message"]
    assert "wait=false" in error["next_action"]
    assert not answer.is_stream
    assert len(dispatches(sandbox)) == 1
    assert (await waiting).structured["status"] == "succeeded"
    assert (await server.generate()).structured["status"] == "succeeded"


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        ({"MCP_MAX_WAITS_PER_KEY": "3"}, 3),
        ({"MCP_MAX_WAITS": "8", "MCP_MAX_WAITS_PER_KEY": "100"}, 4),
        ({"MCP_MAX_WAITS": "5"}, 2),
        ({"MCP_MAX_WAITS": "1"}, 1),
    ],
    ids=str,
)
async def test_one_key_has_a_share_of_the_slots(
    serve: Serve, sandbox: ScriptedSandbox, settings: dict[str, str], most: int
) -> None:
    server = await serve(**settings)
    waiting = [asyncio.create_task(server.generate(client_ref=f"one-{number}")) for number in range(most)]
    await server.services.clock.sleep(1)
    error = tool_error_of(await server.generate(client_ref="more"), "server_busy")
    assert f"{most} waiting calls with this API key" in error["message"]
    assert "nothing was started" in error["message"]
    assert len(dispatches(sandbox)) == most
    if server.services.inflight.limit > most:
        waiting.append(asyncio.create_task(server.generate(key="rf_live_another")))
    answers = await asyncio.gather(*waiting)
    assert {answer.structured["status"] for answer in answers} == {"succeeded"}
    assert (await server.generate(client_ref="more")).structured["status"] == "succeeded"


async def test_the_entries_of_a_batch_count_in_the_share_of_their_key(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_MAX_WAITS="6")
    entries = [
        {
            "jsonrpc": "2.0",
            "id": number,
            "method": "tools/call",
            "params": {"name": "generate", "arguments": {"model": MODEL, "input": INPUT}},
        }
        for number in range(5)
    ]
    answer = await server.post(entries, headers={"MCP-Protocol-Version": "2025-03-26"})
    ended = [response["result"]["isError"] for response in answer.json]
    assert sorted(ended) == [False, False, False, True, True]
    assert len(dispatches(sandbox)) == 3
    assert server.services.inflight.slots_used == 0


@pytest.mark.parametrize("mode", [{"wait": False}, {"wait": True}], ids=str)
@pytest.mark.parametrize(
    ("share", "whose"), [("PER_KEY", "with this API key"), ("PER_ADDRESS", "from your address"), ("IN_ALL", "server")]
)
async def test_dispatches_under_way_have_a_bound_whether_anybody_waits_or_not(
    server: Server,
    sandbox: ScriptedSandbox,
    monkeypatch: pytest.MonkeyPatch,
    share: str,
    *,
    whose: str,
    mode: dict[str, Any],
) -> None:
    monkeypatch.setattr(slots, share, attrs.evolve(getattr(slots, share), dispatches=2))
    sandbox.script.add(Route.CREATE, Hang(600), times=None)
    leaving = [asyncio.create_task(server.generate(client_ref=f"left-{number}", **mode)) for number in range(2)]
    await server.services.clock.sleep(1)
    for call in leaving:
        call.cancel()
    await asyncio.wait(leaving)
    await server.services.clock.sleep(1)
    error = tool_error_of(await server.generate(client_ref="more", **mode), "server_busy")
    assert whose in error["message"]
    assert "nothing was started" in error["message"]
    assert error["details"]["client_ref"] == "more"
    assert len(dispatches(sandbox)) == 2
    assert server.services.inflight.slots_used == 0
    joined = asyncio.create_task(server.generate(client_ref="left-0", **mode))
    await server.services.clock.sleep(0.5)
    assert not joined.done(), "a repeat joins its dispatch and needs no place"
    sandbox.script.clear()
    await joined
    await server.services.clock.sleep(60)
    assert (await server.generate(client_ref="more", **mode)).structured["status"] in {"queued", "succeeded"}
    assert len(server.services.dispatcher.slots) == 0


async def test_a_dispatch_under_way_counts_as_a_wait(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_MAX_WAITS="1")
    sandbox.script.add(Route.CREATE, Delay(5))
    waiting = asyncio.create_task(server.generate())
    await server.services.clock.sleep(1)
    tool_error_of(await server.generate(), "server_busy")
    await waiting


async def test_a_server_without_free_slots_still_starts_runs_and_lists_models(serve: Serve) -> None:
    server = await serve(MCP_MAX_WAITS="1")
    waiting = asyncio.create_task(server.generate())
    await server.services.clock.sleep(1)
    assert (await server.generate(wait=False)).structured["status"] == "queued"
    assert (await server.call("list_models")).structured["total"] > 0
    await waiting


async def test_an_interrupted_wait_releases_its_slot(serve: Serve) -> None:
    server = await serve(MCP_MAX_WAITS="1", MCP_POLL_TIMEOUT_MS="5000")
    for _ in range(3):
        run_error_of(await server.generate(SLOW), "polling_timeout")
    for key in ("rf_live_sandbox_no_credit", "rf_live_sandbox_revoked"):
        assert (await server.generate(key=key)).tool_error["code"] != "server_busy"
    assert server.services.inflight.slots_used == 0


def drain(server: Server, seconds: float) -> None:
    server.services.inflight.drain(asyncio.get_running_loop().time() + seconds)


@pytest.mark.parametrize("accept", [BOTH, None], ids=["events", "json"])
async def test_a_drain_answers_the_waits_that_remain(server: Server, accept: str | None) -> None:
    waiting = asyncio.create_task(server.generate(SLOW, client_ref="cut", token=1, accept=accept))
    await server.services.clock.sleep(10)
    drain(server, 8)
    answer = await waiting
    assert server.services.clock.monotonic() == pytest.approx(18)
    error = run_error_of(answer, "server_draining")
    assert error["details"]["client_ref"] == "cut"
    assert "client_ref" in error["next_action"]
    await server.services.clock.sleep(0.01)
    assert server.services.inflight.pending_answers == 0


async def test_a_run_that_ends_within_the_grace_brings_its_result(server: Server) -> None:
    waiting = asyncio.create_task(server.generate())
    await server.services.clock.sleep(1)
    drain(server, 8)
    assert (await waiting).structured["status"] == "succeeded"
    await server.services.clock.sleep(0.01)
    assert server.services.inflight.pending_answers == 0


async def test_a_drain_during_the_dispatch_names_the_client_ref_only(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CREATE, Delay(20))
    waiting = asyncio.create_task(server.generate(client_ref="unborn"))
    await server.services.clock.sleep(1)
    drain(server, 8)
    answer = await waiting
    error = tool_error_of(answer, "server_draining")
    assert error["details"]["client_ref"] == "unborn"
    assert "run_id" not in error["details"]
    assert "nothing was started" not in error["message"]


async def test_a_draining_server_starts_no_wait_but_answers_short_calls(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    drain(server, 8)
    answer = await server.generate(client_ref="late", accept=BOTH)
    error = tool_error_of(answer, "server_draining")
    assert "nothing was started" in error["message"]
    assert caller_requests(sandbox) == []
    assert not answer.is_stream
    assert (await server.generate(wait=False)).structured["status"] == "queued"
    assert (await server.call("list_models")).structured["total"] > 0
    assert (await server.rpc("ping")).result == {}


async def test_a_wait_that_a_drain_interrupted_is_resumed_on_another_replica(
    serve: Serve, sandbox: ScriptedSandbox
) -> None:
    stopping, another = await serve(), await serve()
    waiting = asyncio.create_task(stopping.generate(client_ref="moved"))
    await stopping.services.clock.sleep(1)
    drain(stopping, 0)
    cut = (await waiting).tool_error
    assert cut["code"] == "server_draining"
    assert (await another.generate(client_ref="moved")).structured["run_id"] == cut["details"]["run_id"]
    assert len(sandbox.runs) == 1


@pytest.mark.parametrize("accept", [BOTH, None], ids=["events", "json"])
@pytest.mark.parametrize("after", [1.0, 10.0, 40.0])
async def test_a_client_that_leaves_stops_the_polling_and_not_the_run(
    server: Server, sandbox: ScriptedSandbox, accept: str | None, after: float
) -> None:
    leaving = asyncio.create_task(server.generate(SLOW, client_ref="left", token=1, accept=accept))
    await server.services.clock.sleep(after)
    leaving.cancel()
    await asyncio.wait([leaving])
    await server.services.clock.sleep(0.1)
    seen = len(polls(sandbox))
    assert server.services.inflight.slots_used == 0
    await server.services.clock.sleep(300)
    assert len(polls(sandbox)) == seen
    again = await server.generate(SLOW, client_ref="left", wait=False)
    assert again.structured["status"] == "running"
    assert len(sandbox.runs) == 1


async def test_a_client_that_leaves_within_the_dispatch_leaves_a_run_to_find(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    sandbox.script.add(Route.CREATE, Delay(5))
    leaving = asyncio.create_task(server.generate(client_ref="left"))
    await server.services.clock.sleep(1)
    leaving.cancel()
    await server.services.clock.sleep(10)
    assert polls(sandbox) == []
    assert (await server.generate(client_ref="left")).structured["status"] == "succeeded"
    assert len(sandbox.runs) == 1


async def test_a_drain_answers_calls_that_wait_for_the_first_catalog(serve: Serve, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CATALOG, Hang(600), times=None)
    server = await serve()
    models = asyncio.create_task(server.call("list_models"))
    prompts = asyncio.create_task(server.rpc("prompts/list"))
    await server.services.clock.sleep(1)
    assert server.services.inflight.pending_answers == 2
    drain(server, 2)
    error = tool_error_of(await models, "catalog_fetch_failed")
    assert "This server is stopping" in error["message"]
    assert (await prompts).result["prompts"] == []
    assert server.services.clock.monotonic() == pytest.approx(3)
