"""Upstreams that store, list or date runs in undocumented ways: the order still gets one run, and the right one."""

import attrs
import orjson
import pytest

from runflow_mcp.runflow.dispatch.errors import DispatchFailed
from runflow_mcp.runflow.dispatch.lookup import MAX_PAGES
from runflow_mcp.runflow.dispatch.order import Order
from tests.runflow.conftest import Harness, MakeHarness
from tests.scripted_sandbox import Action, Delay, Hang, Idempotency, Quirks, Reset, Respond
from tests.serving import INPUT, MODEL
from tests.virtual_time import VirtualClock

RULES = list(Idempotency)
#: Where nothing may be sent again, one upstream stands for all: the one that would make a second run of it.
FORGETFUL = Idempotency.NONE
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


async def failure(harness: Harness, order: Order) -> DispatchFailed:
    with pytest.raises(DispatchFailed) as caught:
        await harness.dispatcher.start(order)
    return caught.value


each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.value)
normalising = pytest.mark.parametrize("quirks", NORMALISING.values(), ids=NORMALISING)


# Upstreams that normalise


@normalising
async def test_a_run_is_found_under_a_client_ref_that_upstream_normalised(
    make_harness: MakeHarness, clock: VirtualClock, quirks: Quirks
) -> None:
    harness = await make_harness(FORGETFUL, quirks=quirks)
    first = await harness.dispatcher.start(harness.order(REF))
    assert not first.found
    again = await harness.dispatcher.start(harness.order(REF))
    await clock.sleep(FORGOTTEN)
    later = await harness.dispatcher.start(harness.order(REF))
    replica = await harness.elsewhere().dispatcher.start(harness.order(REF))
    assert {again.run.id, later.run.id, replica.run.id} == {first.run.id}
    assert len(harness.requests("POST")) == len(harness.sandbox.runs) == 1


@normalising
@pytest.mark.parametrize("action", LOST.values(), ids=LOST)
async def test_a_lost_run_under_a_normalised_client_ref_is_found(
    make_harness: MakeHarness, quirks: Quirks, action: Action
) -> None:
    harness = await make_harness(FORGETFUL, quirks=quirks)
    harness.sandbox.script.add("create", action)
    assert (await harness.dispatcher.start(harness.order(REF))).found
    assert len(harness.requests("POST")) == len(harness.sandbox.runs) == 1


@pytest.mark.parametrize("stored", ["JOB-10", "job-10", "job", "j", None, 0])
async def test_a_2xx_with_a_normalised_client_ref_ends_the_dispatch(harness: Harness, stored: object) -> None:
    client_ref = "0" if stored == 0 else "Job-10"
    harness.sandbox.script.add("create", Respond(201, orjson.dumps({"id": "r-1", "client_ref": stored})))
    assert (await harness.dispatcher.start(harness.order(client_ref))).run.id == "r-1"
    assert len(harness.requests("POST")) == 1


async def test_only_a_client_ref_with_capitals_takes_a_second_look_up(harness: Harness) -> None:
    await harness.dispatcher.start(harness.order("job-10"))
    await harness.dispatcher.start(harness.order("Job-11"))
    refs = [seen.query["q"] for seen in harness.requests("GET")]
    assert refs == [f"client_ref.EQ:'{ref}'" for ref in ("job-10", "Job-11", "job-11")]


# Lists of summaries


@each_rule
@pytest.mark.parametrize("quirks", [SUMMARIES, attrs.evolve(SUMMARIES, keep_metadata=False)], ids=repr)
async def test_a_run_found_in_a_list_of_summaries_is_read(
    make_harness: MakeHarness, clock: VirtualClock, rule: Idempotency, quirks: Quirks
) -> None:
    harness = await make_harness(rule, quirks=quirks)
    await harness.dispatcher.start(harness.order())
    await clock.sleep(FORGOTTEN)
    found = await harness.dispatcher.start(harness.order())
    assert (found.found, found.read, found.run.status) == (True, True, "succeeded")
    assert found.run.output
    assert found.run.input == INPUT


