"""The tasks extension of 2026-07-28: a waiting run becomes a task, which a client that declares the extension polls."""

import asyncio
import re
from datetime import datetime
from typing import Any

import pytest

from runflow_mcp.methods.tools.generate import TOOL
from tests import serving
from tests.methods.recorded_requests import caller_requests, dispatches, polls
from tests.methods.schema_check import fits
from tests.methods.tool_error_reader import tool_error_of
from tests.scripted_sandbox import Delay, Hang, Reset, Respond, Route, ScriptedSandbox
from tests.serving import INPUT, KEY, META, MODEL, TASKS, Serve, Server, modern

SLOW = "sandbox/slow"
OTHER_KEY = "rf_live_somebody_else"
MEMBERS = {"taskId", "status", "statusMessage", "createdAt", "lastUpdatedAt", "ttlMs", "pollIntervalMs"}
DRESS = {"resultType", "_meta"}
#: Seconds within which the head of an answer must come, or a widely used client gives up on it.
PATIENCE = 60
#: Texts that would make another path than that of one run.
STRAY_IDS = (
    *("", ".", "..", "../runs", "../../v1/models/a/b/runs", "a/b", "a/../b", "/v1/runs", "a\\b", ".hidden"),
    *("%2e%2e", "%2e%2e%2fmodels", "a?limit=1", "a#b", "a b", " a", "a\n", "a\r\nHost: x", "a\x00", "ä"),
    *("http://example.com/", "x" * 129),
)


async def generate(
    server: Server,
    model: str = MODEL,
    input: object = INPUT,  # noqa: A002 - the tool's own word
    *,
    extensions: tuple[str, ...] = (TASKS,),
    key: str = KEY,
    meta: dict[str, Any] | None = None,
    **arguments: Any,
) -> serving.Answer:
    """Call ``generate`` as a client that declares the extension."""
    params = {"name": "generate", "arguments": {"model": model, "input": input, **arguments}}
    return await server.modern("tools/call", params, extensions=extensions, key=key, meta=meta)


async def ask(server: Server, method: str, task_id: object, *, key: str = KEY, **more: Any) -> serving.Answer:
    params = {"taskId": task_id, **({"inputResponses": {}} if method == "tasks/update" else {}), **more}
    return await server.modern(method, params, extensions=(TASKS,), key=key)


async def get(server: Server, task_id: object, key: str = KEY) -> serving.Answer:
    return await ask(server, "tasks/get", task_id, key=key)


async def ended(server: Server, task_id: str) -> Any:
    """The task once it has ended, polled at the interval that it asks for."""
    while (task := (await get(server, task_id)).result)["status"] == "working":
        await server.services.clock.sleep(task["pollIntervalMs"] / 1000)
    return task


async def task_of(server: Server, model: str = MODEL, **arguments: Any) -> str:
    """The id of a new task."""
    id_: str = (await generate(server, model, **arguments)).result["taskId"]
    return id_


def moment(text: str) -> datetime:
    """A time in ISO 8601 with its zone."""
    read = datetime.fromisoformat(text)
    assert read.tzinfo is not None
    return read


# Creation


async def test_the_tasks_extension_is_declared_to_the_modern_era_only(server: Server) -> None:
    discovered = (await server.modern("server/discover")).result
    assert discovered["capabilities"]["extensions"][TASKS] == {}
    legacy = (await server.rpc("initialize", {"protocolVersion": "2025-11-25"})).result
    assert TASKS not in legacy["capabilities"]["extensions"]
    assert "tasks" not in legacy["capabilities"]
    tools = (await server.rpc("tools/list")).result["tools"]
    assert not any("execution" in tool for tool in tools)


