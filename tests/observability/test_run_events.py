"""One log line for each event of a run and for each failure at Runflow, with the ids by which they are found."""

import asyncio
import hashlib
from collections.abc import Iterable
from typing import Any

import pytest
from structlog.testing import capture_logs

from runflow_mcp.observability.line_budget import MAX_LINES
from tests.scripted_sandbox import Reset, Respond, Route, ScriptedSandbox
from tests.serving import KEY, MODEL, TASKS, Serve, Server

FINGERPRINT = hashlib.sha256(KEY.encode()).hexdigest()[:12]
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
OF_RUNS = ("run_started", "run_found", "run_ended", "wait_ended")


def lines_of(logs: Iterable[Any], *events: str) -> list[Any]:
    return [line for line in logs if line["event"] in events]


async def test_a_run_leaves_a_line_when_it_starts_when_it_ends_and_when_its_wait_ends(server: Server) -> None:
    headers = {"X-Request-Id": "asked", "traceparent": PARENT}
    with capture_logs() as logs:
        answer = await server.generate(client_ref="seen", headers=headers)
    started, ended, wait_ended = lines_of(logs, *OF_RUNS)
    ids = {
        "request_id": "asked",
        "key": FINGERPRINT,
        "model": MODEL,
        "client_ref": "seen",
        "run_id": answer.structured["run_id"],
        "trace_id": TRACE,
    }
    assert started == {"event": "run_started", "log_level": "info", **ids}
    cost, duration = float(answer.structured["cost"]), answer.structured["duration_ms"]
    how = {"status": "succeeded", "cost": cost, "duration_ms": duration}
    assert ended == {"event": "run_ended", "log_level": "info", **ids, **how}
    assert wait_ended.pop("ms") == pytest.approx(duration, abs=3000)
    assert wait_ended.pop("polls") > 1
    assert wait_ended == {"event": "wait_ended", "log_level": "info", **ids, "outcome": "succeeded"}


async def test_the_access_line_says_what_the_call_cost_at_runflow(server: Server) -> None:
    with capture_logs() as logs:
        await server.generate(client_ref="seen", accept="application/json")
    [line] = lines_of(logs, "request")
    [wait_ended] = lines_of(logs, "wait_ended")
    # The look-up, the dispatch, and the polls.
    assert line["upstream_attempts"] == line["polls"] + 2
    assert line["polls"] == wait_ended["polls"]
    assert line["upstream_ms"] >= 0


async def test_calls_that_share_a_run_find_it_and_its_end_is_logged_once(server: Server) -> None:
    with capture_logs() as logs:
        await asyncio.gather(*(server.generate(client_ref="shared") for _ in range(3)))
    events = [line["event"] for line in lines_of(logs, *OF_RUNS)]
    assert sorted(events) == ["run_ended", "run_found", "run_found", "run_started", *["wait_ended"] * 3]
    ids = {
        event: {line["request_id"] for line in lines_of(logs, *events)}
        for event, events in (
            ("dispatch", ("run_started", "run_found")),
            ("wait", ("wait_ended",)),
        )
    }
    assert ids["dispatch"] == ids["wait"]
    assert len(ids["wait"]) == 3


