"""Pages, and the habits that make an upstream keep, list and stamp runs otherwise than documented."""

from runflow_mcp.sandbox import Habits
from runflow_mcp.sandbox.behaviour import find_model
from runflow_mcp.sandbox.listing import cursor, parse
from runflow_mcp.sandbox.orders import Order
from runflow_mcp.sandbox.payload import JsonObject


def kept(habits: Habits) -> Order:
    model = find_model("google/nano-banana-2")
    return habits.order(Order(model, {"prompt": " x\n", "seed": 5}, "Ref-" + "A" * 70, {"a": 1}, None))


def test_by_default_an_order_is_kept_as_it_came() -> None:
    order = kept(Habits())
    assert (order.client_ref, order.input, order.metadata) == (
        "Ref-" + "A" * 70,
        {"prompt": " x\n", "seed": 5},
        {"a": 1},
    )


def test_an_upstream_may_normalise_what_it_keeps() -> None:
    order = kept(Habits(lower_ref=True, cut_ref=64, trim_input=True, keep_metadata=False))
    assert (order.client_ref, order.input, order.metadata) == ("ref-" + "a" * 60, {"prompt": "x", "seed": 5}, None)


def test_a_summary_leaves_out_what_a_run_is_made_of() -> None:
    run: JsonObject = {
        "id": "r-1",
        "client_ref": "ref",
        "status_code": "running",
        "input": {},
        "output": None,
        "metadata": {},
    }
    assert Habits(summaries=True).listed(run) == {"id": "r-1", "client_ref": "ref", "status_code": "running"}
    assert Habits().listed(run) is run


def test_a_cursor_says_where_its_page_begins() -> None:
    assert parse({"pq": cursor(50)}).start == 50
    assert parse({}).start == 0
