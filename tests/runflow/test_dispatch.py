"""At most one run for each client_ref, whatever the network does, within three attempts and 45 seconds."""

import asyncio
import hashlib
import re
from itertools import product
from typing import Any

import aiohttp
import attrs
import orjson
import pytest

from runflow_mcp.credentials import Bearer
from runflow_mcp.runflow.api.errors import Outcome
from runflow_mcp.runflow.dispatch.errors import DispatchFailed
from runflow_mcp.runflow.dispatch.inputs import RunInput, input_digest
from runflow_mcp.runflow.dispatch.order import Dispatched, Order
from tests.runflow.conftest import Harness, MakeHarness
from tests.scripted_sandbox import Action, Delay, Hang, Idempotency, Reset, Respond, Truncate
from tests.serving import INPUT, KEY, MODEL, free_port
from tests.virtual_time import VirtualClock

RULES = list(Idempotency)
#: Where nothing may be sent again, one upstream stands for all: the one that would make a second run of it.
FORGETFUL = Idempotency.NONE
BUDGET = 45.0
#: aiohttp rounds time-outs of some seconds up to whole ones.
ROUNDING = 1.0
#: Seconds after which this process remembers nothing of a dispatch.
FORGOTTEN = 31.0
#: How often a look-up is tried.
LOOK_UPS = 3
PAGE = b"<html><h1>502</h1></html>"

#: Ways to lose the answer to a dispatch that leave open whether it took effect.
LOST: dict[str, Action] = {
    "reset": Reset(),
    "silence": Hang(90),
    "500": Respond(500, b'{"code":"INTERNAL","message":"x"}'),
    "502": Respond(502, PAGE),
    "504": Respond(504, PAGE),
}
#: Answers that say that it took effect, and not which run it made.
UNREADABLE: dict[str, Action] = {
    "torn": Truncate(),
    "an unreadable 201": Respond(201, PAGE),
    "an empty 200": Respond(200),
    "a run without an id": Respond(201, b'{"status_code":"queued"}'),
    "an answer too long": Respond(201, b"x" * (8 * 1024 * 1024 + 1)),
}
#: Answers that ask to come later; a gateway may send one for a request that it has forwarded.
RETRIED: dict[str, Action] = {
    "429": Respond(429, b'{"code":"RATE_LIMITED","message":"x"}'),
    "503": Respond(503, b'{"code":"MODEL_UNAVAILABLE","message":"x"}'),
    "a bare 503": Respond(503),
}
AMBIGUOUS = LOST | UNREADABLE | RETRIED
#: Refusals.
REFUSED: dict[str, Action] = {str(status): Respond(status) for status in (307, 400, 401, 402, 403, 404, 413, 422)}


def took_effect(action: Action) -> Action:
    assert not isinstance(action, Delay)
    return attrs.evolve(action, created=True)


async def failure(harness: Harness, order: Order) -> DispatchFailed:
    with pytest.raises(DispatchFailed) as caught:
        await harness.dispatcher.start(order)
    return caught.value


# One failed request


@pytest.mark.parametrize("action", AMBIGUOUS.values(), ids=AMBIGUOUS)
@pytest.mark.parametrize("own", [True, False], ids=["own ref", "minted ref"])
async def test_a_dispatch_whose_answer_was_lost_is_looked_up_before_it_is_repeated(
    make_harness: MakeHarness, action: Action, *, own: bool
) -> None:
    harness = await make_harness(FORGETFUL)
    order = harness.order("ref-1" if own else None)
    harness.sandbox.script.add("create", took_effect(action))
    dispatched = await harness.dispatcher.start(order)
    assert dispatched.found
    assert dispatched.run.client_ref == order.client_ref
    assert harness.runs(order.client_ref) == 1
    methods = [seen.method for seen in harness.sandbox.requests]
    assert methods == ["GET"] * own + ["POST", "GET", "GET"], "and the run that was found is read by its id"
    assert harness.sandbox.requests[-1].path == f"/v1/runs/{dispatched.run.id}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.value)
