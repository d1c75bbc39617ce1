"""Every refusal of Runflow's, and the tool error that it becomes."""

import hashlib
from random import Random

import orjson
import pytest

from runflow_mcp.methods.tools.generate import TOOL
from runflow_mcp.sandbox import RunningSandbox
from tests.methods.recorded_requests import dispatches
from tests.methods.schema_check import fits
from tests.methods.tool_error_reader import run_error_of, tool_error_of
from tests.scripted_sandbox import Reset, Respond, Route, ScriptedSandbox
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
async def test_every_refusal_by_the_sandbox_is_a_tool_error(
    server: Server,
    sandbox: ScriptedSandbox,
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
    assert fits(TOOL.definition["outputSchema"], answer.structured)


def body(code: object = None, errors: object = None, message: object = "Why not") -> bytes:
    return orjson.dumps({"code": code, "message": message, "errors": errors})


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Respond(402), "insufficient_credits"),
        (Respond(402, body("PAYMENT_REQUIRED")), "insufficient_credits"),
        (Respond(400, body("INSUFFICIENT_CREDITS")), "insufficient_credits"),
        (Respond(403, body("PERMISSION_DENIED", [{"type": "INSUFFICIENT_CREDIT"}])), "insufficient_credits"),
        (Respond(403, body("FORBIDDEN", [{"type": "insufficient_credits"}])), "insufficient_credits"),
        (Respond(401, b"<html>no</html>"), "unauthorized"),
        (Respond(401, body("KEY_EXPIRED")), "unauthorized"),
        (Respond(404), "model_not_found"),
        (Respond(404, body("SOMETHING_ELSE")), "model_not_found"),
        (Respond(403, body("EMAIL_NOT_VERIFIED")), "email_not_verified"),
        (Respond(422, body("VALIDATION_ERROR", [{"type": "SAFETY_BLOCK"}])), "safety_block"),
        (Respond(422, body("VALIDATION_ERROR", [{"type": "missing"}])), "validation_error"),
        (Respond(422, body(None, [{"type": "missing"}])), "missing"),
        (Respond(400, orjson.dumps({"error": {"code": "BAD_REQUEST", "message": "Wrapped"}})), "bad_request"),
        (Respond(400, body("No such code!")), "generate_failed"),
        (Respond(400, body("A" * 65)), "generate_failed"),
        (Respond(400, body(17)), "generate_failed"),
        (Respond(400, b"[]"), "generate_failed"),
        (Respond(400, b"\xff\xfe"), "generate_failed"),
        (Respond(418), "generate_failed"),
        (Respond(301, headers={"Location": "https://example.com/"}), "generate_failed"),
        (Respond(307, headers={"Location": "/v1/models/sandbox/slow/runs"}), "generate_failed"),
    ],
)
async def test_a_refusal_keeps_upstreams_code_or_gets_one_by_its_status(
    server: Server, sandbox: ScriptedSandbox, refusal: Respond, code: str
) -> None:
    sandbox.script.add(Route.CREATE, refusal, times=None)
    answer = await server.generate()
    error = tool_error_of(answer, code, upstream_status=refusal.status, refused_without_code=code == "generate_failed")
    assert len(dispatches(sandbox)) == 1
    if b"errors" in refusal.body:
        assert error["details"]["errors"] == (orjson.loads(refusal.body)["errors"] or [])


