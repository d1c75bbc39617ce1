"""A run read from whatever upstream sends, and when it is asked for again."""

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.runflow.outputs import find_outputs
from runflow_mcp.runflow.runs import (
    Run,
    Unclear,
    input_digest,
    parse_run,
    pick,
    poll_delay,
)
from runflow_mcp.runflow.trimming import trimmed
from tests.protocol.laws import json_values, law

URL = "https://cdn.example.com/a.png?sig=1"
RUN = {"id": "r-1", "status_code": "running"}


def read(**fields: object) -> Run:
    run = parse_run({**RUN, **fields})
    assert run is not None
    return run


# The run object

FIELDS = [
    *("id", "flow_id", "model_id", "target_type", "org_id", "status_code", "source_code", "input", "output"),
    *("context", "duration_ms", "cost", "cost_breakdown", "nodes_total", "nodes_completed", "batch_id", "client_ref"),
    *("request_id", "created_at", "started_at", "completed_at", "callback_url", "metadata", "has_logs"),
    *("has_node_runs", "links", "failure_code", "failure_message", "failure_stage_code", "node_runs", "logs"),
    # As older clients read them.
    *("status", "run_id", "failure_stage", "error", "failure_reason", "finished_at"),
]


def test_an_id_is_all_that_a_run_needs() -> None:
    run = parse_run({"id": "r-1"})
    assert run is not None
    assert (run.id, run.terminal, run.metadata) == ("r-1", False, {})


def test_every_other_field_may_be_null() -> None:
    run = parse_run(dict.fromkeys(FIELDS) | {"id": "r-1"})
    assert run is not None
    assert (run.cost, run.duration_ms, run.client_ref, run.nodes_total, run.failure_code) == (None,) * 5


@law
@given(st.fixed_dictionaries({"id": st.just("r-1")}, optional=dict.fromkeys(FIELDS[1:], json_values)))
def test_no_field_makes_the_reader_fail(payload: dict[str, Any]) -> None:
    run = parse_run(payload)
    assert run is not None
    run.age(0.0)
    run.echoes({"a": 1})
    assert isinstance(run.model, str | None)
    assert isinstance(run.input_digest, str | None)
    orjson.dumps([trimmed(run.raw), trimmed(run.output), [output.url for output in find_outputs(run.output)]])


@law
@given(json_values)
def test_what_is_no_run_is_none(payload: object) -> None:
    if not isinstance(payload, dict):
        assert parse_run(payload) is None


@pytest.mark.parametrize(
    "id_", [None, "", 5.5, True, "x" * 129, ".", "..", "a/b", "a?b", "a#", "a b", "a%2f", "a\n", [], {}]
)
def test_a_run_without_a_usable_id_is_none(id_: object) -> None:
    assert parse_run({"id": id_, "status_code": "queued"}) is None


@pytest.mark.parametrize(
    ("status", "read_as", "terminal"),
    [
        ("queued", "queued", False),
        ("dispatching", "dispatching", False),
        ("running", "running", False),
        ("succeeded", "succeeded", True),
        ("failed", "failed", True),
        ("cancelled", "cancelled", True),
        ("canceled", "cancelled", True),
        ("errored", "failed", True),
        ("SUCCEEDED", "succeeded", True),
        (" Canceled ", "cancelled", True),
        ("partial_succeeded", "partial_succeeded", False),
        ("warming_up", "warming_up", False),
        (None, "unknown", False),
        (7, "unknown", False),
    ],
)
def test_states_are_spelt_in_several_ways(status: object, read_as: str, terminal: bool) -> None:  # noqa: FBT001
    for name in ("status_code", "status"):
        run = parse_run({"id": "r-1", name: status})
        assert run is not None
        assert (run.status, run.terminal) == (read_as, terminal)


def test_the_documented_spelling_of_a_field_wins() -> None:
    run = parse_run(
        {"id": "a", "run_id": "b", "status_code": "running", "status": "failed", "completed_at": "x", "finished_at": ""}
    )
    assert run is not None
    assert (run.id, run.status, run.completed_at) == ("a", "running", "x")