@pytest.mark.parametrize("action", LOST.values(), ids=LOST)
async def test_a_dispatch_that_was_lost_is_repeated_once_upstream_says_that_there_is_no_run(
    make_harness: MakeHarness, rule: Idempotency, action: Action
) -> None:
    harness = await make_harness(rule)
    order = harness.order(None)
    harness.sandbox.script.add("create", action)
    dispatched = await harness.dispatcher.start(order)
    assert not dispatched.found
    assert harness.runs(order.client_ref) == 1
    assert [seen.method for seen in harness.sandbox.requests] == ["POST", "GET", "POST"]


@pytest.mark.parametrize("action", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("own", [True, False], ids=["own ref", "minted ref"])
async def test_after_a_2xx_nothing_is_sent_again_whatever_the_look_up_says(
    make_harness: MakeHarness, clock: VirtualClock, action: Action, *, own: bool
) -> None:
    harness = await make_harness(FORGETFUL)
    order = harness.order("ref-1" if own else None)
    harness.sandbox.script.add("create", action)
    failed = await failure(harness, order)
    assert failed.uncertain
    assert len(harness.requests("POST")) == 1
    assert 3 < clock.monotonic() <= 10, "the run is looked for meanwhile"
    again = await failure(harness, attrs.evolve(order, caller_chose_ref=True))
    assert again.uncertain
    assert len(harness.requests("POST")) == 1, "nor by a repeat that follows at once"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.value)
@pytest.mark.parametrize("action", RETRIED.values(), ids=RETRIED)
async def test_a_dispatch_answered_with_429_or_503_is_repeated_later(
    make_harness: MakeHarness, rule: Idempotency, action: Action
) -> None:
    harness = await make_harness(rule)
    harness.sandbox.script.add("create", action, times=2)
    dispatched = await harness.dispatcher.start(harness.order(None))
    assert not dispatched.found
    assert len(harness.sandbox.runs) == 1
    assert [seen.method for seen in harness.sandbox.requests] == ["POST", "GET", "POST", "GET", "POST"]


@pytest.mark.parametrize("action", REFUSED.values(), ids=REFUSED)
async def test_a_refused_dispatch_is_not_repeated(harness: Harness, action: Action) -> None:
    harness.sandbox.script.add("create", action, times=None)
    failed = await failure(harness, harness.order())
    assert failed.cause.outcome is Outcome.REFUSED
    assert not failed.uncertain
    assert len(harness.requests("POST")) == 1


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.value)
async def test_a_conflict_means_that_the_run_exists(make_harness: MakeHarness, rule: Idempotency) -> None:
    harness = await make_harness(rule)
    harness.sandbox.script.add("create", Respond(409, b'{"code":"CONFLICT","message":"x"}', created=True))
    dispatched = await harness.dispatcher.start(harness.order(None))
    assert dispatched.found
    assert len(harness.sandbox.runs) == 1


@pytest.mark.parametrize("status", [303, 409])
async def test_a_run_that_upstream_says_exists_may_be_listed_later(harness: Harness, status: int) -> None:
    """Another replica is making it, or the list lags."""
    harness.sandbox.script.add("create", Respond(status, created=True))
    harness.sandbox.script.add("list_runs", Respond(200, b'{"items":[]}'), times=3)
    dispatched = await harness.dispatcher.start(harness.order(None))
    assert dispatched.found
    assert [seen.method for seen in harness.sandbox.requests] == ["POST"] + ["GET"] * 5


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0"}, {"Retry-After": "60"}], ids=str)
async def test_a_conflict_whose_run_is_never_listed_is_uncertain_after_ten_seconds(
    harness: Harness, clock: VirtualClock, headers: dict[str, str]
) -> None:
    harness.sandbox.script.add("create", Respond(409, b'{"code":"CONFLICT","message":"x"}', headers), times=None)
    failed = await failure(harness, harness.order(None))
    assert (failed.cause.status, failed.cause.code, failed.uncertain) == (409, "conflict", True)
    assert len(harness.requests("POST")) == 1
    assert 4 <= len(harness.requests("GET")) <= 7
    assert 3 < clock.monotonic() <= 10


