"""Answers with more arrays and objects than may become Python objects."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.runflow.reading.heavy_json import LEFT_OUT, MAX_ADDRESSES, MAX_CONTAINERS, is_heavy, reduced
from runflow_mcp.sandbox import Answer, Sandbox
from tests.protocol.laws import json_values, law
from tests.serving import Server

URL = "https://cdn.example.com/a.png"
MANY = MAX_CONTAINERS + 1


@law
@given(st.dictionaries(st.text(max_size=20), json_values, max_size=6), st.booleans())
def test_an_object_without_large_members_is_unchanged(value: dict[str, Any], indented: bool) -> None:  # noqa: FBT001
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indented else None)
    assert orjson.loads(reduced(text)) == value


@pytest.mark.parametrize(
    "heavy",
    [
        [{}] * MANY,
        [[]] * MANY,
        [{"a": {"b": []}}] * MANY,
        {str(number): {} for number in range(MANY)},
        [{"text": 'a " quote, a \\ and brackets ]}'}] * MANY,
        ["[" * MANY],
    ],
    ids=["objects", "arrays", "nested", "members", "strings", "brackets in a text"],
)
def test_a_large_member_is_replaced_and_the_others_are_kept(heavy: object) -> None:
    text = orjson.dumps({"id": "r-1", "output": heavy, "cost": None, "nodes_total": 1.5, "status_code": "succeeded"})
    assert is_heavy(text)
    run = orjson.loads(reduced(text))
    assert LEFT_OUT in run.pop("output")["note"]
    assert run == {"id": "r-1", "cost": None, "nodes_total": 1.5, "status_code": "succeeded"}


def test_the_addresses_in_a_large_member_are_kept() -> None:
    urls = [f"{URL}?{number}" for number in range(MAX_ADDRESSES + 1)]
    text = orjson.dumps({"output": {"images": [{"url": url} for url in urls], "boxes": [{}] * MANY}})
    assert orjson.loads(reduced(text))["output"]["urls"] == urls[:MAX_ADDRESSES]


@pytest.mark.parametrize("text", [b"", b"[]", b'{"a":', b'{"a":[[]', b'{"a":"x', b"null", b"<html>"])
def test_anything_but_a_whole_object_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"not an object|cut short|not JSON"):
        reduced(text)


async def test_a_run_with_too_many_values_is_answered_with_its_files(server: Server, sandbox: Sandbox) -> None:
    run = {"id": "r-1", "status_code": "succeeded", "output": {"boxes": [{}] * 300_000, "image": URL}, "cost": "0.1"}
    sandbox.faults.add("create", Answer(201, orjson.dumps(run)))
    answer = (await server.generate()).structured
    assert (answer["run_id"], answer["cost"]) == ("r-1", "0.1")
    assert [output["url"] for output in answer["outputs"]] == [URL]
    assert LEFT_OUT in answer["output"]["note"]
