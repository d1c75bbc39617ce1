"""Upstreams that store, list or date runs in undocumented ways: the order still gets one run, and the right one."""

import attrs
import orjson
import pytest

from runflow_mcp.runflow.dispatch.errors import DispatchFailed
from runflow_mcp.runflow.dispatch.lookup import MAX_PAGES
from runflow_mcp.runflow.dispatch.order import Order
from tests.runflow.conftest import Desk, OpenDesk
from tests.scripted_sandbox import Action, Delay, Hang, Idempotency, Quirks, Reset, Respond
from tests.serving import INPUT, MODEL
from tests.virtual_time import VirtualClock

RULES = list(Idempotency)
OTHER_MODEL = "google/nano-banana-pro"
#: Seconds after which this process remembers nothing of a dispatch.
FORGOTTEN = 31.0
REF = "Project/ALPHA/" + "shot-" * 20
SUMMARIES = Quirks(summaries=True)
NORMALISING = {
    "lower case": Quirks(lower_ref=True),
    "cut at 64": Quirks(cut_ref=64),
    "cut at 128": Quirks(cut_ref=128),
    "lower case, cut at 64": Quirks(lower_ref=True, cut_ref=64),
    "lower case, trimmed, no metadata": Quirks(lower_ref=True, trim_input=True, keep_metadata=False),
    "lower case, summaries": Quirks(lower_ref=True, summaries=True),
}
LOST: dict[str, Action] = {
    "reset": Reset(created=True),
    "502": Respond(502, created=True),
    "503": Respond(503, created=True),
}


async def failure(desk: Desk, order: Order) -> DispatchFailed:
    with pytest.raises(DispatchFailed) as caught:
        await desk.dispatcher.start(order)
    return caught.value


each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.value)
normalising = pytest.mark.parametrize("quirks", NORMALISING.values(), ids=NORMALISING)


# Upstreams that normalise


@each_rule
@normalising
async def test_a_run_is_found_under_a_client_ref_that_upstream_normalised(
    open_desk: OpenDesk, clock: VirtualClock, rule: Idempotency, quirks: Quirks
) -> None:
    desk = await open_desk(rule, quirks=quirks)
    first = await desk.dispatcher.start(desk.order(REF))
    assert not first.found
    again = await desk.dispatcher.start(desk.order(REF))
    await clock.sleep(FORGOTTEN)
    later = await desk.dispatcher.start(desk.order(REF))
    replica = await desk.elsewhere().dispatcher.start(desk.order(REF))
    assert {again.run.id, later.run.id, replica.run.id} == {first.run.id}
    assert len(desk.requests("POST")) == len(desk.sandbox.runs) == 1


@each_rule
@normalising
@pytest.mark.parametrize("action", LOST.values(), ids=LOST)
async def test_a_lost_run_under_a_normalised_client_ref_is_found(
    open_desk: OpenDesk, rule: Idempotency, quirks: Quirks, action: Action
) -> None:
    desk = await open_desk(rule, quirks=quirks)
    desk.sandbox.script.add("create", action)
    assert (await desk.dispatcher.start(desk.order(REF))).found
    assert len(desk.requests("POST")) == len(desk.sandbox.runs) == 1


@pytest.mark.parametrize("stored", ["JOB-10", "job-10", "job", "j", None, 0])
async def test_a_2xx_with_a_normalised_client_ref_ends_the_dispatch(desk: Desk, stored: object) -> None:
    client_ref = "0" if stored == 0 else "Job-10"
    desk.sandbox.script.add("create", Respond(201, orjson.dumps({"id": "r-1", "client_ref": stored})))
    assert (await desk.dispatcher.start(desk.order(client_ref))).run.id == "r-1"
    assert len(desk.requests("POST")) == 1


async def test_only_a_client_ref_with_capitals_takes_a_second_look_up(desk: Desk) -> None:
    await desk.dispatcher.start(desk.order("job-10"))
    await desk.dispatcher.start(desk.order("Job-11"))
    refs = [seen.query["q"] for seen in desk.requests("GET")]
    assert refs == [f"client_ref.EQ:'{ref}'" for ref in ("job-10", "Job-11", "job-11")]


