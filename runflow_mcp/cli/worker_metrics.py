"""The metrics of several workers: each counts into a memory that the parent has made, and the parent serves the sum."""

from collections.abc import Iterator
from contextlib import contextmanager

from runflow_mcp.cli.metrics import MetricsListenError
from runflow_mcp.observability.counting import CountingMetrics
from runflow_mcp.observability.metric_memory import MetricMemory
from runflow_mcp.observability.metrics import Metrics
from runflow_mcp.settings.config import Config
from runflow_mcp.workers.parent import WorkerMetrics


@contextmanager
def serving_worker_metrics(config: Config) -> Iterator[WorkerMetrics | None]:
    """Serve ``GET /metrics`` with the sum of all workers; yields the object that the parent reports its workers to.

    Yields None when metrics are off. Raises ``MetricsListenError``.
    """
    if not config.metrics_port:
        yield None
        return
    # As in ``serving_metrics``.
    from runflow_mcp.observability.metrics_server import MetricsListener  # noqa: PLC0415

    try:
        listener = MetricsListener.of_workers(config.metrics_host, config.metrics_port)
    except OSError as error:
        raise MetricsListenError(error) from error
    try:
        yield listener
    finally:
        listener.close()


def worker_metrics(descriptor: int | None) -> Metrics | None:
    """What counts in a worker, into the memory that its parent has made; None when metrics are off."""
    return None if descriptor is None else CountingMetrics(MetricMemory(descriptor))