def test_older_spellings_fill_the_gaps() -> None:
    run = parse_run(
        {
            "id": None,
            "run_id": "b",
            "status_code": None,
            "status": "errored",
            "finished_at": "2026-01-01T00:00:00Z",
            "error": {"code": "NSFW", "message": "No."},
        }
    )
    assert run is not None
    assert (run.id, run.status, run.completed_at) == ("b", "failed", "2026-01-01T00:00:00Z")
    assert (run.failure_code, run.failure_message) == ("NSFW", "No.")


def test_a_failure_reason_is_a_failure_message() -> None:
    assert read(failure_reason="No.", error="text").failure_message == "No."
    assert read(failure_message="Yes.", failure_reason="No.").failure_message == "Yes."


@pytest.mark.parametrize(
    ("cost", "read_as"),
    [("0.0400", "0.0400"), (0.04, "0.04"), (2, "2"), (0, "0"), (None, None), (True, None), ([], None)],
)
def test_a_cost_is_a_decimal_string(cost: object, read_as: str | None) -> None:
    assert read(cost=cost).cost == read_as


@pytest.mark.parametrize("cost", [0.00005, 1e-9, 1e22])
def test_a_cost_that_came_as_a_number_is_spelt_without_an_exponent(cost: float) -> None:
    spelt = read(cost=cost).cost
    assert spelt is not None
    assert set(spelt) <= set("0123456789.")
    assert float(spelt) == cost


@pytest.mark.parametrize(
    ("count", "read_as"), [(3, 3), (0, 0), (3.0, 3), (-1, None), (10**9, None), ("3", None), (True, None), (None, None)]
)
def test_a_count_of_steps_is_a_sane_number(count: object, read_as: int | None) -> None:
    run = read(nodes_total=count, nodes_completed=count)
    assert run.nodes_total == run.nodes_completed == read_as


def test_the_raw_run_has_all_but_the_bulk() -> None:
    run = read(input={"a": 1}, logs=["x"], node_runs=[1], links={"self": "y"}, unheard_of=1)
    assert run.raw == {**RUN, "links": {"self": "y"}, "unheard_of": 1}


@pytest.mark.parametrize(
    ("stamp", "age"),
    [
        ("1970-01-01T00:01:40Z", 20.0),
        ("1970-01-01T00:01:40.500Z", 19.5),
        ("1970-01-01T01:01:40+01:00", 20.0),
        ("1970-01-01T00:05:00Z", 0.0),
        ("yesterday", 0.0),
        ("", 0.0),
        (None, 0.0),
        (5, 0.0),
    ],
)
def test_the_age_of_a_run_is_told_by_its_stamp_where_that_can_be_read(stamp: object, age: float) -> None:
    assert read(created_at=stamp).age(120.0) == age


@law
@given(st.text(max_size=30) | st.datetimes(timezones=st.none() | st.timezones()).map(lambda at: at.isoformat()))
def test_no_stamp_makes_the_age_fail(stamp: str) -> None:
    assert read(created_at=stamp).age(0.0) >= 0


# Whether a run was made from an input


def test_a_run_keeps_what_it_was_made_for_and_from() -> None:
    run = read(metadata={"mcp_model": "a/b", "mcp_input_sha256": "abc"})
    assert (run.model, run.input_digest) == ("a/b", "abc")
    nothings: list[Any] = [
        None,
        {},
        {"mcp_model": None, "mcp_input_sha256": None},
        {"mcp_model": 5, "mcp_input_sha256": ""},
    ]
    for nothing in nothings:
        run = read(metadata=nothing)
        assert (run.model, run.input_digest) == (None, None)


def test_an_echoed_input_agrees_when_it_holds_the_given_one() -> None:
    assert read(input={"a": 1}).echoes({"a": 1})
    assert read(input={"a": 1, "filled_in": 2}).echoes({"a": 1})
    assert not read(input={"a": 1}).echoes({"a": 2})
    assert not read(input={"a": 1}).echoes({"a": 1, "b": None})
    assert read(input=None).echoes({"a": 2})
    assert read(input="x").echoes({"a": 2})


def _turned(value: object) -> object:
    if isinstance(value, dict):
        return {name: _turned(value[name]) for name in reversed(value)}
    return [_turned(one) for one in value] if isinstance(value, list) else value


