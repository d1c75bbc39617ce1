"""Every event has one data line for every client, whatever its message contains."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.web.sse import render_event
from tests.protocol.property_settings import json_values, law
from tests.scripted_sandbox import Respond, ScriptedSandbox
from tests.serving import BOTH, INPUT, MODEL, Server

#: Every character at which ``str.splitlines`` ends a line, in one string.
SEPARATORS = "a\nb\rc\vd\fe\x1cf\x1dg\x1eh\x85i\u2028j\u2029k\\u2028\\\u2028\u2027\u202a\x84"

separated = st.text(st.sampled_from(SEPARATORS + '"\\\u00e9\U0001d11e'))
messages = json_values | separated | st.dictionaries(separated, separated) | st.lists(separated)


def data_lines(content: bytes) -> list[str]:
    """The data lines for a client that splits lines as ``str.splitlines`` does."""
    return [line for line in content.decode().splitlines() if line.startswith("data: ")]


@law
@given(messages)
def test_an_event_has_one_data_line_that_holds_the_message(message: Any) -> None:
    frame = render_event(orjson.dumps(message))
    event, data, *rest = frame.decode().splitlines()
    assert (event, rest) == ("event: message", [""])
    assert orjson.loads(data.removeprefix("data: ")) == message


@law
@given(separated)
def test_json_inside_a_json_string_is_unchanged(text: str) -> None:
    inner = orjson.dumps({"text": text})
    message = {"text": inner.decode(), "same": orjson.Fragment(inner)}
    data = render_event(orjson.dumps(message)).decode().splitlines()[1].removeprefix("data: ")
    read = orjson.loads(data)
    assert orjson.loads(read["text"]) == read["same"] == {"text": text}


async def test_a_result_with_line_separators_is_one_data_line(server: Server, sandbox: ScriptedSandbox) -> None:
    started = {"id": "r-1", "status_code": SEPARATORS, "client_ref": "c"}
    ended = {**started, "status_code": "succeeded", "output": {SEPARATORS: SEPARATORS}}
    sandbox.script.add("create", Respond(201, orjson.dumps(started)))
    sandbox.script.add("get_run", Respond(200, orjson.dumps(ended)), times=None)
    answer = await server.generate(client_ref="c", token=SEPARATORS, accept=BOTH)
    lines = data_lines(answer.content)
    assert [orjson.loads(line.removeprefix("data: ")) for line in lines] == answer.events
    assert answer.structured["output"] == {SEPARATORS: SEPARATORS}
    assert {params["progressToken"] for params in answer.progress} == {SEPARATORS}


async def test_an_error_with_line_separators_is_one_data_line(server: Server, sandbox: ScriptedSandbox) -> None:
    run = {"id": "r-1", "status_code": "running", "client_ref": "c"}
    sandbox.script.add("create", Respond(201, orjson.dumps(run)))
    ended = {**run, "status_code": "failed", "failure_message": SEPARATORS}
    sandbox.script.add("get_run", Respond(200, orjson.dumps(ended)), times=None)
    answer = await server.generate(client_ref="c", accept=BOTH)
    assert answer.is_stream
    assert len(data_lines(answer.content)) == len(answer.events) == 1
    assert answer.tool_error["details"]["run"]["failure_message"] == SEPARATORS


@pytest.mark.parametrize("id_", [SEPARATORS, "\u2028", "\x85"], ids=["all", "U+2028", "U+0085"])
async def test_a_batch_with_line_separators_in_its_ids_is_one_data_line_per_entry(server: Server, id_: str) -> None:
    call = {"name": "generate", "arguments": {"model": MODEL, "input": INPUT}}
    batch = [
        {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": call},
        {"jsonrpc": "2.0", "id": f"{id_}2", "method": "prompts/get", "params": {"name": id_}},
    ]
    answer = await server.post(batch, accept=BOTH)
    assert answer.is_stream
    assert len(data_lines(answer.content)) == 2
    assert {event["id"] for event in answer.events} == {id_, f"{id_}2"}
