"""The metrics of a serving command: counted in its process, and served by a listener of their own."""

from collections.abc import Iterator
from contextlib import contextmanager

from runflow_mcp.observability.metrics import Metrics
from runflow_mcp.settings.config import Config


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
    # Needed only when metrics are served, and so is the package, which is an extra.
    from runflow_mcp.observability.counting import CountingMetrics  # noqa: PLC0415
    from runflow_mcp.observability.metric_memory import MetricMemory  # noqa: PLC0415
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
