"""What the client makes of each answer of the API, and what it never does with a bearer."""

import gzip
import re
import time
import traceback
import zlib
from email.utils import formatdate
from typing import Any

import aiohttp
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.credentials import Bearer
from runflow_mcp.runflow.api.client import RunflowClient, retry_after
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError
from runflow_mcp.runflow.api.paths import run_path, runs_path
from runflow_mcp.runflow.api.transport import MAX_RESPONSE_BYTES
from runflow_mcp.runflow.dispatch.attempts import Reached, reached_by
from runflow_mcp.runflow.reading.error_bodies import read_error_body
from runflow_mcp.runflow.reading.trimming import trimmed
from runflow_mcp.runflow.runs.run import Run
from runflow_mcp.sandbox import Answer, Fault, Hang, Reset, RunningSandbox, Sandbox, Truncate
from tests.protocol.laws import json_values, law
from tests.serving import INPUT, KEY, MODEL, free_port
from tests.virtual_time import EPOCH, VirtualClock

BEARER = Bearer(KEY)
RUN_ID = "018f3c9e-8f3a-7c3e-9b1a-000000000001"
BODY = orjson.dumps({"input": INPUT, "client_ref": "ref-1", "metadata": {"mcp_model": MODEL}})


async def create(client: RunflowClient, *, bearer: Bearer = BEARER, model: str = MODEL, timeout: float = 30.0) -> Run:
    return await client.create_run(bearer, model, BODY, idempotency_key="k" * 64, trace={}, timeout=timeout)


async def refusal(client: RunflowClient, *, bearer: Bearer = BEARER, model: str = MODEL) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await create(client, bearer=bearer, model=model)
    return caught.value


