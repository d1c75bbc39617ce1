"""Whatever upstream answers, even bytes that are not HTTP, the client gets a clear result and learns its run."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from random import Random

import orjson
import pytest
import structlog

from runflow_mcp.runflow.api.transport import MAX_RESPONSE_BYTES
from runflow_mcp.runflow.reading.trimming import MAX_INLINE_MEDIA
from runflow_mcp.runflow.runs.outputs import MAX_OUTPUT_URLS
from tests.chaos.chaos_world import ROUNDING
from tests.chaos.lying_upstream import (
    CREATE,
    ENOUGH,
    LIST,
    POLL,
    LyingUpstream,
    Reply,
    chunks,
    lying_upstream,
    response,
)
from tests.methods.tool_error_reader import run_error_of, tool_error_of
from tests.serving import BOTH, Server, run_server
from tests.virtual_time import VirtualClock

RUN = b'{"id":"run-1","status_code":"queued","client_ref":"odd"}'
EMPTY = response(b'{"items":[]}')
DISPATCH_BUDGET = 45.0

#: Answers that are not HTTP, or not readable HTTP.
NONSENSE: dict[str, Reply] = {
    "nothing": b"",
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "text": b"hello\r\n\r\n",
    "half a status line": b"HTTP/1.1 20",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Type: appl",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a status of one digit": b"HTTP/1.1 2 OK\r\nContent-Length: 2\r\n\r\n{}",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + RUN,
    "a header without a colon": b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n" + RUN,
    "a header of 100 kB": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n" + RUN,
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(100_000)),
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + RUN,
    "a malformed length": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n" + RUN,
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\n" + RUN,
    "a body cut short": b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + RUN,
    "malformed chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    "a chunk cut short": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" + RUN,
    "no last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(RUN), RUN),
    "no gzip": response(RUN, "Content-Encoding: gzip"),
    "half a gzip": response(gzip.compress(RUN)[:-9], "Content-Encoding: gzip"),
    "no deflate": response(RUN, "Content-Encoding: deflate"),
    "an unknown encoding": response(RUN, "Content-Encoding: br, gzip"),
    "a bomb": response(gzip.compress(b" " * 50_000_000, 1), "Content-Encoding: gzip"),
    "a body without end": chunks(forever=b" " * 65_536),
    "a gzip without end": chunks("Content-Encoding: gzip", first=gzip.compress(RUN), forever=b"\0" * 65_536),
    "a gzip of nothing without end": chunks(
        "Content-Encoding: gzip", first=gzip.compress(b"")[:10], forever=b"\0\0\0\xff\xff" * 13_107
    ),
}
#: Valid HTTP whose body is not a run.
NO_RUN: dict[str, Reply] = {
    name: response(body)
    for name, body in {
        "no body": b"",
        "a page": b"<!doctype html><title>OK</title>",
        "half an object": RUN[:-9],
        "two objects": RUN + RUN,
        "UTF-16": RUN.decode().encode("utf-16"),
        "no UTF-8": b'{"id":"run-1\xff"}',
        "a hundred thousand brackets": b"[" * 100_000,
        "null": b"null",
        "a number": b"7",
        "a text": b'"run-1"',
        "a list": b"[" + RUN + b"]",
        "an empty object": b"{}",
        "a null id": b'{"id":null}',
        "a fraction as id": b'{"id":7.5}',
        "a truth as id": b'{"id":true}',
        "an object as id": b'{"id":{"a":1}}',
        "an empty id": b'{"id":""}',
        "an id that leads away": b'{"id":"../keys"}',
        "an id with a query": b'{"id":"run-1?x=1"}',
        "an id with a line": b'{"id":"run-1\\r\\nX: y"}',
        "an id of 10 kB": b'{"id":"' + b"x" * 10_000 + b'"}',
    }.items()
}
REDIRECT = response(b"", "Location: http://127.0.0.1:1/v1/keys", status="307 Temporary Redirect")
UNUSABLE = {**NONSENSE, **NO_RUN}

StartServer = Callable[[dict[str, Reply]], Awaitable[tuple[Server, LyingUpstream]]]


@pytest.fixture
async def start_server(clock: VirtualClock) -> AsyncIterator[StartServer]:
    """A server in front of an upstream with these replies."""
    async with AsyncExitStack() as stack:

        async def begin(replies: dict[str, Reply]) -> tuple[Server, LyingUpstream]:
            upstream = await stack.enter_async_context(lying_upstream({LIST: EMPTY, **replies}))
            settings = {"MCP_POLL_TIMEOUT_MS": "60000", "RUNFLOW_SKILL_URL": ""}
            return await stack.enter_async_context(run_server(upstream.url, clock, Random(0), settings)), upstream

        yield begin


@pytest.mark.parametrize("reply", UNUSABLE.values(), ids=UNUSABLE)
async def test_an_unusable_answer_to_a_dispatch_is_generate_failed_with_the_client_ref(
    start_server: StartServer, reply: Reply
) -> None:
    server, upstream = await start_server({CREATE: reply})
    with structlog.testing.capture_logs() as logs:
        answer = await server.generate(client_ref="odd", accept=BOTH, token=1)
    error = answer.tool_error
    assert error["code"] == "generate_failed", error
    assert error["details"]["client_ref"] == "odd"
    assert "client_ref: odd" in answer.result["content"][0]["text"]
    assert len(error["message"]) < 300
    assert 1 <= sum(line.startswith("POST") for line in upstream.requests) <= 3
    assert server.services.clock.monotonic() <= DISPATCH_BUDGET + ROUNDING
    assert [line for line in logs if line["log_level"] == "error"] == []


@pytest.mark.parametrize("reply", [reply for name, reply in NO_RUN.items() if name != "a list"])
async def test_an_unusable_answer_to_a_look_up_repeats_no_dispatch_of_unknown_outcome(
    start_server: StartServer, reply: Reply
) -> None:
    server, upstream = await start_server({CREATE: response(b"", status="502 Bad Gateway"), LIST: reply})
    error = tool_error_of(await server.generate(wait=False), "generate_failed", upstream_status=502)
    assert error["details"]["client_ref"].startswith("mcp-")
    assert sum(line.startswith("POST") for line in upstream.requests) == 1


@pytest.mark.parametrize("reply", NO_RUN.values(), ids=NO_RUN)
async def test_an_unusable_answer_to_the_first_look_up_starts_nothing(start_server: StartServer, reply: Reply) -> None:
    server, upstream = await start_server({LIST: reply})
    answer = await server.generate(client_ref="odd", wait=False)
    if reply is NO_RUN["a list"]:  # which is a list of runs
        assert answer.structured["run_id"] == "run-1"
    else:
        error = tool_error_of(answer, "generate_failed", upstream_status=200)
        assert "This call started no run" in error["message"]
    assert not any(line.startswith("POST") for line in upstream.requests)


@pytest.mark.parametrize("reply", UNUSABLE.values(), ids=UNUSABLE)
async def test_unusable_answers_to_polls_do_not_end_the_wait_and_the_run_is_reported_in_the_end(
    start_server: StartServer, reply: Reply
) -> None:
    server, upstream = await start_server({CREATE: response(RUN, status="201 Created"), POLL: reply})
    with structlog.testing.capture_logs() as logs:
        answer = await server.generate(client_ref="odd", accept=BOTH, token=1)
    error = run_error_of(answer, "polling_timeout")
    assert error["details"]["run_id"] == "run-1"
    assert error["details"]["run"]["status_code"] == "queued"
    assert server.services.clock.monotonic() == pytest.approx(60.0, abs=0.01)
    assert sum(line.startswith(POLL) for line in upstream.requests) >= 2
    assert [line for line in logs if line["log_level"] == "error"] == []


async def test_a_redirect_is_followed_nowhere(start_server: StartServer) -> None:
    server, upstream = await start_server({CREATE: REDIRECT, LIST: REDIRECT})
    answer = await server.generate(client_ref="odd")
    tool_error_of(answer, "generate_failed", upstream_status=307, refused_without_code=True)
    assert len([line for line in upstream.requests if "/v1/" in line]) == 2


@pytest.mark.parametrize("reply", ["a body without end", "a gzip without end", "a gzip of nothing without end"])
async def test_an_endless_answer_is_cut_off_while_it_arrives(start_server: StartServer, reply: str) -> None:
    server, upstream = await start_server({CREATE: NONSENSE[reply]})
    await server.generate(client_ref="odd", wait=False)
    attempts = sum(line.startswith("POST") for line in upstream.requests)
    # What is sent beyond the cap fills the buffers of the two sockets.
    assert upstream.sent <= attempts * (MAX_RESPONSE_BYTES + ENOUGH) / 2


ODD_RUNS: dict[str, tuple[dict[str, object], str]] = {
    "nulls": (
        dict.fromkeys(["input", "output", "cost", "duration_ms", "nodes_total", "metadata", "error", "created_at"]),
        "succeeded",
    ),
    "wrong types": (
        {
            "output": 7,
            "cost": {"usd": 1},
            "duration_ms": "soon",
            "nodes_total": "three",
            "nodes_completed": [],
            "metadata": [1],
            "created_at": 12,
            "completed_at": {},
            "client_ref": 5,
            "failure_code": 3,
            "error": "text",
        },
        "succeeded",
    ),
    "figures out of bounds": (
        {"cost": 1e308, "duration_ms": -1, "nodes_total": 10**18, "nodes_completed": -5, "x": 2**70},
        "succeeded",
    ),
    "malformed timestamps": ({"created_at": "yesterday", "completed_at": "0000-13-45T99:99:99Z"}, "succeeded"),
    "a stamp at the end of time": ({"created_at": "9999-12-31T23:59:59.999999-23:59"}, "succeeded"),
    "a stamp at its beginning": ({"created_at": "0001-01-01T00:00:00+23:59"}, "succeeded"),
    "capitals": ({"status_code": "SUCCEEDED"}, "succeeded"),
    "spaces": ({"status_code": " Succeeded\n"}, "succeeded"),
    "the older name": ({"status_code": None, "status": "succeeded"}, "succeeded"),
    "thousands of outputs": ({"output": [f"https://example.com/{number}.png" for number in range(3000)]}, "succeeded"),
    "outputs that are not URLs": (
        {"output": {"images": [None, 1, "javascript:alert(1)", "file:///etc/passwd"]}},
        "succeeded",
    ),
    "inline media": ({"output": {"image": "data:image/png;base64," + "A" * (MAX_INLINE_MEDIA * 100)}}, "succeeded"),
    "a failure without words": ({"status_code": "failed"}, "run_failed"),
    "a failure in other words": ({"status_code": "Errored", "error": {"code": None, "message": 5}}, "run_failed"),
    "a failure in odd words": (
        {"status_code": "failed", "failure_code": "x" * 9999, "failure_message": "\0"},
        "run_failed",
    ),
    "another spelling": ({"status_code": "Canceled"}, "run_cancelled"),
}


@pytest.mark.parametrize(("odd", "ends"), ODD_RUNS.values(), ids=ODD_RUNS)
async def test_an_odd_run_is_reported_as_far_as_it_can_be_read(
    start_server: StartServer, odd: dict[str, object], ends: str
) -> None:
    run = {"id": "run-1", "status_code": "succeeded", "client_ref": "odd", **odd}
    server, _ = await start_server({CREATE: response(RUN), POLL: response(json.dumps(run).encode())})
    answer = await server.generate(client_ref="odd", accept=BOTH, token=1)
    if ends == "succeeded":
        assert answer.structured["status"] == "succeeded"
        assert answer.structured["run_id"] == "run-1"
        assert all(output["url"].startswith("https://") for output in answer.structured["outputs"])
        assert len(answer.structured["outputs"]) <= MAX_OUTPUT_URLS
    else:
        assert run_error_of(answer, ends)["details"]["run_id"] == "run-1"
    assert len(answer.content) < 1_000_000


@pytest.mark.parametrize(
    "status",
    ["paused", "partial_succeeded", "SUCCES", "almost done", "", "null", None, 7, ["succeeded"], {"a": 1}],
    ids=repr,
)
async def test_an_unknown_state_counts_as_running_and_is_reported_unchanged(
    start_server: StartServer, status: object
) -> None:
    run = orjson.dumps({"id": "run-1", "status_code": status, "client_ref": "odd", "nodes_total": 3})
    server, _ = await start_server({CREATE: response(RUN), POLL: response(run)})
    answer = await server.generate(client_ref="odd", accept=BOTH, token=1)
    error = run_error_of(answer, "polling_timeout")
    assert error["details"]["run"]["status_code"] == status


async def test_a_state_of_a_megabyte_does_not_fill_every_line(start_server: StartServer) -> None:
    run = orjson.dumps({"id": "run-1", "status_code": "x" * 1_000_000, "client_ref": "odd"})
    server, _ = await start_server({CREATE: response(RUN), POLL: response(run)})
    answer = await server.generate(client_ref="odd", accept=BOTH, token=1)
    run_error_of(answer, "polling_timeout")
    assert all(len(notification["message"]) < 1000 for notification in answer.progress)
    assert len(answer.result["content"][0]["text"]) < 10_000


async def test_a_poll_that_answers_with_another_run_does_not_change_the_awaited_run(
    start_server: StartServer,
) -> None:
    """Whatever its answer calls the run, the dispatched run is polled again and reported in the end."""
    another = orjson.dumps({"id": "run-of-somebody-else", "status_code": "running", "client_ref": "theirs"})
    server, upstream = await start_server({CREATE: response(RUN), POLL: response(another)})
    answer = await server.generate(client_ref="odd")
    assert answer.tool_error["details"]["run_id"] == "run-1"
    assert {line for line in upstream.requests if line.startswith(POLL)} == {"GET /v1/runs/run-1 HTTP/1.1"}


async def test_json_with_small_errors_is_read(start_server: StartServer) -> None:
    """A number as id, half an emoji as JavaScript cuts it, NaN, an infinity, a byte order mark, Latin-1."""
    members = b'"client_ref":"near","cost":NaN,"duration_ms":1e999,"note":"\\ud83d caf\xe9"'
    queued = b'\xef\xbb\xbf{"id":42,"status_code":"queued",' + members + b"}"
    ended = b'{"id":42,"status_code":"succeeded","output":{"url":"https://x.example/a.png"},' + members + b"}"
    server, upstream = await start_server({CREATE: response(queued, status="201 Created"), POLL: response(ended)})
    answer = await server.generate(client_ref="near", accept=BOTH, token=1)
    assert (answer.structured["run_id"], answer.structured["status"]) == ("42", "succeeded")
    assert (answer.structured["cost"], answer.structured["duration_ms"]) == (None, None)
    assert answer.structured["outputs"] == [{"url": "https://x.example/a.png", "mime_type": "image/png"}]
    assert "GET /v1/runs/42 HTTP/1.1" in upstream.requests


async def test_a_new_run_is_not_reported_to_have_ignored_its_input(start_server: StartServer) -> None:
    """Although upstream fills in defaults and keeps no metadata."""
    made = b'{"id":"run-1","status_code":"succeeded","input":{"prompt":"x","steps":20},"metadata":null}'
    server, _ = await start_server({CREATE: response(made, status="201 Created"), POLL: response(made)})
    for ref, run_input in (("fresh", {"prompt": "x"}), ("odd", {"prompt": "another, before upstream rewrote it"})):
        answer = await server.generate(input=run_input, client_ref=ref)
        assert "input_ignored" not in answer.structured


async def test_the_second_of_two_inputs_is_reported_as_ignored_although_upstream_echoes_none(
    start_server: StartServer,
) -> None:
    made = b'{"id":"run-1","status_code":"succeeded"}'
    server, upstream = await start_server({CREATE: response(made, status="201 Created"), POLL: response(made)})
    answers = await asyncio.gather(
        *(server.generate(input={"prompt": prompt}, client_ref="both") for prompt in ("one", "other"))
    )
    assert sorted("input_ignored" in answer.structured for answer in answers) == [False, True]
    assert sum(line.startswith("POST") for line in upstream.requests) == 1