LONG = "x" * 9_000
FIELD = {"type": "missing", "loc": ["body", "input", "prompt"], "msg": "Field required"}
#: body → what the message of the tool error must contain
REASONS: dict[str, tuple[object, tuple[str, ...]]] = {
    "a bare detail": ({"detail": "The prompt is too long."}, ("The prompt is too long.",)),
    "FastAPI's list": ({"detail": [FIELD]}, ("body.input.prompt: Field required",)),
    "several of them": ({"detail": [FIELD, FIELD | {"loc": ["body", "seed"]}]}, ("input.prompt", "seed")),
    "a detail with members": ({"detail": {"message": "Too long"}}, ("Too long",)),
    "problem+json": ({"type": "about:blank", "title": "Bad", "status": 422, "detail": "Too long"}, ("Too long",)),
    "a title alone": ({"type": "about:blank", "title": "Prompt too long", "status": 422}, ("Prompt too long",)),
    "its list of params": (
        {"title": "Your request is not valid", "invalid-params": [{"name": "size", "reason": "must be positive"}]},
        ("size: must be positive",),
    ),
    "error as a text": ({"error": "Too long"}, ("Too long",)),
    "error with a message": ({"error": {"message": "Too long"}}, ("Too long",)),
    "error with a detail": ({"error": {"detail": "Too long"}}, ("Too long",)),
    "error with a reason": ({"error": {"reason": "Too long"}}, ("Too long",)),
    "error in an error": ({"error": {"error": {"message": "Too long"}}}, ("Too long",)),
    "errors of texts": ({"errors": ["Too long", "Too wide"]}, ("Too long", "Too wide")),
    "errors by field": ({"errors": {"prompt": ["Too long"], "size": ["Odd"]}}, ("prompt: Too long", "size: Odd")),
    "fields at the top": ({"prompt": ["Too long"]}, ("prompt: Too long",)),
    "GraphQL": ({"data": None, "errors": [{"message": "Too long", "path": ["run"]}]}, ("Too long",)),
    "OAuth": ({"error": "invalid request", "error_description": "Too long"}, ("Too long",)),
    "msg": ({"msg": "Too long"}, ("Too long",)),
    "reason": ({"reason": "Too long"}, ("Too long",)),
    "description": ({"description": "Too long"}, ("Too long",)),
    "another case": ({"Message": "Too long"}, ("Too long",)),
    "camel case": ({"errorMessage": "Too long"}, ("Too long",)),
    "a message in languages": ({"message": {"en": "Too long"}}, ("en: Too long",)),
    "a message of several": ({"message": ["Too long", "Too wide"], "error": "Bad Request"}, ("Too long; Too wide",)),
    "an empty message": ({"message": "", "detail": "Too long"}, ("Too long",)),
    "a message that only repeats the status": ({"message": "Bad Request", "detail": "Too long"}, ("Too long",)),
    "a fault": ({"fault": {"faultstring": "Too long"}}, ("Too long",)),
    "a fault with a code beside it": (
        {"fault": {"faultstring": "Too long", "detail": {"errorcode": "x.y"}}},
        ("Too long",),
    ),
    "a status line": ({"message": "Request failed with status code 422", "detail": "Too long"}, ("Too long",)),
    "a status with its phrase": ({"message": "422 Unprocessable Entity", "hint": "Too long"}, ("Too long",)),
    "Laravel": ({"message": "The given data was invalid.", "errors": {"prompt": ["Too long"]}}, ("prompt: Too long",)),
    "errors of fields": ({"field_errors": {"prompt": ["Too long"]}}, ("prompt: Too long",)),
    "Spring": ({"fieldErrors": [{"field": "prompt", "defaultMessage": "Too long"}]}, ("prompt: Too long",)),
    "a text beside the status": ({"status": "error", "status_text": "Too long"}, ("Too long",)),
    "err": ({"ok": False, "err": {"info": "Too long"}}, ("Too long",)),
    "an explanation": ({"explanation": "Too long"}, ("Too long",)),
    "a body in the body": ({"statusCode": 422, "body": {"error": "Too long"}}, ("Too long",)),
    "JSend": ({"status": "fail", "data": {"message": "Too long"}}, ("Too long",)),
    "a list": ([{"message": "Too long"}], ("Too long",)),
    "a JSON text": ("Too long", ("Too long",)),
    "plain text": (b"Too long\nfor this model", ("Too long for this model",)),
    "plain text with a byte order mark": (b"\xef\xbb\xbfToo long", ("Too long",)),
    "XML": (b"<?xml version='1.0'?><Error><Code>X</Code><Message>Too long</Message></Error>", ("Too long",)),
    "a long one": ({"detail": LONG}, (LONG[:500],)),
    "a long plain one": (LONG.encode(), (LONG[:500],)),
    "control characters": ({"detail": "Too\x00\x1b[31m\r\nlong\u2028\u202e!"}, ("Too long !",)),
    "tags": ({"detail": "Too <b>long</b><br/>for this"}, ("Too long for this",)),
    "no tags": ({"detail": "expected <number>, got <text>"}, ("expected <number>, got <text>",)),
}


