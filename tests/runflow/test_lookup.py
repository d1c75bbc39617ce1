"""Upstreams that keep, list or count otherwise than documented: one run all the same, and the right one."""

import attrs
import orjson
import pytest

from runflow_mcp.runflow.dispatch.errors import DispatchFailed
from runflow_mcp.runflow.dispatch.lookup import MAX_PAGES
from runflow_mcp.runflow.dispatch.order import Order
from runflow_mcp.sandbox import Answer, Delay, Fault, Habits, Hang, Idempotency, Reset
from tests.runflow.conftest import Desk, OpenDesk
from tests.serving import INPUT, MODEL
from tests.virtual_time import VirtualClock

RULES = list(Idempotency)
OTHER_MODEL = "google/nano-banana-pro"
#: Seconds after which this process remembers nothing of a dispatch.
FORGOTTEN = 31.0
REF = "Project/ALPHA/" + "shot-" * 20
SUMMARIES = Habits(summaries=True)
NORMALISING = {
    "lower case": Habits(lower_ref=True),
    "cut at 64": Habits(cut_ref=64),
    "cut at 128": Habits(cut_ref=128),
    "lower case, cut at 64": Habits(lower_ref=True, cut_ref=64),
    "lower case, trimmed, no metadata": Habits(lower_ref=True, trim_input=True, keep_metadata=False),
    "lower case, summaries": Habits(lower_ref=True, summaries=True),
}
LOST: dict[str, Fault] = {
    "reset": Reset(created=True),
    "502": Answer(502, created=True),
    "503": Answer(503, created=True),
}


async def failure(desk: Desk, order: Order) -> DispatchFailed:
    with pytest.raises(DispatchFailed) as caught:
        await desk.dispatcher.start(order)
    return caught.value


each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.value)
normalising = pytest.mark.parametrize("habits", NORMALISING.values(), ids=NORMALISING)


# Upstreams that normalise


@each_rule
@normalising
async def test_a_client_ref_that_upstream_normalised_is_ours(
    open_desk: OpenDesk, clock: VirtualClock, rule: Idempotency, habits: Habits
) -> None:
    desk = await open_desk(rule, habits=habits)
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
@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
async def test_a_lost_run_under_a_normalised_client_ref_is_found(
    open_desk: OpenDesk, rule: Idempotency, habits: Habits, fault: Fault
) -> None:
    desk = await open_desk(rule, habits=habits)
    desk.sandbox.faults.add("create", fault)
    assert (await desk.dispatcher.start(desk.order(REF))).found
    assert len(desk.requests("POST")) == len(desk.sandbox.runs) == 1


@pytest.mark.parametrize("theirs", ["JOB-10", "job-10", "job", "j", None, 0])
async def test_any_readable_2xx_is_an_answer(desk: Desk, theirs: object) -> None:
    ours = "0" if theirs == 0 else "Job-10"
    desk.sandbox.faults.add("create", Answer(201, orjson.dumps({"id": "r-1", "client_ref": theirs})))
    assert (await desk.dispatcher.start(desk.order(ours))).run.id == "r-1"
    assert len(desk.requests("POST")) == 1


async def test_a_client_ref_with_capitals_costs_one_more_look_up_and_no_other_does(desk: Desk) -> None:
    await desk.dispatcher.start(desk.order("job-10"))
    await desk.dispatcher.start(desk.order("Job-11"))
    refs = [seen.query["q"] for seen in desk.requests("GET")]
    assert refs == [f"client_ref.EQ:'{ref}'" for ref in ("job-10", "Job-11", "job-11")]


# Lists of summaries


@each_rule
@pytest.mark.parametrize("habits", [SUMMARIES, attrs.evolve(SUMMARIES, keep_metadata=False)], ids=repr)
async def test_a_run_found_in_a_list_is_read_before_it_is_judged(
    open_desk: OpenDesk, clock: VirtualClock, rule: Idempotency, habits: Habits
) -> None:
    desk = await open_desk(rule, habits=habits)
    await desk.dispatcher.start(desk.order())
    await clock.sleep(FORGOTTEN)
    found = await desk.dispatcher.start(desk.order())
    assert (found.found, found.read, found.run.status) == (True, True, "succeeded")
    assert found.run.output
    assert found.run.input == INPUT


@pytest.mark.parametrize("status", [303, 409])
async def test_so_is_one_that_upstream_says_exists(open_desk: OpenDesk, status: int) -> None:
    desk = await open_desk(habits=SUMMARIES)
    desk.sandbox.faults.add("create", Answer(status, created=True))
    found = await desk.dispatcher.start(desk.order(None))
    assert (found.read, found.run.input) == (True, INPUT)


