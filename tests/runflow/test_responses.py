"""What each answer of Runflow's API means, without a connection: status, headers and body in, JSON or an error out."""

import time
import traceback
from email.utils import formatdate
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.credentials import Bearer
from runflow_mcp.json_types import JSON
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError
from runflow_mcp.runflow.api.responses import MAX_PLAIN_TEXT, Response, read_response, read_run, retry_after
from runflow_mcp.runflow.reading.trimming import trimmed
from runflow_mcp.runflow.runs.run import Run
from tests.protocol.property_settings import json_values, law
from tests.serving import KEY
from tests.virtual_time import EPOCH

BEARER = Bearer(KEY)
PATH = "/v1/runs/r-1"
API = "https://api.example.com"
RUN_ID = "018f3c9e-8f3a-7c3e-9b1a-00000000000a"


def read(status: int, body: bytes, **headers: str) -> JSON:
    return read_response(Response(status, headers, body), PATH, BEARER, EPOCH)


def error(status: int, body: object = b"", headers: dict[str, str] | None = None) -> UpstreamError:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    with pytest.raises(UpstreamError) as caught:
        read_response(Response(status, headers or {}, content), PATH, BEARER, EPOCH)
    assert caught.value.path == PATH
    return caught.value


def run_in(body: bytes, run_id: str | None = None) -> Run:
    return read_run(read(200, body), PATH, API, run_id)


# Success


@pytest.mark.parametrize("status", [200, 201, 202, 299])
@pytest.mark.parametrize("payload", [{"id": "r-1"}, [], "text", 0, False, {"a": "ä\n"}])
def test_any_2xx_is_read_as_its_json(status: int, payload: object) -> None:
    assert read(status, orjson.dumps(payload)) == payload


@law
@given(json_values)
def test_json_is_passed_on_unchanged(payload: object) -> None:
    if payload is not None:
        assert read(200, orjson.dumps(payload)) == payload


@pytest.mark.parametrize("status", [200, 201, 204])
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"null", b'{"id":"', b"\xff", b"[" * 100_000], ids=lambda body: body[:9]
)
def test_a_2xx_that_is_not_json_leaves_the_outcome_unknown(status: int, body: bytes) -> None:
    unreadable = error(status, body)
    assert (unreadable.outcome, unreadable.status) == (Outcome.UNKNOWN, status)
    assert unreadable.reason == "Runflow sent an answer that is not JSON"


@pytest.mark.parametrize("body", [b"[]", b"{}", b'"x"', b"5", b'{"id":null}', b'{"id":"a/b"}', b'{"id":""}'])
def test_an_answer_without_a_run_leaves_the_outcome_unknown(body: bytes) -> None:
    with pytest.raises(UpstreamError, match="without an id") as caught:
        run_in(body)
    assert (caught.value.outcome, caught.value.answered) == (Outcome.UNKNOWN, True)


def test_a_run_is_read_with_the_relative_addresses_of_its_outputs_completed() -> None:
    run = run_in(orjson.dumps({"run_id": RUN_ID, "status": "succeeded", "output": {"url": "/files/a.png"}}))
    assert (run.id, run.status) == (RUN_ID, "succeeded")
    assert [output.url for output in run.outputs] == [f"{API}/files/a.png"]


@pytest.mark.parametrize("id_", [RUN_ID, RUN_ID.upper()])
def test_the_id_of_a_run_may_change_its_case(id_: str) -> None:
    assert run_in(orjson.dumps({"id": id_}), RUN_ID).id == id_


def test_a_run_with_another_id_than_was_asked_for_is_an_error() -> None:
    with pytest.raises(UpstreamError, match="another run") as caught:
        run_in(orjson.dumps({"id": f"{RUN_ID}0"}), RUN_ID)
    assert caught.value.outcome is Outcome.UNKNOWN


# Errors

OUTCOMES = {
    Outcome.REFUSED: (300, 302, 303, 400, 401, 402, 403, 404, 409, 418, 422),
    Outcome.UNKNOWN: (408, 500, 502, 504, 524),
    Outcome.BUSY: (429, 503),
}


@pytest.mark.parametrize("body", [b"", b"<html><h1>Bad Gateway</h1></html>", b'{"code":'], ids=["bare", "html", "torn"])
@pytest.mark.parametrize(
    ("outcome", "status"), [(o, status) for o, statuses in OUTCOMES.items() for status in statuses]
)
def test_a_status_without_a_readable_body_is_enough(outcome: Outcome, status: int, body: bytes) -> None:
    bare = error(status, body)
    assert (bare.outcome, bare.status) == (outcome, status)
    assert (bare.code, bare.message, bare.errors, bare.answered) == (None, None, [], False)
    assert "Bad Gateway" not in bare.reason
    assert str(status) in bare.reason


def test_an_error_body_gives_code_message_and_errors() -> None:
    errors = [{"type": "missing", "loc": ["body", "input", "image_url"], "msg": "Field required"}]
    refused = error(422, {"code": "VALIDATION_ERROR", "message": "Wrong input.", "errors": errors})
    assert (refused.code, refused.message, refused.errors) == ("validation_error", "Wrong input.", errors)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_named_as_one(status: int) -> None:
    assert error(status).reason == f"Runflow answered HTTP {status}, a redirect, which is not followed"