@pytest.mark.parametrize(("body", "shown"), REASONS.values(), ids=REASONS)
async def test_the_reason_of_a_refusal_is_found_in_any_shape_of_body(
    server: Server, sandbox: ScriptedSandbox, body: object, shown: tuple[str, ...]
) -> None:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    for status in (400, 403, 422):
        sandbox.script.add(Route.CREATE, Respond(status, content))
        answer = await server.generate()
        error = tool_error_of(answer, "generate_failed", upstream_status=status, refused_without_code=True)
        assert all(text in error["message"] for text in shown), status
        assert len(error["message"]) <= 500
        assert "\n" not in error["message"]
        assert "Correct" in error["next_action"]


@pytest.mark.parametrize(
    "body",
    [
        b"<!doctype html><html><title>No</title><body>secret page</body></html>",
        b"\n <html>secret page</html>",
        b"<h1>secret page</h1>",
        orjson.dumps({"message": "<html><body>secret page</body></html>"}),
        orjson.dumps({"detail": "<!DOCTYPE html>secret page"}),
        orjson.dumps({"detail": "Traceback (most recent call last):\n  secret page"}),
        b'{"detail": "secret page',
        b"\xff\xfesecret page",
        b"secret page\0",
        b"",
    ],
    ids=repr,
)
async def test_an_html_or_broken_error_body_gives_the_status_only(
    server: Server, sandbox: ScriptedSandbox, body: bytes
) -> None:
    sandbox.script.add(Route.CREATE, Respond(422, body))
    answer = await server.generate()
    error = tool_error_of(answer, "generate_failed", upstream_status=422, refused_without_code=True)
    assert error["message"] == "Runflow answered HTTP 422."
    assert b"secret page" not in answer.content


async def test_a_text_that_calls_itself_html_is_not_shown(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CREATE, Respond(403, b"Forbidden by the firewall", {"Content-Type": "text/html"}))
    assert (await server.generate()).tool_error["message"] == "Runflow answered HTTP 403."


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"detail": [FIELD]}, [FIELD]),
        ({"error": {"details": [{"field": "prompt"}]}}, [{"field": "prompt"}]),
        ({"title": "x", "violations": [{"field": "prompt"}]}, [{"field": "prompt"}]),
        ({"errors": {"prompt": ["Too long"]}}, [{"prompt": ["Too long"]}]),
        ({"errors": ["Too long"]}, ["Too long"]),
        ({"errors": "Too long"}, ["Too long"]),
        ([{"msg": "Too long"}], [{"msg": "Too long"}]),
        ({"detail": "Too long"}, []),
    ],
    ids=str,
)
async def test_the_single_errors_of_a_refusal_are_in_the_details(
    server: Server, sandbox: ScriptedSandbox, body: object, errors: list[object]
) -> None:
    sandbox.script.add(Route.CREATE, Respond(422, orjson.dumps(body)))
    answer = await server.generate()
    assert answer.tool_error["details"]["errors"] == errors
    assert (f"errors: {orjson.dumps(errors).decode()}" in answer.result["content"][0]["text"]) is bool(errors)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"detail": {"code": "SAFETY_BLOCK", "message": "No."}}, "safety_block"),
        ({"detail": [{"type": "SAFETY_BLOCK", "msg": "No."}]}, "safety_block"),
        ({"errors": [{"code": "SAFETY_BLOCK", "message": "No."}]}, "safety_block"),
        ({"error_code": "SAFETY_BLOCK", "message": "No."}, "safety_block"),
        ({"error": "safety_block", "message": "No."}, "safety_block"),
        ({"error": "INSUFFICIENT_CREDITS"}, "insufficient_credits"),
        ({"code": "VALIDATION_ERROR", "detail": [FIELD]}, "validation_error"),
    ],
    ids=str,
)
async def test_a_code_is_found_in_undocumented_places_too(
    server: Server, sandbox: ScriptedSandbox, body: object, code: str
) -> None:
    sandbox.script.add(Route.CREATE, Respond(400, orjson.dumps(body)))
    tool_error_of(await server.generate(), code, upstream_status=400)


