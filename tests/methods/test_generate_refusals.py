"""Every way in which Runflow says no, and the tool error that it becomes."""

import hashlib
from random import Random

import orjson
import pytest

from runflow_mcp.methods.schemas import GENERATE
from runflow_mcp.sandbox import Answer, Reset, Route, RunningSandbox, Sandbox
from tests.methods.envelopes import run_error_of, tool_error_of
from tests.methods.schema_check import fits
from tests.methods.seen import dispatches
from tests.serving import BOTH, MODEL, Serve, Server, free_port, run_server
from tests.virtual_time import VirtualClock

OUT_OF_CREDIT = [{"type": "insufficient_credits", "message": "Balance is $0.00"}]
MISSING = [{"type": "missing", "loc": ["body", "input", "prompt"], "msg": "Field required"}]


@pytest.mark.parametrize(
    ("key", "model", "input_", "code", "status", "errors"),
    [
        ("rf_live_sandbox_no_credit", MODEL, {"prompt": "x"}, "insufficient_credits", 402, OUT_OF_CREDIT),
        ("rf_live_sandbox_revoked", MODEL, {"prompt": "x"}, "unauthorized", 401, []),
        ("rf_live_sandbox_throttled", MODEL, {"prompt": "x"}, "rate_limited", 429, []),
        ("rf_live_sandbox_forbidden", MODEL, {"prompt": "x"}, "permission_denied", 403, []),
        ("rf_live_sandbox_unverified", MODEL, {"prompt": "x"}, "email_not_verified", 403, []),
        ("rf_live_sandbox", "sandbox/unavailable", {"prompt": "x"}, "model_unavailable", 503, []),
        ("rf_live_sandbox", "google/nano-banana-3", {"prompt": "x"}, "model_not_found", 404, []),
        ("rf_live_sandbox", MODEL, {}, "validation_error", 422, MISSING),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("client_ref", [None, "mine"])
async def test_a_refusal_by_the_sandbox(
    server: Server,
    sandbox: Sandbox,
    *,
    key: str,
    model: str,
    input_: object,
    code: str,
    status: int,
    errors: object,
    client_ref: str | None,
) -> None:
    answer = await server.generate(model, input_, key=key, client_ref=client_ref, accept=BOTH)
    error = tool_error_of(answer, code, upstream_status=status)
    text, details = answer.result["content"][0]["text"], error["details"]
    assert details["errors"] == errors
    assert details["path"] == f"/v1/models/{model}/runs"
    assert details["client_ref"] == (client_ref or dispatches(sandbox)[0].body["client_ref"])
    assert details["client_ref"] in text
    assert "run_id" not in details
    assert len(sandbox.runs) == 0
    assert fits(GENERATE["outputSchema"], answer.structured)


def body(code: object = None, errors: object = None, message: object = "Why not") -> bytes:
    return orjson.dumps({"code": code, "message": message, "errors": errors})


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Answer(402), "insufficient_credits"),
        (Answer(402, body("PAYMENT_REQUIRED")), "insufficient_credits"),
        (Answer(400, body("INSUFFICIENT_CREDITS")), "insufficient_credits"),
        (Answer(403, body("PERMISSION_DENIED", [{"type": "INSUFFICIENT_CREDIT"}])), "insufficient_credits"),
        (Answer(403, body("FORBIDDEN", [{"type": "insufficient_credits"}])), "insufficient_credits"),
        (Answer(401, b"<html>no</html>"), "unauthorized"),
        (Answer(401, body("KEY_EXPIRED")), "unauthorized"),
        (Answer(404), "model_not_found"),
        (Answer(404, body("SOMETHING_ELSE")), "model_not_found"),
        (Answer(403, body("EMAIL_NOT_VERIFIED")), "email_not_verified"),
        (Answer(422, body("VALIDATION_ERROR", [{"type": "SAFETY_BLOCK"}])), "safety_block"),
        (Answer(422, body("VALIDATION_ERROR", [{"type": "missing"}])), "validation_error"),
        (Answer(422, body(None, [{"type": "missing"}])), "missing"),
        (Answer(400, orjson.dumps({"error": {"code": "BAD_REQUEST", "message": "Wrapped"}})), "bad_request"),
        (Answer(400, body("No such code!")), "generate_failed"),
        (Answer(400, body("A" * 65)), "generate_failed"),
        (Answer(400, body(17)), "generate_failed"),
        (Answer(400, b"[]"), "generate_failed"),
        (Answer(400, b"\xff\xfe"), "generate_failed"),
        (Answer(418), "generate_failed"),
        (Answer(301, headers={"Location": "https://example.com/"}), "generate_failed"),
        (Answer(307, headers={"Location": "/v1/models/sandbox/slow/runs"}), "generate_failed"),
    ],
)
async def test_the_code_of_a_refusal(server: Server, sandbox: Sandbox, refusal: Answer, code: str) -> None:
    sandbox.faults.add(Route.CREATE, refusal, times=None)
    answer = await server.generate()
    error = tool_error_of(answer, code, upstream_status=refusal.status)
    assert len(dispatches(sandbox)) == 1
    if b"errors" in refusal.body:
        assert error["details"]["errors"] == (orjson.loads(refusal.body)["errors"] or [])


