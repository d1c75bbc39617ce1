"""Runs are read by their owners, one by one or as a list, and the store of runs is bounded."""

import pytest

from runflow_mcp.sandbox.catalog import CatalogModel
from runflow_mcp.sandbox.requests import RunRequest
from runflow_mcp.sandbox.runs import Run, RunStore
from runflow_mcp.sandbox.scenarios import scenario_for
from tests.sandbox.api_client import Client
from tests.virtual_time import VirtualClock

LOOK_UP = "/v1/runs?q=client_ref.EQ:'{}'&limit=5&sort_by=created_at:desc"


async def test_a_run_of_another_key_is_not_found(client: Client) -> None:
    run_id = (await client.create(client_ref="mine")).json["id"]
    assert (await client.run(run_id)).status == 200
    assert (await client.run(run_id, key="rf_live_other")).error_code == (404, "RUN_NOT_FOUND")
    assert (await client.run("no-such-run")).error_code == (404, "RUN_NOT_FOUND")
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


async def test_a_list_can_be_limited_and_sorted_oldest_first(client: Client) -> None:
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
    assert (await client.get(f"/v1/runs?{query}")).error_code == (400, "BAD_REQUEST")


def make_run(number: int, model_name: str, client_ref: str | None = None) -> Run:
    model = CatalogModel(model_name)
    request = RunRequest(model=model, input={}, client_ref=client_ref, metadata=None, callback_url=None)
    return Run(
        id=str(number),
        owner="org",
        request=request,
        scenario=scenario_for(model, {}),
        created=number,
        created_at=0,
    )


def test_a_full_store_drops_the_run_that_ended_first_and_no_unfinished_run() -> None:
    store = RunStore(limit=2)
    slow = make_run(0, "sandbox/slow")
    store.add(slow, ("slow",), now=0)
    for number in range(1, 5):
        store.add(make_run(number, "sandbox/failing"), (str(number),), now=number * 100)
    assert [run.id for run in store] == ["0", "4"]
    assert store.created_count == 5
    assert store.with_deduplication_key(("slow",)) is slow
    assert store.with_deduplication_key(("1",)) is store.get("1") is None


def test_a_store_of_unfinished_runs_exceeds_its_limit() -> None:
    store = RunStore(limit=2)
    for number in range(4):
        store.add(make_run(number, "sandbox/slow"), None, now=number)
    assert len(store) == 4


def test_a_dropped_run_is_no_longer_found_by_its_client_ref() -> None:
    store = RunStore(limit=1)
    for number, client_ref in enumerate(["a", "a", "b", None]):
        store.add(make_run(number, "sandbox/failing", client_ref), None, now=number * 100)
        assert [run.request.client_ref for run in store] == [client_ref]
        assert len(store.with_client_ref("a")) == (client_ref == "a")
    assert store.with_client_ref("b") == []
