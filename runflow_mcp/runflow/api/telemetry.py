"""Measures each request to Runflow: one metric, one debug line, and the record of its call.

Paths are not logged, since a caller may write a key in the place of the model.
"""

from typing import Self

import attrs
import structlog

from runflow_mcp.clock import Clock
from runflow_mcp.observability.metrics import Metrics, Operation
from runflow_mcp.observability.record import CURRENT
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
    """Reports the request that is made inside. A cancelled one has no outcome and is not reported.

    ``status``: the answer's, set by the caller once there is one.
    """

    clock: Clock
    metrics: Metrics
    operation: Operation
    status: int | None = None
    _started: float = 0.0

    def __enter__(self) -> Self:
        self._started = self.clock.monotonic()
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            self._report(_status_class(self.status), self.status)
        elif isinstance(error, UpstreamError):
            self._report(outcome_of(error), error.status or self.status)

    def _report(self, outcome: str, status: int | None) -> None:
        seconds = self.clock.monotonic() - self._started
        self.metrics.upstream_request(self.operation, outcome, seconds)
        if (record := CURRENT.get()) is not None:
            record.upstream_attempts += 1
            record.upstream_seconds += seconds
        ms = round(seconds * 1000, 1)
        log.debug("upstream_request", operation=self.operation, outcome=outcome, status=status, ms=ms)


def outcome_of(error: UpstreamError) -> str:
    """The label of a failed request: ``2xx`` to ``5xx``, ``timeout``, ``connection`` or ``unreadable``."""
    if error.problem is not None:
        return _OUTCOMES.get(error.problem, "connection")
    if error.answered or error.status is None or is_success(error.status):
        return "unreadable"
    return _status_class(error.status)


def _status_class(status: int | None) -> str:
    return "unreadable" if status is None else f"{status // 100}xx"
