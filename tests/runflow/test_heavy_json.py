"""Large answers: what is parsed, and what is cut before."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.runflow.reading.heavy_json import (
    LEFT_OUT,
    MAX_ADDRESSES,
    MAX_MEMBERS,
    MAX_PARSED_VALUES,
    TooHeavy,
    loads,
)
from tests.protocol.property_settings import json_values, law
from tests.scripted_sandbox import Respond, ScriptedSandbox
from tests.serving import Server

URL = "https://cdn.example.com/a.png"
MANY = MAX_PARSED_VALUES + 1
#: A member that makes every object heavy; no other has a name of that length.
FILLER = "filler of the object here"
HEAVY = b'"%s":[%s]' % (FILLER.encode(), b",".join([b"0"] * MANY))


@law
@given(st.dictionaries(st.text(max_size=20), json_values, max_size=6), st.booleans())
def test_the_small_members_of_a_heavy_object_stay_as_they_are(value: dict[str, Any], indented: bool) -> None:  # noqa: FBT001
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indented else None)
    cut, _ = loads(_with_heavy(text))
    assert LEFT_OUT in cut.pop(FILLER)["note"]
    assert cut == value


def _with_heavy(text: bytes) -> bytes:
    comma = b"" if text == b"{}" else b","
    return text[: text.rindex(b"}")] + comma + HEAVY + b"}"


@pytest.mark.parametrize(
    "heavy",
    [
        [{}] * MANY,
        [[]] * MANY,
        [0] * MANY,
        [0.123456789] * MANY,
        [None] * MANY,
        [""] * MANY,
        ["\n"] * MANY,
        ["é漢😀"] * MANY,
        [{"a": {"b": []}}] * MANY,
        {str(number): number for number in range(MANY)},
        [{"text": 'a " quote, a \\ and brackets ]}'}] * MANY,
    ],
    ids=str.split("objects arrays integers floats nulls texts escapes non-ASCII nested members quotes"),
)
def test_a_large_member_is_replaced_and_the_others_stay(heavy: object) -> None:
    text = orjson.dumps({"id": "r-1", "output": heavy, "cost": None, "nodes_total": 1.5, "status_code": "succeeded"})
    run, _ = loads(text)
    assert LEFT_OUT in run.pop("output")["note"]
    assert run == {"id": "r-1", "cost": None, "nodes_total": 1.5, "status_code": "succeeded"}
    with pytest.raises(TooHeavy):
        loads(text, whole=True)


@pytest.mark.parametrize(
    "text",
    ["[{," * MANY, '"' * MANY, '\\",' * MANY, "\\" * 200_001 + ",[" * MANY],
    ids=["brackets", "quotes", "escaped quotes", "backslashes"],
)
def test_a_text_is_one_value_whatever_is_in_it(text: str) -> None:
    value = {"id": "r-1", "output": {"text": text}, "logs": text}
    assert loads(orjson.dumps(value))[0] == value
    heavy, _ = loads(_with_heavy(orjson.dumps({"id": "r-1", "logs": text})))
    assert (heavy["id"], heavy["logs"]) == ("r-1", text)


@pytest.mark.parametrize("start", range(65_530, 65_542))
def test_an_escape_may_be_anywhere(start: int) -> None:
    value = {"a": "x" * start + '\\"]},' * 3, "id": "r-1"}
    cut, _ = loads(_with_heavy(orjson.dumps(value)))
    assert {name: cut[name] for name in value} == value


def test_the_addresses_in_a_large_member_stay() -> None:
    urls = [f"{URL}?{number}" for number in range(MAX_ADDRESSES + 1)]
    text = orjson.dumps({"output": {"images": [{"url": url} for url in urls], "boxes": [{}] * MANY}})
    assert loads(text)[0]["output"]["urls"] == urls[:MAX_ADDRESSES]
    assert loads(text.replace(b"/", b"\\/"))[0]["output"]["urls"] == urls[:MAX_ADDRESSES]


@pytest.mark.parametrize("place", ["first", "last"])
def test_the_first_and_the_last_of_too_many_members_stay(place: str) -> None:
    members = {f"k{number}": number for number in range(MANY)}
    run = {"id": "r-1"} | members if place == "first" else members | {"id": "r-1"}
    cut, _ = loads(orjson.dumps(run))
    assert cut["id"] == "r-1"
    assert len(cut) == 2 * MAX_MEMBERS


def test_many_members_are_cut_although_each_is_small_enough() -> None:
    run: dict[str, Any] = {"id": "r-1"} | {f"k{number}": [[]] * 20_000 for number in range(30)} | {"cost": "0.1"}
    cut, light = loads(orjson.dumps(run))
    assert (cut["id"], cut["cost"]) == ("r-1", "0.1")
    assert len(light) < 1024 * 1024


@pytest.mark.parametrize(
    ("odd", "read"),
    [
        (b"NaN", None),
        (b"-Infinity", None),
        (b"1e999", None),
        (b'"\xff"', "\ufffd"),
        (b'"\\ud83d"', "?"),
        (b'"\xed\xa0\xbd"', "\ufffd\ufffd\ufffd"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("large", [b'"' + b"x" * 600_000 + b'"', b"[" + b"0," * MANY + b"0]"], ids=["text", "array"])
def test_the_large_members_of_json_for_the_lenient_parser_are_left_out(
    large: bytes, odd: bytes, read: str | None
) -> None:
    text = b'\xef\xbb\xbf {"id":"r-1","odd":' + odd + b',"output":[' + large + b',"%s"]}' % URL.encode()
    run: dict[str, Any] = loads(text)[0]
    assert (run["id"], run["odd"], run["output"]["urls"]) == ("r-1", read, [URL])
    with pytest.raises(TooHeavy):
        loads(text, whole=True)


def test_a_byte_order_mark_alone_leaves_nothing_out() -> None:
    value = {"id": "r-1", "output": "x" * 600_000}
    assert loads(b"\xef\xbb\xbf" + orjson.dumps(value), whole=True)[0] == value


@pytest.mark.parametrize("end", [b"", b"]", b"}]", b"}x", b'"', b':"x"', b",}"], ids=repr)
@pytest.mark.parametrize("start", [b'{"a":1,', b"[", b"<html>,", b'{"a" 1,'], ids=repr)
def test_a_text_that_is_not_a_whole_object_is_refused(start: bytes, end: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whichever step finds it
        loads(start + HEAVY + end)


async def test_a_run_with_a_heavy_output_is_answered_with_its_files(server: Server, sandbox: ScriptedSandbox) -> None:
    run = {"id": "r-1", "status_code": "succeeded", "output": {"boxes": [{}] * 300_000, "image": URL}, "cost": "0.1"}
    sandbox.script.add("create", Respond(201, orjson.dumps(run)))
    answer = (await server.generate()).structured
    assert (answer["run_id"], answer["cost"]) == ("r-1", "0.1")
    assert [output["url"] for output in answer["outputs"]] == [URL]
    assert LEFT_OUT in answer["output"]["note"]