# Lists of summaries


@each_rule
@pytest.mark.parametrize("quirks", [SUMMARIES, attrs.evolve(SUMMARIES, keep_metadata=False)], ids=repr)
async def test_a_run_found_in_a_list_of_summaries_is_read(
    open_desk: OpenDesk, clock: VirtualClock, rule: Idempotency, quirks: Quirks
) -> None:
    desk = await open_desk(rule, quirks=quirks)
    await desk.dispatcher.start(desk.order())
    await clock.sleep(FORGOTTEN)
    found = await desk.dispatcher.start(desk.order())
    assert (found.found, found.read, found.run.status) == (True, True, "succeeded")
    assert found.run.output
    assert found.run.input == INPUT


@pytest.mark.parametrize("status", [303, 409])
async def test_a_run_that_upstream_says_exists_is_read(open_desk: OpenDesk, status: int) -> None:
    desk = await open_desk(quirks=SUMMARIES)
    desk.sandbox.script.add("create", Respond(status, created=True))
    found = await desk.dispatcher.start(desk.order(None))
    assert (found.read, found.run.input) == (True, INPUT)


@pytest.mark.parametrize(
    "action", [Respond(500), Respond(404), Respond(429), Reset(), Respond(200, b"<html>")], ids=repr
)
async def test_a_read_that_fails_is_repeated(open_desk: OpenDesk, clock: VirtualClock, action: Action) -> None:
    desk = await open_desk(quirks=SUMMARIES)
    first = await desk.dispatcher.start(desk.order())
    await clock.sleep(FORGOTTEN)
    desk.sandbox.script.add("get_run", action, times=2)
    found = await desk.dispatcher.start(desk.order())
    assert (found.run.id, found.read, found.run.status) == (first.run.id, True, "succeeded")


@each_rule
@pytest.mark.parametrize("action", [Respond(500), Respond(403), Respond(404), Hang(100)], ids=repr)
async def test_a_found_run_that_cannot_be_read_is_returned_with_its_id_alone(
    open_desk: OpenDesk, clock: VirtualClock, rule: Idempotency, action: Action
) -> None:
    desk = await open_desk(rule, quirks=SUMMARIES)
    first = await desk.dispatcher.start(desk.order())
    await clock.sleep(FORGOTTEN)
    began = clock.monotonic()
    desk.sandbox.script.add("get_run", action, times=None)
    found = await desk.dispatcher.start(desk.order())
    assert (found.run.id, found.found, found.read) == (first.run.id, True, False)
    assert not found.run.terminal
    assert clock.monotonic() - began <= 11
    assert len(desk.requests("POST")) == 1


# Other models


@each_rule
async def test_a_client_ref_of_another_models_run_is_a_conflict(
    open_desk: OpenDesk, clock: VirtualClock, rule: Idempotency
) -> None:
    desk = await open_desk(rule, quirks=SUMMARIES)
    await desk.dispatcher.start(desk.order(model=OTHER_MODEL))
    await clock.sleep(FORGOTTEN)
    failed = await failure(desk, desk.order())
    assert (failed.cause.code, failed.uncertain) == ("conflict", False)
    assert OTHER_MODEL in failed.cause.reason
    assert len(desk.requests("POST")) == 1


async def test_the_newest_run_is_found_where_none_shows_its_model(open_desk: OpenDesk, clock: VirtualClock) -> None:
    desk = await open_desk(Idempotency.NONE, quirks=Quirks(keep_metadata=False))
    first = await desk.dispatcher.start(desk.order())
    await clock.sleep(FORGOTTEN)
    assert (await desk.dispatcher.start(desk.order(model=OTHER_MODEL))).run.id == first.run.id
    assert len(desk.requests("POST")) == 1


