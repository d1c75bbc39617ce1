"""When a signed link expires, by the storage services' own query parameters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.runflow.reading.link_expiry import link_expiry

BASE = "https://storage.example.com/out/0.png"


@pytest.mark.parametrize(
    ("query", "expires"),
    [
        ("X-Amz-Date=20260131T120000Z&X-Amz-Expires=3600&X-Amz-Signature=ab", "2026-01-31T13:00:00Z"),
        ("X-Amz-Expires=604800&x=1&X-Amz-Date=20260131T120000Z", "2026-02-07T12:00:00Z"),
        ("x-amz-date=20260131T120000Z&x-amz-expires=60", "2026-01-31T12:01:00Z"),
        ("X-Goog-Date=20260131T120000Z&X-Goog-Expires=900", "2026-01-31T12:15:00Z"),
        ("GoogleAccessId=a&Expires=1769860800&Signature=b", "2026-01-31T12:00:00Z"),
        ("Expires=1769860800&Key-Pair-Id=K&Signature=b#part", "2026-01-31T12:00:00Z"),
        ("sv=2022-11-02&se=2026-01-31T12%3A00%3A00Z&sig=a", "2026-01-31T12:00:00Z"),
        ("se=2026-01-31T12:00:00.0000000Z&sig=a", "2026-01-31T12:00:00Z"),
        ("se=2026-01-31T13%3A00%3A00%2B01%3A00", "2026-01-31T12:00:00Z"),
        ("se=2026-01-31&sig=a", "2026-01-31T00:00:00Z"),
    ],
)
def test_a_signed_link_says_when_it_expires(query: str, expires: str) -> None:
    assert link_expiry(f"{BASE}?{query}") == expires


@pytest.mark.parametrize(
    "query",
    [
        "",
        "Signature=a",
        "X-Amz-Expires=3600",
        "X-Amz-Date=20260131T120000Z",
        "X-Amz-Date=yesterday&X-Amz-Expires=3600",
        "X-Amz-Date=20260131T120000Z&X-Amz-Expires=soon",
        "X-Amz-Date=20260131T120000Z&X-Amz-Expires=-1",
        "X-Amz-Date=20260131T120000Z&X-Amz-Expires=99999999999999999999",
        "X-Amz-Date=99990131T120000Z&X-Amz-Expires=300000000",
        "Expires=3600",
        "Expires=99999999999999",
        "expires_in=1769860800",
        "NotExpires=1769860800",
        "se=never",
        "se=2026-01-31T12:00:00",
        "use=2026-01-31",
    ],
)
def test_a_link_that_does_not_say_has_no_expiry(query: str) -> None:
    assert link_expiry(f"{BASE}?{query}") is None


def test_a_link_without_a_query_has_no_expiry() -> None:
    assert link_expiry(BASE) is None


@given(st.text(), st.sampled_from(["Expires", "se", "X-Amz-Date=20260131T120000Z&X-Amz-Expires", "X-Goog-Date"]))
def test_reading_never_fails(text: str, name: str) -> None:
    link_expiry(f"{BASE}?{name}={text}")
