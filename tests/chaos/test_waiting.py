"""Waiting while upstream fails: no error ends the wait, it recovers, and the last known state is reported."""

import asyncio
import itertools

import orjson
import pytest

from tests.chaos.chaos_world import GRACE, CallArguments, World
from tests.methods.recorded_requests import dispatches, polls
from tests.methods.tool_error_reader import run_error_of
from tests.scripted_sandbox import Action, Delay, Hang, Idempotency, Reset, Respond, Route, ScriptedSandbox, Truncate
from tests.serving import BOTH, KEY, Serve, Server

SLOW = "sandbox/slow"
POLL_ERRORS: dict[str, Action] = {
    "reset": Reset(),
    "truncated": Truncate(),
    "silence": Hang(100),
    "late": Delay(29),
    "late 502": Respond(502, after=29),
    "429 that asks for a minute": Respond(429, headers={"Retry-After": "60"}),
    "429 that asks for a day": Respond(429, headers={"Retry-After": "86400"}),
    "503 that asks for nonsense": Respond(503, headers={"Retry-After": "-1"}),
    "500": Respond(500, b'{"code":"RUN_FAILED","message":"not the run, the server"}'),
    "400": Respond(400, b'{"code":"BAD_REQUEST","message":"x"}'),
    "402": Respond(402),
    "409": Respond(409),
    "422": Respond(422),
    "301": Respond(301, headers={"Location": "https://example.com/"}),
    "304": Respond(304),
    "204": Respond(204),
    "page": Respond(200, b"<html>", {"Content-Type": "text/html"}),
    "half": Respond(200, b'{"id":"01a2","status_code":"succ'),
    "no id": Respond(200, b'{"status_code":"succeeded"}'),
}


@pytest.mark.parametrize("action", POLL_ERRORS.values(), ids=POLL_ERRORS)
async def test_the_wait_ends_exactly_at_its_ceiling_and_names_the_run_whatever_the_polls_return(
    serve: Serve, sandbox: ScriptedSandbox, action: Action
) -> None:
    server = await serve(MCP_POLL_TIMEOUT_MS="47300")
    sandbox.script.add(Route.GET_RUN, action, times=None)
    answer = await server.generate(SLOW, client_ref="long", accept=BOTH, token=1)
    assert server.services.clock.monotonic() == pytest.approx(47.3, abs=0.01)
    error = run_error_of(answer, "polling_timeout")
    assert error["details"]["run_id"] == next(iter(sandbox.runs)).id
    late = isinstance(action, Delay)
    assert error["details"]["run"]["status_code"] == ("running" if late else "queued")


@pytest.mark.parametrize("action", POLL_ERRORS.values(), ids=POLL_ERRORS)
async def test_a_run_that_ends_while_polls_fail_still_returns_its_result(
    server: Server, sandbox: ScriptedSandbox, action: Action
) -> None:
    sandbox.script.add(Route.GET_RUN, action, times=3)
    answer = await server.generate(accept=BOTH, token=1)
    assert answer.structured["status"] == "succeeded"
    assert len(sandbox.runs) == 1


