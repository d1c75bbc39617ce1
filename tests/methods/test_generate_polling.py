"""The polls that Runflow receives: their times, and the effect of a failed poll on the wait."""

import itertools

import orjson
import pytest

from tests.methods.recorded_requests import dispatches, polls
from tests.scripted_sandbox import Action, Delay, Hang, Reset, Respond, Route, ScriptedSandbox, Truncate
from tests.serving import BOTH, Serve, Server

SLOW = "sandbox/slow"
NOT_FOUND = Respond(404, b'{"code":"RUN_NOT_FOUND","message":"Run not found","errors":null}')


def moments(sandbox: ScriptedSandbox) -> list[float]:
    """When the polls came, in seconds after the dispatch."""
    return [request.at - dispatches(sandbox)[0].at for request in polls(sandbox)]


async def test_a_wait_polls_by_the_schedule_until_its_ceiling(server: Server, sandbox: ScriptedSandbox) -> None:
    await server.generate(SLOW)
    times = moments(sandbox)
    assert times[0] == pytest.approx(2.0)
    # The last poll comes half a second before the ceiling, so that an end of the run is not missed.
    assert times[-1] == pytest.approx(599.5, abs=0.6)
    for earlier, later in itertools.pairwise(times[:-1]):
        longest = 2.0 if earlier < 30 else 5.0 if earlier < 120 else 10.0
        assert longest * 0.9 - 1e-6 <= later - earlier <= longest + 1e-6


async def test_poll_delays_vary_so_that_runs_are_not_polled_in_step(server: Server, sandbox: ScriptedSandbox) -> None:
    await server.generate(SLOW)
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments(sandbox))]
    assert {1.8, 1.9, 2.0} <= {round(gap, 3) for gap in gaps}
    assert len({round(gap, 3) for gap in gaps if gap > 8.9}) > 5


async def test_each_poll_delay_counts_from_the_end_of_the_poll_before(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.GET_RUN, Delay(7), times=2)
    await server.generate(SLOW)
    first, second, third, *_ = moments(sandbox)
    assert first == pytest.approx(2.0)
    assert 8.8 - 1e-6 <= second - first <= 9.0 + 1e-6
    assert 8.8 - 1e-6 <= third - second <= 9.0 + 1e-6


async def test_a_run_found_by_its_client_ref_is_polled_at_once(server: Server, sandbox: ScriptedSandbox) -> None:
    await server.generate(SLOW, client_ref="found", wait=False)
    began = server.services.clock.monotonic()
    sandbox.script.add(Route.GET_RUN, Respond(401), times=None)
    await server.generate(SLOW, client_ref="found")
    assert polls(sandbox)[0].at == began


async def test_a_replayed_run_of_some_age_is_polled_at_once(server: Server, sandbox: ScriptedSandbox) -> None:
    await server.generate(SLOW, client_ref="replayed", wait=False)
    await server.services.clock.sleep(31)
    began = server.services.clock.monotonic()
    sandbox.script.add(Route.LIST_RUNS, Respond(403))
    sandbox.script.add(Route.GET_RUN, Respond(401), times=None)
    await server.generate(SLOW, client_ref="replayed")
    assert len(dispatches(sandbox)) == 2
    assert len(sandbox.runs) == 1
    assert polls(sandbox)[0].at == began


@pytest.mark.parametrize(
    "action",
    [
        Respond(500, b"<html>oops</html>"),
        Respond(502),
        Respond(503, headers={"Retry-After": "3"}),
        Respond(429, b'{"code":"RATE_LIMITED","message":"slow down"}'),
        Respond(200, b"{"),
        Respond(200, b"<html>"),
        Respond(200, b"{}"),
        Respond(200, b"null"),
        Reset(),
        Truncate(),
        Hang(40),
    ],
    ids=["500", "502", "503", "429", "half", "html", "empty", "null", "reset", "truncated", "hang"],
)
async def test_a_poll_that_fails_is_repeated_and_does_not_lose_the_run(
    server: Server, sandbox: ScriptedSandbox, action: Action
) -> None:
    sandbox.script.add(Route.GET_RUN, action, times=4)
    answer = await server.generate()
    assert answer.structured["status"] == "succeeded"
    assert len(sandbox.runs) == 1
    assert len(polls(sandbox)) >= 5


async def test_progress_is_sent_after_failed_polls_too(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.GET_RUN, Respond(500), times=3)
    answer = await server.generate(token=1, accept=BOTH)
    figures = [sent["progress"] for sent in answer.progress]
    assert len(figures) == 5
    assert figures == sorted(set(figures))