@pytest.mark.parametrize("status", [303, 409])
async def test_a_run_that_upstream_says_exists_is_read(make_harness: MakeHarness, status: int) -> None:
    harness = await make_harness(quirks=SUMMARIES)
    harness.sandbox.script.add("create", Respond(status, created=True))
    found = await harness.dispatcher.start(harness.order(None))
    assert (found.read, found.run.input) == (True, INPUT)


@pytest.mark.parametrize(
    "action", [Respond(500), Respond(404), Respond(429), Reset(), Respond(200, b"<html>")], ids=repr
)
async def test_a_read_that_fails_is_repeated(make_harness: MakeHarness, clock: VirtualClock, action: Action) -> None:
    harness = await make_harness(quirks=SUMMARIES)
    first = await harness.dispatcher.start(harness.order())
    await clock.sleep(FORGOTTEN)
    harness.sandbox.script.add("get_run", action, times=2)
    found = await harness.dispatcher.start(harness.order())
    assert (found.run.id, found.read, found.run.status) == (first.run.id, True, "succeeded")


@pytest.mark.parametrize("action", [Respond(500), Respond(403), Respond(404), Hang(100)], ids=repr)
async def test_a_found_run_that_cannot_be_read_is_returned_with_its_id_alone(
    make_harness: MakeHarness, clock: VirtualClock, action: Action
) -> None:
    harness = await make_harness(FORGETFUL, quirks=SUMMARIES)
    first = await harness.dispatcher.start(harness.order())
    await clock.sleep(FORGOTTEN)
    began = clock.monotonic()
    harness.sandbox.script.add("get_run", action, times=None)
    found = await harness.dispatcher.start(harness.order())
    assert (found.run.id, found.found, found.read) == (first.run.id, True, False)
    assert not found.run.terminal
    assert clock.monotonic() - began <= 11
    assert len(harness.requests("POST")) == 1


# Other models


@each_rule
async def test_a_client_ref_of_another_models_run_is_a_conflict(
    make_harness: MakeHarness, clock: VirtualClock, rule: Idempotency
) -> None:
    harness = await make_harness(rule, quirks=SUMMARIES)
    await harness.dispatcher.start(harness.order(model=OTHER_MODEL))
    await clock.sleep(FORGOTTEN)
    failed = await failure(harness, harness.order())
    assert (failed.cause.code, failed.uncertain) == ("conflict", False)
    assert OTHER_MODEL in failed.cause.reason
    assert len(harness.requests("POST")) == 1


async def test_the_newest_run_is_found_where_none_shows_its_model(
    make_harness: MakeHarness, clock: VirtualClock
) -> None:
    harness = await make_harness(Idempotency.NONE, quirks=Quirks(keep_metadata=False))
    first = await harness.dispatcher.start(harness.order())
    await clock.sleep(FORGOTTEN)
    assert (await harness.dispatcher.start(harness.order(model=OTHER_MODEL))).run.id == first.run.id
    assert len(harness.requests("POST")) == 1


@pytest.mark.parametrize(
    "quirks", [Quirks(), Quirks(summaries=True), Quirks(page=5), Quirks(page=7, summaries=True)], ids=repr
)
async def test_the_newest_run_of_the_model_is_found_among_runs_of_many_models(
    make_harness: MakeHarness, clock: VirtualClock, quirks: Quirks
) -> None:
    harness = await make_harness(FORGETFUL)
    runs = {}
    for number, model in enumerate([MODEL, *["sandbox/slow", OTHER_MODEL, "ideogram/v3"] * 17]):
        order = harness.order("batch", model=model)
        # One public client puts one client_ref on a whole batch, and every run has an Idempotency-Key of its own.
        run = await harness.dispatcher.client.create_run(
            order.bearer, model, order.body, idempotency_key=str(number), trace={}, timeout=9
        )
        runs[model] = run.id
    harness.sandbox.quirks = quirks
    await clock.sleep(FORGOTTEN)
    posts = len(harness.requests("POST"))
    assert (await harness.dispatcher.start(harness.order("batch"))).run.id == runs[MODEL]
    assert (await harness.dispatcher.start(harness.order("batch", model="ideogram/v3"))).run.id == runs["ideogram/v3"]
    assert len(harness.requests("POST")) == posts


