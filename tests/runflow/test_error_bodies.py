"""What error bodies say, in each of the shapes that upstreams, frameworks and gateways give them."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.runflow.reading.error_bodies import read_error_body
from tests.protocol.property_settings import json_values, law

#: body → (code, message, errors; None: as they stand in the body)
BODIES: dict[str, tuple[object, str | None, str | None, list[Any] | None]] = {
    "flat": ({"code": "PERMISSION_DENIED", "message": "No.", "errors": None}, "permission_denied", "No.", []),
    "wrapped": ({"error": {"code": "CONFLICT", "message": "Used."}}, "conflict", "Used.", []),
    "wrapped with errors": ({"error": {"code": "X", "errors": [{"type": "a"}]}}, "x", None, [{"type": "a"}]),
    "a screaming type wins": ({"code": "BAD_REQUEST", "errors": [{"type": "MODEL_GONE"}]}, "model_gone", None, None),
    "a quiet type does not": (
        {"code": "VALIDATION_ERROR", "errors": [{"type": "missing"}]},
        "validation_error",
        None,
        None,
    ),
    "a quiet type alone": ({"errors": [{"type": "missing"}]}, "missing", None, None),
    "only the first error counts": ({"errors": [{"type": "a"}, {"type": "B_C"}]}, "a", None, None),
    "a code in lower case": ({"code": "rate_limited"}, "rate_limited", None, []),
    "a code with a dash": ({"code": "RATE-LIMITED"}, None, None, []),
    "a code with a space": ({"code": "Not Found"}, None, None, []),
    "a code with a line feed": ({"code": "NOT_FOUND\n"}, None, None, []),
    "a code of 64": ({"code": "x" * 64}, "x" * 64, None, []),
    "a code of 65": ({"code": "x" * 65}, None, None, []),
    "a code that is no text": ({"code": 404, "message": "m"}, None, "m", []),
    "an empty code": ({"code": "", "errors": [{"type": "missing"}]}, "missing", None, None),
    "a foreign letter": ({"code": "ſ"}, None, None, []),
    "a type that is no text": ({"code": "A", "errors": [{"type": 5}]}, "a", None, None),
    "errors of texts": ({"code": "A", "errors": ["x", None]}, "a", "x", ["x", None]),
    "errors that are no list": ({"code": "A", "errors": {"x": 1}}, "a", None, [{"x": 1}]),
    "a message that is no text": ({"code": "A", "message": {"x": 1}}, "a", None, []),
    "a message of 500": ({"message": "x" * 600}, None, "x" * 500, []),
    "error as a text": ({"error": "invalid", "code": "A"}, "a", "invalid", []),
    "a code of digits": ({"code": "422", "message": "m"}, None, "m", []),
    "problem details": ({"title": "No", "status": 400, "detail": "x"}, None, "x", []),
    "no credit in the singular": ({"code": "INSUFFICIENT_CREDIT"}, "insufficient_credits", None, []),
    "no credit in a later error": (
        {"code": "BAD_REQUEST", "errors": [{"type": "A"}, {"type": "insufficient_credit"}]},
        "insufficient_credits",
        None,
        None,
    ),
    "no object": ([1], None, None, [1]),
    "null": (None, None, None, []),
}


@pytest.mark.parametrize(("body", "code", "message", "errors"), BODIES.values(), ids=BODIES)
def test_error_bodies_are_read_in_each_of_their_shapes(
    body: object, code: str | None, message: str | None, errors: list[Any] | None
) -> None:
    read = read_error_body(body)
    assert (read.code, read.reason) == (code, message)
    assert read.errors == (errors if errors is not None else body["errors"] if isinstance(body, dict) else [])


@law
@given(
    json_values
    | st.fixed_dictionaries(
        {},
        optional={
            "code": json_values | st.sampled_from(["A_B", "a-b"]),
            "message": json_values,
            "errors": json_values | st.lists(st.fixed_dictionaries({"type": json_values | st.just("A_B")})),
            "error": json_values,
        },
    )
)
def test_reading_an_error_body_never_fails(body: object) -> None:
    read = read_error_body(body)
    assert read.code is None or re.fullmatch("[a-z0-9_]{1,64}", read.code)
    assert read.reason is None or (0 < len(read.reason) <= 500 and not re.search(r"[\x00-\x1f\u2028]", read.reason))
    assert isinstance(read.errors, list)
