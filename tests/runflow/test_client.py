"""The client over a connection: what is sent, which answers are read, and what never happens to a bearer."""

import contextlib
import gzip
import traceback
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import aiohttp
import attrs
import orjson
import pytest

from runflow_mcp.credentials import Bearer
from runflow_mcp.runflow.api.client import RunflowClient
from runflow_mcp.runflow.api.errors import Outcome, ResponseTooLarge, UpstreamError
from runflow_mcp.runflow.api.paths import run_path, runs_path
from runflow_mcp.runflow.api.transport import MAX_RESPONSE_BYTES
from runflow_mcp.runflow.dispatch.attempts import Effect, effect_of
from runflow_mcp.runflow.runs.run import Run
from runflow_mcp.sandbox import RunningSandbox
from tests.scripted_sandbox import Action, Hang, Reset, Respond, ScriptedSandbox, Truncate
from tests.serving import INPUT, KEY, MODEL, free_port
from tests.virtual_time import VirtualClock

BEARER = Bearer(KEY)
SLASHED_KEY = f"{KEY}/+x"
RUN_ID = "018f3c9e-8f3a-7c3e-9b1a-000000000001"
BODY = orjson.dumps({"input": INPUT, "client_ref": "ref-1", "metadata": {"mcp_model": MODEL}})


async def create(client: RunflowClient, *, bearer: Bearer = BEARER, model: str = MODEL, timeout: float = 30.0) -> Run:
    return await client.create_run(bearer, model, BODY, idempotency_key="k" * 64, trace={}, timeout=timeout)


async def refusal(client: RunflowClient, *, bearer: Bearer = BEARER, model: str = MODEL) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await create(client, bearer=bearer, model=model)
    return caught.value


