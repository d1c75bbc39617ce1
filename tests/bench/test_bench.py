"""The parts of the bench work: its requests, its simulated Runflow and clients, its arithmetic and its tables."""

import os
import shutil
from itertools import product as pairs
from pathlib import Path
from random import Random

import attrs
import cattrs
import orjson
import pytest
from aiohttp.test_utils import TestClient, TestServer

from runflow_mcp.clock import SystemClock
from tests.bench import bare, load, servers
from tests.bench.fast_upstream import FastUpstream, large_catalog
from tests.bench.hostile import LOADS, Hostile
from tests.bench.load import Callers, Figure, Load, measure
from tests.bench.machine import BenchError, cpu_seconds, two_cores_over_one
from tests.bench.report import tables
from tests.bench.results import Results, RowResult, StreamResult, WorkersResult
from tests.bench.rounds import Measured, Spread, alternate
from tests.bench.rows import LEGACY, REVISIONS, ROWS, Request, Row
from tests.bench.servers import own_path
from tests.bench.soak import slope
from tests.bench.stream_load import WaveFigures, WaveOrder, percentile, run_wave
from tests.server_process import NO_RATE_LIMITS
from tests.serving import Answer, ServedApp, Server, upstream_settings

CASES = [*pairs(ROWS, REVISIONS)]


async def send(server: Server, request: Request) -> Answer:
    return await server.request("POST", "/mcp", headers=request.headers, data=request.body)


@pytest.mark.parametrize(("row", "revision"), CASES)
async def test_every_row_is_answered_with_a_result(server: Server, row: Row, revision: str) -> None:
    answer = await send(server, row.request(revision))
    assert answer.status == 200
    assert not answer.result.get("isError")


def test_every_row_has_a_path_of_its_own_on_the_bare_server() -> None:
    assert len({own_path(row, revision) for row, revision in CASES}) == len(CASES)


@pytest.mark.parametrize("hostile", [load for load in LOADS if not load.keyless], ids=lambda hostile: hostile.name)
async def test_a_hostile_request_is_read_and_answered(server: Server, hostile: Hostile) -> None:
    answer = await send(server, hostile.request)
    assert answer.status == 200


async def test_the_bare_server_sends_a_files_bytes(tmp_path: Path) -> None:
    (tmp_path / "row").write_bytes(b'{"result":{}}')
    async with TestClient(TestServer(bare.make_app(tmp_path))) as client:
        response = await client.post("/row", data=b"{}")
        assert await response.read() == b'{"result":{}}'
        assert response.content_type == "application/json"


@pytest.mark.real_time
async def test_a_small_wave_of_waiting_clients_is_measured() -> None:
    upstream = FastUpstream()
    url = f"http://127.0.0.1:{await upstream.start()}"
    clock = SystemClock()
    served = await ServedApp.start({**upstream_settings(url), **NO_RATE_LIMITS}, clock, Random(0))
    try:
        order = WaveOrder(served.port, os.getpid(), count=5, ramp=0.1, duration=1.5, revision=LEGACY)
        seen = await run_wave(upstream, order)
    finally:
        await served.runner.cleanup()
        await upstream.close()
    assert not seen.failures
    assert seen.finished == 5
    assert seen.polls >= 5
    assert seen.delay_p50 is not None
    assert seen.delay_p50 >= 0
    assert seen.first_byte_p99 is not None


def test_a_run_of_the_simulated_runflow_is_found_by_its_client_ref() -> None:
    upstream = FastUpstream()
    created = upstream.answer(b"POST", b"/v1/models/a/b/runs", b'{"client_ref":"job-1","input":{}}')
    found = upstream.answer(b"GET", b"/v1/runs?q=client_ref.EQ:%27job-1%27&limit=5", b"")
    [item] = orjson.loads(found.partition(b"\r\n\r\n")[2])["items"]
    assert item == orjson.loads(created.partition(b"\r\n\r\n")[2])
    other = upstream.answer(b"GET", b"/v1/runs?q=client_ref.EQ:%27job-2%27&limit=5", b"")
    assert orjson.loads(other.partition(b"\r\n\r\n")[2])["items"] == []


def test_an_answer_of_the_simulated_runflow_has_the_length_that_it_states() -> None:
    upstream = FastUpstream(duration=0)
    created = upstream.answer(b"POST", b"/v1/models/a/b/runs", b'{"client_ref":"c","input":{}}')
    run_id = orjson.loads(created.partition(b"\r\n\r\n")[2])["id"]
    head, _, body = upstream.answer(b"GET", f"/v1/runs/{run_id}".encode(), b"").partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert orjson.loads(body)["status_code"] == "succeeded"