@pytest.mark.parametrize("fault", [Answer(500), Answer(404), Answer(429), Reset(), Answer(200, b"<html>")], ids=repr)
async def test_a_read_that_fails_is_repeated(open_desk: OpenDesk, clock: VirtualClock, fault: Fault) -> None:
    desk = await open_desk(habits=SUMMARIES)
    first = await desk.dispatcher.start(desk.order())
    await clock.sleep(FORGOTTEN)
    desk.sandbox.faults.add("get_run", fault, times=2)
    found = await desk.dispatcher.start(desk.order())
    assert (found.run.id, found.read, found.run.status) == (first.run.id, True, "succeeded")


@each_rule
@pytest.mark.parametrize("fault", [Answer(500), Answer(403), Answer(404), Hang(100)], ids=repr)
async def test_a_run_that_cannot_be_read_is_known_by_its_id_alone(
    open_desk: OpenDesk, clock: VirtualClock, rule: Idempotency, fault: Fault
) -> None:
    desk = await open_desk(rule, habits=SUMMARIES)
    first = await desk.dispatcher.start(desk.order())
    await clock.sleep(FORGOTTEN)
    began = clock.monotonic()
    desk.sandbox.faults.add("get_run", fault, times=None)
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
    desk = await open_desk(rule, habits=SUMMARIES)
    await desk.dispatcher.start(desk.order(model=OTHER_MODEL))
    await clock.sleep(FORGOTTEN)
    failed = await failure(desk, desk.order())
    assert (failed.cause.code, failed.uncertain) == ("conflict", False)
    assert OTHER_MODEL in failed.cause.reason
    assert len(desk.requests("POST")) == 1


async def test_where_no_run_tells_its_model_the_newest_is_the_one(open_desk: OpenDesk, clock: VirtualClock) -> None:
    desk = await open_desk(Idempotency.NONE, habits=Habits(keep_metadata=False))
    first = await desk.dispatcher.start(desk.order())
    await clock.sleep(FORGOTTEN)
    assert (await desk.dispatcher.start(desk.order(model=OTHER_MODEL))).run.id == first.run.id
    assert len(desk.requests("POST")) == 1


