"""The caller's key goes upstream and nowhere else: no log line, answer, probe or repr shows it."""

import io
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import attrs
import orjson
import pytest
import structlog

from runflow_mcp.clock import SystemClock
from runflow_mcp.credentials import Bearer
from runflow_mcp.errors import Rejection
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.router import Handler, Method
from runflow_mcp.observability import logs
from runflow_mcp.observability.sink import Sink
from runflow_mcp.protocol.jsonrpc import Request, Result
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError
from runflow_mcp.runflow.dispatch.errors import DispatchFailed
from runflow_mcp.runflow.dispatch.inputs import RunInput
from runflow_mcp.runflow.dispatch.order import Order
from runflow_mcp.sandbox import RunningSandbox
from runflow_mcp.settings.config import Config
from runflow_mcp.web.app_keys import METHODS
from tests.scripted_sandbox import Action, Delay, Hang, Reset, Respond, ScriptedSandbox, Truncate
from tests.serving import BOTH, INPUT, MODEL, Answer, Serve, Server, run_server
from tests.virtual_time import VirtualClock
from tests.web.raw_connection import connect, exchange, message

MARK = "MARKED0123456789"
KEY = f"rf_live_{MARK}"
#: Characters that JSON, HTML and shells write in other ways than as they are.
ODD_KEY = f"rf_live_\"{MARK}\\<&>/'"
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@attrs.frozen
class Log:
    """Everything that was logged so far, down to debug: by structlog in both formats, and by the standard library."""

    sinks: tuple[Sink, Sink]
    files: tuple[Path, Path]
    standard: io.StringIO

    @property
    def text(self) -> str:
        assert all(sink.flush(10) for sink in self.sinks)
        return "".join([*(file.read_text() for file in self.files), self.standard.getvalue()])


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """Logging as ``serve`` sets it up, in JSON and for the console at once."""
    files = (tmp_path / "json", tmp_path / "console")
    standard = io.StringIO()
    handler = logging.StreamHandler(standard)
    root = logging.getLogger()
    level = root.level
    with logged("console", "debug", files[1]) as console:
        chain = structlog.get_config()["processors"]

        def tee(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
            """Write the line in the format for the console too."""
            line: Any = dict(event)
            for processor in chain:
                line = processor(logger, method, line)
            console.write(f"{line}\n".encode(errors="backslashreplace"))
            return event

        with logged("json", "debug", files[0]) as sink:
            structlog.configure(processors=[tee, *structlog.get_config()["processors"]])
            root.addHandler(handler)
            root.setLevel(logging.DEBUG)
            yield Log((sink, console), files, standard)
            root.removeHandler(handler)
    root.setLevel(level)


@contextmanager
def logged(log_format: str, level: str, path: Path) -> Iterator[Sink]:
    """Logging as ``serve`` sets it up, into a file."""
    config = Config.from_mapping({"MCP_LOG_FORMAT": log_format, "MCP_LOG_LEVEL": level})
    with path.open("wb") as file, logs.configured(config, file.fileno(), terminal=False, colors=False) as sink:
        # Loggers that are kept would go on writing here after this test.
        structlog.configure(cache_logger_on_first_use=False)
        yield sink
    structlog.reset_defaults()


async def assert_kept(server: Server, log: Log, *answers: Answer) -> None:
    """The key is in none of these answers, in no log line and not in the readiness probe."""
    ready = await server.request("GET", "/readyz")
    for answer in (*answers, ready):
        assert MARK.lower() not in answer.content.decode().lower()
        assert MARK.lower() not in str(answer.headers).lower()
    assert_not_logged(log)


def assert_not_logged(log: Log) -> None:
    text = log.text
    assert '"event":"request"' in text
    assert "] request " in text
    assert MARK not in text


# Requests


async def test_ordinary_use_shows_the_fingerprint_and_not_the_key(
    server: Server, sandbox: ScriptedSandbox, log: Log
) -> None:
    answers = [
        await server.post(PING, key=KEY),
        await server.generate(key=KEY),
        await server.generate(key=KEY, token=1, accept=BOTH, client_ref="again"),
        await server.generate(key=KEY, token=1, accept=BOTH, client_ref="again"),
        await server.generate(key=KEY, wait=False),
        await server.generate("sandbox/odd", key=KEY),
        await server.call("list_models", key=KEY, query="background"),
        await server.rpc("prompts/list", key=KEY),
    ]
    assert all(answer.status == 200 for answer in answers)
    bearer = Bearer(KEY)
    assert bearer.fingerprint in log.text
    assert {request.key for request in sandbox.requests if request.key} == {bearer.fingerprint}
    assert bearer.digest not in log.text
    await assert_kept(server, log, *answers)


async def test_no_rejection_shows_the_key(serve: Serve, log: Log) -> None:
    server = await serve(MCP_RATE_LIMIT_PER_KEY="3")
    requests = [
        message(b"Authorization: Bearer " + KEY.encode(), *extra, without=["Authorization", *without], line=line)
        for line, without, extra in [
            (b"POST /mcp HTTP/1.1", ["Host"], [b"Host: evil.example.com"]),
            (b"POST /mcp HTTP/1.1", ["Host"], []),
            (b"POST /mcp HTTP/1.1", [], [b"Origin: null"]),
            (b"POST /mcp HTTP/1.1", ["Content-Type"], [b"Content-Type: text/plain"]),
            (b"POST /mcp HTTP/1.1", ["Content-Length"], [b"Content-Length: 999999"]),
            (b"POST /mcp HTTP/1.1", ["Content-Length"], [b"Content-Length: 50"]),
            (b"POST /mcp HTTP/1.1", ["Content-Length"], [b"Transfer-Encoding: chunked"]),
            (b"POST /mcp HTTP/1.1", [], [b"Authorization: Bearer " + KEY.encode()]),
            (b"GET /mcp HTTP/1.1", [], []),
            (b"GET /nothing HTTP/1.1", [], []),
            (b"POST /mcp HTTP/1.1", [], []),
            (b"POST /mcp HTTP/1.1", [], []),
        ]
    ]
    answers = [await exchange(server, data) for data in requests]
    assert {400, 401, 403, 404, 405, 408, 413, 415, 429} <= {answer.status for answer in answers}
    await assert_kept(server, log, *answers)


@pytest.mark.parametrize(
    "value",
    [
        f"Bearer  {KEY} {KEY}",
        f"Bearer, {KEY}",
        f"Bearer {KEY} x",
        f"Basic {KEY}",
        f"Token {KEY}",
        KEY,
        f"Bearer rf_svc_{MARK}",
        f"Bearer {KEY}{'x' * 600}",
        f"Bearer {KEY}ä",
        f'Bearer "{KEY}"',
        f"Bearer={KEY}",
    ],
)
async def test_a_rejected_authorization_header_is_not_repeated(server: Server, log: Log, value: str) -> None:
    data = message(b"Authorization: " + value.encode(), without=["Authorization"])
    answer = await exchange(server, data)
    assert answer.status == 401
    await assert_kept(server, log, answer)


BROKEN: dict[str, bytes] = {
    "in the request line": message(line=b"POST /mcp?" + KEY.encode() + b" x HTTP/1.1"),
    "as the method": message(line=KEY.encode() + b" /mcp HTTP/1.1"),
    "in a broken target": message(line=b"POST http://[" + KEY.encode() + b"/mcp HTTP/1.1"),
    "as the version": message(line=b"POST /mcp " + KEY.encode()),
    "in a header without a colon": message(b"Authorization Bearer " + KEY.encode(), without=["Authorization"]),
    "in a header with a control character": message(b"Authorization: Bearer " + KEY.encode() + b"\x01"),
    "in a folded header": message(b"Authorization: Bearer\r\n " + KEY.encode(), without=["Authorization"]),
    "in a header too long": message(b"Authorization: Bearer " + KEY.encode() * 1000, without=["Authorization"]),
    "as a header name": message(KEY.encode() + b" : x"),
    "as the length": message(b"Content-Length: " + KEY.encode(), without=["Content-Length"]),
    "as a chunk size": message(
        b"Transfer-Encoding: chunked", without=["Content-Length"], body=KEY.encode() + b"\r\n\r\n"
    ),
    "as a transfer encoding": message(b"Transfer-Encoding: " + KEY.encode(), without=["Content-Length"]),
    "instead of HTTP": KEY.encode() + b"\r\n\r\n",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
async def test_bytes_that_are_not_http_are_not_repeated(server: Server, log: Log, data: bytes) -> None:
    answer = await exchange(server, data)
    assert answer.status < 500
    await assert_kept(server, log, answer)


ELSEWHERE: dict[str, bytes] = {
    "path": message(line=b"POST /" + KEY.encode() + b" HTTP/1.1"),
    "path below the endpoint": message(line=b"POST /mcp/" + KEY.encode() + b" HTTP/1.1"),
    "query": message(line=b"POST /mcp?api_key=" + KEY.encode() + b" HTTP/1.1"),
    "target": message(line=b"POST http://" + KEY.encode() + b"@@HOST/mcp HTTP/1.1"),
    "host": message(b"Host: " + KEY.encode(), without=["Host"]),
    "origin": message(b"Origin: http://" + KEY.encode()),
    "media type": message(b"Content-Type: " + KEY.encode(), without=["Content-Type"]),
    "content encoding": message(b"Content-Encoding: " + KEY.encode()),
    "revision": message(b"MCP-Protocol-Version: " + KEY.encode()),
    "session": message(b"Mcp-Session-Id: " + KEY.encode()),
    "accept": message(b"Accept: " + KEY.encode()),
    "cookie": message(b"Cookie: key=" + KEY.encode()),
    "header of another API": message(b"X-Api-Key: " + KEY.encode()),
    "referrer": message(b"Referer: http://example.com/?" + KEY.encode()),
    "user agent": message(b"User-Agent: " + KEY.encode()),
    "forwarded address": message(b"X-Forwarded-For: " + KEY.encode()),
    "trace": message(b"traceparent: " + KEY.encode()),
    "header name": message(KEY.encode() + b": x"),
    "expectation": message(b"Expect: " + KEY.encode(), line=b"GET /nothing HTTP/1.1"),
    "body": message(body=KEY.encode()),
    "body, as JSON": message(body=orjson.dumps(KEY)),
}


@pytest.mark.parametrize("data", ELSEWHERE.values(), ids=ELSEWHERE)
async def test_a_key_in_the_wrong_part_of_a_request_is_not_repeated(serve: Serve, log: Log, data: bytes) -> None:
    server = await serve(MCP_TRUSTED_PROXIES="127.0.0.1/32")
    answer = await exchange(server, data)
    assert answer.status < 500
    await assert_kept(server, log, answer)


@pytest.mark.parametrize("with_key", [True, False])
async def test_a_key_as_the_request_id_is_not_logged(server: Server, log: Log, *, with_key: bool) -> None:
    await server.post(PING, key=KEY if with_key else None, headers={"X-Request-Id": KEY})
    assert_not_logged(log)


#: JSON-RPC messages with the key where a caller may put it by mistake. The answer may repeat it, the log may not.
MISPLACED: dict[str, Mapping[str, Any]] = {
    "id": {**PING, "id": KEY},
    "version": {**PING, "jsonrpc": KEY},
    "method": {**PING, "method": KEY},
    "method of a notification": {"jsonrpc": "2.0", "method": KEY},
    "member": {**PING, KEY: 1},
    "params": {**PING, "params": KEY},
    "tool": {**PING, "method": "tools/call", "params": {"name": KEY}},
    "prompt": {**PING, "method": "prompts/get", "params": {"name": KEY}},
    "cursor": {**PING, "method": "tools/list", "params": {"cursor": KEY}},
    "revision": {**PING, "method": "initialize", "params": {"protocolVersion": KEY, "clientInfo": {"name": KEY}}},
    "token": {**PING, "params": {"_meta": {"progressToken": KEY, "traceparent": KEY}}},
    "completion": {
        **PING,
        "method": "completion/complete",
        "params": {"ref": {"type": "ref/prompt", "name": KEY}, "argument": {"name": KEY, "value": KEY}},
    },
}


@pytest.mark.parametrize("sent", MISPLACED.values(), ids=MISPLACED)
async def test_a_key_in_the_wrong_part_of_a_message_is_not_logged(
    server: Server, log: Log, sent: Mapping[str, Any]
) -> None:
    answer = await server.post(sent, key=KEY)
    assert answer.status < 500
    assert_not_logged(log)


@pytest.mark.parametrize(
    "arguments",
    [
        {"model": KEY},
        {"model": f"google/{KEY}"},
        {"client_ref": KEY},
        {"client_ref": f"{KEY} "},
        {"input": KEY},
        {"input": {"prompt": KEY, KEY: KEY}},
        {"wait": KEY},
        {KEY: 1},
    ],
    ids=["model", "slug", "client_ref", "bad client_ref", "input", "in the input", "wait", "argument"],
)
async def test_a_key_among_the_arguments_is_not_logged(server: Server, log: Log, arguments: dict[str, Any]) -> None:
    answer = await server.call("generate", key=KEY, **{"model": MODEL, "input": INPUT, **arguments})
    assert answer.status == 200
    assert_not_logged(log)


# Upstream


def escaped(text: str) -> str:
    r"""The text with every character as \uXXXX."""
    return "".join(f"\\u{ord(character):04x}" for character in text)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda key: orjson.dumps(key).decode()[1:-1],
    "escaped": escaped,
    "one character escaped": lambda key: escaped(key[0]) + orjson.dumps(key[1:]).decode()[1:-1],
    "slashes escaped": lambda key: orjson.dumps(key).decode()[1:-1].replace("/", "\\/"),
}


def refusal(status: int) -> Callable[[str], Respond]:
    def body(key: str) -> Respond:
        text = (
            '{"code": "BAD_KEY", "message": "the key KEY is odd", "KEY": "KEY", '
            '"errors": [{"type": "KEY", "message": "KEY", "KEY": ["KEY", {"KEY": "KEY"}]}, "KEY"]}'
        )
        return Respond(status, text.replace("KEY", key).encode(), {"Retry-After": "1", "X-Key": "1"})

    return body


def run(key: str) -> Respond:
    text = (
        '{"id": "01", "status_code": "succeeded", "client_ref": "KEY", "nodes_total": 3, "cost": "KEY", '
        '"created_at": "KEY", "completed_at": "KEY", "metadata": {"KEY": "KEY"}, '
        '"output": {"outputs": [{"url": "https://example.com/KEY.png?key=KEY"}], "KEY": ["KEY"]}}'
    )
    return Respond(201, text.replace("KEY", key).encode(), {"Content-Type": "application/json"})


def failed_run(key: str) -> Respond:
    text = (
        '{"id": "KEY", "status": "failed", "failure_code": "KEY", "failure_message": "not with KEY", '
        '"error": {"code": "KEY", "message": "KEY"}, "KEY": {"KEY": "KEY"}}'
    )
    return Respond(201, text.replace("KEY", key).encode())


def running_run(key: str) -> Respond:
    text = '{"id": "01", "status": "KEY", "nodes_total": 3, "nodes_completed": 1}'
    return Respond(201, text.replace("KEY", key).encode())


def listed_run(key: str) -> Respond:
    return Respond(200, b'{"items": [%s]}' % run(key).body)


def page(key: str) -> Respond:
    return Respond(400, f"<html>Your key {key} is odd</html>".encode(), {"Content-Type": "text/html"})


ECHOES: dict[str, tuple[str, Callable[[str], Respond]]] = {
    **{f"{status}": ("create", refusal(status)) for status in (400, 401, 402, 403, 404, 409, 422, 429, 500, 503)},
    "a page": ("create", page),
    "a run": ("create", run),
    "a failed run": ("create", failed_run),
    "a running run": ("create", running_run),
    "a refused poll": ("get_run", refusal(403)),
    "a broken poll": ("get_run", page),
    "a polled run": ("get_run", lambda key: attrs.evolve(run(key), status=200)),
    "a polled run that failed": ("get_run", lambda key: attrs.evolve(failed_run(key), status=200)),
    "a polled run in an odd state": ("get_run", lambda key: attrs.evolve(running_run(key), status=200)),
    "a listed run": ("list_runs", listed_run),
    "a text": ("create", lambda key: Respond(500, key.encode())),
    "a Retry-After": ("create", lambda key: attrs.evolve(refusal(400)(key), headers={"Retry-After": key})),
    "a redirect": ("create", lambda key: Respond(307, b"", {"Location": f"https://example.com/{key}"})),
}


@pytest.mark.parametrize(("route", "echo"), ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize("key", [KEY, ODD_KEY], ids=["plain key", "odd key"])
async def test_a_key_that_upstream_echoes_is_masked(
    server: Server, sandbox: ScriptedSandbox, log: Log, *, key: str, route: str, echo: Callable[[str], Respond]
) -> None:
    for spelling, spell in SPELLINGS.items():
        sandbox.script.add(route, echo(spell(key)), times=4)
        answer = await server.generate(key=key, token=1, accept=BOTH, client_ref=spelling.replace(" ", "-"))
        sandbox.script.clear()
        assert answer.result["structuredContent"]
        assert spell(key) not in answer.content.decode(), spelling
        await assert_kept(server, log, answer)


FAILURES: dict[str, Action] = {
    "reset": Reset(),
    "reset after creating": Reset(created=True),
    "truncated": Truncate(),
    "silence": Hang(90),
    "late": Delay(40),
    "no JSON": Respond(200, b"nope"),
    "a redirect": Respond(302, b"", {"Location": "http://127.0.0.1:9/"}),
    "too much": Respond(200, b" " * (9 * 1024 * 1024)),
    "bad gzip": Respond(200, b"no gzip at all", {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("route", ["create", "get_run", "list_runs"])
@pytest.mark.parametrize("action", FAILURES.values(), ids=FAILURES)
async def test_no_failure_of_upstream_shows_the_key(
    server: Server, sandbox: ScriptedSandbox, log: Log, route: str, action: Action
) -> None:
    sandbox.script.add(route, action, times=6)
    answer = await server.generate(key=KEY, token=1, accept=BOTH, client_ref="fails")
    await assert_kept(server, log, answer)


@pytest.mark.parametrize("suffix", ["_no_credit", "_revoked", "_throttled", "_forbidden", "_unverified"])
async def test_no_refusal_of_upstream_shows_the_key(server: Server, log: Log, suffix: str) -> None:
    key = f"rf_live_sandbox{suffix}"
    answer = await server.generate(key=key)
    assert answer.tool_error["code"]
    assert key not in answer.content.decode()
    assert key not in log.text
    assert key not in (await server.request("GET", "/readyz")).content.decode()


@pytest.mark.parametrize(
    "model", ["sandbox/slow", "sandbox/failing", "sandbox/cancelled", "sandbox/unavailable", "no/such", ".."]
)
async def test_no_failed_run_shows_the_key(server: Server, log: Log, model: str) -> None:
    answer = await server.generate(model, key=KEY, token=1, accept=BOTH)
    assert answer.tool_error["code"]
    await assert_kept(server, log, answer)


# Errors in this server


def replace_ping(server: Server, handler: Handler) -> None:
    """Let this handler answer pings."""
    table = server.app[METHODS]
    assert isinstance(table, dict)
    table["ping"] = Method("ping", handler)


async def test_only_its_caller_sees_an_upload_url(server: Server, sandbox: ScriptedSandbox, log: Log) -> None:
    url = f"https://storage.example.com/up?X-Amz-Signature={MARK}"
    upload = orjson.dumps({"asset_id": "a-1", "upload_url": url})
    sandbox.script.add("create_upload", Respond(201, upload), times=None)
    model = "runflow/background-removal"
    needed = await server.generate(model, {"image_url": "./a.png#bytes=5"}, client_ref="mine")
    assert MARK in needed.content.decode()
    # One of two uploads cannot be prepared.
    sandbox.script.clear()
    sandbox.script.add("create_upload", Respond(403), matching="b.png")
    sandbox.script.add("create_upload", Respond(201, upload))
    two = {"image_url": "./a.png#bytes=5", "mask": "./b.png#bytes=5"}
    others = [
        await server.generate(model, two),
        await server.generate(model, {"image_url": "runflow-upload://a-1"}, client_ref="mine"),
        await server.generate(model, {"image_url": "./a.png"}, client_ref="mine"),
        await server.rpc("prompts/list"),
    ]
    assert all(MARK not in answer.content.decode() for answer in others)
    assert_not_logged(log)


async def test_an_error_in_a_handler_is_logged_with_its_traceback_and_without_the_key(server: Server, log: Log) -> None:
    async def broken(_request: Request, call: RequestContext) -> Result:
        revealed = call.bearer.reveal()
        headers: dict[str, str] = {"Authorization": f"Bearer {revealed}"}
        return {"impossible": headers["not there"]}

    replace_ping(server, broken)
    answer = await server.post(PING, key=KEY)
    assert answer.error["code"] == -32603
    assert "KeyError" in log.text
    assert "Traceback" in log.text
    assert answer.headers["X-Request-Id"] in log.text
    await assert_kept(server, log, answer)


class BrokenRandom(Random):
    """A random generator that fails, as an example of an unexpected exception."""

    def random(self) -> float:
        raise RuntimeError("no random numbers")

    def getrandbits(self, k: int) -> int:
        raise RuntimeError(f"no {k} random bits")


async def test_an_error_in_a_tool_is_logged_with_its_traceback_and_without_the_key(
    upstream: RunningSandbox, clock: VirtualClock, log: Log
) -> None:
    async with run_server(upstream.url, clock, BrokenRandom(), {}) as server:
        answer = await server.generate(key=KEY)
        assert answer.tool_error["code"] == "generate_failed"
        assert "Traceback" in log.text
        assert answer.headers["X-Request-Id"] in log.text
        await assert_kept(server, log, answer)


async def test_an_invented_method_name_does_not_fill_the_log(server: Server, log: Log) -> None:
    await server.rpc(f"tools/{KEY}{'x' * 100_000}", key=KEY)
    await server.services.clock.sleep(1)
    assert_not_logged(log)
    assert max(map(len, log.text.splitlines())) < 1000


async def test_a_client_that_leaves_early_does_not_get_its_key_logged(
    server: Server, log: Log, clock: VirtualClock
) -> None:
    call = {
        **PING,
        "method": "tools/call",
        "params": {"name": "generate", "arguments": {"model": "sandbox/slow", "input": {}}},
    }
    for whole in (True, False):
        data = message(
            b"Authorization: Bearer " + KEY.encode(), without=["Authorization"], body=orjson.dumps(call)
        ).replace(b"@HOST", server.origin.removeprefix("http://").encode())
        async with connect(server) as connection:
            await connection.send(data if whole else data[:-5])
            await clock.sleep(5)
    await clock.sleep(20)
    await assert_kept(server, log)


# Values as text


def shown(value: object) -> str:
    """The value as text, in every way in which code may print it by accident."""
    return f"{value!r} {value} {value!s} {[value]} { ({'k': value}) } {str(value).encode()!r}"


def test_no_repr_shows_the_key() -> None:
    bearer = Bearer(KEY)
    order = Order.make(bearer, MODEL, RunInput.of({}), "ref", {})
    refused = UpstreamError(Outcome.REFUSED, "/v1/runs", "Runflow answered HTTP 401", status=401)
    failed = DispatchFailed(refused, uncertain=False)
    for value in (bearer, order, refused, failed, Rejection):
        assert MARK not in shown(value)
    assert bearer.fingerprint in repr(order)
    assert bearer.digest not in shown(order)
    assert MARK not in order.idempotency_key
    assert MARK not in order.body.decode()


def test_no_traceback_shows_the_key_even_with_its_locals() -> None:
    bearer = Bearer(KEY)
    order = Order.make(bearer, MODEL, RunInput.of({}), "ref", {})
    try:
        raise DispatchFailed(UpstreamError(Outcome.UNKNOWN, order.model, "broke"), uncertain=True)
    except DispatchFailed as error:
        shown_error = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert bearer.fingerprint in "".join(shown_error.format())
    assert MARK not in "".join(shown_error.format())


async def test_no_repr_of_a_running_server_shows_the_key(server: Server) -> None:
    seen: list[RequestContext] = []

    async def spy(_request: Request, call: RequestContext) -> Result:
        seen.append(call)
        return {}

    replace_ping(server, spy)
    await server.post(PING, key=KEY)
    assert len(seen) == 1
    assert MARK not in shown(seen[0])
    assert MARK not in shown(server.services)


def test_the_fingerprint_is_the_first_twelve_digits_of_the_digest() -> None:
    bearer = Bearer("rf_live_sandbox")
    assert bearer.fingerprint == "5c18431135c4"
    assert bearer.digest.startswith(bearer.fingerprint)
    assert repr(bearer) == "Bearer(5c18431135c4)"
    assert bearer.reveal() == "rf_live_sandbox"


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("level", ["debug", "error"])
def test_a_logged_bearer_is_its_fingerprint(log_format: str, level: str, tmp_path: Path) -> None:
    with logged(log_format, level, tmp_path / "log"):
        structlog.get_logger("test").error("odd", fingerprint=repr(Bearer(KEY)), clock=repr(SystemClock()))
    written = (tmp_path / "log").read_text()
    assert Bearer(KEY).fingerprint in written
    assert MARK not in written
