"""The form of a waiting answer: an event stream or JSON, opened early, with keepalives and progress."""

import asyncio
import itertools
import re

import orjson
import pytest

from tests.methods.timing_client import timed_generate
from tests.scripted_sandbox import Delay, Hang, Respond, Route, ScriptedSandbox
from tests.serving import BOTH, KEY, MODEL, Serve, Server

SLOW = "sandbox/slow"
COMMENT = b": keepalive\n\n"
PLAIN = [
    None,
    "*/*",
    "application/json",
    "application/json, text/event-stream;q=0",
    "text/event-stream;q=0.000",
    "text/event-stream; Q = 0.0",
    "text/event-stream;charset=utf-8;q=0.00",
    "text/event-stream;q=0.",
    "text/*",
    "application/json;x=text/event-stream",
    "",
]


@pytest.mark.parametrize(
    "accept",
    [
        BOTH,
        "text/event-stream",
        "text/event-stream; q=0.5, application/json",
        "TEXT/EVENT-STREAM",
        "*/*, " + BOTH,
        "application/json;q=0.000,text/event-stream;q=0.001",
        "text/event-stream ; charset=utf-8",
        " ,text/event-stream,",
        "text/event-stream;q=",
        "text/event-stream;q=0, text/event-stream",
    ],
)
@pytest.mark.parametrize("token", [None, "t"], ids=["silent", "progress"])
async def test_a_client_that_lists_event_streams_gets_one_at_dispatch(
    server: Server, accept: str, token: str | None
) -> None:
    timed = await timed_generate(server, accept=accept, model=MODEL, token=token)
    assert timed.answer.is_stream
    assert timed.head == 0
    assert timed.answer.structured["status"] == "succeeded"


@pytest.mark.parametrize("accept", PLAIN)
async def test_a_client_that_does_not_list_event_streams_gets_json_at_the_end(
    server: Server, accept: str | None
) -> None:
    timed = await timed_generate(server, accept=accept, model=MODEL, token="t")
    assert timed.answer.headers["Content-Type"].startswith("application/json")
    assert timed.answer.json["result"]["structuredContent"]["status"] == "succeeded"
    assert timed.answer.content.startswith(b"{")


async def test_the_stream_has_one_message_a_frame_and_no_ids(server: Server) -> None:
    answer = await server.generate(token=1, accept=BOTH)
    frames = answer.content.decode().split("\n\n")
    assert frames.pop() == ""
    assert all(re.fullmatch(r"event: message\ndata: \{.*\}", frame) for frame in frames)
    assert answer.events[-1]["id"] == 1
    assert all("id" not in event for event in answer.events[:-1])


@pytest.mark.parametrize("token", ["t", "", 0, 7], ids=repr)
async def test_progress_comes_under_the_token_as_it_was_sent(server: Server, token: str | int) -> None:
    answer = await server.generate(token=token, accept=BOTH)
    assert len(answer.progress) >= 2
    assert all(sent["progressToken"] == token for sent in answer.progress)
    assert all(type(sent["progressToken"]) is type(token) for sent in answer.progress)


@pytest.mark.parametrize("token", [True, 1.5, None, [1]], ids=repr)
async def test_a_malformed_progress_token_requests_no_progress(server: Server, token: object) -> None:
    params = {
        "name": "generate",
        "arguments": {"model": MODEL, "input": {"prompt": "x"}},
        "_meta": {"progressToken": token},
    }
    answer = await server.rpc("tools/call", params, accept=BOTH)
    assert answer.is_stream
    assert answer.progress == []
    assert len(answer.events) == 1


async def test_the_first_progress_names_the_run_and_its_client_ref(server: Server) -> None:
    answer = await server.generate(token=1, accept=BOTH)
    first = answer.progress[0]["message"]
    assert answer.structured["run_id"] in first
    assert answer.structured["client_ref"] in first


async def test_progress_comes_at_dispatch_and_after_each_poll(server: Server, sandbox: ScriptedSandbox) -> None:
    answer = await server.generate(token=1, accept=BOTH)
    polled = [request for request in sandbox.requests if request.path.startswith("/v1/runs/")]
    assert len(answer.progress) == 1 + len(polled)


@pytest.mark.parametrize("model", [MODEL, SLOW, "sandbox/failing", "sandbox/odd"])
async def test_progress_increases_strictly_and_never_passes_its_total(server: Server, model: str) -> None:
    answer = await server.generate(model, token=1, accept=BOTH)
    figures = [sent["progress"] for sent in answer.progress]
    assert all(earlier < later for earlier, later in itertools.pairwise(figures))
    assert all(sent["progress"] <= sent.get("total", sent["progress"]) for sent in answer.progress)
    totals = [sent["total"] for sent in answer.progress if "total" in sent]
    assert len(set(totals)) <= 1
    assert not totals or all("total" in sent for sent in answer.progress[-len(totals) :])


async def test_a_progress_message_has_status_steps_and_time(server: Server) -> None:
    answer = await server.generate(SLOW, token=1, accept=BOTH)
    for sent in answer.progress[1:]:
        assert re.fullmatch(r"running, \d of 7 steps, \d+ s", sent["message"])
        assert sent["total"] == 7
        assert int(sent["progress"]) == int(sent["message"].split()[1])


