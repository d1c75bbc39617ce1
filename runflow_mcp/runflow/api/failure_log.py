"""One line for each request to Runflow that failed: what it was for, how it failed, and what follows.

An outage fails thousands of polls a second, so the lines of a second are bounded, and those left out are counted.
"""

import attrs
import structlog

from runflow_mcp.observability.line_budget import LineBudget
from runflow_mcp.observability.metrics import Operation
from runflow_mcp.observability.record import current_identity
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError

log = structlog.get_logger(__name__)


@attrs.define
class FailureLog:
    """The lines name the call that the request was made for. ``attempt``: the one that failed, counted from 1."""

    _budget: LineBudget = attrs.field(factory=lambda: LineBudget("upstream_failures_not_logged"))

    def retried(self, operation: Operation, error: UpstreamError, attempt: int, pause: float) -> None:
        """The request is to be repeated after ``pause`` seconds, unless the call ends before."""
        if self._budget.count_line():
            log.warning("upstream_retry", **_fields(operation, error, attempt), pause=round(pause, 3))

    def given_up(self, operation: Operation, error: UpstreamError, attempt: int) -> None:
        """The request is not repeated; the call that needed it gets an error, or goes on without."""
        if self._budget.count_line():
            # A refusal is Runflow's answer to what a caller wants, such as a model that does not exist.
            write = log.info if error.outcome is Outcome.REFUSED else log.warning
            write("upstream_failed", **_fields(operation, error, attempt))

    def close(self) -> None:
        """Log how many lines were left out."""
        self._budget.report()


def _fields(operation: Operation, error: UpstreamError, attempt: int) -> dict[str, str | int | None]:
    # Upstream's own words may quote the caller's, so they are not logged.
    problem = {} if error.problem is None else {"problem": error.problem}
    return {
        "operation": operation,
        "status": error.status,
        **problem,
        "reason": error.reason,
        "attempt": attempt,
        **current_identity(),
    }