@law
@given(st.dictionaries(st.text(max_size=8), json_values, max_size=5))
def test_a_digest_does_not_depend_on_the_order_of_members(value: dict[str, Any]) -> None:
    turned = _turned(value)
    assert isinstance(turned, dict)
    assert input_digest(value) == input_digest(turned) == input_digest(orjson.loads(orjson.dumps(value)))
    assert len(input_digest(value)) == 64


def test_a_digest_depends_on_everything_else() -> None:
    inputs: list[dict[str, Any]] = [{}, {"a": None}, {"a": 1}, {"a": "1"}, {"a": [1]}, {"a": [1, 2]}, {"a": [2, 1]}]
    assert len(set(map(input_digest, inputs))) == len(inputs)


# Pages of runs


LIMIT = 5
OURS = {"id": "ours", "client_ref": "ref"}


def listed(*items: object, **around: object) -> dict[str, object]:
    return {"items": list(items), "next_pq": None, **around}


def made_for(model: object) -> dict[str, object]:
    return {"metadata": {"mcp_model": model}}


@pytest.mark.parametrize(
    ("payload", "id_"),
    [
        (listed(OURS), "ours"),
        ([OURS], "ours"),
        (listed(OURS, {**OURS, "id": "older"}), "ours"),
        (listed(None, 5, {"no": "id"}, OURS, next_pq="more"), "ours"),
        (listed({**OURS, **made_for("a/b")}), "ours"),
        (listed({**OURS, **made_for(None)}), "ours"),
        (listed({**OURS, "metadata": None}), "ours"),
        (listed({**OURS, "id": 7}), "7"),
        (listed({**OURS, "id": None, "run_id": 7}), "7"),
        (listed({**OURS, "id": "untold"}, {**OURS, **made_for("a/b")}), "ours"),
        (listed({**OURS, "id": "other", **made_for("c/d")}, {**OURS, "metadata": {}}), "ours"),
        (listed({"id": "x", "client_ref": "REF"}, OURS), "ours"),
    ],
)
def test_the_newest_run_that_fits_is_picked(payload: Any, id_: str) -> None:
    run = pick(payload, "a/b", "ref", LIMIT)
    assert run is not None
    assert run.id == id_


@pytest.mark.parametrize(
    "payload",
    [
        listed(),
        [],
        {"items": []},
        listed({"id": "x", "client_ref": "other"}),
        listed({"id": None, "client_ref": "other"}),
        listed({**OURS, **made_for("c/d")}),
        listed({"id": "x", **made_for("c/d")}),
        listed(*[{"id": "x", "client_ref": "other"}] * LIMIT),
    ],
)
def test_a_whole_list_of_other_runs_shows_that_there_is_none(payload: Any) -> None:
    assert pick(payload, "a/b", "ref", LIMIT) is None


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        {"items": None},
        {"items": {}},
        "x",
        5,
        {"code": "X"},
        listed(None),
        listed("ours"),
        listed({**OURS, "id": None}),
        listed({**OURS, "id": "a/b"}),
        listed({**OURS, "client_ref": None}),
        listed({"id": "x"}),
        listed({"id": "x", "client_ref": 5}),
        listed({"id": "x", "client_ref": "other"}, {}),
        listed(next_pq="more"),
        listed({**OURS, **made_for("c/d")}, next_pq="more"),
        {"items": [{"id": "x", "client_ref": "other"}] * LIMIT},
        [{"id": "x", "client_ref": "other"}] * LIMIT,
    ],
)
def test_any_other_list_shows_nothing(payload: Any) -> None:
    with pytest.raises(Unclear):
        pick(payload, "a/b", "ref", LIMIT)


@law
@given(json_values)
def test_no_list_makes_the_picking_fail(payload: Any) -> None:
    for one in (payload, [payload], {"items": [payload]}):
        with contextlib.suppress(Unclear):
            assert pick(one, "a/b", "ref", LIMIT) is None


# When to ask again


@pytest.mark.parametrize(
    ("waited", "delay"), [(0, 2), (29.99, 2), (30, 5), (119.99, 5), (120, 10), (600, 10), (1e9, 10)]
)
def test_polls_grow_rarer_in_steps(waited: float, delay: float) -> None:
    assert poll_delay(waited) == delay


@law
@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_polls_never_grow_more_frequent(one: float, other: float) -> None:
    assert poll_delay(min(one, other)) <= poll_delay(max(one, other))
    assert poll_delay(one) in (2, 5, 10)