def test_a_large_catalog_has_as_many_different_models_as_asked_for() -> None:
    models = orjson.loads(large_catalog(300))["models"]
    assert len({model["runs_endpoint"] for model in models}) == 300


def test_without_wrk_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BenchError, match="apt install wrk"):
        load.find_wrk()


@pytest.mark.real_time
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core only")
@pytest.mark.parametrize(
    "sent",
    [
        Load(callers=Callers(10)),
        Load(callers=Callers(10, keyless=True), background=True),
        Load(at_once=8, pinned=False),
    ],
    ids=["callers", "without a key, in the background", "8 at once"],
)
def test_a_load_by_wrk_is_measured(tmp_path: Path, sent: Load) -> None:
    answers = tmp_path / "answers"
    answers.mkdir()
    (answers / "row").write_bytes(b"{}")
    with servers.bare(tmp_path, answers) as process:
        process.wait_until_ready()
        url, pid = f"{process.origin}/row", process.process.pid
        figure = measure(url, ROWS[0].request(LEGACY), pid, load=sent)
        assert figure.rate > 0
        assert figure.cpu > 0


def test_a_round_with_errors_is_not_a_figure() -> None:
    with pytest.raises(BenchError, match="3 errors in 7 requests"):
        load.read_figure({"requests": 7, "microseconds": 1_000_000, "errors": 3, "p50": 1, "p99": 1}, 1.0, "here")


def test_processor_time_is_counted() -> None:
    before = cpu_seconds(os.getpid())
    sum(range(1_000_000))
    assert cpu_seconds(os.getpid()) > before


# Arithmetic and tables


def figure(rate: float, cpu: float) -> Figure:
    return Figure(rate=rate, cpu=cpu, p50=1.0, p99=2.0)


def test_rounds_go_through_all_rows_and_alternate_their_direction() -> None:
    order: list[tuple[str, str]] = []

    def run(name: str, row: str) -> Figure:
        order.append((row, name))
        return figure(1, 1)

    alternate(["a", "b"], ["x", "y"], 2, run)
    assert "".join(row + name for row, name in order) == "xaxbyaybxbxaybya"


def test_ratios_compare_servers_within_a_round() -> None:
    slow = Measured((figure(100, 50), figure(50, 100)))
    quick = Measured((figure(200, 20), figure(150, 25)))
    assert quick.rate_over(slow) == Spread(2.5, 2.0, 3.0)
    assert quick.cpu_over(slow) == Spread(2.5, 2.5, 4.0)
    assert quick.cpu_over(slow).show() == "2.50 (2.50–4.00)"


@pytest.mark.parametrize(("part", "expected"), [(50, 50), (99, 99), (100, 100), (1, 1)])
def test_a_percentile_is_one_of_the_values(part: int, expected: int) -> None:
    assert percentile(range(1, 101), part) == expected


def test_the_slope_of_memory_is_that_of_its_line() -> None:
    assert slope([(0, 10), (10, 15), (20, 20)]) == pytest.approx(0.5)
    assert slope([(1, 1)]) == 0


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_the_gain_of_a_second_core_is_measured() -> None:
    assert 0.1 < two_cores_over_one(0.1) < 10  # a busy machine: no more is certain


def test_the_report_has_a_table_of_each_part() -> None:
    measured = Measured((figure(100, 50),))
    row = RowResult(LEGACY, "tools/list", 1000, dict.fromkeys(("product", "line on", "bare", "fastmcp"), measured))
    ones: dict[str, object] = dict.fromkeys((field.name for field in attrs.fields(WaveFigures)), 1)
    wave = cattrs.structure({**ones, "failures": []}, WaveFigures)
    results = Results("2026-01-01", "abc", "CPython", "machine", [row], [StreamResult("product", [wave])])
    results.workers.append(WorkersResult("tools/list", Spread.of([1.9])))
    results.two_cores = Spread.of([1.95])
    text = "\n".join(tables(results))
    assert "| tools/list | 1.0 | 1.00 (1.00–1.00) | 1.00 (1.00–1.00) | – | 1.0 (1.0–1.0) |" in text
    assert "### Waiting `generate` streams" in text
    assert "| tools/list | 1.90 (1.90–1.90) |" in text
    assert "in the same rounds: 1.95 (1.95–1.95)" in text