@each_rule
@pytest.mark.parametrize(
    "habits", [Habits(), Habits(summaries=True), Habits(page=5), Habits(page=7, summaries=True)], ids=repr
)
async def test_of_many_models_under_one_client_ref_the_newest_of_this_one_is_the_one(
    open_desk: OpenDesk, clock: VirtualClock, rule: Idempotency, habits: Habits
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
    desk.sandbox.habits = habits
    await clock.sleep(FORGOTTEN)
    posts = len(desk.requests("POST"))
    assert (await desk.dispatcher.start(desk.order("batch"))).run.id == runs[MODEL]
    assert (await desk.dispatcher.start(desk.order("batch", model="ideogram/v3"))).run.id == runs["ideogram/v3"]
    assert len(desk.requests("POST")) == posts


# Pages


@each_rule
async def test_every_page_is_read_before_a_run_is_said_not_to_exist(open_desk: OpenDesk, rule: Idempotency) -> None:
    desk = await open_desk(rule)
    items = [{"id": f"r-{n}", "client_ref": "ref-1", "metadata": {"mcp_model": f"a/m-{n}"}} for n in range(3)]
    for number, item in enumerate(items):
        body = {"items": [item], "next_pq": f"page-{number + 1}" if number < 2 else None}
        desk.sandbox.faults.add("list_runs", Answer(200, orjson.dumps(body)))
    assert not (await desk.dispatcher.start(desk.order())).found
    assert [seen.query.get("pq") for seen in desk.requests("GET")] == [None, "page-1", "page-2"]


@pytest.mark.parametrize(
    "habits", [Habits(page=1, endless_pages=True), Habits(page=1, endless_pages=True, summaries=True)], ids=repr
)
async def test_a_first_page_that_comes_for_ever_starts_nothing(open_desk: OpenDesk, habits: Habits) -> None:
    desk = await open_desk(Idempotency.NONE)
    for number in range(2):
        order = attrs.evolve(desk.order("shared", model=OTHER_MODEL), caller_chose_ref=False)
        await desk.elsewhere().dispatcher.start(order)
        assert len(desk.sandbox.runs) == number + 1
    desk.sandbox.habits = habits
    before = len(desk.requests("GET"))
    failed = await failure(desk, desk.order("shared"))
    assert failed.uncertain
    assert len(desk.requests("POST")) == 2
    assert len(desk.requests("GET")) - before <= MAX_PAGES


async def test_pages_without_end_are_given_up(desk: Desk, clock: VirtualClock) -> None:
    for number in range(3 * MAX_PAGES):
        body = {"items": [{"id": "x", "client_ref": "other"}], "next_pq": f"page-{number}"}
        desk.sandbox.faults.add("list_runs", Answer(200, orjson.dumps(body)))
    failed = await failure(desk, desk.order())
    assert (failed.uncertain, failed.sent) == (True, False)
    assert len(desk.requests("GET")) == MAX_PAGES
    assert clock.monotonic() <= 11


# Clocks, slow answers, lists that lag


@pytest.mark.parametrize("skew", [-3600.0, -60.0, 0.0, 60.0])
@pytest.mark.parametrize("own", [True, False], ids=["own ref", "minted ref"])
@pytest.mark.parametrize("seconds", [0.0, 8.0, 25.0])
async def test_neither_a_clock_nor_a_slow_answer_makes_a_new_run_an_old_one(
    open_desk: OpenDesk, skew: float, seconds: float, *, own: bool
) -> None:
    desk = await open_desk(habits=Habits(clock_skew=skew, trim_input=True, keep_metadata=False))
    desk.sandbox.faults.add("create", Answer(503))
    if seconds:
        desk.sandbox.faults.add("create", Delay(seconds, created=True))
    dispatched = await desk.dispatcher.start(desk.order("ref-1" if own else None))
    assert not dispatched.found
    assert not dispatched.ref.input_ignored


@each_rule
@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
async def test_a_list_that_lags_makes_no_second_run(
    open_desk: OpenDesk, clock: VirtualClock, rule: Idempotency, fault: Fault
) -> None:
    desk = await open_desk(rule, habits=Habits(list_lag=1.5))
    desk.sandbox.faults.add("create", fault)
    first = await desk.dispatcher.start(desk.order())
    for _ in range(3):
        assert (await desk.dispatcher.start(desk.order())).run.id == first.run.id
        await clock.sleep(0.35)
    assert len(desk.sandbox.runs) == 1


@each_rule
@pytest.mark.parametrize("own", [True, False], ids=["own ref", "minted ref"])
async def test_what_was_just_dispatched_is_found_although_the_list_lags(
    open_desk: OpenDesk, clock: VirtualClock, rule: Idempotency, *, own: bool
) -> None:
    desk = await open_desk(rule, habits=Habits(list_lag=1.5))
    order = desk.order("ref-1" if own else None)
    first = await desk.dispatcher.start(order)
    await clock.sleep(0.35)
    again = await desk.dispatcher.start(attrs.evolve(order, caller_chose_ref=True))
    assert (again.run.id, again.found, again.read) == (first.run.id, True, True)
    assert len(desk.sandbox.runs) == len(desk.requests("POST")) == 1


@pytest.mark.parametrize("fault", [Answer(404), Answer(500), Answer(403)], ids=repr)
@pytest.mark.parametrize("after", [0.0, 15.0])
async def test_a_remembered_run_that_cannot_be_read_is_not_made_again(
    open_desk: OpenDesk, clock: VirtualClock, fault: Fault, after: float
) -> None:
    desk = await open_desk(Idempotency.NONE)
    first = await desk.dispatcher.start(desk.order())
    await clock.sleep(after)
    desk.sandbox.faults.add("get_run", fault, times=None)
    desk.sandbox.faults.add("list_runs", Answer(200, b'{"items":[]}'), times=None)
    again = await desk.dispatcher.start(desk.order())
    assert (again.run.id, again.read) == (first.run.id, False)
    assert len(desk.requests("POST")) == 1


async def test_a_repeat_after_an_unknown_outcome_needs_a_look_up_that_works(desk: Desk) -> None:
    order = desk.order()
    desk.sandbox.faults.add("create", Reset(created=True))
    desk.sandbox.faults.add("list_runs", Answer(500), times=None)
    assert (await failure(desk, order)).uncertain
    failed = await failure(desk, order)
    assert (failed.uncertain, failed.sent) == (True, True)
    assert len(desk.requests("POST")) == 1
    desk.sandbox.faults.clear()
    assert (await desk.dispatcher.start(order)).found


# Faults in a row


@pytest.mark.parametrize("second", [Answer(429), Answer(503), Answer(422), Answer(402), Answer(401)], ids=repr)
async def test_once_an_attempt_was_sent_each_later_one_is_preceded_by_a_look_up(
    open_desk: OpenDesk, second: Answer
) -> None:
    """The first attempt takes effect after its look-up, and the second is refused."""
    desk = await open_desk(Idempotency.NONE, habits=Habits(list_lag=4.0))
    desk.sandbox.faults.add("create", Reset(created=True))
    desk.sandbox.faults.add("create", attrs.evolve(second, after=4.0))
    found = await desk.dispatcher.start(desk.order(None))
    assert found.found
    assert len(desk.sandbox.runs) == 1
    assert [seen.method for seen in desk.sandbox.requests] == ["POST", "GET", "POST", "GET", "GET"]


async def test_a_refusal_after_an_unknown_outcome_is_uncertain_where_no_look_up_works(desk: Desk) -> None:
    desk.sandbox.faults.add("create", Reset(created=True))
    desk.sandbox.faults.add("create", Answer(402))
    desk.sandbox.faults.add("list_runs", Answer(200, b'{"items":[]}'))
    desk.sandbox.faults.add("list_runs", Answer(500), times=None)
    failed = await failure(desk, desk.order(None))
    assert (failed.cause.status, failed.uncertain) == (402, True)