async def test_a_dispatch_whose_caller_has_left_still_leaves_the_line_of_its_run(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    sandbox.script.add(Route.CREATE, Respond(503))
    with capture_logs() as logs:
        call = asyncio.create_task(server.generate(client_ref="gone", headers={"X-Request-Id": "left"}))
        await server.services.clock.sleep(0.1)
        call.cancel()
        await asyncio.wait([call])
        await server.services.clock.sleep(10)
    [wait_ended] = lines_of(logs, "wait_ended")
    assert (wait_ended["outcome"], wait_ended["request_id"]) == ("client_gone", "left")
    [started] = lines_of(logs, "run_started")
    assert (started["request_id"], started["client_ref"]) == ("left", "gone")


async def test_the_time_limit_of_a_call_is_the_outcome_of_its_wait(serve: Serve) -> None:
    server = await serve(MCP_POLL_TIMEOUT_MS="3000")
    with capture_logs() as logs:
        await server.generate("sandbox/slow")
    [line] = lines_of(logs, "wait_ended")
    assert line["outcome"] == "polling_timeout"
    assert line["ms"] == pytest.approx(3000, abs=100)


async def test_a_drain_is_the_outcome_of_the_waits_that_it_interrupts(server: Server) -> None:
    with capture_logs() as logs:
        call = asyncio.create_task(server.generate("sandbox/slow"))
        await server.services.clock.sleep(5)
        server.services.inflight.drain(server.services.clock.monotonic() + 1)
        assert (await call).tool_error["code"] == "server_draining"
    assert [line["outcome"] for line in lines_of(logs, "wait_ended")] == ["server_draining"]


async def test_a_call_that_starts_nothing_leaves_no_line_of_a_run(server: Server) -> None:
    with capture_logs() as logs:
        await server.generate("google/no-such-model")
    assert lines_of(logs, *OF_RUNS) == []
    [line] = lines_of(logs, "upstream_failed")
    assert (line["operation"], line["status"], line["attempt"], line["log_level"]) == ("create_run", 404, 1, "info")


async def test_a_task_leaves_the_lines_of_its_run_without_a_wait(server: Server) -> None:
    params = {"name": "generate", "arguments": {"model": MODEL, "input": {"prompt": "x"}}}
    with capture_logs() as logs:
        task = (await server.modern("tools/call", params, extensions=(TASKS,))).result["taskId"]
        await server.services.clock.sleep(60)
        await server.modern("tasks/get", {"taskId": task}, extensions=(TASKS,), headers={"X-Request-Id": "poll"})
    started, ended = lines_of(logs, *OF_RUNS)
    assert (started["event"], ended["event"], ended["request_id"]) == ("run_started", "run_ended", "poll")
    assert started["run_id"] == ended["run_id"] == task


async def test_an_api_key_in_the_place_of_a_name_is_masked_in_every_line(server: Server) -> None:
    with capture_logs() as logs:
        await server.generate(client_ref=f"{KEY}-1", wait=False)
        await server.generate(f"google/{KEY}", client_ref="named")
    assert lines_of(logs, "run_started", "upstream_failed")
    assert KEY not in repr(logs)


# Failures at Runflow


@pytest.mark.parametrize(
    ("route", "operation"),
    [(Route.CREATE, "create_run"), (Route.LIST_RUNS, "find_run"), (Route.GET_RUN, "get_run")],
)
async def test_each_retry_leaves_a_line_with_its_attempt_and_pause(
    server: Server, sandbox: ScriptedSandbox, route: Route, operation: str
) -> None:
    sandbox.script.add(route, Respond(503), times=2)
    with capture_logs() as logs:
        await server.generate(client_ref="retried", headers={"X-Request-Id": "asked"})
    lines = lines_of(logs, "upstream_retry", "upstream_failed")
    assert [(line["event"], line["operation"], line["status"], line["attempt"]) for line in lines] == [
        ("upstream_retry", operation, 503, 1),
        ("upstream_retry", operation, 503, 2),
    ]
    assert all(line["pause"] > 0 for line in lines)
    assert {(line["request_id"], line["client_ref"], line["key"]) for line in lines} == {
        ("asked", "retried", FINGERPRINT)
    }


async def test_a_request_that_is_given_up_leaves_a_line_after_those_of_its_retries(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    sandbox.script.add(Route.CREATE, Reset(), times=None)
    with capture_logs() as logs:
        await server.generate()
    lines = lines_of(logs, "upstream_retry", "upstream_failed")
    assert [(line["event"], line["attempt"]) for line in lines] == [
        ("upstream_retry", 1),
        ("upstream_retry", 2),
        ("upstream_failed", 3),
    ]
    assert {line["problem"] for line in lines} <= {"connection_closed", "connection_reset"}
    assert {line["log_level"] for line in lines} == {"warning"}


async def test_a_poll_that_runflow_refuses_is_given_up(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.GET_RUN, Respond(403))
    with capture_logs() as logs:
        await server.generate()
    [line] = lines_of(logs, "upstream_retry", "upstream_failed")
    assert (line["event"], line["operation"], line["status"]) == ("upstream_failed", "get_run", 403)
    [wait_ended] = lines_of(logs, "wait_ended")
    assert wait_ended["outcome"] not in ("succeeded", "client_gone")


@pytest.mark.parametrize("route", [Route.CATALOG, Route.SKILL])
async def test_a_document_that_could_not_be_fetched_leaves_a_line_with_the_pause(
    serve: Serve, sandbox: ScriptedSandbox, route: Route
) -> None:
    sandbox.script.add(route, Respond(500))
    with capture_logs() as logs:
        server = await serve()
        await server.services.clock.sleep(120)
    [line] = lines_of(logs, "upstream_retry")
    assert (line["operation"], line["status"], line["attempt"]) == (route.value, 500, 1)
    assert line["pause"] > 0


async def test_an_outage_does_not_flood_the_log(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CREATE, Respond(400), times=None)
    with capture_logs() as logs:
        for _ in range(MAX_LINES + 20):
            await server.generate(wait=False)
        await server.services.clock.sleep(2)
    assert len(lines_of(logs, "upstream_failed")) == MAX_LINES
    assert [line["count"] for line in lines_of(logs, "upstream_failures_not_logged")] == [20]


@pytest.mark.parametrize(("times", "last"), [(1, "upstream_retry"), (None, "upstream_failed")])
async def test_an_upload_that_cannot_be_prepared_leaves_a_line_for_each_attempt(
    server: Server, sandbox: ScriptedSandbox, times: int | None, last: str
) -> None:
    sandbox.script.add(Route.CREATE_UPLOAD, Respond(503), times=times)
    with capture_logs() as logs:
        await server.generate("runflow/background-removal", {"image_url": "./shoe.png#bytes=10"})
    lines = lines_of(logs, "upstream_retry", "upstream_failed")
    assert {(line["operation"], line["status"]) for line in lines} == {("create_upload", 503)}
    assert [line["attempt"] for line in lines] == [*range(1, len(lines) + 1)]
    assert lines[-1]["event"] == last


async def test_a_balance_that_cannot_be_read_leaves_a_line(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.BALANCE, Respond(503))
    with capture_logs() as logs:
        await server.generate(key="rf_live_sandbox_no_credit")
    lines = lines_of(logs, "upstream_failed")
    assert [(line["operation"], line["status"]) for line in lines] == [("create_run", 402), ("get_balance", 503)]


async def test_a_run_that_cannot_be_read_as_a_resource_leaves_a_line(server: Server, sandbox: ScriptedSandbox) -> None:
    run_id = (await server.generate(wait=False)).structured["run_id"]
    sandbox.script.add(Route.GET_RUN, Respond(503))
    with capture_logs() as logs:
        await server.rpc("resources/read", {"uri": f"runflow-run://{run_id}"})
    [line] = lines_of(logs, "upstream_failed")
    assert (line["operation"], line["status"], line["run_id"]) == ("get_run", 503, run_id)
