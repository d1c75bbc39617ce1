"""Batches: arrays of messages, which only 2025-03-26 allows."""

import asyncio
from typing import Any

import pytest

from tests.methods.recorded_requests import dispatches, polls
from tests.scripted_sandbox import Delay, Route, ScriptedSandbox
from tests.serving import BOTH, INPUT, MODEL, Answer, Serve, Server
from tests.web.error_shapes import protocol_error_of

BATCHING = {"MCP-Protocol-Version": "2025-03-26"}
NOTE = {"jsonrpc": "2.0", "method": "notifications/initialized"}
RESPONSE = {"jsonrpc": "2.0", "id": 9, "result": {}}


def request(id_: object, method: str = "ping", **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}


def generate(id_: object, model: str = MODEL, **more: Any) -> dict[str, Any]:
    arguments = {"model": model, "input": INPUT}
    return request(id_, "tools/call", name="generate", arguments=arguments, **more)


def responses(answer: Answer) -> dict[Any, Any]:
    """The responses of a stream by id."""
    return {event["id"]: event for event in answer.events if "id" in event}


@pytest.mark.parametrize("headers", [None, BATCHING], ids=["assumed", "named"])
@pytest.mark.parametrize("accept", [None, BOTH], ids=["json", "events"])
async def test_a_batch_is_answered_as_an_array_in_order(
    server: Server, headers: dict[str, str] | None, accept: str | None
) -> None:
    batch = [request("b"), NOTE, request(1, "tools/list"), RESPONSE, request("a")]
    answer = await server.post(batch, headers=headers, accept=accept)
    assert answer.status == 200
    assert [response["id"] for response in answer.json] == ["b", 1, "a"]
    assert answer.json[0] == {"jsonrpc": "2.0", "id": "b", "result": {}}


async def test_a_batch_of_one_is_answered_as_an_array(server: Server) -> None:
    assert (await server.post([request(1)])).json == [{"jsonrpc": "2.0", "id": 1, "result": {}}]


@pytest.mark.parametrize("batch", [[NOTE], [NOTE, RESPONSE, NOTE], [RESPONSE]], ids=["note", "mixed", "response"])
async def test_a_batch_without_requests_is_accepted_with_202(server: Server, batch: list[object]) -> None:
    answer = await server.post(batch)
    assert answer.status == 202
    assert answer.content == b""


@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
@pytest.mark.parametrize("batch", [[request(1)], [NOTE], []], ids=["request", "note", "empty"])
async def test_later_revisions_reject_batches(server: Server, revision: str, batch: list[object]) -> None:
    answer = await server.post(batch, headers={"MCP-Protocol-Version": revision})
    protocol_error_of(answer, -32600, status=400)


async def test_a_batch_of_fifty_is_answered_and_one_of_51_rejected(server: Server) -> None:
    answer = await server.post([request(number) for number in range(50)])
    assert [response["id"] for response in answer.json] == list(range(50))
    error = protocol_error_of(await server.post([request(number) for number in range(51)]), -32600, status=400)
    assert "50" in error["message"]


async def test_no_entry_of_a_batch_that_is_too_long_is_handled(server: Server, sandbox: ScriptedSandbox) -> None:
    answer = await server.post([generate(number) for number in range(51)], accept=BOTH)
    protocol_error_of(answer, -32600, status=400)
    await server.services.clock.sleep(1)
    assert dispatches(sandbox) == []


async def test_each_invalid_entry_gets_its_own_error(server: Server) -> None:
    bad = [1, {"jsonrpc": "2.0", "id": 7}, [], request(2, "nothing"), request(None), request(3)]
    answer = await server.post(bad)
    assert answer.status == 200
    assert [(response.get("id"), response.get("error", {}).get("code")) for response in answer.json] == [
        (None, -32600),
        (7, -32600),
        (None, -32600),
        (2, -32601),
        (None, -32600),
        (3, None),
    ]
    assert not any("id" in response and response["id"] is None for response in answer.json)


async def test_initialize_is_rejected_in_a_batch(server: Server) -> None:
    answer = await server.post([request(1, "initialize", protocolVersion="2025-03-26"), request(2)])
    rejected, answered = answer.json
    assert (rejected["id"], rejected["error"]["code"]) == (1, -32600)
    assert answered["result"] == {}


async def test_a_generate_in_a_batch_is_answered_as_json(server: Server, sandbox: ScriptedSandbox) -> None:
    answer = await server.post([request(1), generate(2), NOTE, request(3)])
    assert [response["id"] for response in answer.json] == [1, 2, 3]
    assert answer.json[1]["result"]["structuredContent"]["status"] == "succeeded"
    assert len(sandbox.runs) == 1


