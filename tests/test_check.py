"""``runflow-mcp check``: the lines it prints for a working server and for every kind of failure."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.client_reqrep import ConnectionKey

from runflow_mcp import __version__
from runflow_mcp.cli.check import check
from runflow_mcp.cli.check_errors import error_details, explain_error
from runflow_mcp.cli.check_report import Collected, Lines, Step
from runflow_mcp.cli.server_url import endpoint_url
from runflow_mcp.credentials import Bearer
from runflow_mcp.errors import NEXT_ACTION
from runflow_mcp.json_types import JSONObject
from runflow_mcp.methods.listeners import MAX_PER_KEY
from runflow_mcp.protocol.revisions import LATEST_LEGACY, SUPPORTED
from tests.scripted_sandbox import ScriptedSandbox
from tests.serving import INPUT, KEY, MODEL, Serve, Server, free_port

Canned = Callable[..., Awaitable[str]]


STEPS = [
    "connect", "initialize", "server/discover", "tools/list", "prompts/list", "list_models", "stream", "runflow",
]  # fmt: skip


async def lines_of(
    url: str, *, key: str = KEY, generate: tuple[str, JSONObject] | None = None, ok: bool | None = False
) -> list[str]:
    """The printed lines, without the times; ``ok``: whether all steps succeed, None for any."""
    lines: list[str] = []
    assert await check(url, key, generate, Lines(lines.append)) in ((True, False) if ok is None else (ok,))
    assert not any("\n" in line for line in lines)
    return [re.sub(r"^(ok  |FAIL) (\S+) \(\d+ ms\):", r"\1 \2:", line) for line in lines]


async def failure_of(url: str, *, key: str = KEY) -> str:
    """The line of the step that failed, which is the last one."""
    *before, line = await lines_of(url, key=key)
    assert line.startswith("FAIL ")
    assert all(line.startswith("ok   ") for line in before)
    return line


async def steps_of(url: str, *, key: str = KEY, generate: tuple[str, JSONObject] | None = None) -> list[Step]:
    collected = Collected()
    await check(url, key, generate, collected)
    return collected.steps


@pytest.fixture
async def canned() -> AsyncIterator[Canned]:
    """Start a server that answers every request in one way; returns its URL."""
    async with AsyncExitStack() as stack:

        async def start(body: str = "", *, status: int = 200, kind: str = "application/json", **headers: str) -> str:
            async def answer(request: web.Request) -> web.Response:
                text = body.replace("ECHO", request.headers["Authorization"])
                names = {name.replace("_", "-"): value for name, value in headers.items()}
                return web.Response(text=text, status=status, content_type=kind, headers=names)

            app = web.Application()
            app.router.add_route("*", "/{any:.*}", answer)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"

        yield start


@pytest.mark.parametrize("path", ["", "/"])
async def test_a_url_without_a_path_gets_the_endpoint_path_and_check_reports_it(server: Server, path: str) -> None:
    first, *steps = await lines_of(f"{server.origin}{path}", ok=True)
    assert first == f"     using {server.url}"
    assert len(steps) == len(STEPS)


@pytest.mark.parametrize("path", ["/mcp/", "/a/mcp", "/api", "/mcp?x=1"])
async def test_a_url_with_a_path_is_tested_as_typed(server: Server, path: str) -> None:
    lines = await lines_of(f"{server.origin}{path}", ok=True if path.startswith("/mcp?") else None)
    assert not any("using" in line for line in lines)
    assert str(endpoint_url(f"{server.origin}{path}")) == f"{server.origin}{path}"


async def test_check_prints_a_line_for_each_step_of_a_working_server(server: Server) -> None:
    assert await lines_of(server.url, ok=True) == [
        f"ok   connect: 127.0.0.1 port {server.origin.rpartition(':')[2]}, without TLS",
        f"ok   initialize: Runflow {__version__}, protocol {LATEST_LEGACY}",
        f"ok   server/discover: protocols {', '.join(SUPPORTED)}",
        "ok   tools/list: generate, list_models",
        "ok   prompts/list: 19 prompts, the first is background-removal",
        "ok   list_models: 45 models and Solutions, the first is runflow/background-removal",
        "ok   stream: events arrive at once",
        "ok   runflow: Runflow accepts the key",
    ]


async def test_check_prints_the_progress_of_a_run_and_the_url_of_its_output(server: Server) -> None:
    lines = await lines_of(server.url, generate=(MODEL, INPUT), ok=True)
    *progress, last = lines[len(STEPS) :]
    assert progress[0].startswith("     queued, 0 s (run ")
    assert progress[-1].startswith("     succeeded, 3 of 3 steps")
    assert last.startswith("ok   generate: succeeded, run ")
    assert last.partition("?")[0].endswith(".png")


async def test_check_costs_no_run_unless_it_is_asked_for_one(server: Server, sandbox: ScriptedSandbox) -> None:
    await lines_of(server.url, ok=True)
    assert not [request for request in sandbox.requests if request.method == "POST"]


async def test_check_times_each_step(server: Server) -> None:
    steps = await steps_of(server.url, generate=(MODEL, INPUT))
    assert [step.step for step in steps] == [*STEPS, "generate"]
    assert all(step.ok and step.fix is None for step in steps)
    assert steps[-1].ms >= 4000  # the clock is virtual: this is what the sandbox's run takes


async def test_the_json_of_check_has_the_url_and_every_step(server: Server) -> None:
    collected = Collected()
    assert not await check(server.origin, "rf_live_sandbox_revoked", None, collected)
    shown = orjson.loads(collected.as_json(server.url))
    assert set(shown) == {"ok", "url", "steps"}
    assert shown["ok"] is False
    assert [step["step"] for step in shown["steps"]] == STEPS
    assert {tuple(step) for step in shown["steps"]} == {("step", "ok", "ms", "detail", "fix")}
    assert shown["steps"][-1]["fix"] == NEXT_ACTION["unauthorized"]
    assert "unauthorized" in shown["steps"][-1]["detail"]


@pytest.fixture
async def collecting(server: Server) -> AsyncIterator[str]:
    """A proxy that passes subscriptions on as they come, and every other answer when it is complete."""

    async def pass_on(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name != "Host"}
        headers["Host"] = server.origin.partition("://")[2]
        async with server.session.post(server.url, data=body, headers=headers) as response:
            kind = response.headers.get("Content-Type", "text/plain")
            if b"subscriptions/listen" not in body:
                return web.Response(status=response.status, body=await response.read(), headers={"Content-Type": kind})
            stream = web.StreamResponse(headers={"Content-Type": kind})
            await stream.prepare(request)
            async for chunk in response.content.iter_any():
                await stream.write(chunk)
            return stream

    app = web.Application()
    app.router.add_post("/mcp", pass_on)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
    await runner.cleanup()


async def test_check_detects_that_the_progress_of_a_run_arrives_late(collecting: str) -> None:
    steps = await steps_of(collecting, generate=(MODEL, INPUT))
    assert [step.step for step in steps if not step.ok] == ["generate"]
    assert steps[-1].detail.startswith("Events arrive late")
    [run] = steps[-1].more
    assert run.startswith("The run itself succeeded, run ")
    assert run.partition("?")[0].endswith(".png")


async def test_a_subscription_past_its_limit_is_no_failure(server: Server) -> None:
    with ExitStack() as stack:
        digest = Bearer(KEY).digest
        for _ in range(MAX_PER_KEY):
            stack.enter_context(server.services.subscriptions.subscribe(digest, "127.0.0.1"))
        lines = await lines_of(server.url, ok=True)
    assert "ok   stream: not tested, since the limit of open subscriptions is reached" in lines


async def test_check_finds_a_key_that_runflow_does_not_accept_without_a_run(server: Server) -> None:
    line = await failure_of(server.url, key="rf_live_sandbox_revoked")
    assert line.startswith("FAIL runflow: Error -32603 unauthorized: ")
    assert line.count(NEXT_ACTION["unauthorized"]) == 1


async def test_check_finds_a_server_that_does_not_reach_runflow(serve: Serve) -> None:
    server = await serve(RUNFLOW_API_URL=f"http://127.0.0.1:{free_port()}")
    line = await failure_of(server.url)
    assert line.startswith("FAIL runflow: Error -32603 ")
    assert "RUNFLOW_API_URL" in line


async def test_check_finds_a_server_without_a_catalog(serve: Serve) -> None:
    server = await serve(RUNFLOW_CATALOG_URL=f"http://127.0.0.1:{free_port()}")
    line = await failure_of(server.url)
    assert "catalog_fetch_failed" in line


async def test_check_shows_a_tool_error_with_its_next_action(server: Server) -> None:
    lines = await lines_of(server.url, key="rf_live_sandbox_no_credit", generate=(MODEL, INPUT))
    expected = f"[insufficient_credits] Insufficient credit. {NEXT_ACTION['insufficient_credits']}"
    assert f"FAIL generate: {expected}" in lines
    assert "     Balance is $0.00" in lines


async def test_check_shows_suggestions_for_an_unknown_model(server: Server) -> None:
    lines = await lines_of(server.url, generate=("google/nano-banana", INPUT))
    failed, *more = lines[len(STEPS) :]
    assert failed.startswith("FAIL generate: [model_not_found] ")
    [near] = [line for line in more if "Did you mean" in line]
    assert "google/nano-banana-2" in near


async def test_check_names_a_rejected_input(server: Server) -> None:
    *_, failed, first, second = await lines_of(server.url, generate=(MODEL, {}))
    assert failed.startswith("FAIL generate: [validation_error] ")
    assert first == "     input.prompt: Field required"
    assert "client_ref" in second


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ({"code": "x", "message": "No.", "next_action": "Y.", "details": {"suggestions": ["a/b", "c/d"]}}, "a/b, c/d"),
        ({"code": "x", "message": "No.", "next_action": "Y.", "details": {"errors": ["Too dark"]}}, "Too dark"),
        (
            {
                "code": "x",
                "message": "No.",
                "next_action": "Y.",
                "details": {"errors": [{"field": "seed", "message": "Too large"}]},
            },
            "seed: Too large",
        ),
        (
            {
                "code": "x",
                "message": "No.",
                "next_action": "Y.",
                "details": {"errors": [{"param": "size", "detail": "Unknown"}, 7, None, {}]},
            },
            "size: Unknown",
        ),
    ],
)
async def test_check_shows_error_details_that_the_text_lacks(error: JSONObject, shown: str) -> None:
    lines = error_details({"isError": True, "structuredContent": {"error": error}}, error["details"])
    assert any(shown in line for line in lines)


async def test_check_recognises_a_key_that_a_proxy_removed(canned: Canned) -> None:
    body = '{"error":{"code":401,"message":"Send your key.","data":{"code":"missing_authorization"}}}'
    line = await failure_of(await canned(body, status=401))
    assert line.startswith("FAIL initialize: HTTP 401 missing_authorization: The key was sent")
    assert "removes the Authorization header" in line


async def test_check_does_not_start_a_run_after_a_failed_step(canned: Canned) -> None:
    _, *lines = await lines_of(await canned("{}"), generate=(MODEL, INPUT))
    assert lines == ["FAIL initialize: No MCP server answers here. Correct the URL."]


async def test_check_shows_the_server_s_explanation_of_a_rejected_key(server: Server) -> None:
    line = await failure_of(server.url, key="rf_svc_sandbox")
    assert line.startswith("FAIL initialize: HTTP 401 malformed_authorization: ")
    assert "it starts with rf_live_" in line


@pytest.mark.parametrize("key", ["", "rf_live_ü", "rf_live_x\n"])
async def test_check_does_not_send_an_impossible_key(key: str) -> None:
    line = await failure_of("http://127.0.0.1:1/mcp", key=key)
    assert line.startswith("FAIL connect: The key is empty ")
    assert "Give the whole key." in line


async def test_check_explains_a_host_that_is_not_allowed(serve: Serve) -> None:
    server = await serve(MCP_ALLOWED_HOSTS="mcp.example.com")
    line = await failure_of(server.url)
    assert line.startswith("FAIL initialize: HTTP 403 host_rejected: ")
    assert f"MCP_PUBLIC_URL={server.origin}, or add {server.origin.partition('://')[2]} to MCP_ALLOWED_HOSTS" in line


async def test_check_explains_a_wrong_path(server: Server) -> None:
    line = await failure_of(f"{server.origin}/api")
    assert line.startswith("FAIL initialize: HTTP 404: ")
    assert line.endswith(f"Use the URL {server.url}.")


async def test_check_explains_a_refused_connection() -> None:
    line = await failure_of(f"http://127.0.0.1:{free_port()}/mcp")
    assert line == ("FAIL connect: Connection refused. Start the server, or correct host and port in the URL.")


async def test_check_explains_https_to_a_server_without_tls(server: Server) -> None:
    line = await failure_of(server.url.replace("http:", "https:"))
    assert line.startswith("FAIL connect: The server does not speak TLS there.")


async def test_check_explains_a_server_that_sends_nothing() -> None:
    waiting: list[asyncio.StreamWriter] = []

    async def silence(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting.append(writer)

    listener = await asyncio.start_server(silence, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    line = await failure_of(f"http://{host}:{port}/mcp")
    assert line.startswith("FAIL initialize: The server sent nothing for 45 s.")
    for writer in waiting:
        writer.close()
    listener.close()


_PAGE = "<html><body><h1>It works</h1></body></html>"
_LIMITED = '{"error":{"code":429,"message":"Too many.","data":{"code":"rate_limited"}}}'
_RPC_ERROR = '{"jsonrpc":"2.0","id":"initialize","error":{"code":-32601,"message":"No such method"}}'


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"body": _PAGE, "kind": "text/html"}, "A web page came back."),
        ({"body": _PAGE, "kind": "text/html", "status": 502}, "HTTP 502: The proxy cannot reach the server."),
        ({"body": _PAGE, "kind": "text/html", "status": 401}, "HTTP 401: The key is not accepted."),
        ({"body": "hello", "kind": "text/plain"}, "A response that is not JSON came back."),
        ({"body": "[]"}, "No MCP server answers here."),
        ({"body": '{"status":"ok"}', "status": 418}, "HTTP 418: This is not the response of an MCP server."),
        ({"body": _RPC_ERROR}, "Error -32601: No such method. Check that this is the URL of a Runflow MCP server."),
        ({"body": _LIMITED, "status": 429, "Retry_After": "7"}, "HTTP 429 rate_limited: Too many. Try again in 7 s."),
        ({"status": 301, "Location": "https://a.test/mcp"}, "HTTP 301: The server moved. Use the URL https://a.test/"),
        ({"status": 308, "Location": "/mcp/"}, "HTTP 308: The server moved. Use the URL http://127.0.0.1:"),
        ({"status": 302, "Location": "https://sso.a.test/login"}, "HTTP 302: Redirected to https://sso.a.test/login."),
        ({"status": 302}, "HTTP 302: The server redirects, and names no other address."),
        ({"body": "data: {}\n\n", "kind": "text/event-stream"}, "The stream ended without an answer."),
    ],
)  # fmt: skip
async def test_check_explains_every_unexpected_response_in_one_line(
    canned: Canned, answer: dict[str, Any], expected: str
) -> None:
    line = await failure_of(await canned(**answer))
    assert line.startswith(f"FAIL initialize: {expected}")


async def test_check_masks_the_key_and_cuts_long_lines(canned: Canned) -> None:
    body = '{"error":{"code":500,"message":"ECHO\\u001b[31m' + "x" * 5000 + '","data":{"code":"odd"}}}'
    line = await failure_of(await canned(body, status=500), key="rf_live_secret_of_mine")
    assert "HTTP 500 odd: Bearer [key]" in line
    assert "rf_live_secret" not in line
    assert line.isprintable()
    assert len(line) < 700


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8080", "mcp.example.com", "ftp://127.0.0.1", "http://[", "http://a:b@c"]
)
async def test_check_explains_an_unusable_url(url: str) -> None:
    line = await failure_of(url)
    assert line.startswith("FAIL connect: This URL cannot be used.")


@pytest.mark.parametrize(
    ("kind", "cause", "expected"),
    [
        (aiohttp.ClientConnectorDNSError, OSError(-2, "Name or service not known"), "The host name is not known."),
        (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError(1, "odd"), "The TLS certificate is not"),
        (aiohttp.ClientConnectorError, OSError(113, "No route to host"), "The host cannot be reached."),
        (aiohttp.ClientConnectorError, ConnectionRefusedError(111, "refused"), "Connection refused."),
    ],
)
def test_check_explains_connection_errors_that_no_test_server_can_cause(
    kind: Any, cause: Exception, expected: str
) -> None:
    target = ConnectionKey("mcp.example.com", 443, True, True, None, None, None)  # noqa: FBT003 - a tuple of aiohttp's
    assert explain_error(kind(target, cause)).startswith(expected)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (aiohttp.ConnectionTimeoutError(), "No connection within 10 s."),
        (aiohttp.ServerDisconnectedError(), "The connection broke."),
        (ConnectionResetError(), "The connection broke."),
    ],
)
def test_check_explains_broken_connections(error: Exception, expected: str) -> None:
    assert explain_error(error).startswith(expected)