async def test_failed_polls_back_off_with_jitter(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.GET_RUN, Respond(500), times=6)
    await server.generate()
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments(sandbox))]
    assert gaps[2] > gaps[1] > gaps[0]
    assert max(gaps) <= 30
    assert len({round(gap, 2) for gap in gaps}) == len(gaps)


@pytest.mark.parametrize(("retry_after", "waited"), [("20", 20.0), ("86400", 60.0)], ids=["as asked", "clamped"])
async def test_retry_after_is_honoured_up_to_a_minute(
    server: Server, sandbox: ScriptedSandbox, retry_after: str, waited: float
) -> None:
    sandbox.script.add(Route.GET_RUN, Respond(429, headers={"Retry-After": retry_after}))
    await server.generate()
    first, second, *_ = moments(sandbox)
    assert second - first == pytest.approx(waited)


async def test_polls_that_fail_for_ever_end_at_the_ceiling_with_the_run(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_POLL_TIMEOUT_MS="60000")
    sandbox.script.add(Route.GET_RUN, Reset(), times=None)
    answer = await server.generate()
    assert answer.tool_error["code"] == "polling_timeout"
    assert answer.tool_error["details"]["run_id"] == next(iter(sandbox.runs)).id
    assert server.services.clock.monotonic() == pytest.approx(60)


async def test_a_404_soon_after_the_dispatch_is_taken_for_read_lag(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.GET_RUN, NOT_FOUND, times=2)
    answer = await server.generate()
    assert answer.structured["status"] == "succeeded"


async def test_a_run_that_stays_unreadable_ends_the_wait(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.GET_RUN, NOT_FOUND, times=None)
    answer = await server.generate(client_ref="gone")
    error = answer.tool_error
    assert error["code"] == "run_not_found"
    assert error["upstream_status"] == 404
    assert error["details"]["run_id"] == next(iter(sandbox.runs)).id
    assert 10 < moments(sandbox)[-1] < 30


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Respond(401, b'{"code":"UNAUTHORIZED","message":"Revoked"}'), "unauthorized"),
        (Respond(401, b"<html>"), "unauthorized"),
        (Respond(403, b'{"code":"PERMISSION_DENIED","message":"No"}'), "permission_denied"),
        (Respond(403), "generate_failed"),
    ],
    ids=["401", "401 html", "403", "bare 403"],
)
async def test_a_refused_poll_ends_the_wait_with_the_run(
    server: Server, sandbox: ScriptedSandbox, refusal: Respond, code: str
) -> None:
    sandbox.script.add(Route.GET_RUN, refusal)
    answer = await server.generate(client_ref="refused")
    error, run = answer.tool_error, next(iter(sandbox.runs))
    assert (error["code"], error["upstream_status"]) == (code, refusal.status)
    assert error["details"]["run_id"] == run.id
    assert error["details"]["run"]["id"] == run.id
    assert error["details"]["client_ref"] == "refused"
    assert error["details"]["path"] == f"/v1/runs/{run.id}"
    assert error["details"]["errors"] == []
    assert f"run_id: {run.id}" in answer.result["content"][0]["text"]
    assert len(polls(sandbox)) == 1


@pytest.mark.parametrize(
    ("status", "ends_as"),
    [
        ("succeeded", None),
        ("failed", "run_failed"),
        ("errored", "run_failed"),
        ("cancelled", "run_cancelled"),
        ("canceled", "run_cancelled"),
    ],
)
async def test_every_terminal_spelling_ends_the_wait(
    server: Server, sandbox: ScriptedSandbox, status: str, ends_as: str | None
) -> None:
    run_id = (await server.generate(client_ref="r", wait=False)).structured["run_id"]
    sandbox.script.add(Route.GET_RUN, Respond(200, orjson.dumps({"run_id": run_id, "status": status})))
    answer = await server.generate(client_ref="r")
    assert len(polls(sandbox)) == 1
    if ends_as is None:
        assert answer.structured["run_id"] == run_id
    else:
        assert answer.tool_error["code"] == ends_as


@pytest.mark.parametrize("status", ["partial_succeeded", "paused", "", None, 7], ids=repr)
async def test_an_unknown_status_is_not_terminal(server: Server, sandbox: ScriptedSandbox, status: object) -> None:
    sandbox.script.add(Route.GET_RUN, Respond(200, orjson.dumps({"status_code": status})), times=3)
    await server.generate()
    assert len(polls(sandbox)) > 3
