"""Pages of runs: which entries may be the run that is looked up, and whether there is another page."""

from typing import Any

import pytest
from hypothesis import given

from runflow_mcp.runflow.dispatch.run_list import MAX_ENTRIES, MIN_CUT_LENGTH, is_same_ref, read_page, spellings
from tests.protocol.property_settings import json_values, law

LIMIT = 5
RUN = {"id": "run", "client_ref": "ref"}
OTHER = {"id": "x", "client_ref": "other"}
LONG = "Project/" + "a" * 92


def listed(*items: object, **around: object) -> dict[str, object]:
    return {"items": list(items), "next_pq": None, **around}


def made_for(model: object) -> dict[str, object]:
    return {"metadata": {"mcp_model": model}}


def candidates(payload: Any, client_ref: str = "ref") -> list[str]:
    page = read_page(payload, "a/b", client_ref, LIMIT)
    assert page is not None
    return [run.id for run in page.candidates]


@pytest.mark.parametrize(
    ("payload", "ids"),
    [
        (listed(RUN), ["run"]),
        ([RUN], ["run"]),
        (listed(RUN, {**RUN, "id": "older"}), ["run", "older"]),
        (listed({**RUN, **made_for("a/b")}), ["run"]),
        (listed({**RUN, **made_for("A/B ")}), ["run"]),
        (listed({**RUN, **made_for(None)}), ["run"]),
        (listed({**RUN, **made_for("c/d")}), []),
        (listed({**RUN, "metadata": None}), ["run"]),
        (listed({**RUN, "id": 7}), ["7"]),
        (listed({**RUN, "id": None, "run_id": 7}), ["7"]),
        (listed({**RUN, "id": "no-model"}, {**RUN, **made_for("a/b")}), ["run", "no-model"]),
        (listed({"id": "no-ref"}, RUN), ["run", "no-ref"]),
        (listed({"id": "x", "client_ref": " REF"}, RUN), ["run", "x"]),
        (listed({"id": "x", "client_ref": "re"}), []),
        (listed({"id": "x", "client_ref": "reference"}), []),
        (listed(OTHER), []),
    ],
)
def test_candidates_are_the_entries_that_may_be_the_run_best_first(payload: Any, ids: list[str]) -> None:
    assert candidates(payload) == ids


def test_a_numeric_client_ref_is_compared_by_its_digits() -> None:
    assert candidates(listed({"id": "x", "client_ref": 17}), "17") == ["x"]


def test_the_first_entries_of_an_endless_page_are_read_and_the_others_reported() -> None:
    page = read_page(listed(*[OTHER] * (MAX_ENTRIES - 1), RUN, RUN), "a/b", "ref", LIMIT)
    assert page is not None
    assert ([run.id for run in page.candidates], page.unreadable) == (["run"], True)
    page = read_page(listed(*[OTHER] * (MAX_ENTRIES - 1), RUN), "a/b", "ref", LIMIT)
    assert page is not None
    assert (len(page.candidates), page.unreadable) == (1, False)


@pytest.mark.parametrize("length", [MIN_CUT_LENGTH, 32, 64, 99])
def test_a_listed_client_ref_may_be_a_long_beginning_of_the_orders(length: int) -> None:
    assert candidates(listed({"id": "x", "client_ref": LONG[:length].lower()}), LONG) == ["x"]
    assert candidates(listed({"id": "x", "client_ref": LONG[: MIN_CUT_LENGTH - 1]}), LONG) == []


@pytest.mark.parametrize("upstream", ["job-10", "JOB-10", "job-1", "j", " job-10 "])
def test_a_client_ref_in_the_answer_to_a_post_may_be_any_beginning_of_the_orders(upstream: str) -> None:
    assert is_same_ref(upstream, "Job-10")


@pytest.mark.parametrize("upstream", ["job-100", "ob-10", "job-2", "x"])
def test_a_client_ref_that_is_not_a_beginning_is_another(upstream: str) -> None:
    assert not is_same_ref(upstream, "Job-10")


def test_a_client_ref_is_looked_up_in_each_form_that_an_upstream_may_store() -> None:
    assert spellings("job-10") == ("job-10",)
    assert spellings("Job-10") == ("Job-10", "job-10")
    assert spellings("mcp-" + "0" * 32) == ("mcp-" + "0" * 32,)
    assert spellings(LONG) == (LONG, LONG[:64], LONG.lower(), LONG[:64].lower())
    assert spellings("x" * 200) == ("x" * 200, "x" * 128, "x" * 64)


@pytest.mark.parametrize("payload", [None, {}, {"items": None}, {"items": {}}, "x", 5, {"code": "X"}])
def test_a_payload_without_a_list_is_not_a_page(payload: Any) -> None:
    assert read_page(payload, "a/b", "ref", LIMIT) is None


@pytest.mark.parametrize(
    ("item", "unreadable"),
    [
        (None, True),
        ("run", True),
        ({}, True),
        ({**RUN, "id": None}, True),
        ({**RUN, "id": "a/b"}, True),
        ({**RUN, "id": None, **made_for("c/d")}, False),
        ({**OTHER, "id": None}, False),
        (RUN, False),
        ({"id": "x"}, False),
    ],
)
def test_an_entry_that_may_be_the_run_and_cannot_be_read_is_reported(item: object, *, unreadable: bool) -> None:
    page = read_page(listed(item), "a/b", "ref", LIMIT)
    assert page is not None
    assert page.unreadable is unreadable


@pytest.mark.parametrize(
    ("payload", "more", "next_pq"),
    [
        (listed(), False, None),
        ({"items": []}, False, None),
        ([], False, None),
        (listed(next_pq=""), False, None),
        (listed(next_pq="abc"), True, "abc"),
        (listed(next_pq=50), True, "50"),
        (listed(next_pq=True), True, None),
        (listed(next_pq={"from": 5}), True, None),
        (listed(*[OTHER] * LIMIT), False, None),
        ({"items": [OTHER] * LIMIT}, True, None),
        ([OTHER] * LIMIT, True, None),
        ([OTHER] * (LIMIT - 1), False, None),
    ],
)
def test_a_page_says_whether_there_is_more(payload: Any, more: bool, next_pq: str | None) -> None:  # noqa: FBT001
    page = read_page(payload, "a/b", "ref", LIMIT)
    assert page is not None
    assert (page.more, page.next_pq) == (more, next_pq)


@law
@given(json_values)
def test_reading_a_page_never_fails(payload: Any) -> None:
    for page in (payload, [payload], {"items": [payload], "next_pq": payload}):
        read_page(page, "a/b", "ref", LIMIT)
