"""Counting the JSON values of a request without parsing it, and cutting the texts that quote it."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp import bounds
from tests.protocol.property_settings import json_values, law


def weight(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(weight, inner))


@law
@given(json_values, st.booleans(), st.integers(1, 30))
def test_json_values_are_counted_as_the_parser_makes_them(value: Any, indented: bool, limit: int) -> None:  # noqa: FBT001
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indented else None)
    assert bounds.has_too_many_values(text, limit) == (weight(value) > limit)


@law
@given(st.text(alphabet='\\"{}[],: x', max_size=40).map(lambda text: {text: [text, {text: text}]}), st.integers(1, 8))
def test_brackets_and_commas_inside_strings_do_not_count(value: Any, limit: int) -> None:
    assert bounds.has_too_many_values(orjson.dumps(value), limit) == (weight(value) > limit)


@law
@given(st.binary(max_size=300), st.integers(1, 20))
def test_any_bytes_can_be_counted_without_an_exception(text: bytes, limit: int) -> None:
    assert isinstance(bounds.has_too_many_values(text, limit), bool)


@law
@given(st.text(max_size=200), st.integers(1, 80))
def test_a_quoted_text_is_short_and_printable(text: str, limit: int) -> None:
    quoted = bounds.quote(text, limit)
    assert len(quoted) <= limit + 1
    assert quoted.isprintable()
    if text.isprintable() and len(text) <= limit:
        assert quoted == text


@pytest.mark.parametrize(("count", "more"), [(1, ""), (10, ""), (11, " and 1 more"), (29_000, " and 28,990 more")])
def test_at_most_ten_names_are_quoted(count: int, more: str) -> None:
    quoted = bounds.quote_all([f"n{number}" for number in range(count)])
    assert quoted == ", ".join(f"n{number}" for number in range(min(count, 10))) + more


@law
@given(st.text(max_size=100), st.integers(4, 60))
def test_a_truncated_text_fits_and_is_a_prefix_of_the_original(text: str, limit: int) -> None:
    truncated = bounds.truncate(text, limit)
    assert len(truncated.encode()) <= limit
    assert truncated == text or text.startswith(truncated.removesuffix("…"))
