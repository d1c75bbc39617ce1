"""One metric and one debug line for each request to Runflow that has ended.

Knows what an error means, and nothing of how requests are sent.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import structlog

from runflow_mcp.clock import Clock
from runflow_mcp.observability.metrics import Metrics
from runflow_mcp.runflow.api.errors import UpstreamError, is_success

log = structlog.get_logger(__name__)

#: Tokens of ``connection_errors`` that are not about the connection itself.
_OUTCOMES = {
    "connect_timeout": "timeout",
    "read_timeout": "timeout",
    "cut_short": "unreadable",
    "not_http": "unreadable",
    "redirects": "3xx",
}


@attrs.define
class Measurement:
    """A request under way. ``status``: of its answer, once there is one."""

    status: int | None = None


@contextmanager
def measured(clock: Clock, metrics: Metrics, operation: str, path: str) -> Iterator[Measurement]:
    """Report the request that is made inside. A cancelled one has no outcome and is not reported.

    ``path``: for the debug line alone, since a label of a metric must have few values.
    """
    measurement = Measurement()
    started = clock.monotonic()

    def report(outcome: str, status: int | None) -> None:
        seconds = clock.monotonic() - started
        metrics.upstream_request(operation, outcome, seconds)
        ms = round(seconds * 1000, 1)
        log.debug("upstream_request", operation=operation, outcome=outcome, status=status, ms=ms, path=path)

    try:
        yield measurement
    except UpstreamError as error:
        report(outcome_of(error), error.status or measurement.status)
        raise
    report(_status_class(measurement.status), measurement.status)


def outcome_of(error: UpstreamError) -> str:
    """The label of a failed request: ``2xx`` to ``5xx``, ``timeout``, ``connection`` or ``unreadable``."""
    if error.problem is not None:
        return _OUTCOMES.get(error.problem, "connection")
    if error.answered or error.status is None or is_success(error.status):
        return "unreadable"
    return _status_class(error.status)


def _status_class(status: int | None) -> str:
    return "unreadable" if status is None else f"{status // 100}xx"
