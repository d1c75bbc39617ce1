"""An API key goes upstream and nowhere else: neither into a log line nor into an answer."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import orjson
import pytest
import structlog

from runflow_mcp.observability import logs
from runflow_mcp.sandbox import RunningSandbox
from runflow_mcp.sandbox.credentials import fingerprint
from runflow_mcp.settings.config import Config
from tests.methods.recorded import caller_requests
from tests.scripted_sandbox import Reset, Respond, Route, ScriptedSandbox
from tests.serving import BOTH, MODEL, Server, run_server
from tests.virtual_time import VirtualClock

KEY = "rf_live_MARKED-4711"
SHOWN = hashlib.sha256(KEY.encode()).hexdigest()[:12]


@pytest.fixture(params=["json", "console"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """The text that the product's own log configuration has written, down to the debug level."""
    config = Config.from_mapping({"MCP_LOG_FORMAT": request.param, "MCP_LOG_LEVEL": "debug"})
    before = structlog.get_config()
    path = tmp_path / "log"
    with path.open("wb") as file, logs.configured(config, file.fileno(), terminal=False, colors=False) as sink:
        # Loggers must not keep this file beyond the test.
        structlog.configure(**{**structlog.get_config(), "cache_logger_on_first_use": False})

        def text() -> str:
            assert sink.flush(10)
            return path.read_text()

        yield text
    structlog.configure(**before)


def clean(written: Callable[[], str], caplog: pytest.LogCaptureFixture) -> str:
    """The log so far, after checking that the key is not in it."""
    text = written()
    assert "MARKED" not in text
    assert "MARKED" not in caplog.text
    return text


async def test_a_call_is_logged_with_the_fingerprint_of_its_key(
    written: Callable[[], str], server: Server, sandbox: ScriptedSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await server.generate(key=KEY, client_ref="x", accept=BOTH, token=1)
    assert b"MARKED" not in answer.content
    assert SHOWN in clean(written, caplog)
    assert {request.key for request in caller_requests(sandbox)} == {fingerprint(KEY)}


@pytest.mark.parametrize("model", [MODEL, "sandbox/failing", "sandbox/unavailable", "no/such", "..", "sandbox/odd"])
async def test_no_outcome_of_a_run_shows_the_key(
    written: Callable[[], str], server: Server, caplog: pytest.LogCaptureFixture, model: str
) -> None:
    answer = await server.generate(model, key=KEY)
    assert b"MARKED" not in answer.content
    clean(written, caplog)


ECHO = orjson.dumps({"code": KEY, "message": f"Bearer {KEY}", "errors": [{KEY: KEY}]})
ESCAPED = ECHO.replace(b"MARKED", b"\\u004dARKED")
RUN = orjson.dumps({"id": "r", "status_code": "succeeded", "output": {"url": f"https://x/{KEY}"}, "cost": KEY})


@pytest.mark.parametrize(
    ("route", "response"),
    [
        (Route.CREATE, Respond(400, ECHO, {"Retry-After": KEY})),
        (Route.CREATE, Respond(400, ESCAPED)),
        (Route.CREATE, Respond(500, KEY.encode())),
        (Route.CREATE, Respond(302, headers={"Location": f"https://example.com/{KEY}"})),
        (Route.CREATE, Respond(201, RUN)),
        (Route.CREATE, Respond(201, RUN.replace(b'"r"', orjson.dumps(KEY)))),
        (Route.CREATE, Reset()),
        (Route.LIST_RUNS, Respond(200, b'{"items":[%s]}' % RUN)),
        (Route.GET_RUN, Respond(403, ECHO)),
        (Route.GET_RUN, Respond(200, RUN.replace(b"succeeded", b"failed"))),
        (Route.GET_RUN, Respond(200, orjson.dumps({"id": "r", "status": KEY}))),
    ],
)
async def test_a_key_that_upstream_echoes_is_masked(
    written: Callable[[], str],
    server: Server,
    sandbox: ScriptedSandbox,
    caplog: pytest.LogCaptureFixture,
    *,
    route: Route,
    response: Respond | Reset,
) -> None:
    sandbox.script.add(route, response, times=3)
    answer = await server.generate(key=KEY, client_ref="echo", accept=BOTH, token=1)
    assert b"MARKED" not in answer.content
    assert b"marked" not in answer.content
    clean(written, caplog)


@pytest.mark.parametrize(
    "authorization",
    [f"Basic {KEY}", f"Bearer {KEY} x", f"Token {KEY}", KEY, f"Bearer rf_svc_{KEY}", f'Bearer "{KEY}"'],
)
async def test_a_rejected_authorization_header_is_not_repeated(
    written: Callable[[], str], server: Server, caplog: pytest.LogCaptureFixture, authorization: str
) -> None:
    answer = await server.post(b"{}", key=None, headers={"Authorization": authorization})
    assert answer.status == 401
    assert b"MARKED" not in answer.content
    clean(written, caplog)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", f"/{KEY}", {}),
        ("POST", f"/mcp?api_key={KEY}", {}),
        ("GET", "/mcp", {"Host": KEY}),
        ("GET", "/mcp", {"Origin": f"http://{KEY}"}),
        ("POST", "/mcp", {"Content-Type": KEY}),
        ("GET", "/mcp", {"X-Api-Key": KEY, "Cookie": f"key={KEY}", "Referer": f"http://x/?{KEY}"}),
    ],
)
async def test_a_key_in_the_wrong_place_is_not_repeated(
    written: Callable[[], str],
    server: Server,
    caplog: pytest.LogCaptureFixture,
    *,
    method: str,
    path: str,
    headers: dict[str, str],
) -> None:
    answer = await server.request(method, path, headers=headers)
    assert b"MARKED" not in answer.content
    clean(written, caplog)


async def test_an_invented_method_name_does_not_fill_the_log(
    written: Callable[[], str], server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    await server.rpc(f"tools/{KEY}{'x' * 100_000}", key=KEY)
    await server.services.clock.sleep(1)
    assert max(map(len, clean(written, caplog).splitlines())) < 1000


class _Broken(Random):
    """A random generator that fails, as an example of an unexpected exception."""

    def uniform(self, a: float, b: float) -> float:
        raise RuntimeError(f"between {a} and {b}")


async def test_a_logged_traceback_does_not_show_the_key(
    written: Callable[[], str], upstream: RunningSandbox, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_server(upstream.url, clock, _Broken(), {}) as server:
        answer = await server.generate(key=KEY)
    assert answer.tool_error["code"] == "generate_failed"
    text = clean(written, caplog)
    assert "Traceback" in text
    assert answer.headers["X-Request-Id"] in text
