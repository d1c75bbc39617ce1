"""An upstream that lies is bad input too: whatever it says, the client gets a clear answer and learns its run."""

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
from tests.chaos.lying_upstream import CREATE, ENOUGH, LIST, POLL, Liar, Saying, chunks, lying, response
from tests.methods.envelopes import run_error_of, tool_error_of
from tests.serving import BOTH, Server, run_server
from tests.virtual_time import VirtualClock

RUN = b'{"id":"run-1","status_code":"queued","client_ref":"lies"}'
EMPTY = response(b'{"items":[]}')
DISPATCH_BUDGET = 45.0

#: What is no answer at all.
NONSENSE: dict[str, Saying] = {
    "nothing": b"",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
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
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n" + RUN,
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\n" + RUN,
    "a body cut short": b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + RUN,
    "chunks that are none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
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
#: HTTP as it should be, with what is no run in it.
NO_RUN: dict[str, Saying] = {
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
LIES = {**NONSENSE, **NO_RUN}

Before = Callable[[dict[str, Saying]], Awaitable[tuple[Server, Liar]]]


@pytest.fixture
async def before(clock: VirtualClock) -> AsyncIterator[Before]:
    """A server before an upstream that says these things."""
    async with AsyncExitStack() as stack:

        async def begin(says: dict[str, Saying]) -> tuple[Server, Liar]:
            liar = await stack.enter_async_context(lying({LIST: EMPTY, **says}))
            settings = {"MCP_POLL_TIMEOUT_MS": "60000", "RUNFLOW_SKILL_URL": ""}
            return await stack.enter_async_context(run_server(liar.url, clock, Random(0), settings)), liar

        yield begin


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_lie_about_a_dispatch_is_generate_failed_with_the_client_ref(before: Before, lie: Saying) -> None:
    server, liar = await before({CREATE: lie})
    with structlog.testing.capture_logs() as logs:
        answer = await server.generate(client_ref="lies", accept=BOTH, token=1)
    error = answer.tool_error
    assert error["code"] == "generate_failed", error
    assert error["details"]["client_ref"] == "lies"
    assert "client_ref: lies" in answer.result["content"][0]["text"]
    assert len(error["message"]) < 300
    assert 1 <= sum(line.startswith("POST") for line in liar.asked) <= 3
    assert server.services.clock.monotonic() <= DISPATCH_BUDGET + ROUNDING
    assert [line for line in logs if line["log_level"] == "error"] == []


@pytest.mark.parametrize("lie", [lie for name, lie in NO_RUN.items() if name != "a list"])
async def test_a_lie_about_a_look_up_repeats_nothing_whose_outcome_is_unknown(before: Before, lie: Saying) -> None:
    server, liar = await before({CREATE: response(b"", status="502 Bad Gateway"), LIST: lie})
    error = tool_error_of(await server.generate(wait=False), "generate_failed", upstream_status=502)
    assert error["details"]["client_ref"].startswith("mcp-")
    assert sum(line.startswith("POST") for line in liar.asked) == 1


@pytest.mark.parametrize("lie", NO_RUN.values(), ids=NO_RUN)
async def test_a_lie_about_the_first_look_up_starts_nothing(before: Before, lie: Saying) -> None:
    server, liar = await before({LIST: lie})
    answer = await server.generate(client_ref="lies", wait=False)
    if lie is NO_RUN["a list"]:  # which is a list of runs
        assert answer.structured["run_id"] == "run-1"
    else:
        error = tool_error_of(answer, "generate_failed", upstream_status=200)
        assert "This call started no run" in error["message"]
    assert not any(line.startswith("POST") for line in liar.asked)


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_lie_about_a_run_is_waited_through_and_the_run_told_in_the_end(before: Before, lie: Saying) -> None:
    server, liar = await before({CREATE: response(RUN, status="201 Created"), POLL: lie})
    with structlog.testing.capture_logs() as logs:
        answer = await server.generate(client_ref="lies", accept=BOTH, token=1)
    error = run_error_of(answer, "polling_timeout")
    assert error["details"]["run_id"] == "run-1"
    assert error["details"]["run"]["status_code"] == "queued"
    assert server.services.clock.monotonic() == pytest.approx(60.0, abs=0.01)
    assert sum(line.startswith(POLL) for line in liar.asked) >= 2
    assert [line for line in logs if line["log_level"] == "error"] == []


async def test_a_redirect_is_followed_nowhere(before: Before) -> None:
    server, liar = await before({CREATE: REDIRECT, LIST: REDIRECT})
    answer = await server.generate(client_ref="lies")
    tool_error_of(answer, "generate_failed", upstream_status=307, refused_without_code=True)
    assert len([line for line in liar.asked if "/v1/" in line]) == 2


@pytest.mark.parametrize("lie", ["a body without end", "a gzip without end", "a gzip of nothing without end"])
async def test_what_has_no_end_is_cut_off_while_it_arrives(before: Before, lie: str) -> None:
    server, liar = await before({CREATE: NONSENSE[lie]})
    await server.generate(client_ref="lies", wait=False)
    attempts = sum(line.startswith("POST") for line in liar.asked)
    # What is sent beyond the cap fills the buffers of the two sockets.
    assert liar.sent <= attempts * (MAX_RESPONSE_BYTES + ENOUGH) / 2


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
    "stamps that are none": ({"created_at": "yesterday", "completed_at": "0000-13-45T99:99:99Z"}, "succeeded"),
    "a stamp at the end of time": ({"created_at": "9999-12-31T23:59:59.999999-23:59"}, "succeeded"),
    "a stamp at its beginning": ({"created_at": "0001-01-01T00:00:00+23:59"}, "succeeded"),
    "capitals": ({"status_code": "SUCCEEDED"}, "succeeded"),
    "spaces": ({"status_code": " Succeeded\n"}, "succeeded"),
    "the older name": ({"status_code": None, "status": "succeeded"}, "succeeded"),
    "thousands of outputs": ({"output": [f"https://example.com/{number}.png" for number in range(3000)]}, "succeeded"),
    "outputs that are no URLs": (
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
async def test_an_odd_run_is_told_as_far_as_it_can_be_read(before: Before, odd: dict[str, object], ends: str) -> None:
    run = {"id": "run-1", "status_code": "succeeded", "client_ref": "lies", **odd}
    server, _ = await before({CREATE: response(RUN), POLL: response(json.dumps(run).encode())})
    answer = await server.generate(client_ref="lies", accept=BOTH, token=1)
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
async def test_a_state_that_nobody_knows_is_still_going_and_told_as_it_is(before: Before, status: object) -> None:
    run = orjson.dumps({"id": "run-1", "status_code": status, "client_ref": "lies", "nodes_total": 3})
    server, _ = await before({CREATE: response(RUN), POLL: response(run)})
    answer = await server.generate(client_ref="lies", accept=BOTH, token=1)
    error = run_error_of(answer, "polling_timeout")
    assert error["details"]["run"]["status_code"] == status


async def test_a_state_of_a_megabyte_does_not_fill_every_line(before: Before) -> None:
    run = orjson.dumps({"id": "run-1", "status_code": "x" * 1_000_000, "client_ref": "lies"})
    server, _ = await before({CREATE: response(RUN), POLL: response(run)})
    answer = await server.generate(client_ref="lies", accept=BOTH, token=1)
    run_error_of(answer, "polling_timeout")
    assert all(len(told["message"]) < 1000 for told in answer.progress)
    assert len(answer.result["content"][0]["text"]) < 10_000


async def test_a_poll_that_is_answered_with_another_run_does_not_change_the_run_that_is_waited_for(
    before: Before,
) -> None:
    """Whatever its answer calls the run, the one that was dispatched is polled again and told in the end."""
    other = orjson.dumps({"id": "run-of-somebody-else", "status_code": "running", "client_ref": "theirs"})
    server, liar = await before({CREATE: response(RUN), POLL: response(other)})
    answer = await server.generate(client_ref="lies")
    assert answer.tool_error["details"]["run_id"] == "run-1"
    assert {line for line in liar.asked if line.startswith(POLL)} == {"GET /v1/runs/run-1 HTTP/1.1"}


async def test_what_is_nearly_json_is_read(before: Before) -> None:
    """A number as id, half an emoji as JavaScript cuts it, NaN, an infinity, a byte order mark, Latin-1."""
    told = b'"client_ref":"near","cost":NaN,"duration_ms":1e999,"note":"\\ud83d caf\xe9"'
    queued = b'\xef\xbb\xbf{"id":42,"status_code":"queued",' + told + b"}"
    ended = b'{"id":42,"status_code":"succeeded","output":{"url":"https://x.example/a.png"},' + told + b"}"
    server, liar = await before({CREATE: response(queued, status="201 Created"), POLL: response(ended)})
    answer = await server.generate(client_ref="near", accept=BOTH, token=1)
    assert (answer.structured["run_id"], answer.structured["status"]) == ("42", "succeeded")
    assert (answer.structured["cost"], answer.structured["duration_ms"]) == (None, None)
    assert answer.structured["outputs"] == [{"url": "https://x.example/a.png", "mime_type": "image/png"}]
    assert "GET /v1/runs/42 HTTP/1.1" in liar.asked


async def test_a_run_that_was_just_made_is_not_said_to_have_ignored_its_input(before: Before) -> None:
    """Although upstream fills in defaults and keeps no metadata."""
    made = b'{"id":"run-1","status_code":"succeeded","input":{"prompt":"x","steps":20},"metadata":null}'
    server, _ = await before({CREATE: response(made, status="201 Created"), POLL: response(made)})
    for ref, run_input in (("fresh", {"prompt": "x"}), ("lies", {"prompt": "another, before upstream rewrote it"})):
        answer = await server.generate(input=run_input, client_ref=ref)
        assert "input_ignored" not in answer.structured


async def test_of_two_inputs_at_once_the_second_is_said_to_be_ignored_although_upstream_echoes_none(
    before: Before,
) -> None:
    made = b'{"id":"run-1","status_code":"succeeded"}'
    server, liar = await before({CREATE: response(made, status="201 Created"), POLL: response(made)})
    answers = await asyncio.gather(
        *(server.generate(input={"prompt": prompt}, client_ref="both") for prompt in ("one", "other"))
    )
    assert sorted("input_ignored" in answer.structured for answer in answers) == [False, True]
    assert sum(line.startswith("POST") for line in liar.asked) == 1