async def test_an_answer_with_another_client_ref_is_looked_up_or_fails_naming_its_run(harness: Harness) -> None:
    """For example when the answer to another caller arrives late on the same connection."""
    another_run = b'{"id":"r-1","client_ref":"another","status_code":"queued"}'
    harness.sandbox.script.add("create", Respond(201, another_run, created=True))
    harness.sandbox.script.add("create", Respond(201, another_run))
    found = await harness.dispatcher.start(harness.order())
    assert harness.sandbox.runs.with_client_ref("ref-1")[0].id == found.run.id
    failed = await failure(harness, harness.order("ref-2"))
    assert failed.uncertain
    assert failed.other_run is not None
    assert failed.other_run.id == "r-1"
    assert len(harness.requests("POST")) == 2


async def test_a_run_of_another_model_is_not_taken_for_the_one_that_was_asked_for(harness: Harness) -> None:
    """For example when upstream finds runs by their client_ref alone."""
    found = {"id": "r-1", "client_ref": "ref-1", "status_code": "succeeded", "metadata": {"mcp_model": "other/model"}}
    harness.sandbox.script.add("create", Respond(200, orjson.dumps(found)))
    failed = await failure(harness, harness.order())
    assert (failed.cause.outcome, failed.cause.code, failed.uncertain) == (Outcome.REFUSED, "conflict", False)
    assert "a run of other/model" in (failed.cause.message or "")
    assert len(harness.requests("POST")) == 1


async def test_a_conflict_that_cannot_be_looked_up_is_uncertain(harness: Harness) -> None:
    harness.sandbox.script.add("create", Respond(409, created=True))
    harness.sandbox.script.add("list_runs", Respond(500), times=None)
    failed = await failure(harness, harness.order(None))
    assert failed.uncertain
    assert len(harness.requests("POST")) == 1


@pytest.mark.parametrize("rule", [Idempotency.HEADER, Idempotency.CLIENT_REF], ids=lambda rule: rule.value)
async def test_a_dispatch_that_takes_effect_after_its_repeat_makes_no_second_run(
    make_harness: MakeHarness, clock: VirtualClock, rule: Idempotency
) -> None:
    harness = await make_harness(rule)
    harness.sandbox.script.add("create", Delay(40))
    dispatched = await harness.dispatcher.start(harness.order(None))
    await clock.sleep(60)
    assert [run.id for run in harness.sandbox.runs] == [dispatched.run.id]


async def test_a_refused_connection_is_tried_three_times(harness: Harness, session: aiohttp.ClientSession) -> None:
    client = attrs.evolve(harness.dispatcher.client, base_url=f"http://127.0.0.1:{free_port()}")
    dispatcher = attrs.evolve(harness.dispatcher, client=client, flights={})
    with pytest.raises(DispatchFailed) as caught:
        await dispatcher.start(harness.order(None))
    assert caught.value.cause.outcome is Outcome.NOT_SENT
    assert not caught.value.uncertain
    assert not session.closed


# Failed requests in a row


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.value)
async def test_two_failed_requests_in_a_row_never_make_a_second_run(
    make_harness: MakeHarness, rule: Idempotency
) -> None:
    harness = await make_harness(rule, timeout=5.0)
    lost = {name: LOST[name] for name in ("reset", "silence", "502")}
    actions = {**lost, "503": RETRIED["503"], **{f"{name}, in effect": took_effect(lost[name]) for name in lost}}
    for (first, first_action), (second, second_action) in product(actions.items(), repeat=2):
        order = harness.order(None)
        harness.sandbox.script.clear()
        harness.sandbox.script.add("create", first_action)
        harness.sandbox.script.add("create", second_action)
        dispatched = await harness.dispatcher.start(order)
        assert harness.runs(order.client_ref) == 1, (first, second)
        assert dispatched.found == ("in effect" in first + second), (first, second)


