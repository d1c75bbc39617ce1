"""Scripted faults strike in order, on the route they were meant for."""

import asyncio

import aiohttp
import pytest

from runflow_mcp.sandbox import Answer, Delay, Fault, Faults, Hang, Reset, Sandbox, Truncate
from tests.sandbox.client import Client
from tests.virtual_time import VirtualClock

LOST = aiohttp.ClientConnectionError


async def test_an_answer_replaces_the_ordinary_one(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("create", Answer(502, b"<html>", {"Content-Type": "text/html", "Retry-After": "2"}))
    reply = await client.create()
    assert (reply.status, reply.content) == (502, b"<html>")
    assert (reply.headers["Content-Type"], reply.headers["Retry-After"]) == ("text/html", "2")
    assert len(sandbox.runs) == 0
    assert (await client.create()).status == 201


@pytest.mark.parametrize("created", [True, False])
async def test_an_answer_hides_whether_the_run_was_created(client: Client, sandbox: Sandbox, *, created: bool) -> None:
    sandbox.faults.add("create", Answer(504, created=created))
    assert (await client.create()).status == 504
    assert len(sandbox.runs) == created


@pytest.mark.parametrize("created", [True, False])
@pytest.mark.parametrize("fault", [Reset, Truncate])
async def test_a_connection_is_lost_before_or_after_the_run_was_created(
    client: Client, sandbox: Sandbox, fault: type[Reset] | type[Truncate], *, created: bool
) -> None:
    sandbox.faults.add("create", fault(created=created))
    with pytest.raises((LOST, aiohttp.ClientPayloadError)):
        await client.create()
    assert len(sandbox.runs) == created
    assert (await client.create()).status == 201


@pytest.mark.parametrize("created", [True, False])
async def test_a_hanging_request_is_silent_and_then_reset(
    client: Client, sandbox: Sandbox, clock: VirtualClock, *, created: bool
) -> None:
    sandbox.faults.add("create", Hang(90, created=created))
    with pytest.raises(LOST):
        await client.create()
    assert clock.monotonic() == pytest.approx(90, abs=0.01)
    assert len(sandbox.runs) == created


async def test_a_refused_dispatch_is_lost_like_any_other(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("create", Reset(created=True))
    with pytest.raises(LOST):
        await client.create(key="rf_live_sandbox_no_credit")


async def test_a_delayed_answer_is_the_ordinary_one(client: Client, sandbox: Sandbox, clock: VirtualClock) -> None:
    sandbox.faults.add("create", Delay(30))
    reply = await client.create()
    assert (reply.status, reply.json["created_at"]) == (201, "2026-11-23T12:00:30.000Z")
    assert clock.monotonic() == pytest.approx(30, abs=0.01)


async def test_a_delayed_dispatch_takes_effect_when_nobody_waits_any_more(
    client: Client, sandbox: Sandbox, clock: VirtualClock
) -> None:
    sandbox.faults.add("create", Delay(30))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await client.create()
    assert len(sandbox.runs) == 0
    await clock.sleep(21)
    assert len(sandbox.runs) == 1


async def test_only_the_answer_of_a_dispatch_may_be_late(client: Client, sandbox: Sandbox, clock: VirtualClock) -> None:
    sandbox.faults.add("create", Delay(30, created=True))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await client.create()
    assert len(sandbox.runs) == 1
    sandbox.faults.add("create", Delay(30, created=True))
    reply = await client.create()
    assert (reply.status, reply.json["created_at"]) == (201, "2026-11-23T12:00:10.000Z")
    assert clock.monotonic() == pytest.approx(40, abs=0.01)


async def test_a_refusal_may_be_late_too(client: Client, sandbox: Sandbox, clock: VirtualClock) -> None:
    sandbox.faults.add("create", Delay(30, created=True))
    assert (await client.create(key="rf_live_sandbox_no_credit")).status == 402
    assert clock.monotonic() == pytest.approx(30, abs=0.01)


@pytest.mark.parametrize("created", [True, False])
async def test_another_answer_may_come_late_and_its_effect_at_once(
    client: Client, sandbox: Sandbox, clock: VirtualClock, *, created: bool
) -> None:
    sandbox.faults.add("create", Answer(503, created=created, after=20))
    answer = asyncio.create_task(client.create())
    await clock.sleep(1)
    assert len(sandbox.runs) == created
    assert (await answer).status == 503
    assert clock.monotonic() == pytest.approx(20, abs=0.01)


async def test_a_fault_can_be_about_one_request_alone(client: Client, sandbox: Sandbox) -> None:
    """By what it says, whether in its path, its query or its body."""
    sandbox.faults.add("create", Answer(501), about="ref-2")
    sandbox.faults.add("list_runs", Answer(502), about="ref-2")
    sandbox.faults.add("get_run", Answer(503), about="run-2")
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
async def test_every_route_that_matters_can_be_made_to_fail(
    client: Client, sandbox: Sandbox, route: str, path: str
) -> None:
    sandbox.faults.add(route, Answer(599))
    assert (await client.get("/v1/health")).status == 200
    assert (await client.get(path)).status == 599
    assert (await client.get(path)).status != 599
    # For good, since aiohttp's client quietly repeats a GET whose pooled connection is lost.
    sandbox.faults.add(route, Reset(), times=None)
    with pytest.raises(LOST):
        await client.get(path)


async def test_a_request_that_meets_a_fault_is_recorded_all_the_same(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("list_runs", Answer(500))
    await client.get("/v1/runs")
    assert [request.path for request in sandbox.requests] == ["/v1/runs"]


def test_faults_strike_in_order_as_often_as_scripted() -> None:
    faults = Faults()
    script: list[tuple[Fault, int | None]] = [(Reset(), 2), (Truncate(), 1), (Delay(1), None)]
    for fault, times in script:
        faults.add("get_run", fault, times)
    struck = [faults.take("get_run") for _ in range(6)]
    assert struck == [Reset(), Reset(), Truncate(), Delay(1), Delay(1), Delay(1)]
    faults.clear()
    assert faults.take("get_run") is None


def test_what_is_about_something_can_be_forgotten_alone() -> None:
    faults = Faults()
    faults.add("create", Reset(), times=None, about="a")
    faults.add("create", Truncate(), times=None, about="b")
    assert [faults.take("create", said) for said in ("a", "b", "c")] == [Reset(), Truncate(), None]
    faults.clear(about="a")
    assert [faults.take("create", said) for said in ("a", "b")] == [None, Truncate()]
    assert faults.scripted("create")
    faults.clear()
    assert not faults.scripted("create")


def test_a_script_that_makes_no_sense_is_refused() -> None:
    faults = Faults()
    with pytest.raises(ValueError, match="positive"):
        faults.add("create", Reset(), times=0)
    with pytest.raises(ValueError, match="nonsense"):
        faults.add("nonsense", Reset())
