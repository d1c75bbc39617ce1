"""``GET /metrics`` over HTTP: of a server that runs, and of worker processes under one parent."""

import multiprocessing
import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runflow_mcp.cli import extras, main
from runflow_mcp.cli.listen_errors import explain_metrics
from runflow_mcp.cli.metrics import MetricsListenError, serving_metrics
from runflow_mcp.observability import metrics_server
from runflow_mcp.observability.counting import CountingMetrics
from runflow_mcp.observability.definitions import METRICS
from runflow_mcp.observability.metric_memory import MetricMemory
from runflow_mcp.observability.metrics_server import MetricsListener
from runflow_mcp.settings.config import Config
from tests.eventually import PATIENCE, eventually
from tests.observability.scrape import samples_of
from tests.server_process import SERVE, ServerProcess
from tests.serving import free_port

pytestmark = pytest.mark.real_time


def get(port: int, path: str = "/metrics", host: str = "127.0.0.1") -> str:
    with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=PATIENCE) as response:
        assert response.headers["Content-Type"].startswith("text/plain")
        return str(response.read().decode())


# A server


def test_a_server_shows_its_metrics_on_their_own_port_alone(tmp_path: Path) -> None:
    port = free_port()
    settings = {"MCP_METRICS_PORT": str(port)}
    with ServerProcess.of(tmp_path, *SERVE, "--sandbox", settings=settings) as server:
        server.wait_until_ready()
        assert server.status("/metrics") == 404
        eventually(lambda: "runflow_mcp_catalog_models 4" in get(port))
        samples = samples_of(get(port))
        assert samples["process_resident_memory_bytes"] > 1_000_000
        assert any(name.startswith("python_info") for name in samples)
        assert any(name.startswith("python_gc") for name in samples)
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(port, "/")
        assert refused.value.code == 404
        refused.value.close()
        assert server.stop() == 0


def test_a_port_in_use_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with ServerProcess.of(tmp_path, settings={"MCP_METRICS_PORT": str(port)}) as server:
            assert server.wait() == 1
            assert server.output.strip().splitlines()[-1] == (
                f"Cannot listen on 127.0.0.1:{port} for the metrics: Address already in use. "
                "Change MCP_METRICS_PORT, or set MCP_METRICS_PORT=0 to serve no metrics."
            )


def test_an_address_of_another_machine_is_explained_with_the_setting_to_change() -> None:
    config = Config.from_mapping({"MCP_METRICS_PORT": str(free_port()), "MCP_METRICS_HOST": "192.0.2.1"})
    with pytest.raises(MetricsListenError) as caught, serving_metrics(config):
        pass
    assert "Change MCP_METRICS_HOST" in explain_metrics(caught.value.reason, config)


def test_without_the_package_the_start_fails_with_the_name_of_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(extras, "find_spec", lambda _name: None)
    monkeypatch.setenv("MCP_METRICS_PORT", "9100")
    for command in ("serve", "config"):
        assert main.main([command]) == 2
        captured = capsys.readouterr()
        assert "MCP_METRICS_PORT" in captured.err
        assert "prometheus-client (extra metrics)" in captured.err + captured.out
    monkeypatch.setenv("MCP_METRICS_PORT", "0")
    assert main.main(["config"]) == 0


# Workers


@pytest.fixture
def listener() -> Iterator[MetricsListener]:
    made = MetricsListener.of_workers("127.0.0.1", free_port())
    yield made
    made.close()


def _work(memory: MetricMemory, retries: int) -> None:
    metrics = CountingMetrics(memory)
    for _ in range(retries):
        metrics.upstream_retry("get_run")
    signal.pause()


def test_one_port_shows_the_sum_over_workers_also_of_one_that_was_killed(listener: MetricsListener) -> None:
    fork = multiprocessing.get_context("fork")

    def start(retries: int) -> multiprocessing.process.BaseProcess:
        memory = MetricMemory.share()
        worker = fork.Process(target=_work, args=(memory, retries), daemon=True)
        worker.start()
        assert worker.pid is not None
        listener.worker_started(worker.pid, memory)
        return worker

    def shows(count: float) -> bool:
        return samples_of(get(listener.port)).get('runflow_mcp_upstream_retries_total{operation="get_run"}') == count

    first, second = start(3), start(4)
    eventually(lambda: shows(7))
    for worker in (first, second):
        assert worker.pid is not None
        processor_time = samples_of(get(listener.port))["process_cpu_seconds_total"]
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        listener.worker_ended(worker.pid)
        assert shows(7)
        assert samples_of(get(listener.port))["process_cpu_seconds_total"] >= processor_time
    third = start(5)
    eventually(lambda: shows(12))
    assert samples_of(get(listener.port))["process_resident_memory_bytes"] > 0
    third.kill()
    third.join()


# The listener


def test_a_client_that_sends_nothing_delays_the_next_one_for_a_limited_time(
    listener: MetricsListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "TIMEOUT", 0.2)
    with closing(socket.create_connection(("127.0.0.1", listener.port))) as slow:
        slow.sendall(b"GET /metr")
        assert all(f"# TYPE {metric.name} " in get(listener.port) for metric in METRICS)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_every_address_means_ipv4_too() -> None:
    with closing(MetricsListener.of_workers("::", free_port())) as every:
        assert get(every.port, host="127.0.0.1") == get(every.port, host="[::1]")