# Pages


@each_rule
async def test_every_page_is_read_before_a_run_is_taken_not_to_exist(
    make_harness: MakeHarness, rule: Idempotency
) -> None:
    harness = await make_harness(rule)
    items = [{"id": f"r-{n}", "client_ref": "ref-1", "metadata": {"mcp_model": f"a/m-{n}"}} for n in range(3)]
    for number, item in enumerate(items):
        body = {"items": [item], "next_pq": f"page-{number + 1}" if number < 2 else None}
        harness.sandbox.script.add("list_runs", Respond(200, orjson.dumps(body)))
    assert not (await harness.dispatcher.start(harness.order())).found
    assert [seen.query.get("pq") for seen in harness.requests("GET")] == [None, "page-1", "page-2"]


@pytest.mark.parametrize(
    "quirks", [Quirks(page=1, endless_pages=True), Quirks(page=1, endless_pages=True, summaries=True)], ids=repr
)
async def test_nothing_is_started_when_the_first_page_repeats_forever(
    make_harness: MakeHarness, quirks: Quirks
) -> None:
    harness = await make_harness(Idempotency.NONE)
    for number in range(2):
        order = attrs.evolve(harness.order("shared", model=OTHER_MODEL), caller_chose_ref=False)
        await harness.elsewhere().dispatcher.start(order)
        assert len(harness.sandbox.runs) == number + 1
    harness.sandbox.quirks = quirks
    before = len(harness.requests("GET"))
    failed = await failure(harness, harness.order("shared"))
    assert failed.uncertain
    assert len(harness.requests("POST")) == 2
    assert len(harness.requests("GET")) - before <= MAX_PAGES


async def test_an_endless_list_is_given_up(harness: Harness, clock: VirtualClock) -> None:
    for number in range(3 * MAX_PAGES):
        body = {"items": [{"id": "x", "client_ref": "other"}], "next_pq": f"page-{number}"}
        harness.sandbox.script.add("list_runs", Respond(200, orjson.dumps(body)))
    failed = await failure(harness, harness.order())
    assert (failed.uncertain, failed.sent) == (True, False)
    assert len(harness.requests("GET")) == MAX_PAGES
    assert clock.monotonic() <= 11


# Clocks, slow answers, lists that lag


@pytest.mark.parametrize("skew", [-3600.0, -60.0, 0.0, 60.0])
@pytest.mark.parametrize("own", [True, False], ids=["own ref", "minted ref"])
@pytest.mark.parametrize("seconds", [0.0, 8.0, 25.0])
async def test_a_new_run_is_not_taken_for_an_old_one_by_clock_or_slow_answer(
    make_harness: MakeHarness, skew: float, seconds: float, *, own: bool
) -> None:
    harness = await make_harness(quirks=Quirks(clock_skew=skew, trim_input=True, keep_metadata=False))
    harness.sandbox.script.add("create", Respond(503))
    if seconds:
        harness.sandbox.script.add("create", Delay(seconds, created=True))
    dispatched = await harness.dispatcher.start(harness.order("ref-1" if own else None))
    assert not dispatched.found
    assert not dispatched.ref.input_ignored