#: body of a 404 → its code, None where it is about the model
NOT_FOUND: list[tuple[object, str | None]] = [
    (b"", None),
    (b"<html>404 Not Found</html>", None),
    (b"404 page not found", None),
    ({"detail": "Not Found"}, None),
    ({"message": "The requested resource was not found."}, None),
    ({"message": "no Route matched with those values"}, None),
    ({"message": "Cannot POST /v1/models/google/nano-banana-2/runs"}, None),
    (
        b"The requested URL was not found on the server. If you entered the URL manually please check your spelling.",
        None,
    ),
    ({"message": "No static resource v1/models/google/nano-banana-2/runs."}, None),
    ({"message": "No handler found for POST /v1/models/google/nano-banana-2/runs"}, None),
    ({"message": "We couldn't find what you were looking for."}, None),
    ({"message": "Not Found: see https://docs.example.com/errors"}, None),
    ({"message": "Resource not found. Please check the documentation."}, None),
    ({"message": "Not found. Check that the asset exists. Asset 7 is gone"}, "generate_failed"),
    ({"message": "https://example.com/a.png was not found"}, "generate_failed"),
    ({"code": "MODEL_NOT_FOUND", "message": "x"}, None),
    ({"code": "NOT_FOUND", "message": "Model google/nano-banana-2 does not exist"}, None),
    ({"message": "google/nano-banana-2 not found"}, None),
    ({"message": "No such model: nano"}, None),
    ({"error": "Unknown model 'nano'"}, None),
    ({"code": "RUN_NOT_FOUND", "message": "Run not found"}, "run_not_found"),
    ({"code": "ASSET_NOT_FOUND", "message": "Asset not found"}, "asset_not_found"),
    ({"error": {"code": "TEMPLATE_GONE"}}, "template_gone"),
    ({"code": "NOT_FOUND", "message": "Asset not found"}, "not_found"),
    ({"detail": "Template xyz not found"}, "generate_failed"),
    ({"message": "No asset with this id for model google/nano-banana-2"}, "generate_failed"),
    ({"message": "Could not fetch https://example.com/a.png: HTTP 404"}, "generate_failed"),
    ({"message": "The model's input image was not found"}, "generate_failed"),
    ({"error": "LoRA weights not found"}, "generate_failed"),
    (b"voice 'anna' does not exist", "generate_failed"),
]


@pytest.mark.parametrize(("body", "code"), NOT_FOUND, ids=str)
async def test_a_404_that_names_something_else_is_not_about_the_model(
    server: Server, sandbox: ScriptedSandbox, body: object, code: str | None
) -> None:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    sandbox.script.add(Route.CREATE, Respond(404, content))
    answer = await server.generate()
    error = tool_error_of(
        answer,
        code or "model_not_found",
        upstream_status=404,
        refused_without_code=code == "generate_failed",
    )
    assert ("suggestions" in error["details"]) is (code is None)