async def answered(
    client: RunflowClient, sandbox: ScriptedSandbox, status: int, body: object, **headers: str
) -> UpstreamError:
    """The error that a scripted answer to a dispatch becomes."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    sandbox.script.add("create", Respond(status, content, headers))
    return await refusal(client)


# What is sent


async def test_a_dispatch_is_sent_with_the_callers_bearer_and_the_idempotency_key(
    client: RunflowClient, sandbox: ScriptedSandbox
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
async def test_the_model_is_sent_unchanged_in_the_path(
    client: RunflowClient, sandbox: ScriptedSandbox, model: str
) -> None:
    sandbox.script.add("create", Respond(404))
    await refusal(client, model=model)
    assert sandbox.requests[-1].path == runs_path(model) == f"/v1/models/{model}/runs"


async def test_a_look_up_lists_the_runs_of_one_client_ref_newest_first(
    client: RunflowClient, sandbox: ScriptedSandbox
) -> None:
    ref = "A-z_0.9:/@+=-"
    listed = await client.list_runs(BEARER, ref, {"traceparent": "t"}, limit=20, timeout=9)
    assert listed == {"items": [], "next_pq": None, "prev_pq": None}
    [seen] = sandbox.requests
    assert (seen.method, seen.path, seen.key) == ("GET", "/v1/runs", BEARER.fingerprint)
    assert seen.query["q"] == f"client_ref.EQ:'{ref}'"
    assert seen.query["sort_by"] == "created_at:desc"
    assert seen.headers["Traceparent"] == "t"


async def test_no_cookie_is_kept(client: RunflowClient, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add("create", Respond(503, headers={"Set-Cookie": "session=1; Path=/"}))
    await refusal(client)
    await create(client)
    assert "Cookie" not in sandbox.requests[-1].headers


# Runs


async def test_a_run_is_created_and_read(client: RunflowClient) -> None:
    run = await create(client)
    assert (run.status, run.client_ref) == ("queued", "ref-1")
    assert (await client.get_run(BEARER, run.id, {})).id == run.id


async def test_a_poll_returns_nothing_while_the_answer_is_unchanged(
    client: RunflowClient, sandbox: ScriptedSandbox
) -> None:
    def answer(nodes: int) -> Respond:
        return Respond(200, orjson.dumps({"id": RUN_ID, "status_code": "running", "nodes_completed": nodes}))

    for nodes in (1, 1, 2, 2, 1):
        sandbox.script.add("get_run", answer(nodes))
    seen, shown = None, []
    for _ in range(5):
        reading = await client.poll_run(BEARER, RUN_ID, {}, seen=seen)
        shown.append(None if reading is None else reading.run.nodes_completed)
        seen = seen if reading is None else reading.digest
    assert shown == [1, None, 2, None, 1]


async def test_a_poll_that_is_refused_with_the_bytes_of_the_last_answer_is_an_error(
    client: RunflowClient, sandbox: ScriptedSandbox
) -> None:
    body = orjson.dumps({"id": RUN_ID, "status_code": "running"})
    sandbox.script.add("get_run", Respond(200, body))
    reading = await client.poll_run(BEARER, RUN_ID, {})
    assert reading is not None
    for status in (403, 503):
        sandbox.script.add("get_run", Respond(status, body))
        with pytest.raises(UpstreamError) as caught:
            await client.poll_run(BEARER, RUN_ID, {}, seen=reading.digest)
        assert caught.value.status == status


async def test_a_run_of_another_caller_is_not_found(client: RunflowClient) -> None:
    run = await create(client)
    stranger = Bearer("rf_live_somebody_else")
    with pytest.raises(UpstreamError) as caught:
        await client.get_run(stranger, run.id, {})
    assert (caught.value.status, caught.value.code) == (404, "run_not_found")
    assert await listed(client, "ref-1", stranger) == []


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


async def test_the_cursor_of_the_next_page_is_sent_back_unchanged(
    client: RunflowClient, sandbox: ScriptedSandbox
) -> None:
    sandbox.script.add("list_runs", Respond(200, b"[]"))
    await client.list_runs(BEARER, "ref-1", {}, limit=20, timeout=9, next_pq="a&b=c/+%20")
    assert sandbox.requests[-1].query["pq"] == "a&b=c/+%20"


@pytest.mark.parametrize(
    ("action", "effect"),
    [
        (Respond(201, b"<html>"), Effect.CERTAIN),
        (Respond(201, b"{}"), Effect.CERTAIN),
        (Respond(204), Effect.CERTAIN),
        (Truncate(), Effect.CERTAIN),
        (Respond(303), Effect.CERTAIN),
        (Respond(409), Effect.CERTAIN),
        (Respond(500), Effect.POSSIBLE),
        (Respond(408), Effect.POSSIBLE),
        (Respond(429), Effect.POSSIBLE),
        (Reset(), Effect.POSSIBLE),
        (Hang(100), Effect.POSSIBLE),
        (Respond(422), Effect.NONE),
        (Respond(301), Effect.NONE),
    ],
    ids=repr,
)
async def test_the_answer_of_an_attempt_shows_what_it_may_have_done(
    client: RunflowClient, sandbox: ScriptedSandbox, action: Action, effect: Effect
) -> None:
    sandbox.script.add("create", action)
    with pytest.raises(UpstreamError) as caught:
        await create(client)
    assert effect_of(caught.value) is effect


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
async def test_a_refusal_of_the_upstream_has_its_status_code_and_message(
    client: RunflowClient, key: str, model: str, status: int, code: str
) -> None:
    error = await refusal(client, bearer=Bearer(key), model=model)
    assert (error.outcome, error.status, error.code) == (Outcome.REFUSED, status, code)
    assert error.path == runs_path(model)
    assert error.message
    assert key not in repr(error)


async def test_the_errors_of_a_refusal_are_passed_on_unchanged(client: RunflowClient) -> None:
    error = await refusal(client, model="runflow/background-removal")
    assert error.errors == [{"type": "missing", "loc": ["body", "input", "image_url"], "msg": "Field required"}]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["/v1/runs", "http://127.0.0.1:9/elsewhere", "//evil.example/"])
async def test_a_redirect_of_the_api_is_not_followed(
    client: RunflowClient, sandbox: ScriptedSandbox, status: int, target: str
) -> None:
    error = await answered(client, sandbox, status, b"", Location=target)
    assert (error.outcome, error.status) == (Outcome.REFUSED, status)
    sandbox.script.add("get_run", Respond(status, b"", {"Location": target}))
    with pytest.raises(UpstreamError):
        await client.get_run(BEARER, RUN_ID, {})
    assert [seen.path for seen in sandbox.requests] == [runs_path(MODEL), run_path(RUN_ID)]


# The connection


@pytest.mark.parametrize("action", [Reset(), Truncate(), Hang(90)], ids=["reset", "torn", "silence"])
async def test_a_lost_answer_leaves_the_outcome_unknown(
    client: RunflowClient, sandbox: ScriptedSandbox, action: Reset | Truncate | Hang
) -> None:
    sandbox.script.add("create", action)
    lost = await refusal(client)
    assert (lost.outcome, lost.status, lost.code) == (Outcome.UNKNOWN, None, None)
    assert "127.0.0.1" not in lost.reason


async def test_a_refused_connection_means_that_nothing_was_sent(
    session: aiohttp.ClientSession, clock: VirtualClock
) -> None:
    client = RunflowClient(session, f"http://127.0.0.1:{free_port()}", 30.0, clock)
    error = await refusal(client)
    assert (error.outcome, error.status) == (Outcome.NOT_SENT, None)
    assert "127.0.0.1" not in error.reason


async def test_a_request_takes_no_longer_than_configured(
    session: aiohttp.ClientSession, upstream: RunningSandbox, sandbox: ScriptedSandbox, clock: VirtualClock
) -> None:
    client = RunflowClient(session, upstream.url, 4.0, clock)
    sandbox.script.add("create", Hang(90), times=2)
    await refusal(client)
    assert clock.monotonic() == pytest.approx(4, abs=0.1)
    with pytest.raises(UpstreamError):
        await create(client, timeout=1.5)
    assert clock.monotonic() == pytest.approx(5.5, abs=0.1)
    sandbox.script.add("get_run", Hang(90))
    with pytest.raises(UpstreamError):
        await client.get_run(BEARER, RUN_ID, {})
    assert clock.monotonic() == pytest.approx(9.5, abs=0.1)


@pytest.mark.parametrize("timeout", [0.0, -5.0])
async def test_a_request_without_time_left_is_not_sent(
    client: RunflowClient, sandbox: ScriptedSandbox, clock: VirtualClock, timeout: float
) -> None:
    sandbox.script.add("create", Hang(600))
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
async def test_a_body_that_is_compressed_although_not_asked_for_is_read(
    client: RunflowClient, sandbox: ScriptedSandbox, encoding: str, pack: Any
) -> None:
    sandbox.script.add("get_run", Respond(200, pack(orjson.dumps(PADDED)), {"Content-Encoding": encoding}))
    assert (await client.get_run(BEARER, RUN_ID, {})).output == PADDED["output"]


async def test_a_compressed_error_body_is_read(client: RunflowClient, sandbox: ScriptedSandbox) -> None:
    body = gzip.compress(orjson.dumps({"code": "PERMISSION_DENIED", "message": "No."}))
    error = await answered(client, sandbox, 403, body, **{"Content-Encoding": "gzip"})
    assert (error.code, error.message) == ("permission_denied", "No.")


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
    client: RunflowClient, sandbox: ScriptedSandbox, encoding: str, body: bytes
) -> None:
    sandbox.script.add("get_run", Respond(200, body, {"Content-Encoding": encoding}))
    with pytest.raises(UpstreamError) as caught:
        await client.get_run(BEARER, RUN_ID, {})
    assert caught.value.outcome is Outcome.UNKNOWN


def _spaces(size: int) -> bytes:
    """A run of exactly so many bytes: JSON allows white space behind it."""
    return orjson.dumps(PADDED).ljust(size)


async def test_a_body_of_8_mib_is_read(client: RunflowClient, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add("get_run", Respond(200, _spaces(MAX_RESPONSE_BYTES)))
    assert MAX_RESPONSE_BYTES == 8 * 1024 * 1024
    assert (await client.get_run(BEARER, RUN_ID, {})).id == RUN_ID


@pytest.mark.parametrize("status", [200, 400])
async def test_a_body_over_8_mib_is_not_read(client: RunflowClient, sandbox: ScriptedSandbox, status: int) -> None:
    sandbox.script.add("get_run", Respond(status, _spaces(MAX_RESPONSE_BYTES + 1)))
    with pytest.raises(UpstreamError) as caught:
        await client.get_run(BEARER, RUN_ID, {})
    assert caught.value.outcome is Outcome.UNKNOWN
    assert "8 MiB" in caught.value.reason


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_decompression_bomb_is_not_inflated(
    client: RunflowClient, sandbox: ScriptedSandbox, encoding: str
) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    bomb = b"".join(packer.compress(bytes(1024 * 1024)) for _ in range(100)) + packer.flush()
    assert len(bomb) < 200_000
    sandbox.script.add("get_run", Respond(200, bomb, {"Content-Encoding": encoding}))
    with pytest.raises(UpstreamError) as caught:
        await client.get_run(BEARER, RUN_ID, {})
    assert "8 MiB" in caught.value.reason
    assert (await create(client)).id, "the next request goes its way"


# The key


async def test_an_error_never_shows_the_key(client: RunflowClient, sandbox: ScriptedSandbox) -> None:
    for action in (Reset(), Truncate(), Hang(90), Respond(500, KEY.encode()), Respond(201, KEY.encode())):
        sandbox.script.add("create", action)
        caught = await refusal(client)
        assert KEY not in "".join(traceback.format_exception(caught)) + repr(caught)
    assert KEY not in repr(client)


SPELLINGS = {
    "as it is": SLASHED_KEY,
    "escaped": "".join(f"\\u{ord(character):04x}" for character in SLASHED_KEY),
    "one character escaped": "\\u0072" + SLASHED_KEY[1:],
    "slashes escaped": SLASHED_KEY.replace("/", "\\/"),
}
LARGE = {
    "one text": b'"' + b"x" * 600_000 + b'"',
    "escapes": b'"' + b"\\n" * 300_000 + b'"',
    "many values": b"[" + b"0.5," * 150_000 + b"0]",
    "NaN": b'[NaN,"' + b"x" * 600_000 + b'"]',
    "not UTF-8": b'"' + b"\xff" * 600_000 + b'"',
    "nested deeply": b"[" * 900 + b'"' + b"\\n" * 300_000 + b'"' + b"]" * 900,
    "nested too deeply": b"[" * 1500 + b'"' + b"\\n" * 300_000 + b'"' + b"]" * 1500,
    "links": b'["https://cdn.example.com/KEY.png",' + b"0.5," * 150_000 + b"0]",
}


@pytest.mark.parametrize("large", LARGE.values(), ids=LARGE)
@pytest.mark.parametrize("spelt", SPELLINGS.values(), ids=SPELLINGS)
async def test_a_key_in_a_large_answer_is_masked_however_it_is_spelt(
    client: RunflowClient, sandbox: ScriptedSandbox, large: bytes, spelt: str
) -> None:
    key = spelt.encode()
    large = large.replace(b"KEY", key)
    members = b'"client_ref":"' + key + b'","message":"no ' + key + b'","output":' + large
    sandbox.script.add("create", Respond(201, b'{"id":"r-1","status_code":"running",' + members + b"}"))
    run = await create(client, bearer=Bearer(SLASHED_KEY))
    assert run.client_ref == f"[key {Bearer(SLASHED_KEY).fingerprint}]"
    assert SLASHED_KEY not in repr(run)
    sandbox.script.add("create", Respond(400, b"{" + members + b"}"))
    error = await refusal(client, bearer=Bearer(SLASHED_KEY))
    assert error.message == f"no [key {Bearer(SLASHED_KEY).fingerprint}]"


class CountingPool(ThreadPoolExecutor):
    """A pool that counts the jobs that it gets."""

    given = 0

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        self.given += 1
        return super().submit(*args, **kwargs)


@pytest.mark.parametrize("large", LARGE.values(), ids=LARGE)
@pytest.mark.parametrize("status", [200, 422])
async def test_a_large_answer_is_parsed_in_a_thread_and_a_small_one_at_once(
    client: RunflowClient, sandbox: ScriptedSandbox, large: bytes, status: int
) -> None:
    with CountingPool(1) as pool:
        client = attrs.evolve(client, parsing=pool)
        for body, given in ((b'"small"', 0), (large, 1)):
            sandbox.script.add("get_run", Respond(status, b'{"id":"r-1","message":"no","output":' + body + b"}"))
            with contextlib.suppress(UpstreamError):
                await client.get_run(BEARER, "r-1", {})
            assert pool.given == given


@pytest.mark.parametrize("large", [LARGE["many values"], LARGE["NaN"]], ids=["many values", "NaN"])
async def test_a_list_that_would_have_to_be_cut_is_reported_as_too_large(
    client: RunflowClient, sandbox: ScriptedSandbox, large: bytes
) -> None:
    sandbox.script.add("list_runs", Respond(200, b'{"items":[{"id":"r-1","output":' + large + b"}]}"))
    with pytest.raises(ResponseTooLarge, match="too large"):
        await client.list_runs(BEARER, "ref-1", {}, limit=20, timeout=9)