@each_rule
@pytest.mark.parametrize(
    "quirks", [Quirks(), Quirks(summaries=True), Quirks(page=5), Quirks(page=7, summaries=True)], ids=repr
)
async def test_the_newest_run_of_the_model_is_found_among_runs_of_many_models(
    open_desk: OpenDesk, clock: VirtualClock, rule: Idempotency, quirks: Quirks
) -> None:
    desk = await open_desk(rule)
    runs = {}
    for number, model in enumerate([MODEL, *["sandbox/slow", OTHER_MODEL, "ideogram/v3"] * 17]):
        order = desk.order("batch", model=model)
        # One public client puts one client_ref on a whole batch, and every run has an Idempotency-Key of its own.
        run = await desk.dispatcher.client.create_run(
            order.bearer, model, order.body, idempotency_key=str(number), trace={}, timeout=9
        )
        runs[model] = run.id
    desk.sandbox.quirks = quirks
    await clock.sleep(FORGOTTEN)
    posts = len(desk.requests("POST"))
    assert (await desk.dispatcher.start(desk.order("batch"))).run.id == runs[MODEL]
    assert (await desk.dispatcher.start(desk.order("batch", model="ideogram/v3"))).run.id == runs["ideogram/v3"]
    assert len(desk.requests("POST")) == posts


# Pages


@each_rule
async def test_every_page_is_read_before_a_run_is_taken_not_to_exist(open_desk: OpenDesk, rule: Idempotency) -> None:
    desk = await open_desk(rule)
    items = [{"id": f"r-{n}", "client_ref": "ref-1", "metadata": {"mcp_model": f"a/m-{n}"}} for n in range(3)]
    for number, item in enumerate(items):
        body = {"items": [item], "next_pq": f"page-{number + 1}" if number < 2 else None}
        desk.sandbox.script.add("list_runs", Respond(200, orjson.dumps(body)))
    assert not (await desk.dispatcher.start(desk.order())).found
    assert [seen.query.get("pq") for seen in desk.requests("GET")] == [None, "page-1", "page-2"]


@pytest.mark.parametrize(
    "quirks", [Quirks(page=1, endless_pages=True), Quirks(page=1, endless_pages=True, summaries=True)], ids=repr
)
async def test_nothing_is_started_when_the_first_page_repeats_forever(open_desk: OpenDesk, quirks: Quirks) -> None:
    desk = await open_desk(Idempotency.NONE)
    for number in range(2):
        order = attrs.evolve(desk.order("shared", model=OTHER_MODEL), caller_chose_ref=False)
        await desk.elsewhere().dispatcher.start(order)
        assert len(desk.sandbox.runs) == number + 1
    desk.sandbox.quirks = quirks
    before = len(desk.requests("GET"))
    failed = await failure(desk, desk.order("shared"))
    assert failed.uncertain
    assert len(desk.requests("POST")) == 2
    assert len(desk.requests("GET")) - before <= MAX_PAGES


async def test_an_endless_list_is_given_up(desk: Desk, clock: VirtualClock) -> None:
    for number in range(3 * MAX_PAGES):
        body = {"items": [{"id": "x", "client_ref": "other"}], "next_pq": f"page-{number}"}
        desk.sandbox.script.add("list_runs", Respond(200, orjson.dumps(body)))
    failed = await failure(desk, desk.order())
    assert (failed.uncertain, failed.sent) == (True, False)
    assert len(desk.requests("GET")) == MAX_PAGES
    assert clock.monotonic() <= 11


# Clocks, slow answers, lists that lag


@pytest.mark.parametrize("skew", [-3600.0, -60.0, 0.0, 60.0])
@pytest.mark.parametrize("own", [True, False], ids=["own ref", "minted ref"])
@pytest.mark.parametrize("seconds", [0.0, 8.0, 25.0])
async def test_a_new_run_is_not_taken_for_an_old_one_by_clock_or_slow_answer(
    open_desk: OpenDesk, skew: float, seconds: float, *, own: bool
) -> None:
    desk = await open_desk(quirks=Quirks(clock_skew=skew, trim_input=True, keep_metadata=False))
    desk.sandbox.script.add("create", Respond(503))
    if seconds:
        desk.sandbox.script.add("create", Delay(seconds, created=True))
    dispatched = await desk.dispatcher.start(desk.order("ref-1" if own else None))
    assert not dispatched.found
    assert not dispatched.ref.input_ignored