@pytest.mark.parametrize(
    ("status", "headers", "body", "message"),
    [
        (403, {}, b"Not on this network.", "Not on this network."),
        (403, {"Content-Type": "text/plain; charset=utf-8"}, b"Not on this network.", "Not on this network."),
        (403, {"Content-Type": "TEXT/HTML; charset=utf-8"}, b"Not on this network.", None),
        (502, {"Content-Type": "text/plain"}, b"panic at db.internal:5432", None),
        (400, {}, b"\xff\xfe", None),
        (400, {}, f"The key {KEY} is bad.".encode(), f"The key [key {BEARER.fingerprint}] is bad."),
        (400, {}, b"x" * (2 * MAX_PLAIN_TEXT), "x" * 500),
    ],
)
def test_plain_text_is_a_message_in_a_4xx_alone(
    status: int, headers: dict[str, str], body: bytes, message: str | None
) -> None:
    assert error(status, body, headers).message == message


# The key

ECHOES: dict[str, dict[str, Any]] = {
    "in the message": {"code": "UNAUTHORIZED", "message": f"Key {KEY} is bad"},
    "in the errors": {"code": "X", "message": "m", "errors": [{"type": "x", "input": {"h": [f"Bearer {KEY}"]}}]},
    "as a name": {"code": "X", "message": "m", "errors": [{KEY: 1}]},
    "in the code": {"code": KEY, "message": "m", "errors": [{"type": KEY}]},
    "deep down": {"code": "X", "message": "m", "errors": [[[[[[[{"a": {"b": KEY}}]]]]]]]},
}


def escaped(content: bytes) -> bytes:
    """The same JSON, with the key in an unusual spelling."""
    return content.replace(b"rf_live", b"\\u0072f\\u005flive")


@pytest.mark.parametrize("body", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize("spelling", [bytes, escaped])
def test_a_key_that_an_error_echoes_is_masked(body: dict[str, Any], spelling: Any) -> None:
    refused = error(400, spelling(orjson.dumps(body)))
    shown = repr(refused) + str(refused) + str(refused.errors) + "".join(traceback.format_exception(refused))
    assert KEY not in shown
    if KEY in body["message"]:
        assert BEARER.fingerprint in str(refused.message)


@pytest.mark.parametrize("spelling", [bytes, escaped])
def test_a_key_that_a_run_echoes_is_masked(spelling: Any) -> None:
    payload = {"id": RUN_ID, "output": {"a": [f"x {KEY}"]}, "metadata": {"k": KEY}, "links": {KEY: KEY}}
    run = run_in(spelling(orjson.dumps(payload)))
    assert KEY not in repr(run)
    assert BEARER.fingerprint in str(run.output)


# Depth


def test_json_that_is_nested_too_deeply_to_be_written_is_cut() -> None:
    run = run_in(b'{"id":"r-1","output":' + b"[" * 900 + b'"https://a/b.png"' + b"]" * 900 + b"}")
    shown = {"output": trimmed(run.output), "details": {"run": trimmed(run.raw)}}
    assert b"nested too deeply" in orjson.dumps({"result": {"structuredContent": shown}})


def test_a_key_in_an_unusual_spelling_is_masked_beside_deep_nesting() -> None:
    hidden = KEY.encode().replace(b"_", b"\\u005f")
    run = run_in(b'{"id":"r-1","a":"' + hidden + b'","output":' + b"[" * 900 + b'"' + hidden + b'"' + b"]" * 900 + b"}")
    assert KEY not in repr(run)
    assert BEARER.fingerprint in run.raw["a"]


# Retry-After


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("60", 60),
        ("61", 60),
        ("9" * 400, 60),
        (formatdate(EPOCH + 12, usegmt=True), 12),
        (formatdate(EPOCH - 12, usegmt=True), 0),
        (formatdate(EPOCH + 86400, usegmt=True), 60),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("²", None),
        ("Mon, 99 Foo 2026 99:99:99 GMT", None),
        (None, None),
    ],
)
def test_retry_after_is_a_count_or_a_date_within_a_minute(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, EPOCH) == (None if seconds is None else pytest.approx(seconds))


@law
@given(st.text(max_size=30) | st.integers().map(str) | st.floats(0, 4e9).map(lambda at: formatdate(at, usegmt=True)))
def test_retry_after_is_nothing_or_between_0_and_60(value: str) -> None:
    seconds = retry_after(value, EPOCH)
    assert seconds is None or 0 <= seconds <= 60


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "UTC"])
def test_a_retry_after_date_does_not_depend_on_where_the_server_stands(
    monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert retry_after(formatdate(EPOCH + 12, usegmt=True), EPOCH) == pytest.approx(12)
        assert retry_after(formatdate(EPOCH + 12, usegmt=False), EPOCH) == pytest.approx(12)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (503, {"Retry-After": "7"}, 7),
        (429, {}, None),
        (429, {"Retry-After": formatdate(EPOCH + 20, usegmt=True)}, 20),
        (500, {"Retry-After": "3"}, 3),
    ],
)
def test_an_error_says_when_to_come_back(status: int, headers: dict[str, str], seconds: float | None) -> None:
    assert error(status, b"", headers).retry_after == seconds