@pytest.mark.parametrize("created", [True, False])
@pytest.mark.parametrize("action", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_without_a_look_up_nothing_that_may_have_taken_effect_is_repeated(
    make_harness: MakeHarness, action: Action, *, created: bool
) -> None:
    harness = await make_harness(FORGETFUL, timeout=5.0)
    harness.sandbox.script.add("create", took_effect(action) if created else action)
    harness.sandbox.script.add("list_runs", Respond(502, PAGE), times=None)
    failed = await failure(harness, harness.order(None))
    assert failed.uncertain
    assert failed.cause.outcome in (Outcome.UNKNOWN, Outcome.BUSY)
    assert len(harness.requests("POST")) == 1
    assert len(harness.sandbox.runs) == created


@pytest.mark.parametrize("action", [Respond(500), Respond(429), Respond(200, b"{}"), Reset(), Truncate()], ids=repr)
async def test_a_look_up_that_fails_is_asked_again(harness: Harness, action: Action) -> None:
    harness.sandbox.script.add("create", Reset(created=True))
    harness.sandbox.script.add("list_runs", action, times=2)
    dispatched = await harness.dispatcher.start(harness.order(None))
    assert dispatched.found
    assert len(harness.sandbox.runs) == 1


@pytest.mark.parametrize(
    "items",
    [[{"id": "r-1", "client_ref": None}], [{"id": None, "client_ref": "ref-1"}], ["r-1"], [{"id": "r-1"}]],
    ids=repr,
)
async def test_a_list_that_does_not_show_whether_the_run_exists_is_not_an_empty_one(
    make_harness: MakeHarness, items: list[object]
) -> None:
    harness = await make_harness(FORGETFUL)
    order = harness.order(None)
    unclear = orjson.loads(orjson.dumps(items).replace(b"ref-1", order.client_ref.encode()))
    harness.sandbox.script.add("create", Reset(created=True))
    harness.sandbox.script.add("list_runs", Respond(200, orjson.dumps({"items": unclear, "next_pq": None})), times=None)
    failed = await failure(harness, order)
    assert failed.uncertain
    assert harness.runs(order.client_ref) == 1
    assert len(harness.requests("POST")) == 1


async def test_a_look_up_whose_answer_is_too_long_asks_for_fewer_runs(harness: Harness) -> None:
    harness.sandbox.script.add("create", Reset(created=True))
    harness.sandbox.script.add("list_runs", Respond(200, b" " * (8 * 1024 * 1024 + 1)), times=2)
    dispatched = await harness.dispatcher.start(harness.order(None))
    assert dispatched.found
    assert [seen.query["limit"] for seen in harness.requests("GET")[:-1]] == ["50", "5", "5"]


async def test_a_look_up_that_fails_otherwise_asks_for_as_many_again(harness: Harness) -> None:
    """Fewer might not hold the run of this model."""
    harness.sandbox.script.add("create", Reset(created=True))
    harness.sandbox.script.add("list_runs", Respond(500))
    harness.sandbox.script.add("list_runs", Hang(100))
    assert (await harness.dispatcher.start(harness.order(None))).found
    assert [seen.query["limit"] for seen in harness.requests("GET")[:-1]] == ["50", "50", "50"]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_a_look_up_that_is_refused_is_not_asked_again(harness: Harness, status: int) -> None:
    harness.sandbox.script.add("create", Reset(created=True))
    harness.sandbox.script.add("list_runs", Respond(status), times=None)
    failed = await failure(harness, harness.order(None))
    assert failed.uncertain
    assert [seen.method for seen in harness.sandbox.requests] == ["POST", "GET"]


@pytest.mark.parametrize("action", [Reset(), Respond(502), Respond(503, headers={"Retry-After": "0"})], ids=repr)
async def test_a_lost_dispatch_has_two_seconds_to_take_effect_and_be_listed_before_it_is_looked_up(
    harness: Harness, action: Action
) -> None:
    harness.sandbox.script.add("create", action)
    await harness.dispatcher.start(harness.order(None))
    attempt, look_up, _ = harness.sandbox.requests
    assert 2 <= look_up.at - attempt.at <= 2.6


# Giving up


@pytest.mark.parametrize("name", [name for name in LOST if name != "silence"])
async def test_a_dispatch_that_never_succeeds_is_given_up_after_three_attempts(harness: Harness, name: str) -> None:
    harness.sandbox.script.add("create", LOST[name], times=None)
    failed = await failure(harness, harness.order())
    assert failed.cause.outcome is Outcome.UNKNOWN
    assert not failed.uncertain, "upstream said that there is no run"
    assert len(harness.requests("POST")) == 3
    assert len(harness.sandbox.runs) == 0


async def test_a_silent_upstream_is_given_up_within_the_budget(harness: Harness, clock: VirtualClock) -> None:
    harness.sandbox.script.add("create", Hang(200), times=None)
    await failure(harness, harness.order())
    assert clock.monotonic() <= BUDGET + ROUNDING
    assert 2 <= len(harness.requests("POST")) <= 3


@pytest.mark.parametrize("timeout", [30.0, 60.0, 600.0])
async def test_an_upstream_silent_on_everything_is_given_up_within_the_budget(
    make_harness: MakeHarness, clock: VirtualClock, timeout: float
) -> None:
    harness = await make_harness(timeout=timeout)
    harness.sandbox.script.add("create", Hang(2000), times=None)
    harness.sandbox.script.add("list_runs", Hang(2000), times=None)
    failed = await failure(harness, harness.order(None))
    assert failed.uncertain
    assert clock.monotonic() <= BUDGET + ROUNDING


@pytest.mark.parametrize("timeout", [30.0, 60.0, 600.0])
async def test_a_silent_look_up_leaves_time_for_the_dispatch(
    make_harness: MakeHarness, clock: VirtualClock, timeout: float
) -> None:
    harness = await make_harness(timeout=timeout)
    harness.sandbox.script.add("list_runs", Hang(2000), times=None)
    dispatched = await harness.dispatcher.start(harness.order())
    assert clock.monotonic() <= BUDGET + ROUNDING
    assert not dispatched.found


async def test_retry_after_of_upstream_decides_when_the_next_attempt_follows(harness: Harness) -> None:
    harness.sandbox.script.add("create", Respond(503, headers={"Retry-After": "7"}))
    harness.sandbox.script.add("create", Respond(429, headers={"Retry-After": "3"}))
    await harness.dispatcher.start(harness.order())
    first, second, third = (seen.at for seen in harness.requests("POST"))
    assert second - first == pytest.approx(7, abs=0.1)
    assert third - second == pytest.approx(3, abs=0.1)


async def test_a_pause_beyond_the_budget_is_not_waited_for(harness: Harness, clock: VirtualClock) -> None:
    harness.sandbox.script.add("create", Respond(503, b'{"code":"MODEL_UNAVAILABLE"}', {"Retry-After": "3600"}))
    failed = await failure(harness, harness.order())
    assert (failed.cause.code, failed.uncertain) == ("model_unavailable", False)
    assert clock.monotonic() < 3
    assert len(harness.requests("POST")) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_run_hidden_behind_a_pause_beyond_the_budget_is_found(
    harness: Harness, clock: VirtualClock, status: int
) -> None:
    harness.sandbox.script.add("create", Respond(status, headers={"Retry-After": "3600"}, created=True))
    dispatched = await harness.dispatcher.start(harness.order(None))
    assert dispatched.found
    assert clock.monotonic() < 3


async def test_without_retry_after_the_pauses_grow(harness: Harness) -> None:
    harness.sandbox.script.add("create", Respond(503), times=None)
    await failure(harness, harness.order())
    first, second, third = (seen.at for seen in harness.requests("POST"))
    assert 2.2 <= second - first <= 3
    assert second - first < third - second <= 4


# What is sent


async def test_every_attempt_is_the_same_to_the_byte(harness: Harness) -> None:
    harness.sandbox.script.add("create", Respond(503), times=2)
    await harness.dispatcher.start(harness.order())
    sent = harness.requests("POST")
    assert len({seen.headers["Idempotency-Key"] for seen in sent}) == 1
    assert sent[0].body == sent[1].body == sent[2].body
    assert sent[0].path == f"/v1/models/{MODEL}/runs"
    assert sent[0].body == {
        "input": INPUT,
        "client_ref": "ref-1",
        "metadata": {"mcp_model": MODEL, "mcp_input_sha256": input_digest(INPUT)},
    }


async def test_the_trace_goes_with_every_request(harness: Harness) -> None:
    harness.sandbox.script.add("create", Reset(created=True))
    trace = {"traceparent": "00-a-b-01", "tracestate": "x=1"}
    await harness.dispatcher.start(attrs.evolve(harness.order(), trace=trace))
    assert len(harness.sandbox.requests) == 4
    assert {seen.headers["Traceparent"] for seen in harness.sandbox.requests} == {"00-a-b-01"}
    assert {seen.headers["Tracestate"] for seen in harness.sandbox.requests} == {"x=1"}


def test_an_order_without_a_client_ref_gets_one_of_its_own(example_order: Order) -> None:
    minted = [Order.make(example_order.bearer, MODEL, RunInput.of(INPUT), None, {}) for _ in range(3)]
    assert all(re.fullmatch(r"mcp-[0-9a-f]{32}", order.client_ref) for order in minted)
    assert len({order.client_ref for order in minted}) == 3
    assert not any(order.caller_chose_ref for order in minted)
    assert example_order.caller_chose_ref


@pytest.fixture
def example_order() -> Order:
    return Order.make(Bearer(KEY), MODEL, RunInput.of(INPUT), "ref-1", {})


def test_the_idempotency_key_is_one_for_each_caller_model_and_client_ref(example_order: Order) -> None:
    def key(**changed: Any) -> str:
        return attrs.evolve(example_order, **changed).idempotency_key

    assert key() == key(body=b"{}", input_digest="other") == key(trace={"traceparent": "x"})
    others = {key(bearer=Bearer("rf_live_other")), key(model="other/model"), key(client_ref="ref-2")}
    assert len({key(), *others}) == 4
    assert KEY not in key()
    assert key() not in hashlib.sha256(KEY.encode()).hexdigest()


def test_an_order_prints_without_the_key(example_order: Order) -> None:
    assert KEY not in repr(example_order)
    assert KEY.encode() not in example_order.body


def test_any_input_can_be_sent(example_order: Order) -> None:
    deep: dict[str, object] = {}
    for _ in range(199):
        deep = {"a": deep}
    order = Order.make(example_order.bearer, MODEL, RunInput.of(deep), "ref-1", {})
    assert orjson.loads(order.body)["input"] == order.input() == deep


# Finding what exists


async def test_a_callers_client_ref_is_looked_up_before_the_first_attempt(harness: Harness) -> None:
    first = await harness.dispatcher.start(harness.order())
    second = await harness.dispatcher.start(harness.order())
    assert (first.found, second.found) == (False, True)
    assert second.run.id == first.run.id
    assert [seen.method for seen in harness.sandbox.requests] == ["GET", "POST", "GET"]


async def test_a_minted_client_ref_needs_no_look_up(harness: Harness) -> None:
    await harness.dispatcher.start(harness.order(None))
    assert [seen.method for seen in harness.sandbox.requests] == ["POST"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.value)
@pytest.mark.parametrize("run_input", [INPUT, {"prompt": "something else"}], ids=["same input", "other input"])
async def test_the_same_client_ref_returns_to_the_run_whatever_the_input(
    make_harness: MakeHarness, clock: VirtualClock, rule: Idempotency, run_input: dict[str, object]
) -> None:
    harness = await make_harness(rule)
    first = await harness.dispatcher.start(harness.order())
    await clock.sleep(60)
    again = await harness.dispatcher.start(harness.order(run_input=run_input))
    assert (again.run.id, again.found) == (first.run.id, True)
    assert (again.run.input_digest == input_digest(run_input)) == (run_input == INPUT)
    assert len(harness.sandbox.runs) == 1


@pytest.mark.parametrize(
    "other", [{"model": "google/nano-banana-pro"}, {"key": "rf_live_other"}, {"ref": "ref-2"}], ids=str
)
async def test_another_model_caller_or_client_ref_is_another_run(harness: Harness, other: dict[str, Any]) -> None:
    first = await harness.dispatcher.start(harness.order())
    second = await harness.dispatcher.start(harness.order(**other))
    assert second.run.id != first.run.id
    assert not second.found
    assert len(harness.sandbox.runs) == 2


@pytest.mark.parametrize(
    "action", [Respond(500), Respond(403), Respond(400), Respond(429), Respond(302), Reset(), Truncate()], ids=repr
)
async def test_a_look_up_that_fails_does_not_stop_the_first_attempt(harness: Harness, action: Action) -> None:
    harness.sandbox.script.add("list_runs", action, times=None)
    dispatched = await harness.dispatcher.start(harness.order())
    assert not dispatched.found
    assert len(harness.sandbox.runs) == 1


@pytest.mark.parametrize("own", [True, False], ids=["own ref", "minted ref"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        PAGE,
        b"null",
        b"{}",
        b'{"items":{}}',
        b'{"items":["r-1"]}',
        b'{"items":[{"id":"r-1"}]}',
        b'{"items":[],"next_pq":"x"}',
        b'{"items":[],"next_pq":{"from":50}}',
        b'{"items":[],"next_pq":true}',
        b"[" + b",".join([b'{"id":"r-1","client_ref":"other"}'] * 50) + b"]",
        b" " * (8 * 1024 * 1024 + 1),
    ],
    ids=lambda body: repr(body[:40]),
)
async def test_a_first_look_up_that_stays_unclear_starts_nothing(harness: Harness, body: bytes, *, own: bool) -> None:
    harness.sandbox.script.add("list_runs", Respond(200, body), times=None)
    if not own:
        assert not (await harness.dispatcher.start(harness.order(None))).found, "and none is made"
        return
    failed = await failure(harness, harness.order())
    assert (failed.uncertain, failed.sent) == (True, False)
    assert harness.requests("POST") == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.value)