@each_rule
@pytest.mark.parametrize("action", LOST.values(), ids=LOST)
async def test_a_lagging_list_does_not_lead_to_a_second_run(
    open_desk: OpenDesk, clock: VirtualClock, rule: Idempotency, action: Action
) -> None:
    desk = await open_desk(rule, quirks=Quirks(list_lag=1.5))
    desk.sandbox.script.add("create", action)
    first = await desk.dispatcher.start(desk.order())
    for _ in range(3):
        assert (await desk.dispatcher.start(desk.order())).run.id == first.run.id
        await clock.sleep(0.35)
    assert len(desk.sandbox.runs) == 1


@each_rule
@pytest.mark.parametrize("own", [True, False], ids=["own ref", "minted ref"])
async def test_a_recent_dispatch_is_found_although_the_list_lags(
    open_desk: OpenDesk, clock: VirtualClock, rule: Idempotency, *, own: bool
) -> None:
    desk = await open_desk(rule, quirks=Quirks(list_lag=1.5))
    order = desk.order("ref-1" if own else None)
    first = await desk.dispatcher.start(order)
    await clock.sleep(0.35)
    again = await desk.dispatcher.start(attrs.evolve(order, caller_chose_ref=True))
    assert (again.run.id, again.found, again.read) == (first.run.id, True, True)
    assert len(desk.sandbox.runs) == len(desk.requests("POST")) == 1


@pytest.mark.parametrize("action", [Respond(404), Respond(500), Respond(403)], ids=repr)
@pytest.mark.parametrize("after", [0.0, 15.0])
async def test_a_remembered_run_that_cannot_be_read_is_not_dispatched_again(
    open_desk: OpenDesk, clock: VirtualClock, action: Action, after: float
) -> None:
    desk = await open_desk(Idempotency.NONE)
    first = await desk.dispatcher.start(desk.order())
    await clock.sleep(after)
    desk.sandbox.script.add("get_run", action, times=None)
    desk.sandbox.script.add("list_runs", Respond(200, b'{"items":[]}'), times=None)
    again = await desk.dispatcher.start(desk.order())
    assert (again.run.id, again.read) == (first.run.id, False)
    assert len(desk.requests("POST")) == 1


async def test_a_repeat_after_an_unknown_outcome_needs_a_successful_look_up(desk: Desk) -> None:
    order = desk.order()
    desk.sandbox.script.add("create", Reset(created=True))
    desk.sandbox.script.add("list_runs", Respond(500), times=None)
    assert (await failure(desk, order)).uncertain
    failed = await failure(desk, order)
    assert (failed.uncertain, failed.sent) == (True, True)
    assert len(desk.requests("POST")) == 1
    desk.sandbox.script.clear()
    assert (await desk.dispatcher.start(order)).found


# Faults in a row


@pytest.mark.parametrize("second", [Respond(429), Respond(503), Respond(422), Respond(402), Respond(401)], ids=repr)
async def test_after_a_sent_attempt_every_later_one_is_preceded_by_a_look_up(
    open_desk: OpenDesk, second: Respond
) -> None:
    """The first attempt takes effect after its look-up, and the second is refused."""
    desk = await open_desk(Idempotency.NONE, quirks=Quirks(list_lag=4.0))
    desk.sandbox.script.add("create", Reset(created=True))
    desk.sandbox.script.add("create", attrs.evolve(second, after=4.0))
    found = await desk.dispatcher.start(desk.order(None))
    assert found.found
    assert len(desk.sandbox.runs) == 1
    assert [seen.method for seen in desk.sandbox.requests] == ["POST", "GET", "POST", "GET", "GET"]


async def test_a_refusal_after_an_unknown_outcome_is_uncertain_if_look_ups_fail(desk: Desk) -> None:
    desk.sandbox.script.add("create", Reset(created=True))
    desk.sandbox.script.add("create", Respond(402))
    desk.sandbox.script.add("list_runs", Respond(200, b'{"items":[]}'))
    desk.sandbox.script.add("list_runs", Respond(500), times=None)
    failed = await failure(desk, desk.order(None))
    assert (failed.cause.status, failed.uncertain) == (402, True)
