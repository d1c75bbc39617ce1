"""Pages, and quirks: how an upstream may store and list runs otherwise than documented."""

from runflow_mcp.sandbox.json_types import JSONObject
from runflow_mcp.sandbox.requests import RunRequest, page_cursor, parse_run_list_query
from runflow_mcp.sandbox.scenarios import find_model
from tests.scripted_sandbox import Quirks


def stored(quirks: Quirks) -> RunRequest:
    model = find_model("google/nano-banana-2")
    return quirks.stored(RunRequest(model, {"prompt": " x\n", "seed": 5}, "Ref-" + "A" * 70, {"a": 1}, None))


def test_by_default_a_dispatch_is_stored_unchanged() -> None:
    request = stored(Quirks())
    assert (request.client_ref, request.input, request.metadata) == (
        "Ref-" + "A" * 70,
        {"prompt": " x\n", "seed": 5},
        {"a": 1},
    )


def test_an_upstream_may_normalise_what_it_stores() -> None:
    request = stored(Quirks(lower_ref=True, cut_ref=64, trim_input=True, keep_metadata=False))
    assert (request.client_ref, request.input, request.metadata) == (
        "ref-" + "a" * 60,
        {"prompt": "x", "seed": 5},
        None,
    )


def test_a_summary_contains_only_a_few_fields_of_a_run() -> None:
    run: JSONObject = {
        "id": "r-1",
        "client_ref": "ref",
        "status_code": "running",
        "input": {},
        "output": None,
        "metadata": {},
    }
    assert Quirks(summaries=True).listed(run) == {"id": "r-1", "client_ref": "ref", "status_code": "running"}
    assert Quirks().listed(run) is run


def test_a_cursor_contains_the_start_of_its_page() -> None:
    assert parse_run_list_query({"pq": page_cursor(50)}).start == 50
    assert parse_run_list_query({}).start == 0
