"""A run read from whatever upstream sends, and the pauses between polls."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.runflow.reading.trimming import trimmed
from runflow_mcp.runflow.runs.outputs import find_outputs
from runflow_mcp.runflow.runs.polling import poll_delay
from runflow_mcp.runflow.runs.run import Run, parse_run, unread_run
from tests.protocol.property_settings import json_values, law

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


def test_a_run_needs_nothing_but_an_id() -> None:
    run = parse_run({"id": "r-1"})
    assert run is not None
    assert (run.id, run.terminal, run.metadata) == ("r-1", False, {})


def test_every_field_of_a_run_but_the_id_may_be_null() -> None:
    run = parse_run(dict.fromkeys(FIELDS) | {"id": "r-1"})
    assert run is not None
    assert (run.cost, run.duration_ms, run.client_ref, run.nodes_total, run.failure_code) == (None,) * 5


@law
@given(st.fixed_dictionaries({"id": st.just("r-1")}, optional=dict.fromkeys(FIELDS[1:], json_values)))
def test_reading_a_run_never_fails(payload: dict[str, Any]) -> None:
    run = parse_run(payload)
    assert run is not None
    run.age(0.0)
    assert isinstance(run.model, str | None)
    assert isinstance(run.input_digest, str | None)
    orjson.dumps([trimmed(run.raw), trimmed(run.output), [output.url for output in find_outputs(run.output)]])


@law
@given(json_values)
def test_a_payload_that_is_not_a_run_is_read_as_none(payload: object) -> None:
    if not isinstance(payload, dict):
        assert parse_run(payload) is None


@pytest.mark.parametrize(
    "id_", [None, "", 5.5, True, "x" * 129, ".", "..", "a/b", "a?b", "a#", "a b", "a%2f", "a\n", [], {}]
)
def test_a_run_without_a_usable_id_is_read_as_none(id_: object) -> None:
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
        ("Aborted", "cancelled", True),
        ("completed", "succeeded", True),
        ("Complete", "succeeded", True),
        ("SUCCESS", "succeeded", True),
        ("Successful", "succeeded", True),
        ("error", "failed", True),
        ("FAILURE", "failed", True),
        ("timeout", "failed", True),
        ("timed_out", "failed", True),
        ("TIMED-OUT", "failed", True),
        ("Timed out", "failed", True),
        ("expired", "failed", True),
        ("rejected", "failed", True),
        ("killed", "failed", True),
        ("Time-out", "failed", True),
        ("Stopped", "cancelled", True),
        ("TERMINATED", "cancelled", True),
        ("done", "succeeded", True),
        ("finished", "succeeded", True),
        ("partial_succeeded", "partial_succeeded", False),
        ("warming_up", "warming_up", False),
        (None, "unknown", False),
        (7, "unknown", False),
        ({"code": "failed"}, "unknown", False),
        (["failed"], "unknown", False),
    ],
)
def test_states_are_spelt_in_several_ways(status: object, read_as: str, terminal: bool) -> None:  # noqa: FBT001
    for name in ("status_code", "status", "state"):
        run = parse_run({"id": "r-1", name: status})
        assert run is not None
        assert (run.status, run.terminal) == (read_as, terminal)


@pytest.mark.parametrize("state", ["archived", "partial_succeeded", None, 7, "unknown"])
@pytest.mark.parametrize("ended", [{"completed_at": "2026-01-01T00:00:00Z"}, {"finished_at": 1_767_225_600}])
@pytest.mark.parametrize(
    ("shows", "read_as"),
    [
        ({"output": {"url": URL}}, "succeeded"),
        ({"outputs": [URL]}, "succeeded"),
        ({"output": {"url": URL}, "failure_code": "NSFW"}, "failed"),
        ({"error": {"message": "No."}}, "failed"),
        ({"error": "No."}, "failed"),
        ({}, "failed"),
    ],
)
def test_how_a_run_ended_in_an_unknown_state_follows_from_its_other_fields(
    state: object, ended: dict[str, object], shows: dict[str, object], read_as: str
) -> None:
    assert read(status_code=state, **ended, **shows).status == read_as


@pytest.mark.parametrize("state", ["queued", "dispatching", "Running"])
def test_a_run_in_a_documented_active_state_has_not_ended_whatever_else_it_says(state: str) -> None:
    assert not read(status_code=state, completed_at="2026-01-01T00:00:00Z", output=[URL]).terminal


@pytest.mark.parametrize("state", ["done", "finished", "ended"])
def test_a_run_that_has_ended_with_a_failure_has_failed(state: str) -> None:
    assert read(status_code=state, failure_code="NSFW").status == "failed"


@pytest.mark.parametrize("state", ["archived", "unknown", None])
def test_a_run_in_an_unknown_state_has_not_ended(state: object) -> None:
    assert not read(status_code=state, completed_at=None, finished_at="", output=[URL]).terminal


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({"output": [URL]}, [URL]),
        ({"output": None, "outputs": [URL]}, [URL]),
        ({"result": {"url": URL}}, {"url": URL}),
        ({"output": {}, "outputs": [], "result": {"url": URL}}, {"url": URL}),
        ({"output": [URL], "outputs": ["https://cdn.example.com/b.png"], "result": "x"}, [URL]),
        ({"output": None, "results": [URL]}, [URL]),
        ({"artifacts": [URL]}, [URL]),
        ({"response": {"url": URL}}, {"url": URL}),
        ({"output": [], "data": {"url": URL}}, {"url": URL}),
        ({"files": [URL], "result": None}, [URL]),
        ({"output": {}}, {}),
        ({}, None),
    ],
    ids=repr,
)
def test_an_output_is_read_under_each_of_its_names(fields: dict[str, object], output: object) -> None:
    assert read(**fields).output == output


def test_an_unread_run_has_nothing_but_its_id_and_client_ref() -> None:
    run = unread_run("r-1", "ref")
    assert (run.id, run.client_ref, run.status, run.terminal, run.model) == ("r-1", "ref", "unknown", False, None)


def test_the_documented_spelling_of_a_field_wins() -> None:
    run = parse_run(
        {"id": "a", "run_id": "b", "status_code": "running", "status": "failed", "completed_at": "x", "finished_at": ""}
    )
    assert run is not None
    assert (run.id, run.status, run.completed_at) == ("a", "running", "x")


def test_other_spellings_of_a_field_fill_gaps() -> None:
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


def test_a_failure_reason_is_read_as_the_failure_message() -> None:
    assert read(failure_reason="No.", error="text").failure_message == "No."
    assert read(failure_message="Yes.", failure_reason="No.").failure_message == "Yes."


@pytest.mark.parametrize(
    ("cost", "read_as"),
    [("0.0400", "0.0400"), (0.04, "0.04"), (2, "2"), (0, "0"), (None, None), (True, None), ([], None)],
)
def test_a_cost_is_read_as_a_decimal_string(cost: object, read_as: str | None) -> None:
    assert read(cost=cost).cost == read_as


@pytest.mark.parametrize("cost", [0.00005, 1e-9, 1e22])
def test_a_cost_that_is_a_number_is_written_without_an_exponent(cost: float) -> None:
    spelt = read(cost=cost).cost
    assert spelt is not None
    assert set(spelt) <= set("0123456789.")
    assert float(spelt) == cost


@pytest.mark.parametrize(
    ("count", "read_as"), [(3, 3), (0, 0), (3.0, 3), (-1, None), (10**9, None), ("3", None), (True, None), (None, None)]
)
def test_a_count_of_nodes_is_a_number_of_plausible_size(count: object, read_as: int | None) -> None:
    run = read(nodes_total=count, nodes_completed=count)
    assert run.nodes_total == run.nodes_completed == read_as


def test_the_raw_run_has_everything_but_input_logs_and_nodes() -> None:
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
def test_the_age_of_a_run_follows_from_a_readable_created_at(stamp: object, age: float) -> None:
    assert read(created_at=stamp).age(120.0) == age


@law
@given(st.text(max_size=30) | st.datetimes(timezones=st.none() | st.timezones()).map(lambda at: at.isoformat()))
def test_computing_the_age_never_fails(stamp: str) -> None:
    assert read(created_at=stamp).age(0.0) >= 0


# What a run was made for


def test_a_run_shows_the_model_and_input_digest_that_it_was_created_with() -> None:
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


# When to ask again


@pytest.mark.parametrize(
    ("waited", "delay"), [(0, 2), (29.99, 2), (30, 5), (119.99, 5), (120, 10), (600, 10), (1e9, 10)]
)
def test_polls_grow_rarer_in_steps(waited: float, delay: float) -> None:
    assert poll_delay(waited) == delay


@law
@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_polls_never_grow_more_frequent(earlier: float, later: float) -> None:
    assert poll_delay(min(earlier, later)) <= poll_delay(max(earlier, later))
    assert poll_delay(earlier) in (2, 5, 10)
