"""What ``GET /metrics`` shows of one process, and of workers together; no server runs here."""

import pytest
from prometheus_client import generate_latest

from runflow_mcp.observability.counting import CountingMetrics
from runflow_mcp.observability.definitions import METRICS
from runflow_mcp.observability.exposition import Processes, registry_of
from runflow_mcp.observability.metric_memory import MetricMemory
from runflow_mcp.observability.metrics import Gauges
from runflow_mcp.observability.record import CallRecord
from tests.observability.scrape import scrape


def worker(processes: Processes, process_id: int) -> CountingMetrics:
    memory = MetricMemory.share()
    processes.add(process_id, memory)
    return CountingMetrics(MetricMemory(memory.descriptor))


def gauges(*, waits: int = 0, age: float | None = None, models: int = 0, up: bool = True) -> Gauges:
    return Gauges(waits, 0, 0, age, models, limit_store_up=up, limit_store_fallbacks=0)


def test_every_metric_is_named_before_anything_has_happened() -> None:
    processes = Processes()
    processes.add(None, MetricMemory(-1))
    text = generate_latest(registry_of(processes, workers=False)).decode()
    assert [metric for metric in METRICS if f"# TYPE {metric.name} {metric.kind.value}\n" not in text] == []


def test_counters_and_histograms_of_workers_add_up() -> None:
    processes = Processes()
    first, second = worker(processes, 1), worker(processes, 2)
    for metrics, seconds in ((first, 0.0005), (first, 700.0), (second, 0.3)):
        metrics.upstream_retry("get_run")
        metrics.call(CallRecord(method="ping", revision="2025-11-25"), seconds)
    samples = scrape(processes, workers=True)
    assert samples['runflow_mcp_upstream_retries_total{operation="get_run"}'] == 3
    labels = 'mcp_method_name="ping",mcp_protocol_version="2025-11-25"'
    name = "mcp_server_operation_duration_seconds"
    assert samples[f"{name}_count{{{labels}}}"] == 3
    assert samples[f"{name}_sum{{{labels}}}"] == pytest.approx(700.3005)
    assert [
        samples[f'{name}_bucket{{le="{bound}",{labels}}}'] for bound in ("0.001", "0.2", "0.5", "600.0", "+Inf")
    ] == [
        1,
        1,
        2,
        2,
        3,
    ]


def test_what_a_worker_counted_stays_in_the_sum_after_its_end_and_its_gauges_do_not() -> None:
    processes = Processes()
    for number in (1, 2, 3):
        metrics = worker(processes, number)
        metrics.upstream_retry("create_run")
        metrics.sample(gauges(waits=10 * number), lag=0.0)
    assert scrape(processes, workers=True)["runflow_mcp_waits"] == 60
    processes.remove(1)
    processes.remove(3)
    processes.remove(4)
    samples = scrape(processes, workers=True)
    assert samples["runflow_mcp_waits"] == 20
    assert samples['runflow_mcp_upstream_retries_total{operation="create_run"}'] == 3
    assert samples["runflow_mcp_event_loop_lag_seconds_count"] == 3


def test_the_worst_worker_counts_where_a_sum_has_no_meaning() -> None:
    processes = Processes()
    worker(processes, 1).sample(gauges(age=5.0, models=45), lag=0.0)
    worker(processes, 2).sample(gauges(age=50.0, models=40, up=False), lag=0.0)
    samples = scrape(processes, workers=True)
    assert samples["runflow_mcp_catalog_age_seconds"] == 50
    assert samples["runflow_mcp_catalog_models"] == 40
    assert samples["runflow_mcp_limit_store_up"] == 0


def test_the_age_of_the_catalog_is_absent_until_there_is_one() -> None:
    processes = Processes()
    metrics = worker(processes, 1)
    metrics.sample(gauges(), lag=0.0)
    assert "runflow_mcp_catalog_age_seconds" not in scrape(processes, workers=True)
    assert scrape(processes, workers=True)["runflow_mcp_catalog_models"] == 0