@pytest.mark.parametrize("action", [Respond(500), Respond(429), Respond(200, b"{}"), Reset(), Truncate()], ids=repr)
async def test_a_first_look_up_that_fails_is_asked_again(
    make_harness: MakeHarness, clock: VirtualClock, rule: Idempotency, action: Action
) -> None:
    harness = await make_harness(rule)
    first = await harness.dispatcher.start(harness.order())
    await clock.sleep(FORGOTTEN)
    harness.sandbox.script.add("list_runs", action, times=LOOK_UPS - 1)
    again = await harness.dispatcher.start(harness.order())
    assert (again.run.id, again.found) == (first.run.id, True)
    assert len(harness.requests("POST")) == 1


@pytest.mark.parametrize("action", [Hang(100), Respond(503, headers={"Retry-After": "60"})], ids=repr)
async def test_first_look_ups_hold_a_dispatch_up_for_ten_seconds_at_most(
    harness: Harness, clock: VirtualClock, action: Action
) -> None:
    harness.sandbox.script.add("list_runs", action, times=None)
    dispatched = await harness.dispatcher.start(harness.order())
    assert not dispatched.found
    assert clock.monotonic() <= 10 + ROUNDING


@pytest.mark.parametrize("rule", [Idempotency.HEADER, Idempotency.CLIENT_REF], ids=lambda rule: rule.value)
async def test_an_old_run_that_a_dispatch_returns_was_found(
    make_harness: MakeHarness, clock: VirtualClock, rule: Idempotency
) -> None:
    harness = await make_harness(rule)
    first = await harness.dispatcher.start(harness.order())
    await clock.sleep(FORGOTTEN)
    harness.sandbox.script.add("list_runs", Respond(500), times=LOOK_UPS)
    again = await harness.dispatcher.start(harness.order())
    assert (again.run.id, again.found) == (first.run.id, True)
    assert len(harness.requests("POST")) == 2


