"""The same model and client_ref again is the same run: found, waited for, and never billed twice."""

import asyncio

import pytest

from tests.methods.recorded_requests import dispatches, lookups, polls
from tests.methods.tool_error_reader import run_error_of, tool_error_of
from tests.scripted_sandbox import Action, Delay, Hang, Quirks, Reset, Respond, Route, ScriptedSandbox
from tests.serving import BOTH, INPUT, MODEL, Answer, Serve, Server

SLOW = "sandbox/slow"


def addresses(answer: Answer) -> list[str]:
    """The links of an answer without their signatures, which differ at each read."""
    return [output["url"].partition("?")[0] for output in answer.structured["outputs"]]


async def test_a_finished_run_is_returned_again(server: Server, sandbox: ScriptedSandbox) -> None:
    first = await server.generate(client_ref="again")
    second = await server.generate(client_ref="again")
    assert second.structured == first.structured
    assert "input_ignored" not in second.structured
    assert len(dispatches(sandbox)) == 1


async def test_a_run_past_the_ceiling_is_waited_for_again(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_POLL_TIMEOUT_MS="700000")
    first = await server.generate(SLOW, client_ref="long")
    second = await server.generate(SLOW, client_ref="long", token=1, accept=BOTH)
    assert first.tool_error["code"] == "polling_timeout"
    assert second.structured["run_id"] == first.tool_error["details"]["run_id"]
    assert second.structured["status"] == "succeeded"
    assert len(sandbox.runs) == 1


async def test_another_replica_finds_the_run(serve: Serve, sandbox: ScriptedSandbox) -> None:
    replica, another = await serve(), await serve()
    started = await replica.generate(wait=False, client_ref="replica")
    ended = await another.generate(client_ref="replica")
    assert ended.structured["run_id"] == started.structured["run_id"]
    assert len(sandbox.runs) == 1


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("same", [INPUT, '{"prompt":"a lighthouse at dusk"}'], ids=["object", "text"])
async def test_the_same_input_is_not_ignored(server: Server, *, wait: bool, same: object) -> None:
    await server.generate(wait=False, client_ref="same")
    again = await server.generate(client_ref="same", input=same, wait=wait)
    assert "input_ignored" not in again.structured


@pytest.mark.parametrize("wait", [True, False])
async def test_a_found_run_of_another_input_reports_input_ignored(
    server: Server, sandbox: ScriptedSandbox, *, wait: bool
) -> None:
    started = await server.generate(wait=False, client_ref="taken")
    again = await server.generate(client_ref="taken", input={"prompt": "something else"}, wait=wait)
    assert again.structured["run_id"] == started.structured["run_id"]
    assert again.structured["input_ignored"] is True
    assert '"input_ignored":true' in again.result["content"][0]["text"]
    assert len(sandbox.runs) == 1


async def test_a_failed_run_of_another_input_reports_input_ignored_too(server: Server) -> None:
    await server.generate("sandbox/failing", client_ref="failed")
    again = await server.generate("sandbox/failing", {"prompt": "mended"}, client_ref="failed")
    error = run_error_of(again, "run_failed")
    assert error["details"]["input_ignored"] is True
    assert "new input was not used" in again.result["content"][0]["text"]


async def test_the_same_client_ref_on_another_model_is_another_run(server: Server, sandbox: ScriptedSandbox) -> None:
    first = await server.generate(client_ref="same-ref")
    on_another_model = await server.generate("ideogram/v3", client_ref="same-ref")
    again = await server.generate(client_ref="same-ref")
    assert first.structured["run_id"] != on_another_model.structured["run_id"]
    assert again.structured["run_id"] == first.structured["run_id"]
    assert len(sandbox.runs) == 2


async def test_the_same_client_ref_of_another_key_is_another_run(server: Server, sandbox: ScriptedSandbox) -> None:
    first = await server.generate(client_ref="same-ref")
    of_another_key = await server.generate(client_ref="same-ref", key="rf_live_somebody_else")
    assert first.structured["run_id"] != of_another_key.structured["run_id"]
    assert len(sandbox.runs) == 2


async def test_calls_that_share_a_dispatch_have_progress_of_their_own(server: Server, sandbox: ScriptedSandbox) -> None:
    calls = [server.generate(client_ref="twice", token=number, accept=BOTH) for number in range(5)]
    answers = await asyncio.gather(*calls)
    assert len({answer.structured["run_id"] for answer in answers}) == 1
    assert len(dispatches(sandbox)) == 1
    assert [answer.progress[0]["progressToken"] for answer in answers] == list(range(5))


async def test_one_of_two_sharing_callers_may_leave(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.LIST_RUNS, Hang(5))
    leaving = asyncio.create_task(server.generate(client_ref="left"))
    staying = asyncio.create_task(server.generate(client_ref="left"))
    await server.services.clock.sleep(1)
    leaving.cancel()
    assert (await staying).structured["status"] == "succeeded"
    assert len(sandbox.runs) == 1