async def test_a_finished_run_ends_at_its_total(server: Server) -> None:
    answer = await server.generate(token=1, accept=BOTH)
    assert answer.progress[-1]["progress"] == answer.progress[-1]["total"] == 3


async def test_the_quiet_stream_of_a_call_has_a_comment_every_15_seconds(server: Server) -> None:
    timed = await timed_generate(server, accept=BOTH, model=SLOW)
    assert timed.times(COMMENT) == pytest.approx([15.0 * number for number in range(1, 40)])


async def test_a_stream_with_progress_needs_no_comments(server: Server) -> None:
    timed = await timed_generate(server, accept=BOTH, model=SLOW, token=1)
    assert timed.times(COMMENT) == []


async def test_comments_are_sent_while_a_poll_hangs(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.GET_RUN, Hang(28))
    timed = await timed_generate(server, accept=BOTH, model=MODEL, token=1)
    # Dispatch at 0, the poll at 2 hangs until 30.
    assert timed.times(COMMENT) == pytest.approx([15.0, 30.0])
    assert timed.answer.structured["status"] == "succeeded"


@pytest.mark.parametrize("accept", PLAIN)
async def test_a_waiting_json_answer_sends_line_feeds(serve: Serve, accept: str | None) -> None:
    server = await serve(MCP_POLL_TIMEOUT_MS="100000")
    timed = await timed_generate(server, accept=accept, model=SLOW)
    assert timed.times(b"\n") == pytest.approx([15.0 * number for number in range(1, 7)])
    assert timed.head == pytest.approx(15.0)
    assert timed.answer.headers["Content-Type"].startswith("application/json")
    assert timed.answer.tool_error["code"] == "polling_timeout"


@pytest.mark.parametrize("accept", [BOTH, None], ids=["events", "json"])
@pytest.mark.parametrize("timeout", ["15000", "30000", "45000"])
async def test_an_answer_that_ends_while_a_keepalive_is_sent_is_one_answer(
    serve: Serve, accept: str | None, timeout: str
) -> None:
    server = await serve(MCP_POLL_TIMEOUT_MS=timeout)
    timed = await timed_generate(server, accept=accept, model=SLOW)
    assert timed.answer.content.count(b"HTTP/1.1") == 0
    assert timed.answer.tool_error["code"] == "polling_timeout"
    assert (await server.rpc("ping")).result == {}


async def test_a_dispatch_of_more_than_ten_seconds_opens_the_stream(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CREATE, Delay(12))
    timed = await timed_generate(server, accept=BOTH, model=MODEL, token=1)
    assert timed.head == pytest.approx(10.0)
    assert timed.answer.is_stream
    assert timed.pieces[0][0] == pytest.approx(12.0)
    assert timed.answer.structured["status"] == "succeeded"


async def test_a_dispatch_of_under_ten_seconds_opens_the_stream_with_its_run(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    sandbox.script.add(Route.CREATE, Delay(9))
    timed = await timed_generate(server, accept=BOTH, model=MODEL)
    assert timed.head == pytest.approx(9.0)


async def test_a_dispatch_that_fails_after_the_stream_opened_is_answered_on_it(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    refusal = Respond(403, b'{"code":"PERMISSION_DENIED","message":"no"}')
    sandbox.script.add(Route.LIST_RUNS, Delay(11))
    sandbox.script.add(Route.CREATE, refusal)
    answer = await server.generate(client_ref="late", token=1, accept=BOTH)
    assert answer.is_stream
    assert answer.status == 200
    assert answer.tool_error["code"] == "permission_denied"


async def test_a_dispatch_that_fails_before_the_stream_opens_is_plain_json(server: Server) -> None:
    answer = await server.generate(key="rf_live_sandbox_no_credit", token=1, accept=BOTH)
    assert not answer.is_stream
    assert answer.tool_error["code"] == "insufficient_credits"


async def test_a_slow_dispatch_sends_a_json_client_line_feeds(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CREATE, Delay(20))
    timed = await timed_generate(server, accept=None, model=MODEL)
    assert timed.times(b"\n")[0] == pytest.approx(15.0)
    assert timed.answer.structured["status"] == "succeeded"


async def test_an_answer_in_the_same_loop_turn_as_a_line_feed_is_written_once(server: Server) -> None:
    body = orjson.dumps(
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "generate", "arguments": {"model": SLOW, "input": {}}},
        }
    )
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: {server.origin.removeprefix('http://')}\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.origin.rpartition(":")[2]))
    writer.write(head.encode() + body)
    await asyncio.sleep(5)
    # Both timers fall due in one turn of the event loop, the end of the wait first.
    server.services.inflight.drain(asyncio.get_running_loop().time() + 10 - 5e-7)
    await asyncio.sleep(20)
    writer.write_eof()
    received = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert received.count(b"HTTP/1.1 200 OK") == 1
    assert received.count(b"server_draining") >= 1


@pytest.mark.parametrize("accept", ["application/json", BOTH])
async def test_a_progress_token_over_a_kilobyte_is_rejected_before_anything_starts(
    server: Server, sandbox: ScriptedSandbox, accept: str
) -> None:
    answer = await server.generate(token="t" * 250_000, accept=accept)
    assert (answer.status, answer.error["code"], answer.json["id"]) == (200, -32602, 1)
    assert len(answer.content) < 500
    assert not any(request.path.endswith("/runs") for request in sandbox.requests)