@each_rule
@pytest.mark.parametrize("action", LOST.values(), ids=LOST)
async def test_a_lagging_list_does_not_lead_to_a_second_run(
    make_harness: MakeHarness, clock: VirtualClock, rule: Idempotency, action: Action
) -> None:
    harness = await make_harness(rule, quirks=Quirks(list_lag=1.5))
    harness.sandbox.script.add("create", action)
    first = await harness.dispatcher.start(harness.order())
    for _ in range(3):
        assert (await harness.dispatcher.start(harness.order())).run.id == first.run.id
        await clock.sleep(0.35)
    assert len(harness.sandbox.runs) == 1


@each_rule
@pytest.mark.parametrize("own", [True, False], ids=["own ref", "minted ref"])
async def test_a_recent_dispatch_is_found_although_the_list_lags(
    make_harness: MakeHarness, clock: VirtualClock, rule: Idempotency, *, own: bool
) -> None:
    harness = await make_harness(rule, quirks=Quirks(list_lag=1.5))
    order = harness.order("ref-1" if own else None)
    first = await harness.dispatcher.start(order)
    await clock.sleep(0.35)
    again = await harness.dispatcher.start(attrs.evolve(order, caller_chose_ref=True))
    assert (again.run.id, again.found, again.read) == (first.run.id, True, True)
    assert len(harness.sandbox.runs) == len(harness.requests("POST")) == 1


@pytest.mark.parametrize("action", [Respond(404), Respond(500), Respond(403)], ids=repr)
@pytest.mark.parametrize("after", [0.0, 15.0])
async def test_a_remembered_run_that_cannot_be_read_is_not_dispatched_again(
    make_harness: MakeHarness, clock: VirtualClock, action: Action, after: float
) -> None:
    harness = await make_harness(Idempotency.NONE)
    first = await harness.dispatcher.start(harness.order())
    await clock.sleep(after)
    harness.sandbox.script.add("get_run", action, times=None)
    harness.sandbox.script.add("list_runs", Respond(200, b'{"items":[]}'), times=None)
    again = await harness.dispatcher.start(harness.order())
    assert (again.run.id, again.read) == (first.run.id, False)
    assert len(harness.requests("POST")) == 1


async def test_a_repeat_after_an_unknown_outcome_needs_a_successful_look_up(harness: Harness) -> None:
    order = harness.order()
    harness.sandbox.script.add("create", Reset(created=True))
    harness.sandbox.script.add("list_runs", Respond(500), times=None)
    assert (await failure(harness, order)).uncertain
    failed = await failure(harness, order)
    assert (failed.uncertain, failed.sent) == (True, True)
    assert len(harness.requests("POST")) == 1
    harness.sandbox.script.clear()
    assert (await harness.dispatcher.start(order)).found


# Failed requests in a row


@pytest.mark.parametrize("second", [Respond(429), Respond(503), Respond(422), Respond(402), Respond(401)], ids=repr)
async def test_after_a_sent_attempt_every_later_one_is_preceded_by_a_look_up(
    make_harness: MakeHarness, second: Respond
) -> None:
    """The first attempt takes effect after its look-up, and the second is refused."""
    harness = await make_harness(Idempotency.NONE, quirks=Quirks(list_lag=4.0))
    harness.sandbox.script.add("create", Reset(created=True))
    harness.sandbox.script.add("create", attrs.evolve(second, after=4.0))
    found = await harness.dispatcher.start(harness.order(None))
    assert found.found
    assert len(harness.sandbox.runs) == 1
    assert [seen.method for seen in harness.sandbox.requests] == ["POST", "GET", "POST", "GET", "GET"]


async def test_a_refusal_after_an_unknown_outcome_is_uncertain_if_look_ups_fail(harness: Harness) -> None:
    harness.sandbox.script.add("create", Reset(created=True))
    harness.sandbox.script.add("create", Respond(402))
    harness.sandbox.script.add("list_runs", Respond(200, b'{"items":[]}'))
    harness.sandbox.script.add("list_runs", Respond(500), times=None)
    failed = await failure(harness, harness.order(None))
    assert (failed.cause.status, failed.uncertain) == (402, True)
