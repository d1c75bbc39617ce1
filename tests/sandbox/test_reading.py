"""Runs are read by those who own them, one by one or as a list."""

import pytest

from runflow_mcp.sandbox.behaviour import behaviour_of
from runflow_mcp.sandbox.catalog import Model
from runflow_mcp.sandbox.ledger import Ledger
from runflow_mcp.sandbox.orders import Order
from runflow_mcp.sandbox.runs import Run
from tests.sandbox.client import Client
from tests.virtual_time import VirtualClock

LOOK_UP = "/v1/runs?q=client_ref.EQ:'{}'&limit=5&sort_by=created_at:desc"


async def test_a_run_of_another_key_looks_like_no_run(client: Client) -> None:
    run_id = (await client.create(client_ref="mine")).json["id"]
    assert (await client.run(run_id)).status == 200
    assert (await client.run(run_id, key="rf_live_other")).refusal == (404, "RUN_NOT_FOUND")
    assert (await client.run("no-such-run")).refusal == (404, "RUN_NOT_FOUND")
    assert (await client.get(LOOK_UP.format("mine"), key="rf_live_other")).json["items"] == []


async def test_a_look_up_by_client_ref_lists_the_newest_first(client: Client, clock: VirtualClock) -> None:
    ids = []
    for ref in ("a", "b", "a"):
        ids.append((await client.create(client_ref=ref)).json["id"])
        await clock.sleep(1)
    listing = (await client.get(LOOK_UP.format("a"))).json
    assert [run["id"] for run in listing["items"]] == [ids[2], ids[0]]
    assert [run["status_code"] for run in listing["items"]] == ["running", "running"]
    assert listing["next_pq"] is listing["prev_pq"] is None


async def test_a_list_can_be_limited_and_turned_round(client: Client) -> None:
    ids = [(await client.create()).json["id"] for _ in range(3)]
    newest = (await client.get("/v1/runs?limit=2")).json["items"]
    oldest = (await client.get("/v1/runs?limit=2&sort_by=created_at:asc")).json["items"]
    assert [run["id"] for run in newest] == ids[:0:-1]
    assert [run["id"] for run in oldest] == ids[:2]


@pytest.mark.parametrize(
    "query",
    [
        "q=",
        "q=client_ref",
        "q=client_ref.EQ:x",
        "q=client_ref.EQ:'a'b'",
        "q=id.EQ:'a'",
        "limit=0",
        "limit=101",
        "limit=x",
        "sort_by=cost:desc",
    ],
)
async def test_a_malformed_query_is_a_bad_request(client: Client, query: str) -> None:
    assert (await client.get(f"/v1/runs?{query}")).refusal == (400, "BAD_REQUEST")


def a_run(number: int, model_name: str, client_ref: str | None = None) -> Run:
    model = Model(model_name)
    order = Order(model=model, input={}, client_ref=client_ref, metadata=None, callback_url=None)
    return Run(
        id=str(number),
        owner="org",
        order=order,
        behaviour=behaviour_of(model, {}),
        created=number,
        created_at=0,
    )


def test_the_ledger_forgets_what_ended_first_and_nothing_that_still_goes_on() -> None:
    ledger = Ledger(limit=2)
    slow = a_run(0, "sandbox/slow")
    ledger.add(slow, ("slow",), now=0)
    for number in range(1, 5):
        ledger.add(a_run(number, "sandbox/failing"), (str(number),), now=number * 100)
    assert [run.id for run in ledger] == ["0", "4"]
    assert ledger.created == 5
    assert ledger.original(("slow",)) is slow
    assert ledger.original(("1",)) is ledger.get("1") is None


def test_the_ledger_exceeds_its_limit_rather_than_lose_a_run_that_goes_on() -> None:
    ledger = Ledger(limit=2)
    for number in range(4):
        ledger.add(a_run(number, "sandbox/slow"), None, now=number)
    assert len(ledger) == 4


def test_a_forgotten_run_is_no_longer_found_by_its_client_ref() -> None:
    ledger = Ledger(limit=1)
    for number, client_ref in enumerate(["a", "a", "b", None]):
        ledger.add(a_run(number, "sandbox/failing", client_ref), None, now=number * 100)
        assert [run.order.client_ref for run in ledger] == [client_ref]
        assert len(ledger.with_client_ref("a")) == (client_ref == "a")
    assert ledger.with_client_ref("b") == []