async def test_another_input_under_a_used_client_ref_finds_the_run_even_without_a_first_look_up(
    harness: Harness, clock: VirtualClock
) -> None:
    """Upstream calls it a conflict: the same Idempotency-Key with another body."""
    first = await harness.dispatcher.start(harness.order())
    await clock.sleep(FORGOTTEN)
    harness.sandbox.script.add("list_runs", Respond(500), times=LOOK_UPS)
    again = await harness.dispatcher.start(harness.order(run_input={"prompt": "something else"}))
    assert len(harness.requests("POST")) == 2
    assert (again.run.id, again.found) == (first.run.id, True)
    assert len(harness.sandbox.runs) == 1


# Sharing


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.value)
async def test_equal_orders_share_one_dispatch(make_harness: MakeHarness, rule: Idempotency) -> None:
    harness = await make_harness(rule)
    harness.sandbox.script.add("create", Delay(2))
    landed: list[Dispatched] = await asyncio.gather(*(harness.dispatcher.start(harness.order()) for _ in range(200)))
    assert len({dispatched.run.id for dispatched in landed}) == 1
    assert len(harness.requests("POST")) == 1
    assert len(harness.sandbox.runs) == 1


async def test_equal_orders_share_one_failure(harness: Harness) -> None:
    orders = [harness.order(key="rf_live_sandbox_no_credit") for _ in range(20)]
    failures = await asyncio.gather(*map(harness.dispatcher.start, orders), return_exceptions=True)
    assert {type(failure) for failure in failures} == {DispatchFailed}
    assert len(harness.requests("POST")) == 1
    again = await failure(harness, orders[0])
    assert again.cause.code == "insufficient_credits"
    assert len(harness.requests("POST")) == 2, "a failure is not kept"


