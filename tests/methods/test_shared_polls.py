"""Many calls that wait for one run: few polls, and an answer for each call."""

import asyncio

import orjson
import pytest

from runflow_mcp.credentials import parse_authorization
from tests.methods.recorded_requests import dispatches, polls
from tests.scripted_sandbox import Delay, Respond, Route, ScriptedSandbox
from tests.serving import BOTH, MODEL, Serve, Server

SLOW = "sandbox/slow"


async def waits(server: Server, count: int, model: str = MODEL, key: str = "rf_live_one") -> list[str]:
    answers = await asyncio.gather(*(server.generate(model, client_ref="shared", key=key) for _ in range(count)))
    return [answer.structured["run_id"] for answer in answers]


async def test_fifty_waits_on_one_run_poll_it_about_once_a_second(server: Server, sandbox: ScriptedSandbox) -> None:
    ids = await waits(server, 50)
    assert len(set(ids)) == 1
    assert len(dispatches(sandbox)) == 1
    took = polls(sandbox)[-1].at - dispatches(sandbox)[0].at
    assert len(polls(sandbox)) <= took + 2


@pytest.mark.parametrize("callers", [1, 3])
async def test_a_change_after_many_equal_answers_reaches_every_call(
    serve: Serve, sandbox: ScriptedSandbox, callers: int
) -> None:
    server = await serve(MCP_POLL_TIMEOUT_MS="60000")
    run_id = (await server.generate(SLOW, client_ref="one", wait=False)).structured["run_id"]
    for nodes, times in ((1, 9), (2, None)):
        run = {"id": run_id, "status_code": "running", "nodes_total": 7, "nodes_completed": nodes}
        sandbox.script.add(Route.GET_RUN, Respond(200, orjson.dumps(run)), times=times)
    answers = await asyncio.gather(
        *(server.generate(SLOW, client_ref="one", accept=BOTH, token=number) for number in range(callers))
    )
    for answer in answers:
        steps = [progress["message"].split(", ")[1] for progress in answer.progress]
        assert "1 of 7 steps" in steps
        assert steps[-1] == "2 of 7 steps"
        assert answer.tool_error["details"]["run"]["nodes_completed"] == 2


async def test_each_key_reads_for_itself(server: Server) -> None:
    """Runflow decides for each key whether it may read a run."""
    reads = server.services.reads
    key, other_key = (parse_authorization([f"Bearer rf_live_{name}"], ["rf_live"]) for name in ("mine1", "theirs"))
    with reads.of(key, "r-1") as first, reads.of(key, "r-1") as again, reads.of(other_key, "r-1") as of_other_key:
        assert first is again
        assert first is not of_other_key


async def test_a_failed_read_is_shared_and_no_call_loses_the_run(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.GET_RUN, Respond(503), times=2)
    assert len(set(await waits(server, 20))) == 1


async def test_a_call_that_leaves_does_not_cancel_the_read_of_the_others(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    sandbox.script.add(Route.GET_RUN, Delay(3), times=None)
    leaving = asyncio.create_task(server.generate(client_ref="shared", accept=BOTH))
    staying = [asyncio.create_task(server.generate(client_ref="shared", accept=BOTH)) for _ in range(3)]
    await server.services.clock.sleep(3.5)  # a read is under way
    leaving.cancel()
    answers = await asyncio.gather(*staying)
    assert {answer.structured["status"] for answer in answers} == {"succeeded"}


@pytest.mark.parametrize("callers", [1, 2, 5])
async def test_polling_stops_when_the_last_call_has_left(
    server: Server, sandbox: ScriptedSandbox, callers: int
) -> None:
    calls = [asyncio.create_task(server.generate(SLOW, client_ref="left", accept=BOTH)) for _ in range(callers)]
    await server.services.clock.sleep(10)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    await server.services.clock.sleep(1)
    before = len(polls(sandbox))
    await server.services.clock.sleep(120)
    assert len(polls(sandbox)) == before
    assert not server.services.reads._shared  # noqa: SLF001 - nothing is kept for a run that nobody waits for