async def test_the_error_of_an_unknown_model_quotes_runflow(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CREATE, Respond(404, b'{"message":"Model nano was retired in May"}'))
    answer = await server.generate()
    tool_error_of(answer, "model_not_found", upstream_status=404)
    assert "Model nano was retired in May" in answer.result["content"][0]["text"]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ({"failure_message": "The image is too dark"}, "The image is too dark"),
        ({"failure_reason": "The image is too dark"}, "The image is too dark"),
        ({"error": "The image is too dark"}, "The image is too dark"),
        ({"error": {"detail": "The image is too dark"}}, "The image is too dark"),
        ({"error": [{"loc": ["input", "image"], "msg": "too dark"}]}, "input.image: too dark"),
        ({"failure": {"reason": "The image is too dark"}}, "The image is too dark"),
        ({"failure": "The image is too dark"}, "The image is too dark"),
        ({"status_message": "The image is too dark"}, "The image is too dark"),
        ({"errors": ["The image is too dark"]}, "The image is too dark"),
        ({"error_message": "The image is too dark"}, "The image is too dark"),
        ({"node_runs": [{"error": None}, {"error": {"message": "The image is too dark"}}]}, "The image is too dark"),
        ({"failure_message": " ", "error": {"message": "The image is too dark"}}, "The image is too dark"),
        ({"failure_message": "too\n\x07dark"}, "too dark"),
        ({"failure_message": "<html><body>502</body></html>", "error": "The image is too dark"}, "too dark"),
        ({"failure_code": "TOO_DARK", "error": "The image"}, "too_dark: The image"),
        ({"error": {"code": "TOO_DARK", "message": "The image"}}, "too_dark: The image"),
        ({"failure": {"code": "TOO_DARK"}}, "too_dark"),
        ({"failureMessage": "The image is too dark"}, "The image is too dark"),
        ({"errorMessage": "The image is too dark"}, "The image is too dark"),
        ({"failure_details": {"reason": "The image is too dark"}}, "The image is too dark"),
        ({"error_details": ["The image is too dark"]}, "The image is too dark"),
        ({"output": {"error": "The image is too dark"}}, "The image is too dark"),
        ({"result": {"detail": [{"loc": ["image"], "msg": "too dark"}]}}, "image: too dark"),
        ({"failureCode": "TOO_DARK", "message": "The image"}, "too_dark: The image"),
        ({"failure_message": None, "error": {}, "node_runs": [None, 5]}, "Runflow gave no reason"),
    ],
    ids=str,
)
async def test_the_reason_of_a_failed_run_is_found_in_any_shape(
    server: Server, sandbox: ScriptedSandbox, failure: dict[str, object], reason: str
) -> None:
    run_id = (await server.generate(client_ref="r", wait=False)).structured["run_id"]
    failed = {"id": run_id, "status_code": "failed", "client_ref": "r", **failure}
    sandbox.script.add(Route.GET_RUN, Respond(200, orjson.dumps(failed)), times=None)
    error = run_error_of(await server.generate(client_ref="r"), "run_failed")
    assert error["message"].startswith("The run failed: ")
    assert reason in error["message"]
    assert "\n" not in error["message"]


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"detail": "This run belongs to another organization"}, "This run belongs to another organization"),
        ({"error": "No scope runs:read"}, "No scope runs:read"),
        (b"forbidden by policy", "forbidden by policy"),
    ],
    ids=str,
)
async def test_the_reason_of_a_refused_poll_is_in_the_error(
    server: Server, sandbox: ScriptedSandbox, body: object, shown: str
) -> None:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    sandbox.script.add(Route.GET_RUN, Respond(403, content), times=None)
    answer = await server.generate()
    error = tool_error_of(answer, "generate_failed", upstream_status=403, refused_without_code=True)
    assert error["message"] == shown
    assert error["details"]["run_id"]


async def test_the_key_in_a_plain_text_is_masked(server: Server, sandbox: ScriptedSandbox) -> None:
    key = "rf_live_marked_key"
    sandbox.script.add(Route.CREATE, Respond(403, f"the key {key} may not do that".encode()))
    answer = await server.generate(key=key)
    assert key.encode() not in answer.content
    assert "may not do that" in answer.tool_error["message"]


async def test_upstreams_errors_are_passed_on_unchanged_and_are_in_the_text(server: Server) -> None:
    answer = await server.generate("google/nano-banana-pro/edit", {"resolution": "8K"})
    errors = answer.tool_error["details"]["errors"]
    assert [entry["loc"] for entry in errors] == [["body", "input", "prompt"], ["body", "input", "image_urls"]]
    assert all(entry["loc"][-1] in answer.result["content"][0]["text"] for entry in errors)


async def test_an_unknown_model_gets_up_to_five_suggestions(server: Server) -> None:
    await server.call("list_models")  # the catalog has arrived
    answer = await server.generate("google/nano-banana")
    suggestions = answer.tool_error["details"]["suggestions"]
    assert "google/nano-banana-2" in suggestions
    assert 1 <= len(suggestions) <= 5
    assert all(name in answer.result["content"][0]["text"] for name in suggestions)


