"""Scripted actions happen in order, on the route for which they were added; every request is recorded."""

import asyncio

import aiohttp
import pytest

from tests.sandbox.api_client import MODEL, Client
from tests.scripted_sandbox import Action, Delay, Hang, Reset, Respond, Script, ScriptedSandbox, Truncate
from tests.virtual_time import VirtualClock

LOST = aiohttp.ClientConnectionError


async def test_a_scripted_response_replaces_the_ordinary_one(client: Client, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add("create", Respond(502, b"<html>", {"Content-Type": "text/html", "Retry-After": "2"}))
    reply = await client.create()
    assert (reply.status, reply.content) == (502, b"<html>")
    assert (reply.headers["Content-Type"], reply.headers["Retry-After"]) == ("text/html", "2")
    assert len(sandbox.runs) == 0
    assert (await client.create()).status == 201


@pytest.mark.parametrize("created", [True, False])
async def test_a_run_may_be_created_behind_a_scripted_response(
    client: Client, sandbox: ScriptedSandbox, *, created: bool
) -> None:
    sandbox.script.add("create", Respond(504, created=created))
    assert (await client.create()).status == 504
    assert len(sandbox.runs) == created


@pytest.mark.parametrize("created", [True, False])
@pytest.mark.parametrize("action", [Reset, Truncate])
async def test_a_connection_is_lost_before_or_after_the_run_is_created(
    client: Client, sandbox: ScriptedSandbox, action: type[Reset] | type[Truncate], *, created: bool
) -> None:
    sandbox.script.add("create", action(created=created))
    with pytest.raises((LOST, aiohttp.ClientPayloadError)):
        await client.create()
    assert len(sandbox.runs) == created
    assert (await client.create()).status == 201


@pytest.mark.parametrize("created", [True, False])
async def test_a_hanging_request_is_reset_after_its_time(
    client: Client, sandbox: ScriptedSandbox, clock: VirtualClock, *, created: bool
) -> None:
    sandbox.script.add("create", Hang(90, created=created))
    with pytest.raises(LOST):
        await client.create()
    assert clock.monotonic() == pytest.approx(90, abs=0.01)
    assert len(sandbox.runs) == created


async def test_a_reset_also_hides_an_error_response(client: Client, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add("create", Reset(created=True))
    with pytest.raises(LOST):
        await client.create(key="rf_live_sandbox_no_credit")


async def test_a_delayed_response_is_the_ordinary_one(
    client: Client, sandbox: ScriptedSandbox, clock: VirtualClock
) -> None:
    sandbox.script.add("create", Delay(30))
    reply = await client.create()
    assert (reply.status, reply.json["created_at"]) == (201, "2026-11-23T12:00:30.000Z")
    assert clock.monotonic() == pytest.approx(30, abs=0.01)


async def test_a_delayed_dispatch_takes_effect_after_its_client_gave_up(
    client: Client, sandbox: ScriptedSandbox, clock: VirtualClock
) -> None:
    sandbox.script.add("create", Delay(30))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await client.create()
    assert len(sandbox.runs) == 0
    await clock.sleep(21)
    assert len(sandbox.runs) == 1


async def test_a_dispatch_may_take_effect_at_once_and_only_its_response_be_late(
    client: Client, sandbox: ScriptedSandbox, clock: VirtualClock
) -> None:
    sandbox.script.add("create", Delay(30, created=True))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await client.create()
    assert len(sandbox.runs) == 1
    sandbox.script.add("create", Delay(30, created=True))
    reply = await client.create()
    assert (reply.status, reply.json["created_at"]) == (201, "2026-11-23T12:00:10.000Z")
    assert clock.monotonic() == pytest.approx(40, abs=0.01)


async def test_an_error_response_may_be_late(client: Client, sandbox: ScriptedSandbox, clock: VirtualClock) -> None:
    sandbox.script.add("create", Delay(30, created=True))
    assert (await client.create(key="rf_live_sandbox_no_credit")).status == 402
    assert clock.monotonic() == pytest.approx(30, abs=0.01)


@pytest.mark.parametrize("created", [True, False])
async def test_a_scripted_response_may_be_late_and_its_effect_immediate(
    client: Client, sandbox: ScriptedSandbox, clock: VirtualClock, *, created: bool
) -> None:
    sandbox.script.add("create", Respond(503, created=created, after=20))
    response = asyncio.create_task(client.create())
    await clock.sleep(1)
    assert len(sandbox.runs) == created
    assert (await response).status == 503
    assert clock.monotonic() == pytest.approx(20, abs=0.01)


async def test_an_action_can_apply_to_matching_requests_only(client: Client, sandbox: ScriptedSandbox) -> None:
    """The text may be in the path, the query or the body."""
    sandbox.script.add("create", Respond(501), matching="ref-2")
    sandbox.script.add("list_runs", Respond(502), matching="ref-2")
    sandbox.script.add("get_run", Respond(503), matching="run-2")
    assert (await client.create(client_ref="ref-1")).status == 201
    assert (await client.create(client_ref="ref-2")).status == 501
    assert (await client.create(client_ref="ref-2")).status == 201
    assert (await client.get("/v1/runs?q=client_ref.EQ:'ref-1'")).status == 200
    assert (await client.get("/v1/runs?q=client_ref.EQ%3A%27ref-2%27")).status == 502
    assert (await client.get("/v1/runs/run-1")).status == 404
    assert (await client.get("/v1/runs/run-2")).status == 503


@pytest.mark.parametrize(
    ("route", "path"),
    [
        ("get_run", "/v1/runs/x"),
        ("list_runs", "/v1/runs"),
        ("catalog", "/models-catalog.json"),
        ("skill", "/.well-known/agent-skills/runflow/SKILL.md"),
    ],
)
async def test_every_named_route_can_be_scripted(
    client: Client, sandbox: ScriptedSandbox, route: str, path: str
) -> None:
    sandbox.script.add(route, Respond(599))
    assert (await client.get("/v1/health")).status == 200
    assert (await client.get(path)).status == 599
    assert (await client.get(path)).status != 599
    # Without limit: aiohttp's client repeats a GET whose pooled connection is lost.
    sandbox.script.add(route, Reset(), times=None)
    with pytest.raises(LOST):
        await client.get(path)


async def test_a_request_that_fails_by_the_script_is_recorded(client: Client, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add("list_runs", Respond(500))
    await client.get("/v1/runs")
    assert [request.path for request in sandbox.requests] == ["/v1/runs"]


async def test_requests_are_recorded_without_the_key(client: Client) -> None:
    await client.create(idempotency_key="k1", key="rf_live_secret")
    await client.get("/v1/runs?limit=3", key=None)
    dispatch, listing = client.sandbox.requests
    assert (dispatch.method, dispatch.path) == ("POST", f"/v1/models/{MODEL}/runs")
    assert dispatch.headers["Idempotency-Key"] == "k1"
    assert dispatch.body["input"]
    assert dispatch.key == "8680c1843e43"
    assert "rf_live_secret" not in repr(dispatch)
    assert (listing.key, listing.query, listing.body, listing.at) == (None, {"limit": "3"}, None, 0)


def test_actions_are_taken_in_order_and_as_often_as_scripted() -> None:
    script = Script()
    actions: list[tuple[Action, int | None]] = [(Reset(), 2), (Truncate(), 1), (Delay(1), None)]
    for action, times in actions:
        script.add("get_run", action, times)
    taken = [script.take("get_run") for _ in range(6)]
    assert taken == [Reset(), Reset(), Truncate(), Delay(1), Delay(1), Delay(1)]
    script.clear()
    assert script.take("get_run") is None


def test_actions_for_one_matching_text_can_be_cleared_alone() -> None:
    script = Script()
    script.add("create", Reset(), times=None, matching="a")
    script.add("create", Truncate(), times=None, matching="b")
    assert [script.take("create", text) for text in ("a", "b", "c")] == [Reset(), Truncate(), None]
    script.clear(matching="a")
    assert [script.take("create", text) for text in ("a", "b")] == [None, Truncate()]
    assert script.is_scripted("create")
    script.clear()
    assert not script.is_scripted("create")


def test_an_invalid_route_or_number_of_times_is_rejected() -> None:
    script = Script()
    with pytest.raises(ValueError, match="positive"):
        script.add("create", Reset(), times=0)
    with pytest.raises(ValueError, match="nonsense"):
        script.add("nonsense", Reset())
