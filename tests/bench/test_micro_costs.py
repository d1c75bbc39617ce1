"""The costs that every request or poll pays, beside a reference loop in the same process.

``make test`` runs each once. To measure: ``python -m pytest tests/bench/test_micro_costs.py --benchmark-enable``; the
figure in brackets is the multiple of the quickest, and the reference loop shows the current speed of the machine.
"""

from collections.abc import Awaitable
from itertools import count
from types import SimpleNamespace
from typing import TypeVar, cast

import orjson
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from runflow_mcp.clock import SystemClock
from runflow_mcp.credentials import Bearer
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.tools.list_models import list_models
from runflow_mcp.protocol import jsonrpc
from runflow_mcp.protocol.inbound import RoutingHeaders, classify
from runflow_mcp.protocol.progress import METHOD, Progress
from runflow_mcp.protocol.revisions import ProtocolContext
from runflow_mcp.ratelimit.limits import Decision, Hit, Scope
from runflow_mcp.ratelimit.memory import MemoryStore
from runflow_mcp.runflow.api.responses import Response, read_response, read_run
from runflow_mcp.settings.config import Config
from runflow_mcp.web.sse import render_event
from tests.bench.fast_upstream import FastUpstream
from tests.bench.rows import LEGACY, MODERN, ROWS
from tests.serving import KEY, Server

T = TypeVar("T")
pytestmark = pytest.mark.benchmark(group="per request or poll")
BEARER = Bearer(KEY)


def result_of(awaitable: Awaitable[T]) -> T:
    """The result of something awaitable that has nothing to wait for."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as ended:
        return cast("T", ended.value)
    raise AssertionError("it waits for something")


def test_reference_loop(benchmark: BenchmarkFixture) -> None:
    def loop() -> int:
        total = 0
        for number in range(100):
            total += number
        return total

    assert benchmark(loop) == 4950


def test_limiter_hit(benchmark: BenchmarkFixture) -> None:
    limits = {f"MCP_RATE_LIMIT_{name}": "1000000000" for name in ("PRE_AUTH_PER_IP", "PER_IP", "PER_KEY")}
    store = MemoryStore.make(Config.from_mapping(limits), SystemClock())
    numbers = count()

    def hit() -> Decision:
        caller = str(next(numbers) % 1000)
        hits = (Hit(Scope.PRE_AUTH, caller, counted=False), Hit(Scope.ADDRESS, caller), Hit(Scope.KEY, caller))
        return result_of(store.admit(hits, 1))

    assert benchmark(hit).wait_us == 0


@pytest.mark.parametrize("revision", [LEGACY, MODERN])
def test_envelope_parse(benchmark: BenchmarkFixture, revision: str) -> None:
    request = ROWS[3].request(revision)
    names = {"version": "MCP-Protocol-Version", "method": "Mcp-Method", "name": "Mcp-Name"}
    sent = {field: (request.headers[name],) for field, name in names.items() if name in request.headers}
    headers = RoutingHeaders(**sent)

    def parse() -> object:
        return classify(jsonrpc.parse(request.body), headers)

    protocol = benchmark(parse)
    assert isinstance(protocol, ProtocolContext)
    assert protocol.revision == revision


@pytest.mark.parametrize("limit", [5, 50])
async def test_list_models_body(benchmark: BenchmarkFixture, server: Server, limit: int) -> None:
    # All of the context that the handler reads.
    context = cast("RequestContext", SimpleNamespace(services=server.services))
    await server.services.catalog.snapshot()

    def body() -> bytes:
        return jsonrpc.render_result(1, result_of(list_models({"limit": limit}, context)))

    assert orjson.loads(benchmark(body))["result"]["structuredContent"]["returned"] <= limit


def test_progress_frame(benchmark: BenchmarkFixture) -> None:
    progress = Progress(token=1)
    seconds = count()

    def frame() -> bytes:
        message = f"running, {next(seconds)} s"
        params = progress.advance(completed=1, total=4, elapsed=2.0, done=False, message=message)
        return render_event(jsonrpc.render_notification(METHOD, params))

    assert benchmark(frame).startswith(b"event: message\ndata: {")


def test_poll_answer(benchmark: BenchmarkFixture) -> None:
    upstream = FastUpstream(duration=1000)
    created = upstream.answer(b"POST", b"/v1/models/a/b/runs", b'{"client_ref":"c","input":{}}')
    run_id = orjson.loads(created.partition(b"\r\n\r\n")[2])["id"]
    path = f"/v1/runs/{run_id}"
    body = upstream.answer(b"GET", path.encode(), b"").partition(b"\r\n\r\n")[2]

    def read() -> object:
        return read_run(read_response(Response(200, {}, body), path, BEARER, now=0.0), path, "", run_id).status

    assert benchmark(read) == "running"