async def test_an_unknown_model_unlike_any_other_has_no_suggestions(server: Server) -> None:
    answer = await server.generate("zzzz/qqqq")
    assert answer.tool_error["details"]["suggestions"] == []


async def test_a_failed_run_names_its_reason_and_asks_for_a_new_client_ref(server: Server) -> None:
    answer = await server.generate("sandbox/failing", client_ref="bad", token=1, accept=BOTH)
    error = run_error_of(answer, "run_failed")
    assert error["details"]["failure_code"] == "content_policy_violation"
    assert "content_policy_violation" in error["message"]
    assert "The input was refused by the content policy" in error["message"]
    assert error["details"]["run"]["status_code"] == "failed"
    assert "new client_ref" in error["next_action"]
    assert answer.is_stream


async def test_a_cancelled_run_is_a_tool_error(server: Server) -> None:
    answer = await server.generate("sandbox/cancelled")
    error = run_error_of(answer, "run_cancelled")
    assert error["details"]["run"]["status_code"] == "cancelled"


async def test_a_failed_run_without_a_reason_is_a_tool_error(server: Server, sandbox: ScriptedSandbox) -> None:
    run_id = (await server.generate(client_ref="r", wait=False)).structured["run_id"]
    sandbox.script.add(Route.GET_RUN, Respond(200, b'{"id":"%b","status_code":"failed"}' % run_id.encode()))
    error = run_error_of(await server.generate(client_ref="r"), "run_failed")
    assert error["details"]["failure_code"] is None


@pytest.mark.parametrize("action", [Reset(), Respond(500, b"Traceback: secret"), Respond(201, b"<html>")], ids=repr)
async def test_an_upstream_that_never_answers_properly_is_generate_failed(
    server: Server, sandbox: ScriptedSandbox, action: Respond | Reset
) -> None:
    sandbox.script.add(Route.CREATE, action, times=None)
    status = None if isinstance(action, Reset) else action.status
    answer = await server.generate(client_ref="lost")
    error = tool_error_of(answer, "generate_failed", upstream_status=status)
    assert error["details"]["client_ref"] == "lost"
    assert b"Traceback" not in answer.content
    assert len(dispatches(sandbox)) == (1 if status == 201 else 3), "after a 2xx nothing is sent again"


async def test_an_unreachable_upstream_is_generate_failed(serve: Serve) -> None:
    server = await serve(RUNFLOW_API_URL=f"http://127.0.0.1:{free_port()}")
    answer = await server.generate()
    error = tool_error_of(answer, "generate_failed")
    assert "127.0.0.1" not in error["message"]
    assert "Errno" not in error["message"]


class _Broken(Random):
    """A random source that fails, for an unexpected exception in the product."""

    def random(self) -> float:
        raise RuntimeError("internals")

    def getrandbits(self, k: int) -> int:
        raise RuntimeError(f"internals: {k}")


async def test_an_unexpected_exception_shows_nothing_of_itself(upstream: RunningSandbox, clock: VirtualClock) -> None:
    async with run_server(upstream.url, clock, _Broken(), {}) as server:
        answer = await server.generate(client_ref="ours")
    error = run_error_of(answer, "generate_failed")
    assert b"internals" not in answer.content
    assert b"RuntimeError" not in answer.content
    assert error["details"]["client_ref"] == "ours"


async def test_an_upstream_that_echoes_the_key_is_masked(server: Server, sandbox: ScriptedSandbox) -> None:
    key = "rf_live_marked_key"
    echo = orjson.dumps({"code": "BAD_REQUEST", "message": f"bad {key}", "errors": [{"type": "x", "got": key}]})
    sandbox.script.add(Route.CREATE, Respond(400, echo))
    answer = await server.generate(key=key)
    tool_error_of(answer, "bad_request", upstream_status=400)
    assert key.encode() not in answer.content
    assert hashlib.sha256(key.encode()).hexdigest()[:12].encode() in answer.content