async def test_a_client_ref_of_the_callers_own_is_looked_up_and_a_minted_one_is_not(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    await server.generate()
    assert lookups(sandbox) == []
    await server.generate(client_ref="mine")
    assert len(lookups(sandbox)) == 1


@pytest.mark.parametrize("wait", [True, False])
async def test_a_look_up_that_stays_unclear_starts_nothing_and_says_so(
    server: Server, sandbox: ScriptedSandbox, *, wait: bool
) -> None:
    sandbox.script.add(Route.LIST_RUNS, Respond(200, b'{"items":[],"next_pq":{"more":true}}'), times=None)
    error = tool_error_of(await server.generate(client_ref="blind", wait=wait), "generate_failed", upstream_status=200)
    assert "This call started no run" in error["message"]
    assert "same client_ref" in error["next_action"]
    assert error["details"]["client_ref"] == "blind"
    assert dispatches(sandbox) == []


@pytest.mark.parametrize("named", [b'"client_ref":"another",', b'"client_ref":"blind-2",'])
async def test_a_run_of_another_client_ref_is_named_in_the_error(
    server: Server, sandbox: ScriptedSandbox, named: bytes
) -> None:
    sandbox.script.add(Route.CREATE, Respond(201, b'{"id":"r-1",%b"status_code":"queued"}' % named))
    error = run_error_of(await server.generate(client_ref="blind"), "generate_failed")
    assert error["details"]["run_id"] == "r-1"
    assert "it may exist under this client_ref" in error["message"]
    assert len(dispatches(sandbox)) == 1


@pytest.mark.parametrize("wait", [True, False])
async def test_a_run_found_in_a_list_of_summaries_is_shown_whole(
    serve: Serve, sandbox: ScriptedSandbox, *, wait: bool
) -> None:
    sandbox.quirks = Quirks(summaries=True)
    replica, another = await serve(), await serve()
    first = await replica.generate(client_ref="summary")
    again = await another.generate(client_ref="summary", wait=wait)
    paths = [addresses(call) for call in (first, again)]
    assert paths[0] == paths[1] != []
    assert again.structured["status"] == "succeeded"


async def test_a_run_that_cannot_be_read_at_first_is_waited_for(serve: Serve, sandbox: ScriptedSandbox) -> None:
    sandbox.quirks = Quirks(summaries=True)
    replica, another = await serve(), await serve()
    first = await replica.generate(client_ref="summary")
    sandbox.script.add(Route.GET_RUN, Respond(502), times=5)
    started = await another.generate(client_ref="summary", wait=False)
    assert (started.structured["run_id"], started.structured["status"]) == (first.structured["run_id"], "unknown")
    again = await another.generate(client_ref="summary")
    assert addresses(again) == addresses(first) != []
    assert len(sandbox.runs) == 1


@pytest.mark.parametrize("read", ["at once", "later"])
@pytest.mark.parametrize("wait", [True, False])
async def test_a_run_of_another_model_behind_a_summary_is_a_conflict(
    serve: Serve, sandbox: ScriptedSandbox, read: str, *, wait: bool
) -> None:
    sandbox.quirks = Quirks(summaries=True)
    replica, another = await serve(), await serve()
    await replica.generate(client_ref="summary")
    if read == "later":
        sandbox.script.add(Route.GET_RUN, Respond(502), times=4)
    answer = await another.generate("ideogram/v3", client_ref="summary", wait=wait)
    assert len(sandbox.runs) == 1
    if read == "later" and not wait:
        assert answer.structured["status"] == "unknown"
        return
    error = tool_error_of(answer, "conflict")
    assert MODEL in error["message"]


@pytest.mark.parametrize("skew", [-60.0, 0.0, 60.0])
@pytest.mark.parametrize("lost", [None, Reset(created=True), Delay(6.0, created=True)], ids=repr)
@pytest.mark.parametrize("client_ref", [None, "Mine"])
async def test_a_new_run_never_reports_input_ignored(
    server: Server, sandbox: ScriptedSandbox, lost: Action | None, client_ref: str | None, skew: float
) -> None:
    sandbox.quirks = Quirks(clock_skew=skew, trim_input=True, keep_metadata=False, lower_ref=True)
    if lost is not None:
        sandbox.script.add(Route.CREATE, lost)
    answer = await server.generate(client_ref=client_ref, input={"prompt": "  a lighthouse\n"})
    assert answer.structured["status"] == "succeeded"
    assert "input_ignored" not in answer.structured
    again = await server.generate(client_ref=answer.structured["client_ref"], input={"prompt": "a lighthouse"})
    assert again.structured["run_id"] == answer.structured["run_id"]
    assert "input_ignored" not in again.structured
    other = await server.generate(client_ref=answer.structured["client_ref"], input={"prompt": "a harbour"})
    assert other.structured["input_ignored"] is True


async def test_a_new_run_is_polled_after_two_seconds_whatever_upstreams_clock_says(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    sandbox.quirks = Quirks(clock_skew=-60.0)
    for client_ref in (None, "mine"):
        sent, read = len(dispatches(sandbox)), len(polls(sandbox))
        await server.generate(client_ref=client_ref)
        assert 1.8 <= polls(sandbox)[read].at - dispatches(sandbox)[sent].at <= 2