async def test_a_waiting_generate_is_answered_with_a_task_that_is_the_run(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    answer = await generate(server)
    [run] = sandbox.runs
    assert answer.status == 200
    assert answer.result["resultType"] == "task"
    assert set(answer.result) == MEMBERS | DRESS
    assert answer.result["taskId"] == run.id
    assert answer.result["status"] == "working"
    assert answer.result["ttlMs"] is None
    assert answer.result["pollIntervalMs"] >= 5000
    assert answer.result["_meta"][f"{META}serverInfo"]["name"] == "Runflow"
    assert moment(answer.result["createdAt"]) <= moment(answer.result["lastUpdatedAt"])


async def test_a_task_is_returned_as_soon_as_its_run_exists_and_is_not_polled(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    sandbox.script.add(Route.CREATE, Delay(3))
    answer = await generate(server, SLOW)
    assert server.services.clock.monotonic() == pytest.approx(3)
    assert answer.headers["Content-Type"].startswith("application/json")
    await server.services.clock.sleep(300)
    assert polls(sandbox) == []


async def test_the_status_message_of_a_task_names_the_client_ref(server: Server, sandbox: ScriptedSandbox) -> None:
    assert "client_ref mine" in (await generate(server, client_ref="mine")).result["statusMessage"]
    minted = (await generate(server)).result["statusMessage"]
    assert next(run.request.client_ref or "" for run in sandbox.runs if run.request.client_ref != "mine") in minted


async def test_a_task_is_not_streamed_although_progress_is_requested(server: Server) -> None:
    answer = await generate(server, meta={"progressToken": 1})
    assert not answer.is_stream
    assert answer.result["resultType"] == "task"


# Clients that get tasks


@pytest.mark.parametrize(
    "capabilities",
    [
        {},
        {"extensions": {}},
        {"extensions": {TASKS: None}},
        {"extensions": {TASKS: True}},
        {"extensions": {"com.example/tasks": {}}},
        {"extensions": [TASKS]},
        {TASKS: {}},
        {"tasks": {}},
    ],
    ids=repr,
)
async def test_without_a_declaration_on_the_request_there_is_no_task(
    server: Server, capabilities: dict[str, object]
) -> None:
    declared_before = await generate(server, SLOW)
    assert declared_before.result["resultType"] == "task"
    answer = await generate(server, extensions=(), meta={f"{META}clientCapabilities": capabilities})
    assert answer.is_stream
    assert answer.result["resultType"] == "complete"
    assert answer.structured["status"] == "succeeded"


async def test_a_declaration_may_carry_settings(server: Server) -> None:
    meta = {f"{META}clientCapabilities": {"extensions": {TASKS: {"anything": 1}, "com.example/other": {}}}}
    assert (await generate(server, extensions=(), meta=meta)).result["resultType"] == "task"


async def test_the_tasks_of_the_legacy_era_are_not_supported(server: Server) -> None:
    params = {"name": "generate", "arguments": {"model": MODEL, "input": INPUT}, "task": {"ttl": 60000}}
    answer = await server.rpc("tools/call", params, headers={"MCP-Protocol-Version": "2025-11-25"})
    assert answer.structured["status"] == "succeeded"
    assert "task" not in answer.result
    for method in ("tasks/get", "tasks/cancel", "tasks/update", "tasks/result", "tasks/list"):
        assert (await server.rpc(method, {"taskId": "x"})).error["code"] == -32601, method


async def test_an_entry_of_an_array_gets_no_task(server: Server) -> None:
    message, _ = modern(
        "tools/call", {"name": "generate", "arguments": {"model": MODEL, "input": INPUT}}, extensions=(TASKS,)
    )
    [answer] = (await server.post([message])).json
    assert answer["result"]["structuredContent"]["status"] == "succeeded"
    assert "taskId" not in answer["result"]


# Calls that get an ordinary result


async def test_wait_false_stays_an_ordinary_result(server: Server) -> None:
    answer = await generate(server, wait=False)
    assert answer.result["resultType"] == "complete"
    assert answer.structured["status"] == "queued"
    assert answer.structured["poll_url"].endswith(answer.structured["run_id"])


async def test_list_models_stays_an_ordinary_result(server: Server) -> None:
    answer = await server.modern("tools/call", {"name": "list_models"}, extensions=(TASKS,))
    assert answer.result["resultType"] == "complete"
    assert answer.structured["total"] > 0


@pytest.mark.parametrize(
    ("key", "model", "code", "status"),
    [
        ("rf_live_sandbox_no_credit", MODEL, "insufficient_credits", 402),
        ("rf_live_sandbox_revoked", MODEL, "unauthorized", 401),
        ("rf_live_sandbox_forbidden", MODEL, "permission_denied", 403),
        ("rf_live_sandbox_throttled", MODEL, "rate_limited", 429),
        (KEY, "sandbox/unavailable", "model_unavailable", 503),
        (KEY, "no/such-model", "model_not_found", 404),
    ],
)
async def test_a_refused_dispatch_is_an_ordinary_tool_error(
    server: Server, key: str, model: str, code: str, status: int
) -> None:
    answer = await generate(server, model, key=key)
    assert answer.result["resultType"] == "complete"
    tool_error_of(answer, code, upstream_status=status)


async def test_wrong_arguments_are_an_ordinary_tool_error(server: Server, sandbox: ScriptedSandbox) -> None:
    answer = await generate(server, "../../v1/other", input=5)
    assert answer.result["resultType"] == "complete"
    tool_error_of(answer, "invalid_arguments")
    assert caller_requests(sandbox) == []


async def test_a_dispatch_of_unknown_outcome_is_looked_up_and_becomes_the_one_task(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    sandbox.script.add(Route.CREATE, Reset(created=True))
    answer = await generate(server)
    [run] = sandbox.runs
    assert answer.result["taskId"] == run.id


async def test_a_failed_dispatch_is_answered_before_a_client_gives_up(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CREATE, Hang(120), times=None)
    sandbox.script.add(Route.LIST_RUNS, Hang(120), times=None)
    answer = await generate(server, client_ref="lost")
    assert server.services.clock.monotonic() < PATIENCE
    error = tool_error_of(answer, "generate_failed")
    assert error["details"]["client_ref"] == "lost"


# tasks/get


async def test_a_task_is_working_until_it_is_completed_with_the_result_of_an_ordinary_call(server: Server) -> None:
    task_id = await task_of(server, client_ref="mine")
    await server.services.clock.sleep(2)
    working = await get(server, task_id)
    assert set(working.result) == MEMBERS | DRESS
    assert (working.result["resultType"], working.result["status"]) == ("complete", "working")
    assert re.fullmatch(r"running, \d of 3 steps, 2 s", working.result["statusMessage"])
    await server.services.clock.sleep(5)
    completed = await get(server, task_id)
    assert set(completed.result) == MEMBERS | DRESS | {"result"}
    assert completed.result["status"] == "completed"
    ordinary = await server.generate(client_ref="mine", headers={"MCP-Protocol-Version": "2025-11-25"})
    assert completed.result["result"] == {"resultType": "complete", **ordinary.result}
    assert completed.result["result"]["isError"] is False
    assert fits(TOOL.definition["outputSchema"], ordinary.structured)


async def test_the_times_of_a_task_are_those_of_its_run(server: Server) -> None:
    made = (await generate(server)).result
    task = await ended(server, made["taskId"])
    facts = task["result"]["structuredContent"]
    assert made["createdAt"] == task["createdAt"] == facts["created_at"]
    assert task["lastUpdatedAt"] == facts["completed_at"]
    assert moment(task["createdAt"]) < moment(task["lastUpdatedAt"])


async def test_a_task_asks_to_be_polled_by_the_schedule_and_at_most_every_5_seconds(server: Server) -> None:
    made = await generate(server, SLOW)
    intervals = [made.result["pollIntervalMs"]]
    for age in (1, 29, 31, 119, 121, 600):
        await server.services.clock.sleep(age - server.services.clock.monotonic())
        intervals.append((await get(server, made.result["taskId"])).result["pollIntervalMs"])
    assert intervals == [5000, 5000, 5000, 5000, 5000, 10000, 10000]


async def test_each_tasks_get_reads_the_run_once_with_the_callers_key(server: Server, sandbox: ScriptedSandbox) -> None:
    task_id = await task_of(server, SLOW)
    for _ in range(3):
        await get(server, task_id)
    await server.services.clock.sleep(100)
    assert [request.path for request in polls(sandbox)] == [f"/v1/runs/{task_id}"] * 3
    assert {request.key for request in caller_requests(sandbox)} == {dispatches(sandbox)[0].key}


async def test_any_replica_answers(serve: Serve) -> None:
    replica, another = await serve(), await serve()
    task_id = await task_of(replica)
    assert (await ended(another, task_id))["status"] == "completed"


async def test_a_run_that_wait_false_started_is_a_task_too(server: Server) -> None:
    started = (await generate(server, wait=False)).structured
    assert (await ended(server, started["run_id"]))["result"]["structuredContent"]["status"] == "succeeded"


async def test_the_trace_goes_upstream(server: Server, sandbox: ScriptedSandbox) -> None:
    task_id = await task_of(server)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await server.modern("tasks/get", {"taskId": task_id}, extensions=(TASKS,), meta={"traceparent": trace})
    assert polls(sandbox)[-1].headers["Traceparent"] == trace


# The end of a task


async def test_a_failed_run_is_a_completed_task_with_an_error_in_it(server: Server) -> None:
    task_id = await task_of(server, "sandbox/failing", client_ref="mine")
    await server.services.clock.sleep(10)
    answer = await get(server, task_id)
    assert answer.result["status"] == "completed"
    result = answer.result["result"]
    assert (result["resultType"], result["isError"]) == ("complete", True)
    assert "error" not in answer.result
    error = result["structuredContent"]["error"]
    assert error["code"] == "run_failed"
    assert error["details"]["run_id"] == task_id
    assert error["details"]["client_ref"] == "mine"
    assert error["details"]["model"] == "sandbox/failing"
    assert error["details"]["request_id"] == answer.headers["X-Request-Id"]
    assert "new client_ref" in error["next_action"]
    text = result["content"][0]["text"]
    assert text.startswith("[run_failed] ")
    assert task_id in text
    assert fits(TOOL.definition["outputSchema"], result["structuredContent"])


async def test_a_cancelled_run_is_a_cancelled_task(server: Server) -> None:
    task = await ended(server, await task_of(server, "sandbox/cancelled"))
    assert task["status"] == "cancelled"
    assert set(task) == MEMBERS | DRESS


async def test_a_run_with_few_members_is_a_complete_task(server: Server) -> None:
    made = (await generate(server, "sandbox/odd")).result
    assert set(made) == MEMBERS | DRESS
    await server.services.clock.sleep(2)
    working = (await get(server, made["taskId"])).result
    assert working["status"] == "working"
    assert working["pollIntervalMs"] >= 5000
    moment(working["createdAt"])
    moment(working["lastUpdatedAt"])
    task = await ended(server, made["taskId"])
    facts = task["result"]["structuredContent"]
    assert facts["status"] == "succeeded"
    assert "" not in (facts.get("client_ref"), facts.get("model")), "what is not known is left out"
    assert all(isinstance(task[name], str) for name in ("createdAt", "lastUpdatedAt", "statusMessage"))


async def test_inline_media_stay_out_of_the_result(server: Server) -> None:
    task = await ended(server, await task_of(server, "sandbox/inline"))
    assert "left out" in str(task["result"]["structuredContent"]["output"])
    assert len(str(task)) < 10_000


# Access


@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel", "tasks/update"])
@pytest.mark.parametrize("key", [OTHER_KEY, "rf_live_sandbox_revoked"], ids=["another", "revoked"])
async def test_another_key_has_no_such_task(server: Server, method: str, key: str) -> None:
    task_id = await task_of(server, SLOW)
    answer = await ask(server, method, task_id, key=key)
    assert answer.error["code"] == -32602
    assert task_id not in answer.error["message"]


@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel", "tasks/update"])
async def test_an_unknown_task_is_invalid_params(server: Server, method: str) -> None:
    answer = await ask(server, method, "01a208f9-25fe-7000-b4e5-68fdcfdc4422")
    assert answer.error["code"] == -32602
    assert "API key" in answer.error["message"]


@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel", "tasks/update"])
async def test_a_malformed_task_id_is_not_sent_upstream(server: Server, sandbox: ScriptedSandbox, method: str) -> None:
    for task_id in (None, 5, True, ["a"], {"id": "a"}, *STRAY_IDS):
        answer = await ask(server, method, task_id)
        assert answer.error["code"] == -32602, task_id
        assert "taskId" in answer.error["message"]
    assert caller_requests(sandbox) == []


@pytest.mark.parametrize("task_id", ["a", "x" * 128, "run_1", "a.b:c-d", "-"])
async def test_any_run_id_of_upstream_stays_one_path_segment(
    server: Server, sandbox: ScriptedSandbox, task_id: str
) -> None:
    await get(server, task_id)
    assert {request.path for request in caller_requests(sandbox)} == {f"/v1/runs/{task_id}"}


@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel", "tasks/update"])
async def test_the_name_header_must_hold_the_task_id(server: Server, sandbox: ScriptedSandbox, method: str) -> None:
    message, headers = modern(method, {"taskId": "a", "inputResponses": {}}, extensions=(TASKS,))
    for name in (None, "b", "A", ""):
        sent = {**headers, "Mcp-Name": name} if name is not None else {**headers}
        if name is None:
            del sent["Mcp-Name"]
        answer = await server.post(message, headers=sent)
        assert (answer.status, answer.error["code"]) == (400, -32020), name
    assert caller_requests(sandbox) == []


@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel", "tasks/update"])
@pytest.mark.parametrize("task_id", ["01a208f9-25fe-7000-b4e5-68fdcfdc4422", "../x"], ids=["id", "none"])
async def test_without_a_declaration_the_methods_say_what_is_missing(
    server: Server, sandbox: ScriptedSandbox, method: str, task_id: str
) -> None:
    answer = await server.modern(method, {"taskId": task_id})
    assert (answer.status, answer.error["code"]) == (400, -32021)
    assert answer.error["data"] == {"requiredCapabilities": {"extensions": {TASKS: {}}}}
    assert TASKS in answer.error["message"]
    assert caller_requests(sandbox) == []


# tasks/cancel and tasks/update


async def test_cancelling_a_task_is_acknowledged_and_says_that_the_run_continues(server: Server) -> None:
    task_id = await task_of(server)
    answer = await ask(server, "tasks/cancel", task_id)
    assert set(answer.result) == DRESS | {"statusMessage"}
    assert answer.result["resultType"] == "complete"
    assert "continues" in answer.result["statusMessage"]
    assert (await get(server, task_id)).result["status"] == "working"
    assert (await ended(server, task_id))["status"] == "completed"


@pytest.mark.parametrize("model", [MODEL, "sandbox/failing", "sandbox/cancelled"])
async def test_cancelling_an_ended_task_is_acknowledged_and_changes_nothing(server: Server, model: str) -> None:
    task_id = await task_of(server, model)
    before = await ended(server, task_id)
    answer = await ask(server, "tasks/cancel", task_id)
    assert set(answer.result) == DRESS
    assert (await get(server, task_id)).result["status"] == before["status"]


@pytest.mark.parametrize("inputs", [{}, {"a": {"action": "accept"}}], ids=repr)
async def test_an_update_is_acknowledged_and_changes_nothing(server: Server, inputs: dict[str, object]) -> None:
    task_id = await task_of(server)
    for _ in range(2):
        answer = await ask(server, "tasks/update", task_id, inputResponses=inputs)
        assert set(answer.result) == DRESS
        await server.services.clock.sleep(10)


@pytest.mark.parametrize("inputs", [None, [], "x", 1], ids=repr)
async def test_an_update_without_responses_is_invalid_params(server: Server, inputs: object) -> None:
    answer = await ask(server, "tasks/update", await task_of(server), inputResponses=inputs)
    assert answer.error["code"] == -32602
    assert "inputResponses" in answer.error["message"]


async def test_cancelling_and_updating_a_task_only_read_its_run(server: Server, sandbox: ScriptedSandbox) -> None:
    task_id = await task_of(server, SLOW)
    await ask(server, "tasks/cancel", task_id)
    await ask(server, "tasks/update", task_id)
    assert [(request.method, request.path) for request in caller_requests(sandbox)[1:]] == [
        ("GET", f"/v1/runs/{task_id}")
    ] * 2


# Slots


async def test_a_task_takes_no_slot(serve: Serve) -> None:
    server = await serve(MCP_MAX_WAITS="1")
    waiting = asyncio.create_task(server.generate(SLOW))
    await server.services.clock.sleep(1)
    assert (await server.generate()).tool_error["code"] == "server_busy"
    task_ids = {await task_of(server) for _ in range(3)}
    assert len(task_ids) == 3
    assert server.services.inflight.slots_used == 1
    for task_id in task_ids:
        assert (await ended(server, task_id))["status"] == "completed"
    waiting.cancel()
    await asyncio.wait([waiting])


async def test_the_ceiling_of_a_wait_does_not_end_a_task(serve: Serve) -> None:
    server = await serve(MCP_POLL_TIMEOUT_MS="5000")
    assert (await ended(server, await task_of(server, SLOW)))["status"] == "completed"
    assert server.services.clock.monotonic() > 1000


async def test_a_draining_server_still_answers_tasks_get(server: Server) -> None:
    task_id = await task_of(server)
    server.services.inflight.drain(server.services.clock.monotonic() + 8)
    assert server.services.inflight.pending_answers == 0
    assert (await get(server, task_id)).result["status"] == "working"


# The same client_ref again


async def test_the_same_client_ref_is_the_same_task(server: Server, sandbox: ScriptedSandbox) -> None:
    first, again = [await generate(server, SLOW, client_ref="mine") for _ in range(2)]
    assert again.result["resultType"] == "task"
    assert again.result["taskId"] == first.result["taskId"]
    assert again.result["createdAt"] == first.result["createdAt"]
    assert "not used" not in again.result["statusMessage"]
    assert len(sandbox.runs) == 1


async def test_equal_calls_at_once_are_one_task(server: Server, sandbox: ScriptedSandbox) -> None:
    answers = await asyncio.gather(*(generate(server, SLOW, client_ref="mine") for _ in range(5)))
    assert len({answer.result["taskId"] for answer in answers}) == 1
    assert len(dispatches(sandbox)) == len(sandbox.runs) == 1


async def test_an_old_run_is_polled_at_the_pace_of_its_age(server: Server) -> None:
    await generate(server, SLOW, client_ref="mine")
    await server.services.clock.sleep(200)
    assert (await generate(server, SLOW, client_ref="mine")).result["pollIntervalMs"] == 10000


async def test_a_wait_that_was_cut_short_goes_on_as_a_task(serve: Serve) -> None:
    server = await serve(MCP_POLL_TIMEOUT_MS="5000")
    cut = (await server.generate(SLOW, client_ref="mine")).tool_error
    task_id = await task_of(server, SLOW, client_ref="mine")
    assert task_id == cut["details"]["run_id"]
    assert (await ended(server, task_id))["status"] == "completed"


async def test_the_task_of_a_found_run_says_that_its_input_was_ignored(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    first = await generate(server, SLOW, client_ref="mine")
    again = await generate(server, SLOW, {"prompt": "something else"}, client_ref="mine")
    assert again.result["taskId"] == first.result["taskId"]
    assert "the new input was not used" in again.result["statusMessage"]
    assert len(sandbox.runs) == 1


async def test_a_run_that_has_ended_is_an_ordinary_result_at_once(server: Server) -> None:
    ordinary = await server.generate(client_ref="mine", headers={"MCP-Protocol-Version": "2025-11-25"})
    began = server.services.clock.monotonic()
    again = await generate(server, input={"prompt": "something else"}, client_ref="mine")
    assert server.services.clock.monotonic() == began
    assert again.result["resultType"] == "complete"
    assert again.structured["run_id"] == ordinary.structured["run_id"]
    assert again.structured["input_ignored"] is True


async def test_a_run_that_has_failed_is_an_ordinary_tool_error_at_once(server: Server) -> None:
    await server.generate("sandbox/failing", client_ref="mine")
    again = await generate(server, "sandbox/failing", client_ref="mine")
    assert again.result["resultType"] == "complete"
    tool_error_of(again, "run_failed")


# Upstream errors

TROUBLE = [
    Respond(500),
    Respond(502, b"<html>"),
    Respond(503),
    Respond(429),
    Respond(200, b"{"),
    Respond(200, b"[]"),
    Reset(),
]


@pytest.mark.parametrize("action", TROUBLE, ids=repr)
async def test_an_upstream_error_that_passes_is_retried(
    server: Server, sandbox: ScriptedSandbox, action: Respond | Reset
) -> None:
    task_id = await task_of(server, SLOW)
    sandbox.script.add(Route.GET_RUN, action, times=2)
    assert (await get(server, task_id)).result["status"] == "working"
    assert server.services.clock.monotonic() < 5


@pytest.mark.parametrize("action", TROUBLE, ids=repr)
async def test_a_lasting_upstream_error_is_an_error_that_says_the_task_is_running(
    server: Server, sandbox: ScriptedSandbox, action: Respond | Reset
) -> None:
    task_id = await task_of(server)
    sandbox.script.add(Route.GET_RUN, action, times=None)
    answer = await get(server, task_id)
    assert answer.error["code"] == -32603
    assert "still running" in answer.error["message"]
    assert "Ask again" in answer.error["message"]
    assert "html" not in answer.error["message"]
    # aiohttp by itself repeats a GET whose connection was reset.
    assert len(polls(sandbox)) == (6 if isinstance(action, Reset) else 3)
    sandbox.script.clear()
    assert (await ended(server, task_id))["status"] == "completed"


@pytest.mark.parametrize("status", [400, 409, 410, 422])
async def test_an_unexpected_refusal_is_not_retried(server: Server, sandbox: ScriptedSandbox, status: int) -> None:
    task_id = await task_of(server)
    sandbox.script.add(Route.GET_RUN, Respond(status, b'{"code":"ODD"}'), times=None)
    assert (await get(server, task_id)).error["code"] == -32603
    assert len(polls(sandbox)) == 1


async def test_a_short_retry_after_is_heeded(server: Server, sandbox: ScriptedSandbox) -> None:
    task_id = await task_of(server, SLOW)
    sandbox.script.add(Route.GET_RUN, Respond(429, headers={"Retry-After": "2"}))
    assert (await get(server, task_id)).result["status"] == "working"
    first, second = polls(sandbox)
    assert second.at - first.at == pytest.approx(2)


async def test_a_retry_after_of_zero_does_not_spend_all_attempts_at_once(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    task_id = await task_of(server, SLOW)
    sandbox.script.add(Route.GET_RUN, Respond(429, headers={"Retry-After": "0"}), times=2)
    assert (await get(server, task_id)).result["status"] == "working"
    first, second, third = (poll.at for poll in polls(sandbox))
    assert second - first == pytest.approx(0.5)
    assert third - second == pytest.approx(1)


@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel", "tasks/update"])
@pytest.mark.parametrize(
    "action",
    [Hang(300), Respond(429, headers={"Retry-After": "60"}), Respond(503, headers={"Retry-After": "40"})],
    ids=repr,
)
async def test_an_upstream_that_hangs_is_reported_before_a_client_gives_up(
    server: Server, sandbox: ScriptedSandbox, method: str, action: Respond | Hang
) -> None:
    task_id = await task_of(server, SLOW)
    sandbox.script.add(Route.GET_RUN, action, times=None)
    began = server.services.clock.monotonic()
    answer = await ask(server, method, task_id)
    assert answer.error["code"] == -32603
    assert server.services.clock.monotonic() - began < PATIENCE


async def test_a_run_that_cannot_be_read_yet_is_not_an_unknown_task(server: Server, sandbox: ScriptedSandbox) -> None:
    """Upstream may not show a run for some seconds after it made it; a task is there from its first answer on."""
    task_id = await task_of(server, SLOW)
    sandbox.script.add(Route.GET_RUN, Respond(404, b'{"code":"RUN_NOT_FOUND","message":"Run not found"}'))
    assert (await get(server, task_id)).result["status"] == "working"


async def test_an_answer_that_echoes_the_key_is_masked(server: Server, sandbox: ScriptedSandbox) -> None:
    task_id = await task_of(server)
    sandbox.script.add(
        Route.GET_RUN,
        Respond(
            200, b'{"id":"%b","status_code":"failed","failure_message":"key %b"}' % (task_id.encode(), KEY.encode())
        ),
    )
    answer = await get(server, task_id)
    assert answer.result["result"]["isError"] is True
    assert KEY.encode() not in answer.content
