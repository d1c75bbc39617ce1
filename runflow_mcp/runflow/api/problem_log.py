"""Log lines about an upstream that cannot be reached, limited so that an outage does not flood the log."""

from collections import Counter

import attrs
import structlog

from runflow_mcp.runflow.api.errors import UpstreamError

log = structlog.get_logger(__name__)

#: Seconds between two lines about the same kind of problem; those left out in between are counted.
INTERVAL = 10.0


@attrs.define
class ProblemLog:
    """When each kind of problem was last logged. Kinds are few: the tokens of ``connection_errors``."""

    _reported: dict[str, float] = attrs.field(factory=dict)
    _left_out: Counter[str] = attrs.field(factory=Counter)

    def report(self, operation: str, error: UpstreamError, now: float) -> None:
        """Log an error without an answer; others are not logged here. ``now``: monotonic seconds."""
        kind = error.problem
        if kind is None:
            return
        if now - self._reported.get(kind, -INTERVAL) < INTERVAL:
            self._left_out[kind] += 1
            return
        self._reported[kind] = now
        log.warning(
            "upstream_unreachable",
            problem=kind,
            reason=error.reason,
            operation=operation,
            left_out=self._left_out.pop(kind, 0),
        )
