"""Bytes into messages and back: every body is a message or malformed, and ids are returned as they were sent."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.protocol import jsonrpc
from runflow_mcp.protocol.jsonrpc import (
    Batch,
    ErrorCode,
    Malformed,
    Message,
    Notification,
    ProtocolError,
    Request,
    Response,
    parse,
)
from tests.protocol.property_settings import json_values, law

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}

ids = st.integers(-(2**63), 2**64 - 1) | st.text(max_size=20)
#: Objects like messages, with each member present or missing, valid or not.
nearly_messages = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.sampled_from(["2.0", "1.0", 2.0, None]),
        "id": ids | json_values,
        "method": st.sampled_from(["ping", "tools/call", ""]) | json_values,
        "params": st.dictionaries(st.text(max_size=5), json_values, max_size=3) | json_values,
        "result": json_values,
        "error": json_values,
    },
)


def read(value: object) -> Message | Batch:
    return parse(orjson.dumps(value))


def without(message: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in names}


# Any bytes


def check(message: Message) -> None:
    match message:
        case Request():
            assert jsonrpc.is_id(message.id)
            assert isinstance(message.method, str)
            assert isinstance(message.params, dict)
        case Notification():
            assert isinstance(message.params, dict)
        case Malformed():
            assert message.id is None or jsonrpc.is_id(message.id)
            answer = orjson.loads(jsonrpc.render_error(message.id, message.error))
            assert answer["error"]["code"] in (-32700, -32600, -32602)
            assert ("id" in answer) == (message.id is not None)
            assert answer["error"]["message"].endswith(".")
        case _:
            assert isinstance(message, Response)


@law
@given(st.binary(max_size=200))
def test_no_bytes_make_the_parser_fail(body: bytes) -> None:
    message = parse(body)
    assert isinstance(message, Message | Batch)


@law
@given(nearly_messages | json_values | st.lists(nearly_messages | json_values, max_size=5))
def test_every_json_value_is_a_message_a_batch_or_malformed(value: object) -> None:
    message = read(value)
    if isinstance(message, Batch):
        assert isinstance(value, list)
        assert len(message.messages) == len(value)
        for entry in message.messages:
            check(entry)
    else:
        check(message)


@law
@given(nearly_messages)
def test_a_message_is_classified_by_its_members_alone(value: dict[str, Any]) -> None:
    message = read(value)
    named = isinstance(value.get("method"), str) and value.get("jsonrpc") == "2.0"
    if isinstance(message, Request):
        assert named
        assert message.id == value["id"]
        assert type(message.id) is type(value["id"])
    elif isinstance(message, Notification):
        assert named
        assert "id" not in value
    elif isinstance(message, Response):
        assert "result" in value or "error" in value


@law
@given(ids, st.text(min_size=1, max_size=20))
def test_an_id_is_returned_with_its_type(id_: str | int, method: str) -> None:
    request = read({"jsonrpc": "2.0", "id": id_, "method": method})
    assert request == Request(id_, method, {})
    assert isinstance(request, Request)
    for answer in (
        orjson.loads(jsonrpc.render_result(request.id, {})),
        orjson.loads(jsonrpc.render_error(request.id, ProtocolError(ErrorCode.INTERNAL_ERROR, "x"))),
    ):
        assert answer["id"] == id_
        assert type(answer["id"]) is type(id_)


# What is not JSON


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"nonsense",
        b"{}{}",
        b'{"jsonrpc":"2.0","id":1,"method":"ping"',
        b'{"jsonrpc":"2.0","id":1,"method":"\xff"}',
        b'{"jsonrpc":"2.0",}',
        b"\xff\xfe",
        b"\xfe\xff\x00{\x00}",
        b'{"a":"\xff"}',
        b'{"a":"caf\xe9"}',
        b"{'jsonrpc':'2.0'}",
        b'{"a":NaN}',
        b'{"a":"\\ud800",}',
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf{",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        b'{"a":Infinity}',
        b'{"a":1e999}',
        b'{"a":"\\ud800","b":NaN}',
        b'{"a":"\\ud800","b":1e999}',
        b"[" * 2000,
        b"[" * 20_000,
        b'{"jsonrpc":"2.0"} {}',
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_body_that_is_not_json_is_a_parse_error(body: bytes) -> None:
    message = parse(body)
    assert isinstance(message, Malformed)
    assert (message.error.code, message.id) == (ErrorCode.PARSE_ERROR, None)


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        (b'"a dog \\ud83d"', "a dog ?"),
        (b'"\\ude00 a dog"', "? a dog"),
        (b'"\\ud83d\\ud83d\\ude00"', "?\N{GRINNING FACE}"),
        (b'"\\uD83D"', "?"),
        (b'"\xed\xa0\xbd"', "?"),
        (b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
def test_lone_surrogates_and_a_byte_order_mark_are_accepted(text: bytes, read_as: str, mark: bytes) -> None:
    message = parse(mark + b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"text":%s}}' % text)
    assert message == Request(1, "ping", {"text": read_as})


def test_a_byte_order_mark_before_a_batch_is_accepted() -> None:
    batch = parse(b"\xef\xbb\xbf" + orjson.dumps([PING, PING]))
    assert isinstance(batch, Batch)


def test_a_body_that_is_not_utf_8_is_reported_as_such() -> None:
    message = parse('{"text":"café"}'.encode("latin-1"))
    assert isinstance(message, Malformed)
    assert "UTF-8" in message.error.message


def test_a_parse_error_repeats_nothing_of_the_body() -> None:
    message = parse(b'{"key": rf_live_secret}')
    assert isinstance(message, Malformed)
    assert "rf_live" not in message.error.message


# Malformed messages

INVALID: dict[str, object] = {
    "a string": "ping",
    "a number": 5,
    "null": None,
    "true": True,
    "an empty object": {},
    "no jsonrpc": without(PING, "jsonrpc"),
    "jsonrpc 1.0": PING | {"jsonrpc": "1.0"},
    "jsonrpc as a number": PING | {"jsonrpc": 2.0},
    "no method": without(PING, "method"),
    "null method": PING | {"method": None},
    "method as a number": PING | {"method": 5},
    "null id": PING | {"id": None},
    "true id": PING | {"id": True},
    "false id": PING | {"id": False},
    "fractional id": PING | {"id": 1.5},
    "whole float id": PING | {"id": 1.0},
    "array id": PING | {"id": [1]},
    "empty array id": PING | {"id": []},
    "object id": PING | {"id": {}},
}


@pytest.mark.parametrize("value", INVALID.values(), ids=INVALID)
def test_an_invalid_message_is_an_invalid_request(value: object) -> None:
    message = read(value)
    assert isinstance(message, Malformed)
    assert message.error.code == ErrorCode.INVALID_REQUEST


def test_an_integer_beyond_64_bits_is_not_an_id() -> None:
    message = parse(b'{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"ping"}')
    assert isinstance(message, Malformed)
    assert message.error.code == ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("id_", ["x" * 1024, "é" * 512])
def test_an_id_may_be_one_kilobyte_long(id_: str) -> None:
    assert read(PING | {"id": id_}) == Request(id_, "ping", {})


@pytest.mark.parametrize("id_", ["x" * 1025, "é" * 513, "x" * 250_000])
@pytest.mark.parametrize("change", [{}, {"jsonrpc": "1.0"}, {"method": 5}, {"params": []}], ids=str)
def test_a_longer_id_is_not_an_id_and_is_never_repeated(id_: str, change: dict[str, object]) -> None:
    message = read(PING | {"id": id_} | change)
    assert isinstance(message, Malformed)
    assert (message.error.code, message.id) == (ErrorCode.INVALID_REQUEST, None)
    assert len(message.error.message) < 200


def test_an_error_text_is_at_most_8_kilobytes() -> None:
    for text in ("x" * 300_000, "é" * 300_000):
        rendered = orjson.loads(jsonrpc.render_error(1, ProtocolError(ErrorCode.INVALID_PARAMS, text)))
        assert 8000 < len(rendered["error"]["message"].encode()) <= 8192


@pytest.mark.parametrize("id_", [7, 0, -1, "7", ""])
def test_an_error_names_the_id_where_one_could_be_read(id_: str | int) -> None:
    message = read({"jsonrpc": "1.0", "id": id_, "method": "ping"})
    assert isinstance(message, Malformed)
    assert message.id == id_
    assert type(message.id) is type(id_)


@pytest.mark.parametrize("params", [[], [1], "x", 0, 1, False, True])
def test_params_that_are_not_an_object_are_invalid_params(params: object) -> None:
    message = read(PING | {"params": params})
    assert isinstance(message, Malformed)
    assert (message.error.code, message.id) == (ErrorCode.INVALID_PARAMS, 1)


@pytest.mark.parametrize("params", [None, {}])
def test_params_may_be_left_out(params: object) -> None:
    assert read(PING) == read(PING | {"params": params}) == Request(1, "ping", {})


# Notifications and responses


def test_a_message_without_an_id_is_a_notification() -> None:
    assert read(INITIALIZED) == Notification("notifications/initialized", {})
    assert read(INITIALIZED | {"params": {"a": 1}}) == Notification("notifications/initialized", {"a": 1})


@pytest.mark.parametrize("params", [None, [], "x"])
def test_a_notification_with_odd_params_gets_no_answer_either(params: object) -> None:
    assert isinstance(read(INITIALIZED | {"params": params}), Notification)


@pytest.mark.parametrize(
    "value",
    [
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "id": "1", "result": None},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": -1, "message": "x"}},
        {"jsonrpc": "2.0", "id": None, "error": {"code": -1, "message": "x"}},
        {"jsonrpc": "2.0", "error": {"code": -1, "message": "x"}},
    ],
)
def test_a_response_from_a_client_is_accepted_and_dropped(value: object) -> None:
    assert read(value) == Response()


# Batches


def test_an_empty_batch_is_an_invalid_request() -> None:
    message = parse(b"[]")
    assert isinstance(message, Malformed)
    assert (message.error.code, message.id) == (ErrorCode.INVALID_REQUEST, None)


def test_a_batch_has_at_most_50_entries() -> None:
    full = read([PING] * 50)
    assert isinstance(full, Batch)
    assert len(full.messages) == 50
    over = read([PING] * 51)
    assert isinstance(over, Malformed)
    assert over.error.code == ErrorCode.INVALID_REQUEST
    assert "51" in over.error.message
    assert "50" in over.error.message


def test_a_mixed_batch_keeps_its_order_and_parses_each_entry() -> None:
    batch = read([PING, INITIALIZED, 5, [PING], {"jsonrpc": "2.0", "id": 2, "result": 1}, PING | {"id": "b"}])
    assert isinstance(batch, Batch)
    kinds = [type(entry) for entry in batch.messages]
    assert kinds == [Request, Notification, Malformed, Malformed, Response, Request]
    assert batch.messages[-1] == Request("b", "ping", {})


# Rendering


def test_a_result_is_rendered_unchanged() -> None:
    assert jsonrpc.render_result(1, {"a": [1, None]}) == b'{"jsonrpc":"2.0","id":1,"result":{"a":[1,null]}}'
    ready = orjson.Fragment(b'{"b":2}')
    assert jsonrpc.render_result("", {"a": ready}) == b'{"jsonrpc":"2.0","id":"","result":{"a":{"b":2}}}'


@pytest.mark.parametrize("id_", [0, "", "0", 1])
def test_a_falsy_id_is_an_id(id_: str | int) -> None:
    assert orjson.loads(jsonrpc.render_error(id_, ProtocolError(ErrorCode.INVALID_PARAMS, "x")))["id"] == id_


def test_an_unknown_id_is_left_out_of_an_error() -> None:
    rendered = orjson.loads(jsonrpc.render_error(None, ProtocolError(ErrorCode.PARSE_ERROR, "No.")))
    assert rendered == {"jsonrpc": "2.0", "error": {"code": -32700, "message": "No."}}


@pytest.mark.parametrize("data", [{"supported": ["x"]}, [], 0, False, ""])
def test_an_error_carries_its_data(data: object) -> None:
    rendered = orjson.loads(jsonrpc.render_error(1, ProtocolError(ErrorCode.INVALID_REQUEST, "No.", data)))
    assert rendered["error"] == {"code": -32600, "message": "No.", "data": data}


def test_a_notification_has_no_id() -> None:
    rendered = orjson.loads(jsonrpc.render_notification("notifications/progress", {"progress": 1}))
    assert rendered == {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}


@law
@given(st.dictionaries(st.text(max_size=8), json_values, max_size=4))
def test_a_rendered_message_is_one_line(result: dict[str, Any]) -> None:
    """The data of a server-sent event is one line."""
    for rendered in (jsonrpc.render_result(1, result), jsonrpc.render_notification("x", result)):
        assert b"\n" not in rendered
        assert b"\r" not in rendered