async def answered(client: RunflowClient, sandbox: Sandbox, status: int, body: object, **headers: str) -> UpstreamError:
    """The fault that a scripted answer to a dispatch becomes."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    sandbox.faults.add("create", Answer(status, content, headers))
    return await refusal(client)


# What is sent


async def test_a_dispatch_is_sent_with_the_callers_bearer_and_the_key_of_the_order(
    client: RunflowClient, sandbox: Sandbox
) -> None:
    await client.create_run(
        BEARER,
        MODEL,
        BODY,
        idempotency_key="k" * 64,
        trace={"traceparent": "00-a-b-01", "tracestate": "x=1"},
        timeout=9,
    )
    [seen] = sandbox.requests
    assert (seen.method, seen.path, seen.key) == ("POST", f"/v1/models/{MODEL}/runs", BEARER.fingerprint)
    assert seen.headers["Idempotency-Key"] == "k" * 64
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.headers["Accept"] == "application/json"
    assert (seen.headers["Traceparent"], seen.headers["Tracestate"]) == ("00-a-b-01", "x=1")
    assert seen.headers["User-Agent"].startswith("runflow-mcp/")
    assert seen.body == orjson.loads(BODY)


@pytest.mark.parametrize("model", ["a/b", "bytedance/seedance/2.0/fast/text-to-video", "x/...", "x/a.b-c_d"])
async def test_the_model_arrives_as_it_is(client: RunflowClient, sandbox: Sandbox, model: str) -> None:
    sandbox.faults.add("create", Answer(404))
    await refusal(client, model=model)
    assert sandbox.requests[-1].path == runs_path(model) == f"/v1/models/{model}/runs"


async def test_a_look_up_asks_for_one_client_ref_newest_first(client: RunflowClient, sandbox: Sandbox) -> None:
    ref = "A-z_0.9:/@+=-"
    listed = await client.list_runs(BEARER, ref, {"traceparent": "t"}, limit=20, timeout=9)
    assert listed == {"items": [], "next_pq": None, "prev_pq": None}
    [seen] = sandbox.requests
    assert (seen.method, seen.path, seen.key) == ("GET", "/v1/runs", BEARER.fingerprint)
    assert seen.query["q"] == f"client_ref.EQ:'{ref}'"
    assert seen.query["sort_by"] == "created_at:desc"
    assert seen.headers["Traceparent"] == "t"


async def test_no_cookie_is_kept(client: RunflowClient, sandbox: Sandbox) -> None:
    sandbox.faults.add("create", Answer(503, headers={"Set-Cookie": "session=1; Path=/"}))
    await refusal(client)
    await create(client)
    assert "Cookie" not in sandbox.requests[-1].headers


# Runs


async def test_a_run_is_created_and_read(client: RunflowClient) -> None:
    run = await create(client)
    assert (run.status, run.client_ref) == ("queued", "ref-1")
    assert (await client.get_run(BEARER, run.id, {})).id == run.id


@pytest.mark.parametrize("status", [200, 201, 202, 299])
async def test_any_2xx_with_a_run_is_a_run(client: RunflowClient, sandbox: Sandbox, status: int) -> None:
    sandbox.faults.add("create", Answer(status, orjson.dumps({"run_id": RUN_ID, "status": "queued"})))
    assert (await create(client)).id == RUN_ID


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"null", b"[]", b"{}", b'"x"', b'{"id":null}', b'{"id":"a/b"}', b'{"id":"', b"\xff"],
    ids=repr,
)
async def test_a_2xx_that_is_no_run_leaves_the_outcome_unknown(
    client: RunflowClient, sandbox: Sandbox, body: bytes
) -> None:
    fault = await answered(client, sandbox, 201, body)
    assert fault.outcome is Outcome.UNKNOWN
    sandbox.faults.add("get_run", Answer(200, body))
    with pytest.raises(UpstreamError) as caught:
        await client.get_run(BEARER, RUN_ID, {})
    assert caught.value.outcome is Outcome.UNKNOWN


async def test_a_run_of_another_caller_is_not_found(client: RunflowClient) -> None:
    run = await create(client)
    stranger = Bearer("rf_live_somebody_else")
    with pytest.raises(UpstreamError) as caught:
        await client.get_run(stranger, run.id, {})
    assert (caught.value.status, caught.value.code) == (404, "run_not_found")
    assert await listed(client, "ref-1", stranger) == []


async def test_the_id_of_a_run_may_change_its_case_and_nothing_else(client: RunflowClient, sandbox: Sandbox) -> None:
    run = await create(client)
    sandbox.faults.add("get_run", Answer(200, orjson.dumps({"id": run.id.upper(), "status": "running"})))
    assert (await client.get_run(BEARER, run.id, {})).status == "running"
    sandbox.faults.add("get_run", Answer(200, orjson.dumps({"id": f"{run.id}0", "status": "running"})))
    with pytest.raises(UpstreamError, match="another run"):
        await client.get_run(BEARER, run.id, {})


# Look-ups


async def listed(client: RunflowClient, ref: str, bearer: Bearer = BEARER) -> list[object]:
    payload = await client.list_runs(bearer, ref, {}, limit=20, timeout=9)
    assert isinstance(payload, dict)
    return list(payload["items"])


async def test_the_runs_of_a_client_ref_are_listed(client: RunflowClient) -> None:
    run = await create(client)
    [item] = await listed(client, "ref-1")
    assert isinstance(item, dict)
    assert item["id"] == run.id
    assert await listed(client, "ref-2") == []


async def test_the_cursor_of_the_next_page_goes_back_as_it_came(client: RunflowClient, sandbox: Sandbox) -> None:
    sandbox.faults.add("list_runs", Answer(200, b"[]"))
    await client.list_runs(BEARER, "ref-1", {}, limit=20, timeout=9, next_pq="a&b=c/+%20")
    assert sandbox.requests[-1].query["pq"] == "a&b=c/+%20"


@pytest.mark.parametrize("body", [b"null", b"<html>", b""])
async def test_what_is_not_json_is_an_answer_that_leaves_the_outcome_unknown(
    client: RunflowClient, sandbox: Sandbox, body: bytes
) -> None:
    sandbox.faults.add("list_runs", Answer(200, body))
    with pytest.raises(UpstreamError) as caught:
        await client.list_runs(BEARER, "ref-1", {}, limit=20, timeout=9)
    assert (caught.value.outcome, caught.value.status) == (Outcome.UNKNOWN, 200)


@pytest.mark.parametrize(
    ("fault", "reached"),
    [
        (Answer(201, b"<html>"), Reached.ANSWERED),
        (Answer(201, b"{}"), Reached.ANSWERED),
        (Answer(204), Reached.ANSWERED),
        (Truncate(), Reached.ANSWERED),
        (Answer(303), Reached.ANSWERED),
        (Answer(409), Reached.ANSWERED),
        (Answer(500), Reached.MAYBE),
        (Answer(408), Reached.MAYBE),
        (Answer(429), Reached.MAYBE),
        (Reset(), Reached.MAYBE),
        (Hang(100), Reached.MAYBE),
        (Answer(422), Reached.NOTHING),
        (Answer(301), Reached.NOTHING),
    ],
    ids=repr,
)
async def test_what_an_attempt_may_have_done_follows_from_its_answer(
    client: RunflowClient, sandbox: Sandbox, fault: Fault, reached: Reached
) -> None:
    sandbox.faults.add("create", fault)
    with pytest.raises(UpstreamError) as caught:
        await create(client)
    assert reached_by(caught.value) is reached


# Refusals


@pytest.mark.parametrize(
    ("key", "model", "status", "code"),
    [
        ("rf_live_sandbox_revoked", MODEL, 401, "unauthorized"),
        ("rf_live_sandbox_no_credit", MODEL, 402, "insufficient_credits"),
        ("rf_live_sandbox_forbidden", MODEL, 403, "permission_denied"),
        ("rf_live_sandbox_unverified", MODEL, 403, "email_not_verified"),
        (KEY, "nobody/nothing", 404, "model_not_found"),
        (KEY, "runflow/outpaint", 422, "validation_error"),
    ],
)
async def test_a_refusal_says_who_refused_what(
    client: RunflowClient, key: str, model: str, status: int, code: str
) -> None:
    fault = await refusal(client, bearer=Bearer(key), model=model)
    assert (fault.outcome, fault.status, fault.code) == (Outcome.REFUSED, status, code)
    assert fault.path == runs_path(model)
    assert fault.message
    assert key not in repr(fault)


async def test_the_errors_of_a_refusal_are_passed_on_untouched(client: RunflowClient) -> None:
    fault = await refusal(client, model="runflow/background-removal")
    assert fault.errors == [{"type": "missing", "loc": ["body", "input", "image_url"], "msg": "Field required"}]


OUTCOMES = {
    Outcome.REFUSED: (300, 302, 400, 401, 402, 403, 404, 409, 418, 422),
    Outcome.UNKNOWN: (408, 500, 502, 504, 524),
    Outcome.BUSY: (429, 503),
}


@pytest.mark.parametrize("body", [b"", b"<html><h1>Bad Gateway</h1></html>", b'{"code":'], ids=["bare", "html", "torn"])
@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_a_status_without_a_readable_body_is_enough(
    client: RunflowClient, sandbox: Sandbox, outcome: Outcome, body: bytes
) -> None:
    for status in OUTCOMES[outcome]:
        fault = await answered(client, sandbox, status, body)
        assert (fault.outcome, fault.status) == (outcome, status)
        assert (fault.code, fault.message, fault.errors) == (None, None, [])
        assert "Bad Gateway" not in fault.reason
        assert str(status) in fault.reason


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["/v1/runs", "http://127.0.0.1:9/elsewhere", "//evil.example/"])
async def test_a_redirect_of_the_api_is_not_followed(
    client: RunflowClient, sandbox: Sandbox, status: int, target: str
) -> None:
    fault = await answered(client, sandbox, status, b"", Location=target)
    assert (fault.outcome, fault.status) == (Outcome.REFUSED, status)
    sandbox.faults.add("get_run", Answer(status, b"", {"Location": target}))
    with pytest.raises(UpstreamError):
        await client.get_run(BEARER, RUN_ID, {})
    assert [seen.path for seen in sandbox.requests] == [runs_path(MODEL), run_path(RUN_ID)]


# The connection


@pytest.mark.parametrize("fault", [Reset(), Truncate(), Hang(90)], ids=["reset", "torn", "silence"])
async def test_a_lost_answer_leaves_the_outcome_unknown(
    client: RunflowClient, sandbox: Sandbox, fault: Reset | Truncate | Hang
) -> None:
    sandbox.faults.add("create", fault)
    lost = await refusal(client)
    assert (lost.outcome, lost.status, lost.code) == (Outcome.UNKNOWN, None, None)
    assert "127.0.0.1" not in lost.reason


async def test_a_refused_connection_sent_nothing(session: aiohttp.ClientSession, clock: VirtualClock) -> None:
    client = RunflowClient(session, f"http://127.0.0.1:{free_port()}", 30.0, clock)
    fault = await refusal(client)
    assert (fault.outcome, fault.status) == (Outcome.NOT_SENT, None)
    assert "127.0.0.1" not in fault.reason


async def test_a_request_takes_no_longer_than_configured(
    session: aiohttp.ClientSession, upstream: RunningSandbox, clock: VirtualClock
) -> None:
    client = RunflowClient(session, upstream.url, 4.0, clock)
    upstream.sandbox.faults.add("create", Hang(90), times=2)
    await refusal(client)
    assert clock.monotonic() == pytest.approx(4, abs=0.1)
    with pytest.raises(UpstreamError):
        await create(client, timeout=1.5)
    assert clock.monotonic() == pytest.approx(5.5, abs=0.1)
    upstream.sandbox.faults.add("get_run", Hang(90))
    with pytest.raises(UpstreamError):
        await client.get_run(BEARER, RUN_ID, {})
    assert clock.monotonic() == pytest.approx(9.5, abs=0.1)


@pytest.mark.parametrize("timeout", [0.0, -5.0])
async def test_no_time_left_is_not_time_without_end(
    client: RunflowClient, sandbox: Sandbox, clock: VirtualClock, timeout: float
) -> None:
    sandbox.faults.add("create", Hang(600))
    with pytest.raises(UpstreamError):
        await create(client, timeout=timeout)
    assert clock.monotonic() <= 1


# Bodies

PADDED = {"id": RUN_ID, "status_code": "succeeded", "output": {"text": "word " * 2_000}}


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
    ],
)
async def test_a_body_that_came_compressed_unasked_is_read(
    client: RunflowClient, sandbox: Sandbox, encoding: str, pack: Any
) -> None:
    sandbox.faults.add("get_run", Answer(200, pack(orjson.dumps(PADDED)), {"Content-Encoding": encoding}))
    assert (await client.get_run(BEARER, RUN_ID, {})).output == PADDED["output"]


async def test_a_compressed_refusal_is_read(client: RunflowClient, sandbox: Sandbox) -> None:
    body = gzip.compress(orjson.dumps({"code": "PERMISSION_DENIED", "message": "No."}))
    fault = await answered(client, sandbox, 403, body, **{"Content-Encoding": "gzip"})
    assert (fault.code, fault.message) == ("permission_denied", "No.")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(orjson.dumps(PADDED))[:-20]),
        ("gzip", orjson.dumps(PADDED)),
        ("gzip", b""),
        ("deflate", b"\x00\x01\x02"),
        ("br", b"\x0b\x02\x80"),
        ("zstd", b"\x28\xb5\x2f\xfd"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0)),
    ],
)
async def test_a_body_that_cannot_be_decompressed_is_unreadable(
    client: RunflowClient, sandbox: Sandbox, encoding: str, body: bytes
) -> None:
    sandbox.faults.add("get_run", Answer(200, body, {"Content-Encoding": encoding}))
    with pytest.raises(UpstreamError) as caught:
        await client.get_run(BEARER, RUN_ID, {})
    assert caught.value.outcome is Outcome.UNKNOWN


def _spaces(size: int) -> bytes:
    """A run of exactly so many bytes: JSON allows white space behind it."""
    return orjson.dumps(PADDED).ljust(size)


async def test_a_body_of_8_mib_is_read(client: RunflowClient, sandbox: Sandbox) -> None:
    sandbox.faults.add("get_run", Answer(200, _spaces(MAX_RESPONSE_BYTES)))
    assert MAX_RESPONSE_BYTES == 8 * 1024 * 1024
    assert (await client.get_run(BEARER, RUN_ID, {})).id == RUN_ID


@pytest.mark.parametrize("status", [200, 400])
async def test_a_body_over_8_mib_is_refused(client: RunflowClient, sandbox: Sandbox, status: int) -> None:
    sandbox.faults.add("get_run", Answer(status, _spaces(MAX_RESPONSE_BYTES + 1)))
    with pytest.raises(UpstreamError) as caught:
        await client.get_run(BEARER, RUN_ID, {})
    assert caught.value.outcome is Outcome.UNKNOWN
    assert "8 MiB" in caught.value.reason


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_bomb_is_not_inflated(client: RunflowClient, sandbox: Sandbox, encoding: str) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    bomb = b"".join(packer.compress(bytes(1024 * 1024)) for _ in range(100)) + packer.flush()
    assert len(bomb) < 200_000
    sandbox.faults.add("get_run", Answer(200, bomb, {"Content-Encoding": encoding}))
    with pytest.raises(UpstreamError) as caught:
        await client.get_run(BEARER, RUN_ID, {})
    assert "8 MiB" in caught.value.reason
    assert (await create(client)).id, "the next request goes its way"


async def test_what_is_nested_too_deeply_to_be_written_again_is_cut(client: RunflowClient, sandbox: Sandbox) -> None:
    deep = b'{"id":"r-1","output":' + b"[" * 900 + b'"https://a/b.png"' + b"]" * 900 + b"}"
    sandbox.faults.add("get_run", Answer(200, deep))
    run = await client.get_run(BEARER, "r-1", {})
    shown = {"output": trimmed(run.output), "details": {"run": trimmed(run.raw)}}
    assert b"nested too deeply" in orjson.dumps({"result": {"structuredContent": shown}})


async def test_what_is_nested_too_deeply_is_cut_where_a_key_may_be_spelt_with_escapes(
    client: RunflowClient, sandbox: Sandbox
) -> None:
    hidden = KEY.encode().replace(b"_", b"\\u005f")
    deep = b'{"id":"r-1","a":"' + hidden + b'","output":' + b"[" * 900 + b'"' + hidden + b'"' + b"]" * 900 + b"}"
    sandbox.faults.add("get_run", Answer(200, deep))
    run = await client.get_run(BEARER, "r-1", {})
    assert KEY not in repr(run)
    assert BEARER.fingerprint in run.raw["a"]


# The key


ECHOES = {
    "in the message": {"code": "UNAUTHORIZED", "message": f"Key {KEY} is bad"},
    "in the errors": {"code": "X", "message": "m", "errors": [{"type": "x", "input": {"h": [f"Bearer {KEY}"]}}]},
    "as a name": {"code": "X", "message": "m", "errors": [{KEY: 1}]},
    "in the code": {"code": KEY, "message": "m", "errors": [{"type": KEY}]},
    "deep down": {"code": "X", "message": "m", "errors": [[[[[[[{"a": {"b": KEY}}]]]]]]]},
}


@pytest.mark.parametrize("body", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize("escaped", [False, True])
async def test_a_key_that_upstream_echoes_is_masked(
    client: RunflowClient, sandbox: Sandbox, body: dict[str, object], *, escaped: bool
) -> None:
    content = orjson.dumps(body)
    if escaped:
        content = content.replace(b"rf_live", b"\\u0072f\\u005flive")
    fault = await answered(client, sandbox, 400, content)
    shown = repr(fault) + str(fault) + str(fault.errors) + "".join(traceback.format_exception(fault))
    assert KEY not in shown
    if KEY in str(body.get("message")):
        assert BEARER.fingerprint in str(fault.message)


async def test_a_key_that_a_run_echoes_is_masked(client: RunflowClient, sandbox: Sandbox) -> None:
    payload = {"id": RUN_ID, "output": {"a": [f"x {KEY}"]}, "metadata": {"k": KEY}, "links": {KEY: KEY}}
    sandbox.faults.add("get_run", Answer(200, orjson.dumps(payload)))
    run = await client.get_run(BEARER, RUN_ID, {})
    assert KEY not in repr(run)
    assert BEARER.fingerprint in str(run.output)


async def test_no_fault_shows_the_key(client: RunflowClient, sandbox: Sandbox) -> None:
    for fault in (Reset(), Truncate(), Hang(90), Answer(500, KEY.encode()), Answer(201, KEY.encode())):
        sandbox.faults.add("create", fault)
        caught = await refusal(client)
        assert KEY not in "".join(traceback.format_exception(caught)) + repr(caught)
    assert KEY not in repr(client)


# Error bodies

#: body → (code, message, errors; None: as they stand in the body)
BODIES: dict[str, tuple[object, str | None, str | None, list[Any] | None]] = {
    "flat": ({"code": "PERMISSION_DENIED", "message": "No.", "errors": None}, "permission_denied", "No.", []),
    "wrapped": ({"error": {"code": "CONFLICT", "message": "Used."}}, "conflict", "Used.", []),
    "wrapped with errors": ({"error": {"code": "X", "errors": [{"type": "a"}]}}, "x", None, [{"type": "a"}]),
    "a screaming type wins": ({"code": "BAD_REQUEST", "errors": [{"type": "MODEL_GONE"}]}, "model_gone", None, None),
    "a quiet type does not": (
        {"code": "VALIDATION_ERROR", "errors": [{"type": "missing"}]},
        "validation_error",
        None,
        None,
    ),
    "a quiet type alone": ({"errors": [{"type": "missing"}]}, "missing", None, None),
    "only the first error counts": ({"errors": [{"type": "a"}, {"type": "B_C"}]}, "a", None, None),
    "a code in lower case": ({"code": "rate_limited"}, "rate_limited", None, []),
    "a code with a dash": ({"code": "RATE-LIMITED"}, None, None, []),
    "a code with a space": ({"code": "Not Found"}, None, None, []),
    "a code with a line feed": ({"code": "NOT_FOUND\n"}, None, None, []),
    "a code of 64": ({"code": "x" * 64}, "x" * 64, None, []),
    "a code of 65": ({"code": "x" * 65}, None, None, []),
    "a code that is no text": ({"code": 404, "message": "m"}, None, "m", []),
    "an empty code": ({"code": "", "errors": [{"type": "missing"}]}, "missing", None, None),
    "a foreign letter": ({"code": "ſ"}, None, None, []),
    "a type that is no text": ({"code": "A", "errors": [{"type": 5}]}, "a", None, None),
    "errors of texts": ({"code": "A", "errors": ["x", None]}, "a", "x", ["x", None]),
    "errors that are no list": ({"code": "A", "errors": {"x": 1}}, "a", None, [{"x": 1}]),
    "a message that is no text": ({"code": "A", "message": {"x": 1}}, "a", None, []),
    "a message of 500": ({"message": "x" * 600}, None, "x" * 500, []),
    "error as a text": ({"error": "invalid", "code": "A"}, "a", "invalid", []),
    "a code of digits": ({"code": "422", "message": "m"}, None, "m", []),
    "problem details": ({"title": "No", "status": 400, "detail": "x"}, None, "x", []),
    "no object": ([1], None, None, [1]),
    "null": (None, None, None, []),
}


@pytest.mark.parametrize(("body", "code", "message", "errors"), BODIES.values(), ids=BODIES)
def test_error_bodies_are_read_in_each_of_their_shapes(
    body: object, code: str | None, message: str | None, errors: list[Any] | None
) -> None:
    read = read_error_body(body)
    assert (read.code, read.reason) == (code, message)
    assert read.errors == (errors if errors is not None else body["errors"] if isinstance(body, dict) else [])


@law
@given(
    json_values
    | st.fixed_dictionaries(
        {},
        optional={
            "code": json_values | st.sampled_from(["A_B", "a-b"]),
            "message": json_values,
            "errors": json_values | st.lists(st.fixed_dictionaries({"type": json_values | st.just("A_B")})),
            "error": json_values,
        },
    )
)
def test_no_error_body_makes_the_reader_fail(body: object) -> None:
    read = read_error_body(body)
    assert read.code is None or re.fullmatch("[a-z0-9_]{1,64}", read.code)
    assert read.reason is None or (0 < len(read.reason) <= 500 and not re.search(r"[\x00-\x1f\u2028]", read.reason))
    assert isinstance(read.errors, list)


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


async def test_a_busy_answer_says_when_to_come_back(client: RunflowClient, sandbox: Sandbox) -> None:
    fault = await answered(client, sandbox, 503, b"", **{"Retry-After": "7"})
    assert (fault.outcome, fault.retry_after) == (Outcome.BUSY, 7)
    fault = await answered(client, sandbox, 429, b"")
    assert (fault.outcome, fault.retry_after) == (Outcome.BUSY, None)
    fault = await answered(client, sandbox, 429, b"", **{"Retry-After": formatdate(EPOCH + 20, usegmt=True)})
    assert fault.retry_after == pytest.approx(20, abs=1)
