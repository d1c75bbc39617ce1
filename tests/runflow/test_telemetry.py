"""Each request to Runflow is reported once to the metrics and to the debug log."""

import asyncio

import aiohttp
import attrs
import orjson
import pytest
from structlog.testing import capture_logs

from runflow_mcp.credentials import Bearer
from runflow_mcp.observability.metrics import Metrics
from runflow_mcp.runflow.api.client import RunflowClient
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError
from runflow_mcp.runflow.api.telemetry import outcome_of
from runflow_mcp.runflow.catalog.documents import Source
from runflow_mcp.sandbox import RunningSandbox
from tests.scripted_sandbox import Action, Delay, Hang, Reset, Respond, ScriptedSandbox, Truncate
from tests.serving import INPUT, KEY, MODEL, free_port
from tests.virtual_time import VirtualClock

BEARER = Bearer(KEY)
BODY = orjson.dumps({"input": INPUT})


@attrs.frozen
class Recorded(Metrics):
    """Metrics that keep what is reported."""

    requests: list[tuple[str, str, float]] = attrs.field(factory=list)

    def upstream_request(self, operation: str, outcome: str, seconds: float) -> None:
        self.requests.append((operation, outcome, round(seconds, 1)))


@pytest.fixture
def metrics() -> Recorded:
    return Recorded()


@pytest.fixture
def client(
    session: aiohttp.ClientSession, upstream: RunningSandbox, clock: VirtualClock, metrics: Recorded
) -> RunflowClient:
    return RunflowClient(session, upstream.url, 5.0, clock, metrics=metrics)


@pytest.mark.usefixtures("upstream")
async def test_every_operation_is_reported_with_its_name_and_its_seconds(
    client: RunflowClient, sandbox: ScriptedSandbox, metrics: Recorded
) -> None:
    sandbox.script.add("create", Delay(2))
    with capture_logs() as logged:
        run = await client.create_run(BEARER, MODEL, BODY, idempotency_key="k", trace={}, timeout=9)
        await client.get_run(BEARER, run.id, {})
        await client.list_runs(BEARER, "ref-1", {}, limit=5, timeout=9)
    assert metrics.requests == [("create_run", "2xx", 2.0), ("get_run", "2xx", 0.0), ("find_run", "2xx", 0.0)]
    assert [(line["event"], line["log_level"], line["operation"], line["outcome"]) for line in logged] == [
        ("upstream_request", "debug", operation, "2xx") for operation in ("create_run", "get_run", "find_run")
    ]
    assert not any(text in repr(logged) for text in (KEY, MODEL))


@pytest.mark.parametrize(
    ("action", "outcome"),
    [
        (Respond(302), "3xx"),
        (Respond(404), "4xx"),
        (Respond(502, b"<html>"), "5xx"),
        (Respond(200, b"<html>"), "unreadable"),
        (Respond(200, b"{}"), "unreadable"),
        (Respond(200, orjson.dumps({"id": "another"})), "unreadable"),
        (Respond(200, b"", {"Content-Encoding": "br"}), "unreadable"),
        (Truncate(), "unreadable"),
        (Reset(), "connection"),
        (Hang(60), "timeout"),
    ],
    ids=repr,
)
@pytest.mark.usefixtures("upstream")
async def test_a_failed_request_is_reported_with_what_came_of_it(
    client: RunflowClient, sandbox: ScriptedSandbox, metrics: Recorded, action: Action, outcome: str
) -> None:
    sandbox.script.add("get_run", action, times=None)  # aiohttp repeats a GET whose connection is reset
    with pytest.raises(UpstreamError):
        await client.get_run(BEARER, "r-1", {})
    assert [(operation, label) for operation, label, _ in metrics.requests] == [("get_run", outcome)]


async def test_a_refused_connection_is_reported_as_one(
    session: aiohttp.ClientSession, clock: VirtualClock, metrics: Recorded
) -> None:
    client = RunflowClient(session, f"http://127.0.0.1:{free_port()}", 5.0, clock, metrics=metrics)
    with pytest.raises(UpstreamError):
        await client.get_run(BEARER, "r-1", {})
    assert metrics.requests == [("get_run", "connection", 0.0)]


@pytest.mark.usefixtures("upstream")
async def test_a_request_that_is_cancelled_or_not_made_is_not_reported(
    client: RunflowClient, sandbox: ScriptedSandbox, clock: VirtualClock, metrics: Recorded
) -> None:
    with pytest.raises(UpstreamError, match="no time left"):
        await client.get_run(BEARER, "r-1", {}, timeout=0)
    sandbox.script.add("get_run", Hang(60))
    read = asyncio.create_task(client.get_run(BEARER, "r-1", {}))
    await clock.sleep(1)
    read.cancel()
    await asyncio.gather(read, return_exceptions=True)
    assert metrics.requests == []


async def test_a_document_is_reported_whether_it_is_new_unchanged_or_missing(
    session: aiohttp.ClientSession,
    upstream: RunningSandbox,
    sandbox: ScriptedSandbox,
    clock: VirtualClock,
    metrics: Recorded,
) -> None:
    source = Source("catalog", session, f"{upstream.url}/models-catalog.json?token=secret", 5.0, clock, metrics)
    with capture_logs() as logged:
        document = await source.fetch()
        assert document is not None
        assert await source.fetch(document.etag) is None
        sandbox.script.add("catalog", Respond(404))
        with pytest.raises(UpstreamError):
            await source.fetch()
    assert [outcome for _, outcome, _ in metrics.requests] == ["2xx", "3xx", "4xx"]
    assert "secret" not in repr(logged)


@pytest.mark.parametrize(
    ("problem", "outcome"),
    [
        ("connect_timeout", "timeout"),
        ("read_timeout", "timeout"),
        ("cut_short", "unreadable"),
        ("not_http", "unreadable"),
        ("redirects", "3xx"),
        ("dns", "connection"),
        ("tls_expired", "connection"),
        ("proxy_refused", "connection"),
    ],
)
def test_a_problem_below_http_has_a_label(problem: str, outcome: str) -> None:
    assert outcome_of(UpstreamError(Outcome.UNKNOWN, "/", "reason", problem=problem, answered=True)) == outcome
