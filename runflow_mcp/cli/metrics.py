"""The metrics of a serving command: counted in its process, and served by a listener of their own."""

from collections.abc import Iterator
from contextlib import contextmanager

from runflow_mcp.observability.counting import CountingMetrics
from runflow_mcp.observability.metric_memory import MetricMemory
from runflow_mcp.observability.metrics import Metrics
from runflow_mcp.settings.config import Config
from runflow_mcp.workers.parent import WorkerMetrics


class MetricsListenError(Exception):
    """The address of the metrics cannot be bound; ``reason`` is the system's error."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


@contextmanager
def serving_metrics(config: Config) -> Iterator[Metrics | None]:
    """Serve ``GET /metrics`` of this process; yields what counts into it, None when metrics are off.

    Raises ``MetricsListenError``.
    """
    if not config.metrics_port:
        yield None
        return
    # The package is an extra, needed only when metrics are served.
    from runflow_mcp.observability.metrics_server import MetricsListener  # noqa: PLC0415

    memory = MetricMemory(-1)
    try:
        listener = MetricsListener.of_process(config.metrics_host, config.metrics_port, memory)
    except OSError as error:
        raise MetricsListenError(error) from error
    try:
        yield CountingMetrics(memory)
    finally:
        listener.close()


@contextmanager
def serving_worker_metrics(config: Config) -> Iterator[WorkerMetrics | None]:
    """The same in the parent of workers, for their sum; yields the object that the parent reports its workers to."""
    if not config.metrics_port:
        yield None
        return
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