@pytest.mark.parametrize(
    "other", [{"model": "google/nano-banana-pro"}, {"key": "rf_live_other"}, {"ref": "ref-2"}], ids=str
)
async def test_orders_that_differ_share_nothing(harness: Harness, other: dict[str, Any]) -> None:
    orders = harness.order(), harness.order(**other)
    landed = await asyncio.gather(*map(harness.dispatcher.start, orders))
    assert len({dispatched.run.id for dispatched in landed}) == 2


async def test_a_dispatch_goes_on_when_its_caller_has_gone(harness: Harness, clock: VirtualClock) -> None:
    harness.sandbox.script.add("create", Reset())

    async def call() -> None:
        await asyncio.shield(harness.dispatcher.start(harness.order()))

    caller = asyncio.create_task(call())
    await asyncio.sleep(0.001)
    caller.cancel()
    await clock.sleep(10)
    assert caller.cancelled()
    assert len(harness.sandbox.runs) == 1


async def test_a_failure_that_nobody_waits_for_is_not_logged(
    harness: Harness, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    harness.dispatcher.start(harness.order(key="rf_live_sandbox_revoked"))
    await clock.sleep(60)
    assert not caplog.records


async def test_dispatches_under_way_end_with_the_process(harness: Harness, clock: VirtualClock) -> None:
    harness.sandbox.script.add("create", Hang(600), times=None)
    flights = [harness.dispatcher.start(harness.order(f"ref-{number}")) for number in range(3)]
    await clock.sleep(1)
    await harness.dispatcher.close()
    assert all(flight.task.cancelled() for flight in flights)
    assert clock.monotonic() == pytest.approx(1, abs=0.1)