async def test_after_errors_polls_come_as_often_as_before(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.GET_RUN, Respond(502), times=4)
    waiting = asyncio.create_task(server.generate(SLOW))
    await server.services.clock.sleep(80)
    waiting.cancel()
    times = [poll.at - dispatches(sandbox)[0].at for poll in polls(sandbox)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[2] > gaps[1] > gaps[0]
    assert all(gap <= 5.0 for gap in gaps[4:])


async def test_a_timeout_reports_the_latest_state_that_was_seen(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_POLL_TIMEOUT_MS="300000")
    waiting = asyncio.create_task(server.generate(SLOW, client_ref="seen"))
    await server.services.clock.sleep(200)
    sandbox.script.add(Route.GET_RUN, Respond(502), times=None)
    error = run_error_of(await waiting, "polling_timeout")
    # A node of the seven takes 171 s: the first was seen, a second is not yet.
    assert error["details"]["run"]["status_code"] == "running"
    assert error["details"]["run"]["nodes_completed"] == 1


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_refused_poll_reports_the_latest_state_too(
    server: Server, sandbox: ScriptedSandbox, status: int
) -> None:
    waiting = asyncio.create_task(server.generate(SLOW, client_ref="refused"))
    await server.services.clock.sleep(200)
    sandbox.script.add(Route.GET_RUN, Respond(status, b"<html>"), times=None)
    error = (await waiting).tool_error
    assert error["upstream_status"] == status
    assert error["details"]["run"]["nodes_completed"] == 1
    assert error["details"]["client_ref"] == "refused"


async def test_many_waits_with_failing_polls_are_not_polled_in_step(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.GET_RUN, Respond(503), times=None)
    calls = [asyncio.create_task(server.generate(SLOW)) for _ in range(20)]
    await server.services.clock.sleep(100)
    for call in calls:
        call.cancel()
    late = sorted(poll.at for poll in polls(sandbox) if poll.at > 20)
    assert len(late) > 20
    assert len({round(at, 2) for at in late}) > 0.8 * len(late)


@pytest.mark.parametrize("accept", [BOTH, None], ids=["events", "json"])
async def test_a_drain_during_a_poll_that_hangs_reports_the_run(
    server: Server, sandbox: ScriptedSandbox, accept: str | None
) -> None:
    waiting = asyncio.create_task(server.generate(SLOW, accept=accept, token=1))
    await server.services.clock.sleep(3)
    sandbox.script.add(Route.GET_RUN, Hang(29), times=None)
    await server.services.clock.sleep(3)
    server.services.inflight.drain(server.services.clock.monotonic() + 8)
    error = run_error_of(await waiting, "server_draining")
    assert server.services.clock.monotonic() == pytest.approx(14)
    assert error["details"]["run"]["status_code"] == "running"


async def test_every_call_of_a_batch_is_answered_when_one_times_out(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_POLL_TIMEOUT_MS="20000")
    sandbox.script.add(Route.CREATE, Reset(), matching="sandbox/failing")

    def entry(number: int, model: str) -> dict[str, object]:
        arguments = {"model": model, "input": {"prompt": "x"}}
        return {
            "jsonrpc": "2.0",
            "id": number,
            "method": "tools/call",
            "params": {"name": "generate", "arguments": arguments, "_meta": {"progressToken": number}},
        }

    models = ["google/nano-banana-2", SLOW, "sandbox/failing", "sandbox/unavailable"]
    batch = [entry(number, model) for number, model in enumerate(models)]
    answer = await server.post(batch, accept=BOTH, headers={"MCP-Protocol-Version": "2025-03-26"})
    finals = {event["id"]: event["result"]["structuredContent"] for event in answer.events if "id" in event}
    assert finals[0]["status"] == "succeeded"
    codes = [finals[number]["error"]["code"] for number in (1, 2, 3)]
    assert codes == ["polling_timeout", "run_failed", "model_unavailable"]
    assert orjson.dumps(finals[2])


@pytest.mark.parametrize("action", [Hang(9.0), Delay(6.0), Respond(429, headers={"Retry-After": "30"})], ids=repr)
def test_a_tasks_get_under_way_at_a_drain_is_answered_before_the_process_ends(action: Action) -> None:
    world = World(Idempotency.HEADER)
    arguments = CallArguments(KEY, SLOW, "task", "task", {})
    started = world.call(0, arguments)
    assert started.answer is not None
    world.sandbox.script.add(Route.GET_RUN, action, times=None)
    asking = world.tasks_get(0, arguments, started.answer.result["taskId"])
    world.drain(0)
    world.advance(GRACE + 2)
    assert asking.broken is None, "the connection was closed without an answer"
    assert asking.answer is not None
    world.end()
