"""Lenient parsing of JSON, whose values can always be serialised again."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp import lenient_json
from tests.protocol.property_settings import json_values, law


@law
@given(json_values)
def test_valid_json_is_parsed_as_orjson_does(value: Any) -> None:
    text = orjson.dumps(value)
    assert lenient_json.loads(text) == orjson.loads(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'{"a":NaN,"b":Infinity,"c":-Infinity,"d":1e999}', {"a": None, "b": None, "c": None, "d": None}),
        (b'{"a":"\\ud83d","b":"\\ud83d\\ude00"}', {"a": "?", "b": "\N{GRINNING FACE}"}),
        (b'{"\\ud83d":1}', {"?": 1}),
        (b'"caf\xe9"', "caf\N{REPLACEMENT CHARACTER}"),
        (b'{"n":123456789012345678901234567890,"x":NaN}', {"n": 123456789012345678901234567890.0, "x": None}),
        (b'{"a":1,"a":NaN}', {"a": None}),
    ],
)
def test_nearly_valid_json_is_parsed_leniently(text: bytes, value: object) -> None:
    assert lenient_json.loads(text) == value


@pytest.mark.parametrize("read", [lenient_json.loads, lenient_json.loads_message])
@pytest.mark.parametrize("unit", ["0", '""', "[0]", '{"":[]}', "true"])
@pytest.mark.parametrize(("beginning", "end"), [('{\n  "a": [', "]}"), ("[\n   [", "]]"), ('{\r\n\t"":[', "]}")])
def test_json_that_only_begins_indented_is_parsed(read: Any, beginning: str, end: str, unit: str) -> None:
    text = beginning + ",".join([unit] * 19_000) + end
    assert read(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    "text", [b"", b" ", b"<html>", b"{", b'{"a":}', b"{}{}", b"nan", b"[" * 100_000, b"\xff", b"NaN" + b"9" * 5000]
)
def test_a_text_that_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        lenient_json.loads(text)


@law
@given(st.binary() | st.text().map(lambda text: f'{{"a":NaN,"b":"{text}"}}'.encode("utf-8", "surrogatepass")))
def test_every_parsed_value_can_be_serialised(text: bytes) -> None:
    try:
        value = lenient_json.loads(text)
    except ValueError:
        return
    assert orjson.loads(orjson.dumps(value)) == value
