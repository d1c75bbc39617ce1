"""Progress as MCP requires it: strictly increasing, never past the total, with the client's own token."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError
from runflow_mcp.protocol.meta import read_meta
from runflow_mcp.protocol.progress import Progress, read_progress_token
from tests.protocol.property_settings import json_values, law

DAY = 86_400.0


@attrs.frozen
class Report:
    """What one poll returns; ``later``: seconds since the previous poll."""

    completed: int | None
    total: int | None
    later: float


steps = st.none() | st.integers(0, 12) | st.integers(0, 999_999)
reports = st.lists(
    st.builds(Report, steps, steps, st.floats(0, 600) | st.just(0.0)),
    min_size=1,
    max_size=40,
)


def notifications(course: list[Report], *, done: bool) -> list[dict[str, Any]]:
    progress, elapsed, sent = Progress("t"), 0.0, []
    for number, report in enumerate(course, 1):
        elapsed = min(elapsed + report.later, DAY)
        sent.append(
            progress.advance(
                completed=report.completed,
                total=report.total,
                elapsed=elapsed,
                done=done and number == len(course),
                message="running",
            )
        )
    return sent


@law
@given(reports, st.booleans())
def test_progress_strictly_increases_and_never_passes_its_total(course: list[Report], done: bool) -> None:  # noqa: FBT001
    last = float("-inf")
    for params in notifications(course, done=done):
        assert params["progress"] > last
        assert params["progress"] <= params.get("total", float("inf"))
        assert params["progress"] >= 0
        last = params["progress"]


@law
@given(reports)
def test_once_sent_a_total_is_in_every_later_notification(course: list[Report]) -> None:
    has_total = ["total" in params for params in notifications(course, done=False)]
    assert has_total == sorted(has_total)


@law
@given(st.lists(st.integers(0, 7), min_size=1, max_size=20), st.floats(0.1, 60))
def test_progress_is_the_completed_steps_and_a_fraction(completed: list[int], later: float) -> None:
    course = [Report(count, 7, later) for count in sorted(completed)]
    for report, params in zip(course, notifications(course, done=False), strict=True):
        assert params["total"] == 7
        assert min(report.completed or 0, 6) <= params["progress"] <= min((report.completed or 0) + 1, 7)


def test_the_last_progress_equals_the_total() -> None:
    course = [Report(None, None, 0), Report(0, 3, 2), Report(2, 3, 2), Report(3, 3, 2)]
    sent = notifications(course, done=True)
    assert "total" not in sent[0]
    assert (sent[-1]["progress"], sent[-1]["total"]) == (3, 3)
    assert all(params["progress"] < 3 for params in sent[:-1])


def test_progress_moves_while_upstream_reports_nothing() -> None:
    sent = notifications([Report(None, None, 10)] * 60, done=True)
    assert all(0 < params["progress"] < 1 for params in sent)
    assert all("total" not in params for params in sent)


def test_progress_does_not_go_back_when_upstream_reports_fewer_steps() -> None:
    sent = notifications([Report(3, 5, 5), Report(1, 5, 5), Report(None, None, 5)], done=False)
    assert [params["progress"] >= 3 for params in sent] == [True, True, True]


@pytest.mark.parametrize("total", [1, 2, 5])
def test_a_total_that_shrinks_below_the_progress_keeps_it_in_order(total: int) -> None:
    sent = notifications([Report(5, 10, 1), Report(5, total, 1), Report(5, total, 1)], done=True)
    assert all(params["progress"] <= params["total"] for params in sent)


@pytest.mark.parametrize("total", [0, None])
def test_zero_steps_are_not_a_total(total: int | None) -> None:
    assert "total" not in notifications([Report(0, total, 1)], done=False)[0]


@pytest.mark.parametrize("token", [0, "", "t", -1, 2**53])
def test_a_notification_carries_the_token_and_the_message(token: str | int) -> None:
    params = Progress(token).advance(completed=1, total=3, elapsed=0, done=False, message="running, 1 of 3 steps, 0 s")
    assert params == {"progressToken": token, "progress": 1.0, "total": 3, "message": "running, 1 of 3 steps, 0 s"}
    assert type(params["progressToken"]) is type(token)


# Tokens


@pytest.mark.parametrize("token", [0, 1, -1, "", "0", "abc", 2**63])
def test_a_string_or_an_integer_is_a_token(token: str | int) -> None:
    found = read_progress_token({"progressToken": token})
    assert found == token
    assert type(found) is type(token)


@pytest.mark.parametrize("token", ["x" * 1025, "é" * 513, "x" * 250_000])
def test_a_token_over_one_kilobyte_is_rejected(token: str) -> None:
    assert read_progress_token({"progressToken": "x" * 1024}) == "x" * 1024
    with pytest.raises(ProtocolError) as caught:
        read_progress_token({"progressToken": token})
    assert caught.value.code == ErrorCode.INVALID_PARAMS
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("token", [None, True, False, 0.0, 1.5, [], {}, ["a"]])
def test_a_value_of_another_type_is_not_a_token(token: object) -> None:
    assert read_progress_token({"progressToken": token}) is None


@pytest.mark.parametrize("params", [{}, {"_meta": None}, {"_meta": {}}, {"_meta": []}, {"_meta": "progressToken"}])
def test_without_a_token_no_progress_is_requested(params: dict[str, Any]) -> None:
    assert read_progress_token(read_meta(params)) is None


@law
@given(json_values)
def test_no_meta_makes_the_token_reader_fail(meta: object) -> None:
    token = read_progress_token(read_meta({"_meta": meta}))
    assert token is None or isinstance(token, str | int)