async def test_a_generate_in_a_batch_is_answered_over_a_stream(server: Server) -> None:
    batch = [request(1), generate(2, _meta={"progressToken": "t"}), NOTE, request(3)]
    answer = await server.post(batch, accept=BOTH)
    assert answer.is_stream
    found = responses(answer)
    assert set(found) == {1, 2, 3}
    assert found[1]["result"] == {}
    assert found[2]["result"]["structuredContent"]["status"] == "succeeded"
    assert {params["progressToken"] for params in answer.progress} == {"t"}
    assert all(isinstance(event, dict) for event in answer.events)


async def test_two_runs_in_a_batch_have_separate_progress(server: Server) -> None:
    batch = [
        generate(1, _meta={"progressToken": "one"}),
        generate(2, "sandbox/failing", _meta={"progressToken": "two"}),
        generate(3, "no/such-model"),
    ]
    answer = await server.post(batch, accept=BOTH)
    found = responses(answer)
    assert found[1]["result"]["structuredContent"]["status"] == "succeeded"
    assert found[2]["result"]["structuredContent"]["error"]["code"] == "run_failed"
    assert found[3]["result"]["structuredContent"]["error"]["code"] == "model_not_found"
    assert len(answer.events) == 3 + len(answer.progress)
    for token, last in (("one", 1), ("two", 2)):
        notifications = [event for event in answer.events if event.get("params", {}).get("progressToken") == token]
        figures = [event["params"]["progress"] for event in notifications]
        assert figures == sorted(set(figures))
        assert answer.events.index(notifications[-1]) < answer.events.index(found[last])


async def test_a_response_of_a_batch_is_streamed_as_soon_as_it_is_ready(server: Server) -> None:
    batch = [generate(1, "sandbox/slow"), generate(2)]
    clock, arrived = server.services.clock, []
    headers = {"Authorization": "Bearer rf_live_sandbox", "Accept": BOTH}
    async with server.session.post(server.url, json=batch, headers=headers) as response:
        async for line in response.content:
            if line.startswith(b"data: "):
                arrived.append(clock.monotonic())  # noqa: PERF401 - a loop shows that time passes
    assert len(arrived) == 2
    assert arrived[0] < 10
    assert arrived[1] > 599


async def test_a_batch_that_waits_sends_line_feeds(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.GET_RUN, Delay(20))
    answer = await server.post([generate(1), request(2)])
    assert answer.content.startswith(b"\n[")
    assert [response["id"] for response in answer.json] == [1, 2]


async def test_the_same_run_twice_in_a_batch_is_one_run(server: Server, sandbox: ScriptedSandbox) -> None:
    entry = generate(1)
    entry["params"]["arguments"]["client_ref"] = "same"
    answer = await server.post([entry, {**entry, "id": 2}])
    first, second = (response["result"]["structuredContent"] for response in answer.json)
    assert first == second
    assert len(sandbox.runs) == 1


@pytest.mark.parametrize("accept", [None, BOTH], ids=["json", "events"])
async def test_each_wait_of_a_batch_takes_a_slot(serve: Serve, sandbox: ScriptedSandbox, accept: str | None) -> None:
    server = await serve(MCP_MAX_WAITS="4")  # one key has half of them
    answer = await server.post([generate(number) for number in range(3)], accept=accept)
    results = list(responses(answer).values()) if answer.is_stream else answer.json
    errors = [response["result"]["structuredContent"].get("error", {}).get("code") for response in results]
    assert sorted(errors, key=str) == [None, None, "server_busy"]
    assert len(sandbox.runs) == 2
    assert server.services.inflight.slots_used == 0


@pytest.mark.parametrize("accept", [None, BOTH], ids=["json", "events"])
async def test_a_client_that_leaves_ends_every_wait_of_its_batch(
    server: Server, sandbox: ScriptedSandbox, accept: str | None
) -> None:
    leaving = asyncio.create_task(
        server.post([generate(1, "sandbox/slow"), generate(2, "sandbox/slow")], accept=accept)
    )
    await server.services.clock.sleep(20)
    assert server.services.inflight.slots_used == 2
    leaving.cancel()
    await asyncio.wait([leaving])
    await server.services.clock.sleep(0.1)
    assert server.services.inflight.slots_used == 0
    seen = len(polls(sandbox))
    await server.services.clock.sleep(300)
    assert len(polls(sandbox)) == seen