async def test_upstreams_errors_pass_untouched_and_are_in_the_text(server: Server) -> None:
    answer = await server.generate("google/nano-banana-pro/edit", {"resolution": "8K"})
    errors = answer.tool_error["details"]["errors"]
    assert [one["loc"] for one in errors] == [["body", "input", "prompt"], ["body", "input", "image_urls"]]
    assert all(one["loc"][-1] in answer.result["content"][0]["text"] for one in errors)


async def test_a_model_that_is_not_there_brings_up_to_five_near_names(server: Server) -> None:
    answer = await server.generate("google/nano-banana")
    suggestions = answer.tool_error["details"]["suggestions"]
    assert "google/nano-banana-2" in suggestions
    assert 1 <= len(suggestions) <= 5
    assert all(name in answer.result["content"][0]["text"] for name in suggestions)


async def test_a_model_like_no_other_brings_no_names(server: Server) -> None:
    answer = await server.generate("zzzz/qqqq")
    assert answer.tool_error["details"]["suggestions"] == []


async def test_a_failed_run_says_why_and_asks_for_a_new_client_ref(server: Server) -> None:
    answer = await server.generate("sandbox/failing", client_ref="bad", token=1, accept=BOTH)
    error = run_error_of(answer, "run_failed")
    assert error["details"]["failure_code"] == "content_policy_violation"
    assert "content_policy_violation" in error["message"]
    assert "The input was refused by the content policy" in error["message"]
    assert error["details"]["run"]["status_code"] == "failed"
    assert "new client_ref" in error["next_action"]
    assert answer.is_stream


async def test_a_cancelled_run(server: Server) -> None:
    answer = await server.generate("sandbox/cancelled")
    error = run_error_of(answer, "run_cancelled")
    assert error["details"]["run"]["status_code"] == "cancelled"


async def test_a_failure_without_reasons_is_one_all_the_same(server: Server, sandbox: Sandbox) -> None:
    run_id = (await server.generate(client_ref="r", wait=False)).structured["run_id"]
    sandbox.faults.add(Route.GET_RUN, Answer(200, b'{"id":"%b","status_code":"failed"}' % run_id.encode()))
    error = run_error_of(await server.generate(client_ref="r"), "run_failed")
    assert error["details"]["failure_code"] is None


@pytest.mark.parametrize("fault", [Reset(), Answer(500, b"Traceback: secret"), Answer(201, b"<html>")], ids=repr)
async def test_an_upstream_that_never_answers_well_is_generate_failed(
    server: Server, sandbox: Sandbox, fault: Answer | Reset
) -> None:
    sandbox.faults.add(Route.CREATE, fault, times=None)
    status = None if isinstance(fault, Reset) else fault.status
    answer = await server.generate(client_ref="lost")
    error = tool_error_of(answer, "generate_failed", upstream_status=status)
    assert error["details"]["client_ref"] == "lost"
    assert b"Traceback" not in answer.content
    assert len(dispatches(sandbox)) == (1 if status == 201 else 3), "after a 2xx nothing is sent again"


async def test_an_upstream_that_is_not_there_is_generate_failed(serve: Serve) -> None:
    server = await serve(RUNFLOW_API_URL=f"http://127.0.0.1:{free_port()}")
    answer = await server.generate()
    error = tool_error_of(answer, "generate_failed")
    assert "127.0.0.1" not in error["message"]
    assert "Errno" not in error["message"]


class _Broken(Random):
    """A source of chance that fails, as anything of our own may."""

    def uniform(self, a: float, b: float) -> float:
        raise RuntimeError(f"internals: {a} {b}")


async def test_a_fault_of_our_own_shows_nothing_of_itself(upstream: RunningSandbox, clock: VirtualClock) -> None:
    async with run_server(upstream.url, clock, _Broken(), {}) as server:
        answer = await server.generate(client_ref="ours")
    error = run_error_of(answer, "generate_failed")
    assert b"internals" not in answer.content
    assert b"RuntimeError" not in answer.content
    assert error["details"]["client_ref"] == "ours"


async def test_an_upstream_that_echoes_the_key_is_masked(server: Server, sandbox: Sandbox) -> None:
    key = "rf_live_marked_key"
    echo = orjson.dumps({"code": "BAD_REQUEST", "message": f"bad {key}", "errors": [{"type": "x", "got": key}]})
    sandbox.faults.add(Route.CREATE, Answer(400, echo))
    answer = await server.generate(key=key)
    tool_error_of(answer, "bad_request", upstream_status=400)
    assert key.encode() not in answer.content
    assert hashlib.sha256(key.encode()).hexdigest()[:12].encode() in answer.content
